"""Rolling midrank percentile over a trailing window, by exact counts.

Belongs here: order statistics of one series. Counts are integers, so that a value cannot depend on
where the array began.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int32]


def rolling_rank(x: Floats, window: int, min_valid: int) -> Floats:
    """(#{x < x_t} + 0.5 #{x = x_t}) / n over the valid rows in (t - window, t], t included.

    Shape (n,), values in (0, 1). NaN is missing: a missing x_t, or fewer than `min_valid` valid
    rows, give NaN. Infinities raise ValueError. O(log n) a row: a binary indexed tree (Fenwick,
    1994) over the dense ranks of the whole array. Oracle: `oracles.rolling`.
    """
    if np.isinf(x).any():
        raise ValueError("infinite values; write NaN for what is missing")
    codes = np.full(x.size, -1, np.int32)
    valid = ~np.isnan(x)
    values, dense = np.unique(x[valid], return_inverse=True)
    codes[valid] = dense
    out = np.empty(x.size)
    _midrank(codes, values.size, window, max(min_valid, 1), out)
    return out


@njit(cache=True)
def _count_below(tree: Codes, code: int) -> int:
    total = 0
    node = code
    while node > 0:
        total += tree[node]
        node -= node & -node
    return total


@njit(cache=True)
def _shift_count(tree: Codes, code: int, by: int) -> None:
    node = code + 1
    while node < tree.size:
        tree[node] += by
        node += node & -node


@njit(cache=True)
def _midrank(codes: Codes, n_codes: int, window: int, min_valid: int, out: Floats) -> None:
    tree = np.zeros(n_codes + 1, np.int32)
    same = np.zeros(n_codes, np.int32)
    n = 0
    for t in range(codes.size):
        if t >= window and codes[t - window] >= 0:
            same[codes[t - window]] -= 1
            _shift_count(tree, codes[t - window], -1)
            n -= 1
        code = codes[t]
        if code < 0:
            out[t] = np.nan
            continue
        same[code] += 1
        _shift_count(tree, code, 1)
        n += 1
        below = _count_below(tree, code)
        out[t] = (below + 0.5 * same[code]) / n if n >= min_valid else np.nan
