"""Forward windows: return, best and worst log price over several horizons, by widening windows.

Belongs here: the arithmetic of one symbol's path. Which minutes have a price, the caller says.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

TILE = 4096
"""Decisions at a time: five buffers of a tile and the longest horizon stay in a core's cache."""

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]


class LogPath(NamedTuple):
    """One symbol's T minutes: log price, whether each was observed, may be an entry, be an exit.

    `log_price` is carried over gaps, NaN before the first price: a minute that is not `fresh`
    repeats the one before it and adds nothing to an extreme. Finite where an entry or exit is ok.
    """

    log_price: FloatArray
    fresh: BoolArray
    entry_ok: BoolArray
    exit_ok: BoolArray


class Windows(NamedTuple):
    """K horizons in minutes (increasing, >= 1), the minutes that each path may miss, the delay."""

    horizons: IntArray
    max_missing: IntArray
    delay: int


@njit(cache=True)
def forward_windows(path: LogPath, windows: Windows, out: FloatArray) -> None:
    """Fill `out` float64[K, J, M], M <= T: the paths of the first M decisions over each horizon.

    J = 3: log return, maximum (>= 0), minimum (<= 0); J = 2: the extremes alone. For decision t and
    horizon H the entry is e = t + delay, the exit e + H, the path the minutes (e, e + H]. NaN if
    the entry or exit is not ok, lies beyond T, or the path has more than its `max_missing` minutes
    that are not fresh.

    Windows of 4w or 2w minutes are built from those of w, any H from two that overlap (Bender and
    Farach-Colton 2000, in tiles): O(T log max H), no branch in a loop over minutes.
    Oracle: `oracles.label_paths`, equal to 1e-12.
    """
    n_decisions = out.shape[2]
    reach = windows.horizons[-1]
    size = min(TILE, n_decisions) + reach
    next_high, next_low = np.empty(size), np.empty(size)
    other_high, other_low = np.empty(size), np.empty(size)
    missing = np.empty(size + 1, np.int32)
    entry = np.empty(size - reach)
    for start in range(0, n_decisions, TILE):
        stop = min(start + TILE, n_decisions)
        first = start + windows.delay + 1
        left = max(0, min(stop - start + reach, path.fresh.shape[0] - first))
        _count_missing(path.fresh[first : first + left], missing)
        high = low = path.log_price[first : first + left]
        width = 1
        for k in range(windows.horizons.shape[0]):
            span = windows.horizons[k]
            while 2 * width <= span and left > 0:
                by = 4 if 4 * width <= span else 2
                left = max(0, left - (by - 1) * width)
                _widen(high, low, width, by, next_high[:left], next_low[:left])
                high, next_high, other_high = next_high, other_high, next_high
                low, next_low, other_low = next_low, other_low, next_low
                width *= by
            m = max(0, min(stop - start, path.fresh.shape[0] - windows.delay - span - start))
            out[k, :, start + m : stop] = np.nan
            if m > 0:
                _enter(path, first - 1, span, missing, windows.max_missing[k], entry[:m])
                end = path.log_price[first - 1 + span :]
                _emit(entry[:m], end, high, low, span - width, out[k, :, start : start + m])


@njit(cache=True)
def _count_missing(fresh: BoolArray, missing: npt.NDArray[np.int32]) -> None:
    """How many minutes before each are not fresh."""
    gone = 0
    for i in range(fresh.shape[0]):
        missing[i] = gone
        gone += 0 if fresh[i] else 1
    missing[fresh.shape[0]] = gone


@njit(cache=True)
def _widen(
    high: FloatArray,
    low: FloatArray,
    width: int,
    by: int,
    wider_high: FloatArray,
    wider_low: FloatArray,
) -> None:
    """Windows of `by` (2 or 4) times `width` minutes, as many as the outputs hold."""
    if by == 2:
        _max_of_two(high, high[width:], wider_high)
        _min_of_two(low, low[width:], wider_low)
    else:
        _max_of_four(high, high[width:], high[2 * width :], high[3 * width :], wider_high)
        _min_of_four(low, low[width:], low[2 * width :], low[3 * width :], wider_low)


@njit(cache=True)
def _max_of_two(a: FloatArray, b: FloatArray, out: FloatArray) -> None:
    for i in range(out.shape[0]):
        p, q = a[i], b[i]
        out[i] = p if p > q else q


@njit(cache=True)
def _min_of_two(a: FloatArray, b: FloatArray, out: FloatArray) -> None:
    for i in range(out.shape[0]):
        p, q = a[i], b[i]
        out[i] = p if p < q else q


@njit(cache=True)
def _max_of_four(
    a: FloatArray, b: FloatArray, c: FloatArray, d: FloatArray, out: FloatArray
) -> None:
    for i in range(out.shape[0]):
        p, q, r, s = a[i], b[i], c[i], d[i]
        p = p if p > q else q
        r = r if r > s else s
        out[i] = p if p > r else r


@njit(cache=True)
def _min_of_four(
    a: FloatArray, b: FloatArray, c: FloatArray, d: FloatArray, out: FloatArray
) -> None:
    for i in range(out.shape[0]):
        p, q, r, s = a[i], b[i], c[i], d[i]
        p = p if p < q else q
        r = r if r < s else s
        out[i] = p if p < r else r


@njit(cache=True)
def _enter(
    path: LogPath,
    first: int,
    span: int,
    missing: npt.NDArray[np.int32],
    max_missing: int,
    out: FloatArray,
) -> None:
    """Log prices of the entries from minute `first` on; NaN where there is no label."""
    n = out.shape[0]
    price = path.log_price[first:]
    known = path.entry_ok[first : first + n] & path.exit_ok[first + span : first + span + n]
    later = missing[span:]
    for i in range(n):
        out[i] = price[i] if known[i] & (later[i] - missing[i] <= max_missing) else np.nan


@njit(cache=True)
def _emit(
    entry: FloatArray,
    end: FloatArray,
    high: FloatArray,
    low: FloatArray,
    shift: int,
    out: FloatArray,
) -> None:
    """Write a tile's returns (where `out` has room for them) and extremes."""
    if out.shape[0] == 3:
        _returns(entry, end, out[0])
    _best(entry, high, high[shift:], out[-2])
    _worst(entry, low, low[shift:], out[-1])


@njit(cache=True)
def _returns(entry: FloatArray, end: FloatArray, out: FloatArray) -> None:
    for i in range(out.shape[0]):
        out[i] = end[i] - entry[i]


@njit(cache=True)
def _best(entry: FloatArray, high: FloatArray, later: FloatArray, out: FloatArray) -> None:
    for i in range(out.shape[0]):
        p, q = high[i], later[i]
        gain = (p if p > q else q) - entry[i]
        # False for a NaN, which so stays one.
        out[i] = 0.0 if gain <= 0.0 else gain


@njit(cache=True)
def _worst(entry: FloatArray, low: FloatArray, later: FloatArray, out: FloatArray) -> None:
    for i in range(out.shape[0]):
        p, q = low[i], later[i]
        gain = (p if p < q else q) - entry[i]
        out[i] = 0.0 if gain >= 0.0 else gain
