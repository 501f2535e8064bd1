"""How likely is it that the best parameter was only the luckiest? CSCV and its interval.

Bailey, Borwein, Lopez de Prado & Zhu (2017), "The probability of backtest overfitting". A single
run is a rough figure (on pure noise it ranges from 0.2 to 0.7), so it comes with an interval and is
never a gate by itself.
"""

from __future__ import annotations

import itertools
import math

import numpy as np
from numpy.typing import NDArray


def probability_of_overfitting(
    daily: NDArray[np.float64], n_blocks: int
) -> tuple[float, float, float] | None:
    """(PBO, lower, upper) of the trials in `daily`, shape (days, trials), no NaN.

    All halves of `n_blocks` contiguous blocks choose the best Sharpe ratio; PBO is the share whose
    choice ranks in the lower half outside. The interval is Wilson's at 95 % on `n_blocks` effective
    draws: the halves share their blocks, and counting them as independent would be a boast. None
    with fewer than two trials or too few days.
    """
    n_days, n_trials = daily.shape
    if n_trials < 2 or n_days < 2 * n_blocks:
        return None
    blocks = np.array_split(np.arange(n_days), n_blocks)
    sums = np.array([daily[b].sum(axis=0) for b in blocks])
    squares = np.array([(daily[b] ** 2).sum(axis=0) for b in blocks])
    counts = np.array([len(b) for b in blocks])
    below = []
    for chosen in itertools.combinations(range(n_blocks), n_blocks // 2):
        inner = np.zeros(n_blocks, dtype=bool)
        inner[list(chosen)] = True
        best = int(np.argmax(_sharpe(sums, squares, counts, inner)))
        outside = _sharpe(sums, squares, counts, ~inner)
        rank = (np.sum(outside < outside[best]) + 0.5 * np.sum(outside == outside[best]) + 0.5) / (
            n_trials + 1
        )
        below.append(rank <= 0.5)
    share = float(np.mean(below))
    return (share, *wilson(share, n_blocks))


def wilson(share: float, n: int, z: float = 1.959963984540054) -> tuple[float, float]:
    """Wilson's interval for a share out of `n` draws."""
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return max(0.0, centre - half), min(1.0, centre + half)


def _sharpe(
    sums: NDArray[np.float64],
    squares: NDArray[np.float64],
    counts: NDArray[np.int64],
    inside: NDArray[np.bool_],
) -> NDArray[np.float64]:
    n = counts[inside].sum()
    mean = sums[inside].sum(axis=0) / n
    variance = squares[inside].sum(axis=0) / n - mean**2
    return np.where(variance > 0, mean / np.sqrt(np.maximum(variance, 1e-300)), 0.0)
