"""The path of each event: entry, exit, whether it counts, and what a long gains over it.

Belongs here: prices, gaps and settlements between entry and exit. Not here: signs, costs, sums. The
rule for gaps is that of the labels, so that both keep the same events.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from quantlab_pipeline.core.clocks import MINUTE_US
from quantlab_pipeline.research.validation.spec import CandidateFamily, horizon_minutes
from quantlab_pipeline.simulation.prices import PriceGrid

if TYPE_CHECKING:
    from quantlab_pipeline.kernels.calendar_time import Market

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]


class Observed(NamedTuple):
    """Prices [I, T], what is known of their gaps, and funding.

    `fresh` bool: observed in that very minute. `seen` int64: how many were, up to it. `gap` int64:
    minutes of the gap that it lies in, 0 where the price was observed. `paid` float64: funding
    that a long of one unit of base has paid up to it.
    """

    prices: FloatArray
    fresh: BoolArray
    seen: IntArray
    gap: IntArray
    paid: FloatArray


@dataclass(frozen=True, slots=True)
class Paths:
    """`long_return` float64[H, n]: simple return of a long with its funding, NaN where not valid.

    `valid` bool[H, n]: `reachable` from the entry. `world` is the market on the minute grid, for
    the kernel.
    """

    world: Market
    observed: Observed
    long_return: FloatArray
    valid: BoolArray


def settled_cash(
    settled: pl.DataFrame, prices: FloatArray, symbols: tuple[str, ...], grid: pl.Series
) -> FloatArray:
    """Funding that a long of one unit of base pays in each minute, float64[I, T], quote units.

    `settled` is `simulation.funding.settlements`. A settlement falls into the first minute that
    closes at or after it, and is paid by positions entered before that close. Without a mark the
    reference price of the minute stands in. 0 where nothing is settled or no price exists.
    """
    cash = np.zeros(prices.shape)
    first = int(grid.dt.epoch("us")[0])
    index = {symbol: i for i, symbol in enumerate(symbols)}
    for symbol, stamp_us, rate, mark in settled.iter_rows():
        minute = -(-(stamp_us - first) // MINUTE_US)
        if symbol not in index or not 0 <= minute < prices.shape[1]:
            continue
        price = mark if math.isfinite(mark) else prices[index[symbol], minute]
        if math.isfinite(price) and math.isfinite(rate):
            cash[index[symbol], minute] += rate * price
    return cash


def follow(
    grid: PriceGrid, cash: FloatArray, symbol: IntArray, entry: IntArray, family: CandidateFamily
) -> Paths:
    """Paths of all events over every horizon of the family; `entry` may lie beyond the grid."""
    from quantlab_pipeline.kernels.calendar_time import market

    paid = np.cumsum(cash, axis=1)
    seen = np.cumsum(grid.fresh, axis=1, dtype=np.int64)
    observed = Observed(grid.prices, grid.fresh, seen, _gap_length(grid.fresh), paid)
    world = market(grid.prices, cash)
    return Paths(world, observed, *long_returns(observed, symbol, entry, family))


def long_returns(
    observed: Observed, symbol: IntArray, entry: IntArray, family: CandidateFamily
) -> tuple[FloatArray, BoolArray]:
    """`long_return` and `valid` of `Paths`, both [H, n], for events entered there."""
    shape = (len(family.horizons), entry.size)
    out, valid = np.full(shape, np.nan), np.zeros(shape, dtype=np.bool_)
    prices, paid = observed.prices, observed.paid
    for h, name in enumerate(family.horizons):
        length = horizon_minutes(name)
        valid[h] = reachable(observed, symbol, entry, length, family)
        i, start = symbol[valid[h]], entry[valid[h]]
        end = start + length
        gain = prices[i, end] - prices[i, start] - (paid[i, end] - paid[i, start])
        out[h, valid[h]] = gain / prices[i, start]
    return out, valid


def reachable(
    observed: Observed, symbol: IntArray, entry: IntArray, length: int, family: CandidateFamily
) -> BoolArray:
    """Which paths of `length` minutes count, bool[n]; an `entry` may lie beyond the grid.

    The entry was observed, the exit lies in the window, no more than the family's share of minutes
    is missing on the way, and the exit lies in no longer gap than it allows.
    """
    inside = np.flatnonzero(entry + length < observed.prices.shape[1])
    i, start = symbol[inside], entry[inside]
    end = start + length
    missing = length - (observed.seen[i, end] - observed.seen[i, start])
    ok = observed.fresh[i, start] & np.isfinite(observed.prices[i, end])
    ok &= missing <= math.floor(family.max_missing_frac * length + 1e-9)
    ok &= observed.gap[i, end] <= family.max_exit_gap_min
    out = np.zeros(entry.size, dtype=np.bool_)
    out[inside] = ok
    return out


def _gap_length(fresh: BoolArray) -> IntArray:
    """Minutes of the gap that each minute lies in, int64[I, T]; 0 where the price was observed."""
    n = fresh.shape[1]
    at = np.arange(n)
    before = np.maximum.accumulate(np.where(fresh, at, -1), axis=1)
    after = np.minimum.accumulate(np.where(fresh, at, n)[:, ::-1], axis=1)[:, ::-1]
    return np.where(fresh, 0, after - before - 1)
