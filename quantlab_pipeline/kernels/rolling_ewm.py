"""Exponentially weighted mean that restarts at absolute anchors.

Belongs here: recursive filters. A recursion's state would depend on where an array began; this one
begins `warmup` rows before each aligned block, wherever the array begins.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit

Floats = npt.NDArray[np.float64]


def anchored_ewm(
    x: Floats, start: int, alpha: float, anchor: int, warmup: int, min_valid: int
) -> Floats:
    """Recursion m += alpha (x - m) over valid rows, begun `warmup` rows before each block; (n,).

    `start` is the absolute index of x[0]; a block is `anchor` rows aligned to its multiples. The
    first valid row seeds m. NaN is missing: m is kept and the row is NaN, as are rows with fewer
    than `min_valid` valid rows since the restart. What the restart forgets weighs (1 -
    alpha)^warmup. Infinities raise ValueError. O(n (1 + warmup / anchor)). Oracle:
    `oracles.rolling`.
    """
    if np.isinf(x).any():
        raise ValueError("infinite values; write NaN for what is missing")
    out = np.empty(x.size)
    _ewm(x, start % anchor, alpha, anchor, warmup, max(min_valid, 1), out)
    return out


@njit(cache=True)
def _ewm(
    x: Floats, phase: int, alpha: float, anchor: int, warmup: int, min_valid: int, out: Floats
) -> None:
    first = -phase
    while first < x.size:
        n, m = 0, 0.0
        for t in range(max(first - warmup, 0), min(first + anchor, x.size)):
            if not np.isnan(x[t]):
                m = x[t] if n == 0 else m + alpha * (x[t] - m)
                n += 1
            if t >= first:
                out[t] = m if n >= min_valid and not np.isnan(x[t]) else np.nan
        first += anchor
