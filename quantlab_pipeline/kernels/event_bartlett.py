"""Bartlett's long-run sum of values that stand at few minutes of a long grid.

Belongs here: the sum from the sorted list alone, in time that knows neither the grid nor the number
of lags. Series that move in most minutes are `calendar_moments`.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


@njit(cache=True, nogil=True)
def sparse_bartlett(minute: IntArray, value: FloatArray, lags: int) -> float:
    """Sum over all e, f of max(0, 1 - |t_e - t_f| / (lags + 1)) v_e v_f.

    `minute` int64[n] rises (minutes may repeat: their values add up), `value` float64[n] has no
    NaN. It is Bartlett's g_0 + 2 sum_l (1 - l / (lags + 1)) g_l of the values laid on the grid,
    zeros between them, and equals the squares of its moving sums over lags + 1 minutes, summed and
    divided by lags + 1: a moving sum changes only where a value enters or leaves, and none of the
    terms is negative. O(n). Oracles: statsmodels' S_hac_simple, and a loop over all pairs. Newey
    and West (1987).
    """
    n, width = minute.shape[0], lags + 1
    head, tail, moving, total = 0, 0, 0.0, 0.0
    while tail < n:
        if head == tail:
            # Nothing is in the window: restart from zero, so that no rounding is carried on.
            moving = 0.0
            now = minute[head]
        while head < n and minute[head] == now:
            moving += value[head]
            head += 1
        until = minute[tail] + width
        if head < n:
            until = min(until, minute[head])
        total += moving * moving * (until - now)
        now = until
        while tail < head and minute[tail] + width == now:
            moving -= value[tail]
            tail += 1
    return total / width
