"""One symbol's minutes as arrays: what each decision earned, went through, and was settled at.

Belongs here: gaps, ends and the label rules on one price path. Frames and columns are `build`'s.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from quantlab_pipeline.research.labels.spec import LabelSpecs

if TYPE_CHECKING:
    from quantlab_pipeline.kernels.label_windows import LogPath, Windows

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]


def path_labels(prices: FloatArray, specs: LabelSpecs, n_decisions: int) -> FloatArray:
    """float64[K, 3, M]: fwd_ret, mfe, mae of each horizon for the first M decisions.

    `prices` [T], T >= M: NaN at a minute without a price. NaN where a label is null: the entry or
    exit has no price within the spec's tolerance, or too much of the path is missing.
    """
    return _follow(prices, specs, np.empty((len(specs.horizons), 3, n_decisions)))


def path_extremes(prices: FloatArray, specs: LabelSpecs, n_decisions: int) -> FloatArray:
    """float64[K, 2, M]: mfe, mae alone, by the rules of `path_labels`."""
    return _follow(prices, specs, np.empty((len(specs.horizons), 2, n_decisions)))


def settled_returns(
    prices: FloatArray, returns: FloatArray, last_minutes: Iterable[int], specs: LabelSpecs
) -> FloatArray:
    """`returns` [K, M] with a number also where the symbol ended inside the horizon.

    `last_minutes` are indices of last bars, after which the symbol was gone for good; one without a
    price of its own settles nothing. From an entry at or before it to an end of the horizon after
    it, the exit is the last price inside the horizon, and the limit of missing minutes holds for
    the path up to there. `returns` itself where nothing ended.
    """
    ended = [m for m in last_minutes if 0 <= m < len(prices) and not np.isnan(prices[m])]
    if not ended:
        return returns
    log_price, fresh = np.log(prices), ~np.isnan(prices)
    newest, gap_min = gaps_of(fresh)
    seen = np.cumsum(fresh)
    entry_ok = gap_min <= specs.max_entry_gap_min
    delay = specs.entry_delay_min
    settled = returns.copy()
    for row, horizon in zip(settled, specs.horizons, strict=True):
        for end in ended:
            after = min(end + 1, returns.shape[1] + delay)
            entry = np.arange(max(delay, end + 1 - horizon.length_min), after)
            leave = newest[np.minimum(entry + horizon.length_min, len(prices) - 1)]
            missing = (leave - entry) - (seen[leave] - seen[entry])
            known = entry_ok[entry] & (missing <= _most_missing(leave - entry, specs))
            gain = log_price[leave] - log_price[newest[entry]]
            at = entry - delay
            row[at] = np.where(known, gain, row[at])
    return settled


class Gaps(NamedTuple):
    """Of each of T minutes: where its newest price is, and how long the gap is that it lies in.

    `newest` int64[T]: index of the last price at or before it, -1 before the first. `length_min`
    int64[T]: 0 where it has a price. A gap that is open at either end (before the first price,
    after the last) is without limit: its length is not known yet, and an unresolved minute must not
    be taken for a short gap.
    """

    newest: IntArray
    length_min: IntArray


def gaps_of(fresh: BoolArray) -> Gaps:
    """The gaps between the minutes that are `fresh`."""
    n = len(fresh)
    at = np.arange(n)
    newest = np.maximum.accumulate(np.where(fresh, at, -1))
    after = np.minimum.accumulate(np.where(fresh, at, n)[::-1])[::-1]
    closed = (newest >= 0) & (after < n)
    length = np.where(fresh, 0, after - newest - 1)
    return Gaps(newest, np.where(closed, length, np.iinfo(np.int64).max))


def _follow(prices: FloatArray, specs: LabelSpecs, out: FloatArray) -> FloatArray:
    from quantlab_pipeline.kernels.label_windows import forward_windows

    forward_windows(_log_path(prices, specs), _windows(specs), out)
    return out


def _log_path(prices: FloatArray, specs: LabelSpecs) -> LogPath:
    from quantlab_pipeline.kernels.label_windows import LogPath

    fresh = ~np.isnan(prices)
    if fresh.all():
        return LogPath(np.log(prices), fresh, fresh, fresh)
    newest, gap_min = gaps_of(fresh)
    carried = np.log(prices)[np.maximum(newest, 0)]
    entry_ok, exit_ok = gap_min <= specs.max_entry_gap_min, gap_min <= specs.max_exit_gap_min
    return LogPath(carried, fresh, entry_ok, exit_ok)


def _windows(specs: LabelSpecs) -> Windows:
    from quantlab_pipeline.kernels.label_windows import Windows

    horizons = np.array([h.length_min for h in specs.horizons], np.int64)
    return Windows(horizons, _most_missing(horizons, specs), specs.entry_delay_min)


def _most_missing(path_min: IntArray, specs: LabelSpecs) -> IntArray:
    """Minutes that paths of these lengths may miss."""
    most: FloatArray = np.floor(path_min * specs.max_missing_frac + 1e-9)
    return most.astype(np.int64)
