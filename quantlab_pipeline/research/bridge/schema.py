"""The columns of `bridge_executions` (one row per strategy and way), of `bridge_results` (one row
per strategy: its worst judged way) and of the signed entries that they are made from.
"""

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

_STRATEGY = text("strategy_id", "The candidate's id: a strategy is a candidate that is executed.")

_ENTRY = Column(
    "entry",
    pl.String,
    "",
    "Rule by which entries fill; exits are always takers.",
    isin=("taker", "touch", "queue", "penetration"),
)

_COUNTS = (
    count("n_intents", "rows", "Signed entries."),
    count("n_trades", "rows", "Trades with entry and exit whose result is known."),
    count("n_not_filled", "rows", "Entries cancelled: no usable price in time, or never reached."),
    count("n_forced", "rows", "Exits settled at the tape's last usable price."),
    count("n_unknown_funding", "rows", "Held across a settlement that is missing: no result."),
    count("n_skipped", "rows", "Never ordered: truncated, too small, liquidity unknown."),
    figure("fill_rate", "1", "Lots filled of those ordered, mean over entries.", 0, 1),
    count("active_days", "days", "Days with a decision that became a trade."),
)

_MONEY = (
    figure("gross_bps", "bps", "Mean mid-to-mid result per trade."),
    figure(
        "spread_bps", "bps", "Mean cost of crossing the spread; what a resting order earns, < 0."
    ),
    figure("slippage_bps", "bps", "Mean cost beyond the touch: depth, impact, tick rounding."),
    figure("fee_bps", "bps", "Mean fees of both sides; below 0 where a rebate outweighs them."),
    figure("funding_bps", "bps", "Mean funding; positive is received."),
    figure("net_bps", "bps", "gross - spread - slippage - fee + funding."),
    figure("latency_bps", "bps", "What gross lost between decisions and fills, mid to mid."),
    figure("se_bps", "bps", "Standard error of net_bps, clustered by day.", 0),
    figure("edge_se_bps", "bps", "The same of gross_bps + funding_bps, the edge before costs.", 0),
)
assert {c.name for c in _MONEY} >= {f"{part}_bps" for part in PARTS}

_SHORTFALL = (
    figure("shortfall_bps", "bps", "Perold's shortfall per ordered entry: paper less real."),
    figure("delay_bps", "bps", "Its part from decisions to fills, mid to mid."),
    figure("opportunity_bps", "bps", "Its part of entries that were not filled."),
    *(
        figure(f"markout_{s}s_bps", "bps", f"Mean mark-out {s} s after entries.")
        for s in MARKOUTS_S
    ),
)

_SIZE = (
    figure("turnover_per_day", "1/day", "Traded value over notional, per day and symbol.", 0),
    figure("notional_usd", "USD", "Mean value of one trade at its entry's mid.", 0),
)

_MARKS = figure("assumed_mark_share", "1", "Settlements without a mark.", 0, 1)

BRIDGE_EXECUTIONS = TableSchema(
    "bridge_executions",
    (
        _STRATEGY,
        text("way", "Name of the way to run, unique per strategy: entry rule, latency, scenario."),
        _ENTRY,
        Column("latency_s", pl.Float64, "s", "Delay between decision and venue.", gt=0),
        text("scenario", "as_is, costs_x<m>, or stressed: every moment is a stressed one."),
        Column("cost_multiple", pl.Float64, "1", "Of fee, spread and impact; 1 as it is.", ge=0),
        Column("judged", pl.Boolean, "", "Whether gate B must be passed under it."),
        *_COUNTS,
        *_MONEY,
        *_SHORTFALL,
        *_SIZE,
        figure("sigma_d_bps", "bps", "Median trailing daily volatility at decisions.", 0),
        figure("volume_usd", "USD", "Median trailing daily traded value at decisions.", 0),
        figure("measured_share", "1", "Trades whose both legs met a measured book.", 0, 1),
        _MARKS,
        text(
            "records_head", "Digest closing the records' chain; null but for the worst way.", True
        ),
    ),
    key=("strategy_id", "way"),
)

_BRACKET = (
    figure("lowest_fill_rate", "1", "Lowest fill rate of the judged ways.", 0, 1),
    count("fewest_trades", "rows", "Fewest trades of the judged ways."),
    figure(
        "bracket_width_bps", "bps", "Best less worst net of the passive rules, same latency.", 0
    ),
    Column(
        "touch_optimistic",
        pl.Boolean,
        "",
        "Touch marks out above 0 after 5 s, the worst of the rules does not; null if not known.",
        True,
    ),
    figure("break_even_cost_multiple", "1", "Costs times this eat the net, as swept.", 0),
    figure("stressed_net_bps", "bps", "Mean net if every moment were a stressed one."),
)

_CAPACITY = (
    figure("capacity_usd", "USD", "Most profitable size of one trade.", 0),
    figure("capacity_low_usd", "USD", "The same at the edge less 1.96 standard errors.", 0),
    figure("capacity_high_usd", "USD", "The same at the edge plus 1.96 standard errors.", 0),
    figure("break_even_notional_usd", "USD", "Size of one trade at which impact eats the edge.", 0),
)

BRIDGE_RESULTS = TableSchema(
    "bridge_results",
    (
        _STRATEGY,
        text("candidate_id", "Candidate of phase2_candidates."),
        text("worst_way", "The judged way that this row tells of: the worst."),
        _ENTRY,
        *_COUNTS,
        figure("worst_latency_s", "s", "Latency of the worst way.", 0),
        *_MONEY,
        figure("t_stat", "1", "net_bps / se_bps."),
        text(
            "net_bps_by_latency", "JSON: latency in s -> mean net in bps, by the worst way's rule."
        ),
        *_BRACKET,
        *_SHORTFALL,
        *_SIZE,
        *_CAPACITY,
        figure("executed_score", "1", "t_stat, less for what is not filled, turnover, capacity."),
        Column(
            "spread_source",
            pl.String,
            "",
            "Measured on a book, assumed by tier, mixed, or none without a trade.",
            isin=("measured", "assumed", "mixed", "none"),
        ),
        _MARKS,
        text("records_head", "Digest that closes the chain of this strategy's records."),
        Column("status", pl.String, "", "Gate B's outcome.", isin=tuple(o.value for o in Outcome)),
        text("reason_codes", "Codes joined by `;`, empty for a pass."),
        Column("admissible", pl.Boolean, "", "Passed, on real data, with no waiver upstream."),
    ),
    key=("strategy_id",),
)
