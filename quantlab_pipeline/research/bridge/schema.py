"""The columns of `bridge_results` (one row per strategy) and of the signed entries it is fed."""

from __future__ import annotations

from typing import Any

import polars as pl

from quantlab_pipeline.core.clocks import TS
from quantlab_pipeline.core.columns import Column, TableSchema
from quantlab_pipeline.core.verdicts import Outcome

ENTRY_COLUMNS: dict[str, Any] = {
    "candidate_id": pl.String,
    "symbol": pl.String,
    "ts": TS,
    "side": pl.Int64,
    "horizon_min": pl.Int64,
    "event_id": pl.String,
}
"""A signed entry: a candidate's event with the side that its rule gives at `ts`. An optional
Boolean `stress` says that the market counted as stressed then; without it no entry is stressed."""


def _text(name: str, meaning: str, nullable: bool = False) -> Column:
    return Column(name, pl.String, "", meaning, nullable)


def _count(name: str, unit: str, meaning: str) -> Column:
    return Column(name, pl.Int64, unit, meaning, ge=0)


def _bps(name: str, meaning: str, ge: float | None = None) -> Column:
    return Column(name, pl.Float64, "bps", meaning, True, ge)


BRIDGE_RESULTS = TableSchema(
    "bridge_results",
    (
        _text("strategy_id", "The candidate's id: a strategy is a candidate that is executed."),
        _text("candidate_id", "Candidate of phase2_candidates."),
        _count("n_intents", "rows", "Signed entries."),
        _count("n_trades", "rows", "Trades with entry and exit."),
        _count("n_not_filled", "rows", "Entries cancelled: no usable price in time."),
        _count("n_forced", "rows", "Exits settled at the tape's last usable price."),
        _count("n_skipped", "rows", "Never ordered: truncated, too small, liquidity unknown."),
        Column("fill_rate", pl.Float64, "1", "Entries filled of those ordered.", True, 0, le=1),
        _count("active_days", "days", "Days with a decision that became a trade."),
        Column(
            "worst_latency_s", pl.Float64, "s", "Latency of this row: the worst tried.", True, 0
        ),
        _bps("gross_bps", "Mean mid-to-mid result per trade."),
        _bps("spread_bps", "Mean cost of crossing the spread twice.", 0),
        _bps("slippage_bps", "Mean cost beyond the touch: depth, impact, tick rounding."),
        _bps("fee_bps", "Mean fees of both sides.", 0),
        _bps("funding_bps", "Mean funding; positive is received."),
        _bps("net_bps", "gross - spread - slippage - fee + funding."),
        _bps("se_bps", "Standard error of net_bps, clustered by day.", 0),
        Column("t_stat", pl.Float64, "1", "net_bps / se_bps.", True),
        _text("net_bps_by_latency", "JSON: latency in s -> mean net in bps."),
        Column(
            "turnover_per_day", pl.Float64, "1/day", "Traded value per day and symbol.", True, 0
        ),
        Column("capacity_usd", pl.Float64, "USD", "Most profitable size of one trade.", True, 0),
        Column("executed_score", pl.Float64, "1", "t_stat x fill_rate.", True),
        Column(
            "spread_source",
            pl.String,
            "",
            "Measured on a book, assumed by tier, mixed, or none without a trade.",
            isin=("measured", "assumed", "mixed", "none"),
        ),
        Column("assumed_mark_share", pl.Float64, "1", "Settlements without a mark.", True, 0, le=1),
        _text("records_head", "Digest that closes the chain of this strategy's records."),
        Column("status", pl.String, "", "Gate B's outcome.", isin=tuple(o.value for o in Outcome)),
        _text("reason_codes", "Codes joined by `;`, empty for a pass."),
        Column("admissible", pl.Boolean, "", "Passed, on real data, with no waiver upstream."),
    ),
    key=("strategy_id",),
)
