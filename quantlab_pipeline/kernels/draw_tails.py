"""What many bootstrap draws say of a ratio: their squares and both ends of their order.

Belongs here: the one pass over the draws. What is resampled, and what an end means, is the
caller's matter.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


@njit(cache=True)
def ratio_tails(
    above: FloatArray, below: FloatArray, of: IntArray, ratio: FloatArray, depth: int
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Squares and tails of the residuals above - ratio below of each row over its draws.

    `above` [K, B] and `below` [J, B] are sums over draws, row k's denominator is row of[k] of
    `below`, `ratio` [K]. Three results: sum of squares [K], the `depth` smallest residuals rising
    and the `depth` largest falling, both [K, depth], `depth` <= B. A NaN draw makes the squares NaN
    and is in no tail. O(K B). Oracle: `ratio_tails` of the tests.
    """
    n_rows, n_draws = above.shape
    squares = np.zeros(n_rows)
    least, most = np.full((n_rows, depth), np.inf), np.full((n_rows, depth), -np.inf)
    for k in range(n_rows):
        low, high = least[k], most[k]
        top, bottom = above[k], below[of[k]]
        total = 0.0
        for b in range(n_draws):
            value = top[b] - ratio[k] * bottom[b]
            total += value * value
            if value < low[depth - 1]:
                _insert(low, value, 1.0)
            if value > high[depth - 1]:
                _insert(high, value, -1.0)
        squares[k] = total
    return squares, least, most


@njit(cache=True)
def _insert(ordered: FloatArray, value: float, sign: float) -> None:
    """Put `value` at its place, the last one falls out; rising for sign 1, falling for -1."""
    place = ordered.shape[0] - 1
    while place > 0 and sign * ordered[place - 1] > sign * value:
        ordered[place] = ordered[place - 1]
        place -= 1
    ordered[place] = value
