"""The columns of `bridge_results` (one row per strategy) and of the signed entries it is fed."""

from __future__ import annotations

from typing import Any

import polars as pl

from quantlab_pipeline.core.clocks import TS
from quantlab_pipeline.core.columns import Column, TableSchema, count, figure, text
from quantlab_pipeline.core.verdicts import Outcome
from quantlab_pipeline.simulation.trades import MARKOUTS_S, PARTS

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


BRIDGE_RESULTS = TableSchema(
    "bridge_results",
    (
        text("strategy_id", "The candidate's id: a strategy is a candidate that is executed."),
        text("candidate_id", "Candidate of phase2_candidates."),
        count("n_intents", "rows", "Signed entries."),
        count("n_trades", "rows", "Trades with entry and exit."),
        count("n_not_filled", "rows", "Entries cancelled: no usable price in time."),
        count("n_forced", "rows", "Exits settled at the tape's last usable price."),
        count("n_skipped", "rows", "Never ordered: truncated, too small, liquidity unknown."),
        Column("fill_rate", pl.Float64, "1", "Entries filled of those ordered.", True, 0, le=1),
        count("active_days", "days", "Days with a decision that became a trade."),
        Column(
            "worst_latency_s", pl.Float64, "s", "Latency of this row: the worst tried.", True, 0
        ),
        figure("gross_bps", "bps", "Mean mid-to-mid result per trade."),
        figure("spread_bps", "bps", "Mean cost of the spread on both sides; resting earns it."),
        figure("slippage_bps", "bps", "Mean cost beyond the touch: depth, impact, tick rounding."),
        figure("fee_bps", "bps", "Mean fees of both sides.", 0),
        figure("funding_bps", "bps", "Mean funding; positive is received."),
        figure("latency_bps", "bps", "What gross lost between decisions and fills, mid to mid."),
        figure("net_bps", "bps", "gross - spread - slippage - fee + funding."),
        figure("se_bps", "bps", "Standard error of net_bps, clustered by day.", 0),
        figure("t_stat", "1", "net_bps / se_bps."),
        text("net_bps_by_latency", "JSON: latency in s -> mean net in bps."),
        Column(
            "turnover_per_day", pl.Float64, "1/day", "Traded value per day and symbol.", True, 0
        ),
        Column("capacity_usd", pl.Float64, "USD", "Most profitable size of one trade.", True, 0),
        figure("executed_score", "1", "t_stat x fill_rate."),
        Column(
            "spread_source",
            pl.String,
            "",
            "Measured on a book, assumed by tier, mixed, or none without a trade.",
            isin=("measured", "assumed", "mixed", "none"),
        ),
        Column("assumed_mark_share", pl.Float64, "1", "Settlements without a mark.", True, 0, le=1),
        text("records_head", "Digest that closes the chain of this strategy's records."),
        Column("status", pl.String, "", "Gate B's outcome.", isin=tuple(o.value for o in Outcome)),
        text("reason_codes", "Codes joined by `;`, empty for a pass."),
        Column("admissible", pl.Boolean, "", "Passed, on real data, with no waiver upstream."),
    ),
    key=("strategy_id",),
)

BRIDGE_EXECUTIONS = TableSchema(
    "bridge_executions",
    (
        text("strategy_id", "The candidate's id."),
        text("way", "Name of the way to run, unique per strategy: entry rule, latency, scenario."),
        Column(
            "entry",
            pl.String,
            "",
            "Rule by which entries fill; exits are always takers.",
            isin=("taker", "touch", "queue", "penetration"),
        ),
        Column("latency_s", pl.Float64, "s", "Delay between decision and venue.", gt=0),
        text("scenario", "as_is, costs_x<m>, or stressed: every moment is a stressed one."),
        Column("judged", pl.Boolean, "", "Whether gate B must be passed under it."),
        count("n_intents", "rows", "Signed entries."),
        count("n_trades", "rows", "Trades with entry and exit."),
        count("n_not_filled", "rows", "Entries cancelled unfilled."),
        count("n_forced", "rows", "Exits settled at the tape's last usable price."),
        count("n_skipped", "rows", "Never ordered: truncated, too small, liquidity unknown."),
        Column("fill_rate", pl.Float64, "1", "Entries filled of those ordered.", True, 0, le=1),
        count("active_days", "days", "Days with a decision that became a trade."),
        *(figure(f"{p}_bps", "bps", f"Mean {p} per trade, as in bridge_results.") for p in PARTS),
        figure("se_bps", "bps", "Standard error of net_bps, clustered by day.", 0),
        figure("shortfall_bps", "bps", "Perold's shortfall against the decisions' mids."),
        figure("delay_bps", "bps", "Its part from decision to fill, mid to mid."),
        figure("opportunity_bps", "bps", "Its part of entries that were not filled."),
        *(
            figure(f"markout_{s}s_bps", "bps", f"Mean mark-out {s} s after entries.")
            for s in MARKOUTS_S
        ),
        figure("turnover_per_day", "1/day", "Traded value per day and symbol.", 0),
        figure("measured_share", "1", "Trades whose both legs met a measured book.", 0, 1),
        figure("assumed_mark_share", "1", "Settlements without a mark.", 0, 1),
        text("records_head", "Digest that closes the chain of this way's records."),
    ),
    key=("strategy_id", "way"),
)
