"""Rolling mean and deviation over a trailing window, from partials of blocks aligned to absolute
time.

Belongs here: sums over windows of one series. A window of `window` rows is the tail of one aligned
block joined to the head of the next, so that a value depends on its window's rows alone and never
on where the array began. Extremes, ranks and regressions have their own modules.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit

Floats = npt.NDArray[np.float64]


def rolling_mean_deviation(
    x: Floats, start: int, window: int, min_valid: int
) -> tuple[Floats, Floats]:
    """Mean and sample deviation of the valid rows in (t - window, t], each of shape (n,).

    `start` is the absolute index of x[0] and fixes the blocks. NaN is missing: it is left out and
    not counted; fewer than `min_valid` (for the deviation: and two) valid rows give NaN. A constant
    window has deviation 0 exactly. Infinities raise ValueError. O(n), any window.

    Partials are updated as in Welford (1962) and joined by the formula of Chan, Golub and LeVeque
    (1983). Oracle: `oracles.rolling`.
    """
    _refuse_infinities(x)
    mean = np.empty(x.size)
    deviation = np.empty(x.size)
    _moments(x, start % window, window, min_valid, mean, deviation)
    return mean, deviation


def _refuse_infinities(x: Floats) -> None:
    if np.isinf(x).any():
        raise ValueError("infinite values; write NaN for what is missing")


@njit(cache=True)
def _add(n: int, mean: float, m2: float, value: float) -> tuple[int, float, float]:
    if np.isnan(value):
        return n, mean, m2
    step = value - mean
    mean += step / (n + 1)
    return n + 1, mean, m2 + step * (value - mean)


@njit(cache=True)
def _moments(
    x: Floats, phase: int, window: int, min_valid: int, mean: Floats, deviation: Floats
) -> None:
    tail_n = np.zeros(window + 1, np.int64)
    tail_mean = np.zeros(window + 1)
    tail_m2 = np.zeros(window + 1)
    n, m, s = 0, 0.0, 0.0
    slot = phase
    for t in range(x.size):
        if slot == 0:
            n, m, s = 0, 0.0, 0.0
            for back in range(window):
                if t - 1 - back >= 0:
                    n, m, s = _add(n, m, s, x[t - 1 - back])
                tail_n[window - 1 - back] = n
                tail_mean[window - 1 - back] = m
                tail_m2[window - 1 - back] = s
            n, m, s = 0, 0.0, 0.0
        n, m, s = _add(n, m, s, x[t])
        before = tail_n[slot + 1]
        count = before + n
        if before == 0:
            mu, square = m, s
        elif n == 0:
            mu, square = tail_mean[slot + 1], tail_m2[slot + 1]
        else:
            gap = m - tail_mean[slot + 1]
            mu = tail_mean[slot + 1] + gap * n / count
            square = tail_m2[slot + 1] + s + gap * gap * before * n / count
        mean[t] = mu if count >= max(min_valid, 1) else np.nan
        deviation[t] = np.sqrt(square / (count - 1)) if count >= max(min_valid, 2) else np.nan
        slot = slot + 1 if slot + 1 < window else 0
