"""Rolling slope of x[t] on x[t-1], from partials of blocks aligned to absolute time.

Belongs here: the one regression that features need. Plain means and deviations are in
`rolling_moments`.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit

Floats = npt.NDArray[np.float64]


def rolling_ar1(x: Floats, start: int, window: int, min_valid: int) -> Floats:
    """Least-squares slope of x[u] on x[u-1], with intercept, over u in (t - window, t]; shape (n,).

    `start` is the absolute index of x[0]. A pair counts where both ends are valid; fewer than
    `min_valid` pairs (at least 3), or no variation of x[u-1], give NaN. x[-1] is missing.
    Infinities raise ValueError. O(n): pairwise moments joined as in Chan, Golub and LeVeque (1983).
    Oracle: `oracles.rolling`.
    """
    if np.isinf(x).any():
        raise ValueError("infinite values; write NaN for what is missing")
    out = np.empty(x.size)
    _slope(x, start % window, window, max(min_valid, 3), out)
    return out


@njit(cache=True, nogil=True)
def _add_pair(part: Floats, before: float, now: float) -> None:
    """Update [pairs, mean of before, mean of now, sum of squares of before, sum of products]."""
    if np.isnan(before) or np.isnan(now):
        return
    part[0] += 1.0
    step = before - part[1]
    part[1] += step / part[0]
    part[2] += (now - part[2]) / part[0]
    part[3] += step * (before - part[1])
    part[4] += step * (now - part[2])


@njit(cache=True, nogil=True)
def _joined_slope(a: Floats, b: Floats, min_valid: int) -> float:
    n = a[0] + b[0]
    if n < min_valid:
        return np.nan
    share = a[0] * b[0] / n
    gap = b[1] - a[1]
    squares = a[3] + b[3] + gap * gap * share
    products = a[4] + b[4] + gap * (b[2] - a[2]) * share
    return products / squares if squares > 0.0 else np.nan


@njit(cache=True, nogil=True)
def _slope(x: Floats, phase: int, window: int, min_valid: int, out: Floats) -> None:
    tail = np.zeros((window + 1, 5))
    head = np.zeros(5)
    slot = phase
    for t in range(x.size):
        if slot == 0:
            head[:] = 0.0
            for back in range(window):
                if t - 2 - back >= 0:
                    _add_pair(head, x[t - 2 - back], x[t - 1 - back])
                tail[window - 1 - back] = head
            head[:] = 0.0
        if t > 0:
            _add_pair(head, x[t - 1], x[t])
        out[t] = _joined_slope(tail[slot + 1], head, min_valid)
        slot = slot + 1 if slot + 1 < window else 0
