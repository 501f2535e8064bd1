"""Rolling maximum over a trailing window, by running maxima of aligned blocks.

Belongs here: extremes of one series. The minimum is the maximum of the negated series, exactly.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit

Floats = npt.NDArray[np.float64]


def rolling_max(x: Floats, start: int, window: int, min_valid: int) -> Floats:
    """Largest valid row in (t - window, t], shape (n,).

    `start` is the absolute index of x[0]. NaN is missing; fewer than `min_valid` valid rows give
    NaN. Infinities raise ValueError. O(n), any window: van Herk (1992), Gil and Werman (1993).
    Oracle: `oracles.rolling`.
    """
    if np.isinf(x).any():
        raise ValueError("infinite values; write NaN for what is missing")
    out = np.empty(x.size)
    _maximum(x, start % window, window, max(min_valid, 1), out)
    return out


def rolling_min(x: Floats, start: int, window: int, min_valid: int) -> Floats:
    """Smallest valid row in (t - window, t]; otherwise as `rolling_max`."""
    return -rolling_max(-x, start, window, min_valid)


@njit(cache=True, nogil=True)
def _maximum(x: Floats, phase: int, window: int, min_valid: int, out: Floats) -> None:
    tail_n = np.zeros(window + 1, np.int64)
    tail_top = np.full(window + 1, -np.inf)
    n, top = 0, -np.inf
    slot = phase
    for t in range(x.size):
        if slot == 0:
            n, top = 0, -np.inf
            for back in range(window):
                if t - 1 - back >= 0 and not np.isnan(x[t - 1 - back]):
                    n += 1
                    top = max(top, x[t - 1 - back])
                tail_n[window - 1 - back] = n
                tail_top[window - 1 - back] = top
            n, top = 0, -np.inf
        if not np.isnan(x[t]):
            n += 1
            top = max(top, x[t])
        enough = tail_n[slot + 1] + n >= min_valid
        out[t] = max(top, tail_top[slot + 1]) if enough else np.nan
        slot = slot + 1 if slot + 1 < window else 0
