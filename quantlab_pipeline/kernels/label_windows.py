"""Forward windows: return, best and worst log price over several horizons, by doubling windows.

Belongs here: the arithmetic of one symbol's path. Which minutes have a price, the caller says.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit

TILE = 4096


@njit(cache=True)
def forward_windows(
    log_price: npt.NDArray[np.float64],
    fresh: npt.NDArray[np.bool_],
    entry_ok: npt.NDArray[np.bool_],
    exit_ok: npt.NDArray[np.bool_],
    horizons: npt.NDArray[np.int64],
    max_missing: npt.NDArray[np.int64],
    delay: int,
) -> npt.NDArray[np.float64]:
    """Return float64[K, 3, T]: log return, maximum (>= 0) and minimum (<= 0) of each path.

    For decision t and horizon H = horizons[k] (increasing, >= 1) the entry is e = t + delay, the
    exit e + H, and the path the minutes (e, e + H]. `log_price` [T] is carried over gaps and finite
    wherever `entry_ok` or `exit_ok` holds; only `fresh` minutes count for the extremes. NaN if
    the entry or exit is not ok, lies beyond T, or the path has more than max_missing[k] minutes
    that are not fresh. The exit's own (carried) price is part of the path.

    Sparse table in tiles (Bender and Farach-Colton 2000): the window of 2^j minutes is built from
    two of 2^(j-1), and any H from two overlapping powers; O(T log max H).
    Oracle: scalar loop in the tests, equal to 1e-12.
    """
    n = log_price.shape[0]
    out = np.empty((horizons.shape[0], 3, n))
    for k in range(horizons.shape[0]):
        out[k, :, max(0, n - delay - horizons[k]) :] = np.nan
    missing = np.zeros(n + 1, np.int64)
    for t in range(n):
        missing[t + 1] = missing[t] + (0 if fresh[t] else 1)
    size = TILE + horizons[-1] + 1
    high, low = np.empty(size), np.empty(size)
    next_high, next_low = np.empty(size), np.empty(size)
    for start in range(0, n, TILE):
        first = start + delay + 1
        _load_tile(log_price, fresh, first, high, low)
        width = 1
        for k in range(horizons.shape[0]):
            span = horizons[k]
            while 2 * width <= span:
                _double(high, low, next_high, next_low, width)
                high, next_high = next_high, high
                low, next_low = next_low, low
                width *= 2
            stop = min(start + TILE, n - delay - span)
            if stop <= start:
                break
            entry, leave = start + delay, start + delay + span
            m = stop - start
            gone = missing[leave + 1 : leave + 1 + m] - missing[entry + 1 : entry + 1 + m]
            known = entry_ok[entry : entry + m] & exit_ok[leave : leave + m]
            other = span - width
            _emit(
                log_price[entry : entry + m],
                log_price[leave : leave + m],
                (high[:m], high[other : other + m]),
                (low[:m], low[other : other + m]),
                known & (gone <= max_missing[k]),
                out[k, :, start:stop],
            )
    return out


@njit(cache=True)
def _load_tile(
    log_price: npt.NDArray[np.float64],
    fresh: npt.NDArray[np.bool_],
    first: int,
    high: npt.NDArray[np.float64],
    low: npt.NDArray[np.float64],
) -> None:
    for i in range(high.shape[0]):
        at = first + i
        if at < log_price.shape[0] and fresh[at]:
            high[i] = log_price[at]
            low[i] = log_price[at]
        else:
            high[i] = -np.inf
            low[i] = np.inf


@njit(cache=True)
def _double(
    high: npt.NDArray[np.float64],
    low: npt.NDArray[np.float64],
    next_high: npt.NDArray[np.float64],
    next_low: npt.NDArray[np.float64],
    width: int,
) -> None:
    """Widen each window from `width` to twice that; windows past the buffer's end stay as wide."""
    n = high.shape[0]
    for i in range(n - width):
        next_high[i] = high[i] if high[i] > high[i + width] else high[i + width]
        next_low[i] = low[i] if low[i] < low[i + width] else low[i + width]
    for i in range(max(0, n - width), n):
        next_high[i] = high[i]
        next_low[i] = low[i]


@njit(cache=True)
def _emit(
    start: npt.NDArray[np.float64],
    end: npt.NDArray[np.float64],
    highs: tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]],
    lows: tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]],
    known: npt.NDArray[np.bool_],
    out: npt.NDArray[np.float64],
) -> None:
    """Write return, maximum and minimum of each path into `out` [3, m]; NaN where not `known`."""
    high, later_high = highs
    low, later_low = lows
    returns, best, worst = out[0], out[1], out[2]
    for i in range(start.shape[0]):
        ret = end[i] - start[i]
        up = (high[i] if high[i] > later_high[i] else later_high[i]) - start[i]
        down = (low[i] if low[i] < later_low[i] else later_low[i]) - start[i]
        up = up if up > ret else ret
        down = down if down < ret else ret
        returns[i] = ret if known[i] else np.nan
        best[i] = (up if up > 0.0 else 0.0) if known[i] else np.nan
        worst[i] = (down if down < 0.0 else 0.0) if known[i] else np.nan
