"""Coarser bars held against the minute bars they cover: what a venue adds up, added up again.

Belongs here: the comparison. Which files hold the totals is a source's matter; a missing minute is
a gap, which `qa` counts.
"""

from __future__ import annotations

import polars as pl

from quantlab_pipeline.core.clocks import MINUTE_US
from quantlab_pipeline.core.findings import Finding
from quantlab_pipeline.research.market_data.bars import RAW_BARS
from quantlab_pipeline.research.market_data.parsed import Origin, count_faults, within

MISMATCH = "totals_mismatch"
UNCOVERED_TOTALS = "totals_uncovered"

TOTALS = {"ts": RAW_BARS["open_ts"], **RAW_BARS}
"""What a source gives: RAW_BARS of a greater width, whose close is `ts`."""

SUMS = ("volume_base", "volume_quote", "n_trades", "taker_buy_base")
ROUNDING = 1e-12
"""Sums of published decimals, as a share of the greater: an hour's sixty roundings are 1e-14."""

_EXTREMES = ("open", "high", "low", "close")


def compare_totals(
    bars: pl.DataFrame, totals: pl.DataFrame, origin: Origin, tolerance: float = ROUNDING
) -> list[Finding]:
    """Where TOTALS rows of `origin.days`, in any order, do not hold what their minutes hold.

    `bars` are minute bars of the table's schema. `totals_mismatch` counts totals whose open, high,
    low or close is not that of the minutes with a trade (of all minutes, where none has one), or
    whose volumes, value or trades are not their sums, to `tolerance` of the greater; `detail` names
    what differed. A value that either side does not know (null) is not compared. Of a total with a
    missing minute nothing is: it counts as `totals_uncovered`, for then neither side is right. So
    does one that does not open on the grid of its own width. A stretch without a total is not
    looked at. Places are closes of totals.
    """
    held = within(totals, origin.days).with_columns(
        (pl.col("ts") - pl.col("open_ts")).dt.total_microseconds().alias("_width")
    )
    found: list[Finding] = []
    for (width,), part in held.partition_by("_width", as_dict=True, maintain_order=True).items():
        found += _of_one_width(bars, part, int(width), origin, tolerance)
    return found


def _of_one_width(
    bars: pl.DataFrame, totals: pl.DataFrame, width_us: int, origin: Origin, tolerance: float
) -> list[Finding]:
    if width_us < MINUTE_US:
        return count_faults(totals, origin, UNCOVERED_TOTALS, "no minute lies in it")
    beside = totals.join(
        _added_up(bars, width_us), on="open_ts", how="left", suffix="_sum", maintain_order="left"
    )
    whole = (pl.col("_minutes") == width_us / MINUTE_US).fill_null(value=False)
    differs = {c: _differs(c, 0.0) for c in _EXTREMES} | {c: _differs(c, tolerance) for c in SUMS}
    wrong = beside.filter(whole & pl.any_horizontal(differs.values()))
    per_column = wrong.select(off.any().alias(c) for c, off in differs.items())
    names = [c for c in differs if per_column[c].item()]
    return [
        *count_faults(wrong, origin, MISMATCH, f"differs in {', '.join(names)}"),
        *count_faults(beside.filter(~whole), origin, UNCOVERED_TOTALS, "minutes are missing"),
    ]


def _added_up(bars: pl.DataFrame, width_us: int) -> pl.DataFrame:
    """Bars of `width_us`, by `open_ts`, and how many `_minutes` each was made of."""
    traded = (pl.col("volume_base") > 0) | ~(pl.col("volume_base") > 0).any()
    opened = pl.col("open_ts").dt.epoch("us")
    return (
        bars.sort("open_ts")
        .group_by(
            (opened - opened % width_us).cast(RAW_BARS["open_ts"]).alias("open_ts"),
            maintain_order=True,
        )
        .agg(
            pl.len().alias("_minutes"),
            pl.col("open").filter(traded).first(),
            pl.col("high").filter(traded).max(),
            pl.col("low").filter(traded).min(),
            pl.col("close").filter(traded).last(),
            *(_sum(c) for c in SUMS),
        )
    )


def _sum(column: str) -> pl.Expr:
    """The sum, or null where a minute's value is unknown."""
    return pl.when(pl.col(column).is_not_null().all()).then(pl.col(column).sum())


def _differs(column: str, tolerance: float) -> pl.Expr:
    total, made = pl.col(column), pl.col(f"{column}_sum")
    room = tolerance * pl.max_horizontal(total.abs(), made.abs())
    return ((total - made).abs() > room).fill_null(value=False)
