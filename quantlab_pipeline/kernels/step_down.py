"""Running maxima of studentised draws, from the weakest candidate to the strongest.

Belongs here: the one pass over the draws that all family-wise tests share. How they are recentred
and what their counts mean is the caller's matter.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


@njit(cache=True)
def exceedances(
    draws: FloatArray, centre: FloatArray, scale: FloatArray, observed: FloatArray, order: IntArray
) -> IntArray:
    """For each candidate, in how many draws the largest of it and all weaker ones reaches it.

    `draws` [K, B] become (draws - centre) / scale, and a maximum is never below 0; `order` int64[n]
    lists candidates from the weakest to the strongest by `observed` [K]. int64[n], in that order. A
    NaN draw raises no maximum; `scale` is positive. O(n B). Oracle: `step_down` of the tests.
    """
    n_draws = draws.shape[1]
    most = np.zeros(n_draws)
    counts = np.zeros(order.shape[0], np.int64)
    for place in range(order.shape[0]):
        k = order[place]
        middle, unit, bar = centre[k], scale[k], observed[k]
        row = draws[k]
        reached = 0
        for b in range(n_draws):
            value = (row[b] - middle) / unit
            if value > most[b]:
                most[b] = value
            if most[b] >= bar:
                reached += 1
        counts[place] = reached
    return counts
