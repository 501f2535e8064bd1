"""Length of the run of equal signs that ends a sequence of stamped facts, at every row of a grid.

Belongs here: persistence of facts that arrive now and then, such as funding settlements.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit

Floats = npt.NDArray[np.float64]


def sign_runs(value: Floats, fact_at: Floats, now: Floats, window: float, cap: int) -> Floats:
    """Signed count of the newest facts in (now - window, now] that share the newest one's sign.

    `value` and `fact_at` (n,) hold the newest known fact at each row and the instant it describes,
    in the units of `now` and `window`; a row with the same `fact_at` and another value is a
    correction. The count stops at `cap`; a newest value of 0 gives 0; no fact (NaN), or none in the
    window, gives NaN. O(n cap). Oracle: `oracles.rolling`.
    """
    out = np.empty(value.size)
    _runs(value, fact_at, now, window, cap, out)
    return out


@njit(cache=True, nogil=True)
def _runs(
    value: Floats, fact_at: Floats, now: Floats, window: float, cap: int, out: Floats
) -> None:
    at = np.empty(value.size)
    sign = np.empty(value.size)
    last = -1
    for t in range(value.size):
        out[t] = np.nan
        if np.isnan(value[t]):
            continue
        if last < 0 or fact_at[t] > at[last]:
            last += 1
        at[last] = fact_at[t]
        sign[last] = np.sign(value[t])
        run = 0
        for i in range(last, max(last - cap, -1), -1):
            if at[i] <= now[t] - window or sign[i] != sign[last]:
                break
            run += 1
        if run > 0:
            out[t] = run * sign[last]
