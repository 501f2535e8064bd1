"""Target positions from prices alone: the reference strategies of sweeps and tests.

Belongs here: signals whose only input is the series of closes. Not here: what becomes of a target
(`bar_backtest`), and signals made from features, which the pipeline's own stages make. Oracle:
`quantlab_pipeline_tests/oracles/bar_backtest.py`.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit

from quantlab_pipeline.kernels.side_by_side import rows_side_by_side

I64 = npt.NDArray[np.int64]
F64 = npt.NDArray[np.float64]
I8 = npt.NDArray[np.int8]

ROUNDING = 1e-12
"""Share of a price within which two averages are equal: prices on a grid often tie."""

TILE = 2048
"""Bars made at a time: the averages of many windows over them stay in the second-level cache."""


@njit(cache=True, nogil=True)
def _averages(close: F64, windows: I64, first: int, end: int, room: F64) -> None:
    """Mean of the last `windows[j]` closes for the bars first <= t < end, into room[j]; else NaN.

    Sums run from just before the tile's own first window, so that they stay small.
    """
    longest = windows.max()
    begin = max(0, first - longest)
    sums, total = np.zeros(end - begin + 1), 0.0
    for i in range(end - begin):
        total += close[begin + i]
        sums[i + 1] = total
    for j in range(windows.size):
        w = windows[j]
        unknown = min(max(0, w - 1 - first), end - first)
        room[j, :unknown] = np.nan
        at = first + unknown - begin + 1
        new, old = sums[at:], sums[max(0, at - w) :]
        row, share = room[j, unknown : end - first], 1.0 / w
        for i in range(row.size):
            row[i] = (new[i] - old[i]) * share


@njit(cache=True, nogil=True)
def _cross(close: F64, windows: I64, fast: I64, slow: I64, out: I8) -> None:
    n = close.size
    room = np.empty((windows.size, TILE))
    for first in range(0, n, TILE):
        end = min(first + TILE, n)
        _averages(close, windows, first, end, room)
        for k in range(fast.size):
            above, below, row = room[fast[k]], room[slow[k]], out[k, first:end]
            ties = 0
            for i in range(row.size):
                gap, noise = above[i] - below[i], ROUNDING * below[i]
                row[i] = np.int8(gap > noise) - np.int8(gap < -noise)
                ties |= abs(gap) <= noise
            if ties != 0:
                for i in range(row.size):
                    t = first + i
                    if abs(above[i] - below[i]) <= ROUNDING * below[i] and t > 0:
                        out[k, t] = out[k, t - 1]


def crossing_targets(close: F64, fast: I64, slow: I64, threads: int = 1) -> I8:
    """Always in the market once both averages are known: +1 the fast above the slow, -1 below.

    `fast`, `slow` [v] are windows in bars. Returns int8 [v, n], the targets as known at each close:
    0 until both windows are full; where the averages are equal, what was wanted before. `close` is
    positive and has no holes: one that is not finite raises ValueError. O(n v), about 0.3 ns a bar
    and variant.
    """
    if not np.isfinite(close).all():
        raise ValueError("closes must be finite: carry the last one over a hole before")
    out = np.empty((fast.size, close.size), dtype=np.int8)

    def part(rows: slice) -> None:
        windows = np.unique(np.concatenate([fast[rows], slow[rows]]))
        i, j = np.searchsorted(windows, fast[rows]), np.searchsorted(windows, slow[rows])
        _cross(close, windows, i, j, out[rows])

    if out.size:
        rows_side_by_side(part, fast.size, threads, parts_each=1)
    return out
