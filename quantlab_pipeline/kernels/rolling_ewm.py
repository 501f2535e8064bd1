"""Exponentially weighted mean that restarts at absolute anchors.

Belongs here: recursive filters. A recursion's state would depend on where an array began; this one
begins `warmup` rows before each aligned block, wherever the array begins.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit

Floats = npt.NDArray[np.float64]

LANES = 16
"""Blocks whose recursions run side by side."""


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


@njit(cache=True, nogil=True)
def _ewm(
    x: Floats, phase: int, alpha: float, anchor: int, warmup: int, min_valid: int, out: Floats
) -> None:
    """Blocks run side by side, step by step: a step waits for its own block's last one alone."""
    state = np.empty(LANES)
    seen = np.empty(LANES, np.int64)
    for first in range(-phase, x.size, LANES * anchor):
        seen[:] = 0
        for step in range(-warmup, anchor):
            for lane in range(LANES):
                t = first + lane * anchor + step
                if t < 0 or t >= x.size:
                    continue
                valid = not np.isnan(x[t])
                moved = state[lane] + alpha * (x[t] - state[lane]) if seen[lane] > 0 else x[t]
                state[lane] = moved if valid else state[lane]
                seen[lane] += valid
                if step >= 0:
                    out[t] = moved if valid and seen[lane] >= min_valid else np.nan
