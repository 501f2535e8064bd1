"""The columns of `blueprints`, `backtest_returns` and `stress_results`."""

from __future__ import annotations

import polars as pl

from quantlab_pipeline.core.columns import Column, TableSchema, count, text

SEGMENTS = ("in_sample", "holdout")
"""Days before the study's `holdout_from`, and from it on."""

STRATEGY = text("strategy_id", "The strategy: its candidate's id.")


def _float(name: str, unit: str, meaning: str, nullable: bool = False) -> Column:
    return Column(name, pl.Float64, unit, meaning, nullable)


BLUEPRINTS = TableSchema(
    "blueprints",
    (
        STRATEGY,
        Column("version", pl.Int64, "", "Version of the blueprint's form.", ge=1),
        text("candidate_id", "Candidate that it executes."),
        text("event_type", "Event that triggers it."),
        text("horizon", "How long it holds."),
        text("blueprint_hash", "Digest of the blueprint: the same rule has the same one."),
        text("blueprint", "The blueprint as canonical JSON, one line of blueprints.jsonl."),
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
        count("n_entries", "rows", "Positions opened on this day."),
        count("n_exits", "rows", "Positions closed on this day."),
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
        text("scenario", "Name of the stress; `base` is none."),
        Column(
            "model",
            pl.String,
            "",
            "executed: the engine; bars: the bar kernel.",
            isin=("executed", "bars"),
        ),
        Column("segment", pl.String, "", "Days that it speaks of.", isin=SEGMENTS),
        Column("judged", pl.Boolean, "", "Whether gate S must be passed under it."),
        count("n_trades", "rows", "Closed trades."),
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
