"""The columns of blueprints, of what they returned and traded, and of what stress left of them."""

from __future__ import annotations

import polars as pl

from quantlab_pipeline.core.clocks import TS
from quantlab_pipeline.core.columns import Column, TableSchema, count, figure, text
from quantlab_pipeline.simulation.trades import PARTS

SEGMENTS = ("in_sample", "holdout")
"""Days before the study's `holdout_from`, and from it on."""

NOT_EVALUABLE = "NOT_EVALUABLE"
"""Begins the note of a neighbour that could not be run."""

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
            "share_of_base",
            "1",
            "net_bps over the base's of its model; null unless that is > 0.",
            True,
        ),
        _float("net_bps_per_day", "bps/day", "Mean per day on capital_usd.", True),
        _float("sharpe", "1/sqrt(year)", "Annualised by sqrt(365); null where undefined.", True),
        _float("max_drawdown_bps", "bps", "Deepest fall of cumulative P&L on capital_usd.", True),
        text("parameter", "Parameter of the rule that was moved; null where none was.", True),
        text("note", "The rule as it was moved, or why it could not be; else null.", True),
    ),
    key=("strategy_id", "scenario", "segment"),
)

BACKTEST_TRADES = TableSchema(
    "backtest_trades",
    (
        STRATEGY,
        count("trade", "1", "Number of the trade within its strategy, in order of decision."),
        text("symbol", "Instrument traded."),
        text("event_id", "Event that triggered it."),
        Column("segment", pl.String, "", "in_sample or holdout.", isin=SEGMENTS),
        text(
            "status",
            "filled, forced, not_filled, truncated, too_small, unknown_liquidity or _funding.",
        ),
        Column("side", pl.Int8, "1", "+1 long, -1 short."),
        Column("stress", pl.Boolean, "", "Whether the market counted as stressed."),
        Column("decided_at", TS, "UTC", "Decision to enter."),
        Column("left_at", TS, "UTC", "Decision to leave."),
        Column("entry_at", TS, "UTC", "Fill of the entry; null without one.", True),
        Column("exit_at", TS, "UTC", "Fill of the exit; null without one.", True),
        figure("decision_mid", "quote", "Mid at the decision to enter."),
        figure("entry_price", "quote", "Price paid at entry."),
        figure("leave_mid", "quote", "Mid at the decision to leave."),
        figure("exit_price", "quote", "Price got at exit."),
        figure("quantity_base", "base", "Base quantity, unsigned."),
        figure("notional_usd", "USD", "Value at the entry's mid."),
        figure("sigma_d_bps", "bps", "A day's volatility as known at the decision.", 0),
        figure("volume_usd", "USD/day", "A day's traded value as known at the decision.", 0),
        *(figure(f"{p}_usd", "USD", f"Trade's {p}, as the engine takes it apart.") for p in PARTS),
        figure("net_bps", "bps", "net_usd over notional_usd."),
        Column("measured", pl.Boolean, "", "Both legs met a measured book; null if open.", True),
    ),
    key=("strategy_id", "trade"),
)

BACKTEST_RISK = TableSchema(
    "backtest_risk",
    (
        STRATEGY,
        Column("segment", pl.String, "", "in_sample, holdout, or both.", isin=(*SEGMENTS, "both")),
        count("n_days", "days", "Days of the segment."),
        count("n_trades", "rows", "Closed trades decided in it."),
        figure("net_bps_per_day", "bps/day", "Mean per day on capital_usd."),
        figure("sharpe", "1/sqrt(year)", "Mean over sample deviation, times sqrt(365)."),
        figure("sortino", "1/sqrt(year)", "Mean over downside deviation, times sqrt(365)."),
        figure("max_drawdown_bps", "bps", "Deepest fall of cumulative P&L from its peak.", 0),
        figure("time_to_recovery_days", "days", "Days from the deepest trough to a new peak.", 0),
        figure("win_rate", "1", "Share of trades with a net above 0.", 0, 1),
        figure("profit_factor", "1", "Gains over losses, trade by trade.", 0),
        figure("day_p5_bps", "bps", "5th percentile of daily P&L."),
        figure("day_worst_1pct_bps", "bps", "Mean of the worst hundredth of days (at least one)."),
        count("mc_paths", "paths", "Resampled paths behind the figures below."),
        figure("sharpe_p5", "1/sqrt(year)", "5th percentile of Sharpe over resampled paths."),
        figure("sharpe_p5_error", "1/sqrt(year)", "Its standard error over seeds.", 0),
        figure("max_drawdown_p95_bps", "bps", "95th percentile of the deepest fall.", 0),
        figure("max_drawdown_p95_error_bps", "bps", "Its standard error over seeds.", 0),
        figure("profit_factor_p5", "1", "5th percentile of the profit factor of bars.", 0),
        figure("profit_factor_p5_error", "1", "Its standard error over seeds.", 0),
        figure("legacy_sharpe_252", "1/sqrt(year)", "Sharpe, but on a year of 252 days."),
        figure("legacy_sortino_losses", "1", "Mean gaining day over deviation of losing ones.", 0),
        figure("legacy_drawdown_of_peak", "1", "Deepest fall as a share of the peak.", 0),
        text("reasons", "JSON: figure -> why it is null; `{}` where none is."),
    ),
    key=("strategy_id", "segment"),
)

ASSUMPTION_LEDGER = TableSchema(
    "assumption_ledger",
    (
        STRATEGY,
        text("assumption", "Name of the assumption; `all` makes every one conservative at once."),
        text("base", "What the base run assumes, in words with its figure."),
        text("conservative", "What the conservative run assumes instead."),
        count("n_trades", "rows", "Closed trades of the conservative run."),
        figure("net_bps_base", "bps", "Mean net per trade of the base run."),
        figure("net_bps_conservative", "bps", "Mean net per trade with this assumption changed."),
        figure("worth_bps", "bps", "What the assumption is worth: base less conservative."),
        figure("worth_usd", "USD", "The same over all trades: total net of both runs, apart."),
    ),
    key=("strategy_id", "assumption"),
)
