"""Checks that hold a symbol's price series against each other: unit, level, time.

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

ZONE_STEP_MIN = 30
MAX_SHIFT_MIN = 720
MAX_LAG_MIN = 15
_LAGS = (*range(1, MAX_LAG_MIN + 1), *range(ZONE_STEP_MIN, MAX_SHIFT_MIN + 1, ZONE_STEP_MIN))
MIN_COMMON_MINUTES = 240
_NAMES = ("bars_1m_perp", "bars_1m_spot", "mark_index")
_INDEX = "index"
_KEY = ["symbol", "ts"]

Floats = NDArray[np.float64]


def log_prices(perp: pl.DataFrame, spot: pl.DataFrame, mark: pl.DataFrame) -> pl.DataFrame:
    """One row per (symbol, ts) of any series, sorted: `day`, and a column of log price for each.

    The columns are named by their datasets, and `index`; null where a series has no price.
    """
    columns = zip((perp, spot, mark), _NAMES, ("close", "close", "mark_price"), strict=True)
    parts = [f.select(*_KEY, pl.col(c).log().alias(name)) for f, name, c in columns]
    parts.append(mark.select(*_KEY, pl.col("index_price").log().alias(_INDEX)))
    wide = parts[0]
    for part in parts[1:]:
        wide = wide.join(part, on=_KEY, how="full", coalesce=True)
    return dated(wide.sort(*_KEY))


def unit_shift(prices: pl.DataFrame, min_factor: float) -> list[pl.DataFrame]:
    """Minutes whose price stands `min_factor` or more away from the median of the minute's series.

    `prices` as `log_prices` gives them. A minute with one series alone is held against that series'
    median of its own day; the perpetual's against the day before, where that is there.
    """
    daily = prices.group_by(GROUP).agg(pl.col(name).median().alias(f"_{name}") for name in _NAMES)
    before = daily.select(
        "symbol", pl.col("day").dt.offset_by("1d"), pl.col(f"_{_NAMES[0]}").alias("_before")
    )
    judged = prices.join(daily, on=GROUP, how="left", maintain_order="left").join(
        before, on=GROUP, how="left", maintain_order="left"
    )
    judged = judged.with_columns(pl.coalesce("_before", f"_{_NAMES[0]}").alias(f"_{_NAMES[0]}"))
    several = pl.sum_horizontal(pl.col(name).is_not_null() for name in _NAMES) > 1
    # The median of two is their middle, of three what is left without the ends.
    ends = pl.max_horizontal(_NAMES) + pl.min_horizontal(_NAMES)
    all_three = pl.all_horizontal(pl.col(name).is_not_null() for name in _NAMES)
    median = pl.when(all_three).then(pl.sum_horizontal(_NAMES) - ends).otherwise(ends / 2)
    limit = np.log(min_factor) * (1 - 1e-9)
    found = []
    for name in _NAMES:
        reference = pl.when(several).then(median).otherwise(f"_{name}")
        off = judged.filter((pl.col(name) - reference).abs() >= limit)
        found.append(tally(off, name, "unit_shift"))
    return found


def price_apart(
    prices: pl.DataFrame, min_bps: float, max_factor: float
) -> dict[tuple[str, str], pl.DataFrame]:
    """Minutes (symbol, day, ts) whose price no other series of the symbol stands nearer to.

    Nearer is `min_bps`; from `max_factor` on it is another unit, which `unit_shift` counts. By
    (dataset, check): perpetual, spot, mark, and the index as `index_price_apart`.
    """
    series = (*_NAMES, _INDEX)
    apart = {}
    for name in series:
        others = [n for n in series if n != name]
        nearest = pl.min_horizontal((pl.col(name) - pl.col(n)).abs() for n in others)
        off = prices.filter((nearest > min_bps / 1e4) & (nearest < np.log(max_factor)))
        key = ("mark_index", "index_price_apart") if name == _INDEX else (name, "price_apart")
        apart[key] = off.select(*GROUP, "ts")
    return apart


def time_shift(prices: pl.DataFrame, min_corr: float) -> list[pl.DataFrame]:
    """Days on which a series runs beside its peers: all its rows.

    By some half hours, up to 12 h, it is another time zone (`timezone_shift`); by up to 15 minutes
    a bar's other end or a late clock (`minute_shift`). Two series are shifted where their minute
    returns correlate by `min_corr` or more at such a distance and three times as much as at none.
    At fault is the series with the most shifted peers.
    """
    found = []
    for key, part in prices.partition_by(GROUP, as_dict=True, maintain_order=True).items():
        steps = dict(_returns(part))
        for name, shift in _at_fault(steps, min_corr):
            rows = part.filter(pl.col(name).is_not_null())
            check = "timezone_shift" if abs(shift) >= ZONE_STEP_MIN else "minute_shift"
            found.append(tally(rows, name, check, f"{key[0]} {shift:+d} min to peers"))
    return [empty_tally(), *found]


def _returns(part: pl.DataFrame) -> Iterator[tuple[str, Floats]]:
    """Each series' minute log returns on the day's grid, centred, 0 where unknown."""
    minute = (part["ts"].dt.epoch("us").to_numpy() // MINUTE_US - 1) % DAY_MINUTES
    for name in _NAMES:
        x = np.full(DAY_MINUTES, np.nan)
        x[minute] = part[name].fill_null(np.nan).to_numpy()
        step = np.diff(x)
        if np.isfinite(step).sum() >= MIN_COMMON_MINUTES:
            yield name, np.nan_to_num(step - np.nanmean(step), nan=0.0)


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
    for lag in _LAGS:
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
