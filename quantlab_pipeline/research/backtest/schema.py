"""The columns of `blueprints`, `backtest_returns` and `stress_results`."""

from __future__ import annotations

import polars as pl

from quantlab_pipeline.core.columns import Column, TableSchema

SEGMENTS = ("in_sample", "holdout")
"""Days before the study's `holdout_from`, and from it on."""

STRATEGY = Column("strategy_id", pl.String, "", "The strategy: its candidate's id.")


def _text(name: str, meaning: str, nullable: bool = False) -> Column:
    return Column(name, pl.String, "", meaning, nullable)


def _count(name: str, meaning: str) -> Column:
    return Column(name, pl.Int64, "rows", meaning, ge=0)


def _float(name: str, unit: str, meaning: str, nullable: bool = False) -> Column:
    return Column(name, pl.Float64, unit, meaning, nullable)


BLUEPRINTS = TableSchema(
    "blueprints",
    (
        STRATEGY,
        Column("version", pl.Int64, "", "Version of the blueprint's form.", ge=1),
        _text("candidate_id", "Candidate that it executes."),
        _text("event_type", "Event that triggers it."),
        _text("horizon", "How long it holds."),
        _text("blueprint_hash", "Digest of the blueprint: the same rule has the same one."),
        _text("blueprint", "The blueprint as canonical JSON, one line of blueprints.jsonl."),
        Column("admissible", pl.Boolean, "", "Passed so far on real data without a waiver."),
    ),
    key=("strategy_id",),
)

BACKTEST_RETURNS = TableSchema(
    "backtest_returns",
    (
        STRATEGY,
        Column("day", pl.Date, "UTC", "Day that owns the P&L; every day of the study has a row."),
        Column("segment", pl.String, "", "in_sample or holdout.", isin=SEGMENTS),
        _count("n_entries", "Positions opened on this day."),
        _count("n_exits", "Positions closed on this day."),
        _float("turnover_usd", "USD", "Traded value, both sides."),
        _float("fee_usd", "USD", "Fees paid."),
        _float("funding_usd", "USD", "Funding; positive is received."),
        _float("net_usd", "USD", "Change of equity, open positions marked at the day's close."),
        _float("net_bps", "bps", "net_usd over capital_usd."),
        Column("capital_usd", pl.Float64, "USD", "One trade's notional per symbol.", gt=0),
    ),
    key=("strategy_id", "day"),
)

STRESS_RESULTS = TableSchema(
    "stress_results",
    (
        STRATEGY,
        _text("scenario", "Name of the stress; `base` is none."),
        Column(
            "model",
            pl.String,
            "",
            "executed: the engine; bars: the bar kernel.",
            isin=("executed", "bars"),
        ),
        Column("segment", pl.String, "", "Days that it speaks of.", isin=SEGMENTS),
        Column("judged", pl.Boolean, "", "Whether gate S must be passed under it."),
        _count("n_trades", "Closed trades."),
        _float("net_bps", "bps", "Mean net per trade; null without trades.", True),
        _float(
            "share_of_base", "1", "net_bps over the base's; null unless that is positive.", True
        ),
        _float("net_bps_per_day", "bps/day", "Mean per day on capital_usd."),
        _float("sharpe", "1/sqrt(year)", "Annualised by sqrt(365); null where undefined.", True),
        _float("max_drawdown_bps", "bps", "Deepest fall of cumulative P&L on capital_usd.", True),
    ),
    key=("strategy_id", "scenario", "segment"),
)
