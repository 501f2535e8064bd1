"""The columns of `candidate_studies`: one row per followed candidate, small tables inside it.

Belongs here: what explains a verdict in full (curve, days, slices, sweeps). What the verdict itself
is made from stands in `schema`. Figures are of the candidate's own side; a null could not be found.
"""

from __future__ import annotations

import polars as pl

from quantlab_pipeline.core.columns import (
    Column,
    TableSchema,
    count,
    figure,
    inner_rows,
    text,
)

COST_AXES = ("all", "fee", "spread", "impact", "stress", "slippage")
"""What a cost sweep turns: a multiplier each, but for slippage, which is bps added per side."""

SIZE_AXES = ("notional", "participation")
"""What a capacity sweep turns: USD a trade, or the share of the trailing minute's volume."""


def number(name: str, unit: str, meaning: str, ge: float | None = None) -> Column:
    """A number that is always there."""
    return Column(name, pl.Float64, unit, meaning, ge=ge)


_CURVE = inner_rows(
    "curve",
    "Mean signed gross return since the entry; before it, minus what is left to the entry.",
    Column("minute", pl.Int64, "min", "Minutes since the entry, rising; negative before it."),
    number("mean_bps", "bps", "Mean over the events, funding inside, before costs."),
    number("se_bps", "bps", "Standard error by the calendar-time estimator.", 0),
    number("low_bps", "bps", "Lower end of the pointwise 95 % band."),
    number("high_bps", "bps", "Upper end of it."),
    count("n_events", "rows", "Events behind the point: before the entry those with prices."),
)

_DAYS = inner_rows(
    "days",
    "P&L of every day of the window, in bps of one event's notional.",
    Column("day", pl.Date, "UTC", "The day."),
    number("gross_bps", "bps", "Return of the day's minutes, funding inside."),
    number("cost_bps", "bps", "Costs of the day's decisions.", 0),
    number("net_bps", "bps", "gross_bps - cost_bps."),
    number("gross_so_far_bps", "bps", "Sum of gross_bps up to the day."),
    number("net_so_far_bps", "bps", "Sum of net_bps up to the day."),
)

_SLICES = inner_rows(
    "slices",
    "Slices with enough days to be looked at, in their fixed order.",
    text("partition", "half, quarter, vol_regime, liq_regime or symbol."),
    text("label", "Which part of it."),
    count("n_events", "rows", "Events in it."),
    count("days", "days", "Days with a decision in it."),
    number("mean_bps", "bps", "Mean gross effect."),
    number("se_bps", "bps", "Its standard error.", 0),
    number("net_bps", "bps", "Mean effect after the cost of these events."),
    number("z", "1", "mean_bps / se_bps."),
    number("holm_p", "1", "One-sided p for a negative gross effect, Holm over the slices.", 0),
    figure("excess_z", "1", "z of its mean over that of all other events; null if one series."),
)

_COST_SWEEP = inner_rows(
    "cost_sweep",
    "What is left if one part of the cost is turned and the others stay.",
    Column("axis", pl.String, "", "Part that is turned.", isin=COST_AXES),
    number("value", "1", "Its multiplier; of slippage, bps added on each side.", 0),
    number("cost_bps", "bps", "Mean round-trip cost then.", 0),
    number("net_bps", "bps", "Mean effect after it."),
    figure("z", "1", "Net z by the binding statistic."),
)

_BREAK_EVENS = inner_rows(
    "break_evens",
    "Where a cost sweep would reach a net effect of zero.",
    Column("axis", pl.String, "", "Part that is turned.", isin=COST_AXES),
    figure("value", "1", "The value; null where none reaches it.", 0),
)

_CAPACITY_SWEEP = inner_rows(
    "capacity_sweep",
    "What is left at other sizes of a trade, by the square-root law on each event's own liquidity.",
    Column("axis", pl.String, "", "What sets the size.", isin=SIZE_AXES),
    number("value", "1", "USD a trade, or share of the trailing minute's volume.", 0),
    number("notional_usd", "USD", "Mean size of a trade.", 0),
    number("net_bps", "bps", "Effect after cost, weighted by size."),
    number("share_allowed", "1", "Share of events whose size is within the cap.", 0),
    number("pnl_usd_per_day", "USD", "Net P&L over the window per day of it."),
)

_SURFACE = inner_rows(
    "surface",
    "Net effect where all costs are multiplied and the trade has another size.",
    number("multiplier", "1", "Of every part of the cost.", 0),
    number("notional_usd", "USD", "Size of a trade.", 0),
    number("net_bps", "bps", "Mean effect after cost."),
)

CANDIDATE_STUDIES = TableSchema(
    "candidate_studies",
    (
        text("candidate_id", "As in phase2_candidates."),
        count("n_days", "days", "Days of the window."),
        figure("stability", "1", "Share of `slices` whose net_bps is positive.", 0, 1),
        figure(
            "break_even_cost_bps", "bps", "Round trip that leaves nothing: the gross effect.", 0
        ),
        figure("break_even_usd", "USD", "Size of a trade at which impact eats the rest.", 0),
        figure("best_usd", "USD", "Size of a trade that earns most; 4/9 of break_even_usd.", 0),
        number("cap_usd", "USD", "Median over the events of a tenth of the trailing minute.", 0),
        figure("best_pnl_usd_per_day", "USD", "What it earns per day of the window.", 0),
        _CURVE,
        _DAYS,
        _SLICES,
        _COST_SWEEP,
        _BREAK_EVENS,
        _CAPACITY_SWEEP,
        _SURFACE,
    ),
    key=("candidate_id",),
)
