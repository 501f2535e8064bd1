"""Checks that hold a symbol's price series against each other: another unit, another time zone.

Belongs here: what needs peers. With three series (perpetual, spot, mark) the one at fault is named;
with two both are, because nothing says which is right.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
import polars as pl
from numpy.typing import NDArray

from quantlab_pipeline.core.clocks import DAY_MINUTES, MINUTE_US
from quantlab_pipeline.research.market_data.tally import GROUP, dated, empty_tally, tally

SHIFT_STEP_MIN = 30
MAX_SHIFT_MIN = 720
MIN_COMMON_MINUTES = 240
_NAMES = ("bars_1m_perp", "bars_1m_spot", "mark_index")

Floats = NDArray[np.float64]


def _levels(perp: pl.DataFrame, spot: pl.DataFrame, mark: pl.DataFrame) -> pl.DataFrame:
    """(symbol, day, ts, dataset, x): log price of every series, in order."""
    parts = []
    for name, frame, column in zip(
        _NAMES, (perp, spot, mark), ("close", "close", "mark_price"), strict=True
    ):
        parts.append(
            dated(frame).select(
                *GROUP, "ts", pl.lit(name).alias("dataset"), pl.col(column).log().alias("x")
            )
        )
    return pl.concat(parts).sort("symbol", "ts", "dataset")


def unit_shift(
    perp: pl.DataFrame, spot: pl.DataFrame, mark: pl.DataFrame, min_factor: float
) -> list[pl.DataFrame]:
    """Minutes whose price stands `min_factor` or more away from the median of the minute's series.

    A minute with one series alone is held against that series' median of its own day; the
    perpetual's against the day before, where that is there.
    """
    levels = _levels(perp, spot, mark)
    own = levels.group_by("dataset", *GROUP).agg(pl.col("x").median().alias("_own"))
    before = own.filter(pl.col("dataset") == _NAMES[0]).select(
        "dataset", "symbol", pl.col("day").dt.offset_by("1d"), pl.col("_own").alias("_before")
    )
    key = ["dataset", *GROUP]
    alone = pl.coalesce("_before", "_own")
    peers = pl.col("x").median().over("symbol", "ts")
    reference = pl.when(pl.len().over("symbol", "ts") > 1).then(peers).otherwise(alone)
    judged = levels.join(own, on=key, how="left").join(before, on=key, how="left")
    off = judged.filter((pl.col("x") - reference).abs() >= np.log(min_factor) * (1 - 1e-9))
    return [tally(off.filter(pl.col("dataset") == name), name, "unit_shift") for name in _NAMES]


def time_shift(
    perp: pl.DataFrame, spot: pl.DataFrame, mark: pl.DataFrame, min_corr: float
) -> list[pl.DataFrame]:
    """Days on which a series runs some half hours (up to 12 h) beside its peers: all its rows.

    Two series are shifted where their minute returns correlate by `min_corr` or more at some such
    distance and three times as much as at none. At fault is the series with the most shifted peers.
    """
    levels = _levels(perp, spot, mark)
    found = []
    for key, part in levels.partition_by(GROUP, as_dict=True, maintain_order=True).items():
        steps = dict(_returns(part))
        for name, shift in _at_fault(steps, min_corr):
            rows = part.filter(pl.col("dataset") == name)
            found.append(tally(rows, name, "timezone_shift", f"{key[0]} {shift:+d} min to peers"))
    return [empty_tally(), *found]


def _returns(part: pl.DataFrame) -> Iterator[tuple[str, Floats]]:
    """Each series' minute log returns on the day's grid, centred, 0 where unknown."""
    for (name,), rows in part.partition_by("dataset", as_dict=True, maintain_order=True).items():
        x = np.full(DAY_MINUTES, np.nan)
        minute = (rows["ts"].dt.epoch("us").to_numpy() // MINUTE_US - 1) % DAY_MINUTES
        x[minute] = rows["x"].to_numpy()
        step = np.diff(x)
        if np.isfinite(step).sum() >= MIN_COMMON_MINUTES:
            yield str(name), np.nan_to_num(step - np.nanmean(step), nan=0.0)


def _at_fault(steps: dict[str, Floats], min_corr: float) -> list[tuple[str, int]]:
    shifts: dict[str, list[int]] = {name: [] for name in steps}
    for a, b in itertools.combinations(steps, 2):
        shift = _shift(steps[a], steps[b], min_corr)
        if shift:
            shifts[a].append(shift)
            shifts[b].append(-shift)
    most = max((len(s) for s in shifts.values()), default=0)
    return [(name, s[0]) for name, s in shifts.items() if most and len(s) == most]


def _shift(a: Floats, b: Floats, min_corr: float) -> int:
    """Minutes by which `a` runs behind `b` (0: not shifted)."""
    beside = _correlation(a, b)
    best, at = min_corr, 0
    for lag in range(SHIFT_STEP_MIN, MAX_SHIFT_MIN + 1, SHIFT_STEP_MIN):
        for sign, value in (
            (1, _correlation(a[lag:], b[:-lag])),
            (-1, _correlation(b[lag:], a[:-lag])),
        ):
            if value >= best and value > 3 * abs(beside):
                best, at = value, sign * lag
    return at


def _correlation(a: Floats, b: Floats) -> float:
    scale = float(np.sqrt(np.dot(a, a) * np.dot(b, b)))
    return float(np.dot(a, b)) / scale if scale > 0 else 0.0
