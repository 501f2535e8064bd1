"""Paths of a circular block bootstrap: what each resampled path of bars would have shown.

Belongs here: drawing blocks and folding them into a path's figures. Not here: percentiles over the
paths, and what a bar is. Oracle: `quantlab_pipeline_tests/oracles/path_bootstrap.py`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

F64 = npt.NDArray[np.float64]

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)
_LOW = np.uint64(0xFFFFFFFF)
_30, _27, _31, _32 = np.uint64(30), np.uint64(27), np.uint64(31), np.uint64(32)


class BlockPlan(NamedTuple):
    """How paths are drawn: `block_min` <= `block_max` bars a block, `period` bars a day.

    `seed` and the path's number give a path, whichever thread draws it.
    """

    block_min: int
    block_max: int
    period: int
    seed: int


class Paths(NamedTuple):
    """Per path, shape [k]: mean and sample deviation of its whole days, the deepest fall of their
    sum from its running peak (the start counts), and the sums of its gaining and losing bars, >= 0.

    Mean and deviation are NaN under 2 whole days.
    """

    mean: F64
    deviation: F64
    max_drawdown: F64
    gained: F64
    lost: F64


@njit(cache=True, nogil=True)
def _mixed(state: np.uint64) -> np.uint64:
    z = (state ^ (state >> _30)) * _MIX_1
    z = (z ^ (z >> _27)) * _MIX_2
    return z ^ (z >> _31)


@njit(cache=True, nogil=True)
def running_sums(bars: F64, beyond: int) -> F64:
    """Sums of `bars` [n] before each place, of all, gains and losses: shape [n + beyond + 1, 3].

    The series goes on at its begin again, `beyond` bars past its end, so that a block is the
    difference of two rows wherever it starts. NaN poisons all later rows. O(n + beyond).
    """
    n = bars.size
    sums = np.zeros((n + beyond + 1, 3))
    for i in range(n + beyond):
        value = bars[i % n]
        sums[i + 1, 0] = sums[i, 0] + value
        sums[i + 1, 1] = sums[i, 1] + (value if value > 0.0 else 0.0)
        sums[i + 1, 2] = sums[i, 2] - (value if value < 0.0 else 0.0)
    return sums


@njit(cache=True, nogil=True)
def bootstrap_paths(sums: F64, plan: BlockPlan, centre: float, first: int, out: Paths) -> None:
    """Fill `out` with the figures of paths `first`, `first` + 1, ... of as many bars as the sample.

    `sums` are `running_sums(bars, plan.block_max)`. A path is a row of blocks; each begins at a bar
    drawn uniformly from all, is as long as drawn uniformly from `block_min` to `block_max`, goes
    round the sample's end, and the last one is cut where the path is full. Days are `period`
    consecutive bars of the path; the remainder is in no day, but in the gains and losses. Variance
    is taken about `centre` (any value near the mean day) lest it cancel. Random numbers are
    SplitMix64 (Steele, Lea & Flood 2014), one stream a path; a draw is biased by under n / 2^32.
    Circular blocks: Politis & Romano (1992). O(n / block + n / period) a path.
    """
    n = sums.shape[0] - 1 - plan.block_max
    bars, lengths = np.uint64(n), np.uint64(plan.block_max - plan.block_min + 1)
    seed = np.uint64(plan.seed)
    for p in range(out.mean.size):
        state = _mixed(seed ^ _mixed(np.uint64(first + p) * _GOLDEN + _GOLDEN))
        at, boundary, n_days = 0, plan.period, 0
        carried, total, squares = 0.0, 0.0, 0.0
        equity, peak, deepest, gained, lost = 0.0, 0.0, 0.0, 0.0, 0.0
        while at < n:
            state += _GOLDEN
            drawn = _mixed(state)
            place = np.int64(((drawn >> _32) * bars) >> _32)
            longest = plan.block_min + np.int64(((drawn & _LOW) * lengths) >> _32)
            length = min(longest, n - at)
            end = place + length
            gained += sums[end, 1] - sums[place, 1]
            lost += sums[end, 2] - sums[place, 2]
            while boundary <= at + length:
                stop = end - (at + length - boundary)
                day = carried + (sums[stop, 0] - sums[place, 0])
                total += day - centre
                squares += (day - centre) * (day - centre)
                equity += day
                if equity > peak:
                    peak = equity
                elif peak - equity > deepest:
                    deepest = peak - equity
                carried, place = 0.0, stop
                n_days += 1
                boundary += plan.period
            carried += sums[end, 0] - sums[place, 0]
            at += length
        out.mean[p], out.deviation[p] = np.nan, np.nan
        if n_days >= 2:
            out.mean[p] = centre + total / n_days
            spread = (squares - total * total / n_days) / (n_days - 1)
            out.deviation[p] = np.sqrt(spread) if spread > 0.0 else 0.0
        out.max_drawdown[p], out.gained[p], out.lost[p] = deepest, gained, lost
