"""Rolling mean and deviation over a trailing window, from partials of blocks aligned to absolute
time.

Belongs here: sums over windows of one series. A window of `window` rows is the tail of one aligned
block joined to the head of the next, so that a value depends on its window's rows alone and never
on where the array began. Extremes, ranks and regressions have their own modules.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

Floats = npt.NDArray[np.float64]


def rolling_mean_deviation(
    x: Floats, start: int, window: int, min_valid: int
) -> tuple[Floats, Floats]:
    """Mean and sample deviation of the valid rows in (t - window, t], each of shape (n,).

    `start` is the absolute index of x[0] and fixes the blocks. NaN is missing: it is left out and
    not counted; fewer than `min_valid` (for the deviation: and two) valid rows give NaN, and so
    does a deviation whose square overflows. A constant window has deviation 0 exactly. Infinities
    raise ValueError. O(n), any window.

    Sums are of distances from a row of the window itself, so that a mean of any size costs no
    digits: a window of n rows loses at most the last log2(n) bits (Chan, Golub and LeVeque, 1983,
    on shifted data). Oracle: `oracles.rolling`.
    """
    if np.isinf(x).any():
        raise ValueError("infinite values; write NaN for what is missing")
    mean = np.empty(x.size)
    deviation = np.empty(x.size)
    _moments(x, start % window, window, min_valid, mean, deviation)
    return mean, deviation


class _Sums(NamedTuple):
    """By slot of a block: valid rows, their distances from a reference summed, and the squares."""

    n: Floats
    distance: Floats
    square: Floats


@njit(cache=True, nogil=True)
def _slots(sums: _Sums, first: int, end: int) -> _Sums:
    return _Sums(sums.n[first:end], sums.distance[first:end], sums.square[first:end])


@njit(cache=True, nogil=True)
def _reversed(sums: _Sums) -> _Sums:
    return _Sums(sums.n[::-1], sums.distance[::-1], sums.square[::-1])


@njit(cache=True, nogil=True)
def _first_valid(x: Floats) -> float:
    first = 0.0
    for value in x:
        if not np.isnan(value):
            first = value
            break
    return first


@njit(cache=True, nogil=True)
def _accumulate(x: Floats, reference: float, sums: _Sums) -> None:
    n, distance, square = 0.0, 0.0, 0.0
    for i in range(x.size):
        valid = not np.isnan(x[i])
        step = x[i] - reference if valid else 0.0
        n += 1.0 if valid else 0.0
        distance += step
        square += step * step
        sums.n[i], sums.distance[i], sums.square[i] = n, distance, square


@njit(cache=True, nogil=True, error_model="numpy")
def _join(
    tail: _Sums,
    head: _Sums,
    references: tuple[float, float],
    min_valid: int,
    mean: Floats,
    deviation: Floats,
) -> None:
    """Mean and deviation of the rows of `tail` and `head` together, slot by slot; vectorised."""
    before, after = references
    for i in range(mean.size):
        both = (tail.n[i] > 0.0) & (head.n[i] > 0.0)
        shift = before - after if both else 0.0
        moved = tail.n[i] * shift
        n = tail.n[i] + head.n[i]
        distance = tail.distance[i] + moved + head.distance[i]
        square = tail.square[i] + shift * (2.0 * tail.distance[i] + moved) + head.square[i]
        apart = square - distance * distance / n
        apart = 0.0 if apart < 0.0 else apart
        known = n >= max(min_valid, 2) and apart < np.inf
        reference = after if head.n[i] > 0.0 else before
        mean[i] = reference + distance / n if n >= max(min_valid, 1) else np.nan
        deviation[i] = np.sqrt(apart / (n - 1.0)) if known else np.nan


@njit(cache=True, nogil=True)
def _moments(
    x: Floats, phase: int, window: int, min_valid: int, mean: Floats, deviation: Floats
) -> None:
    tail = _Sums(np.zeros(window), np.zeros(window), np.zeros(window))
    head = _Sums(np.zeros(window), np.zeros(window), np.zeros(window))
    for block in range(-phase, x.size, window):
        begin, end = max(block, 0), min(block + window, x.size)
        oldest = window - 1 - min(begin - max(block - window, 0), window - 1)
        behind = x[begin - (window - 1 - oldest) : begin][::-1]
        before, after = _first_valid(behind), _first_valid(x[begin:end])
        _accumulate(behind, before, _reversed(_slots(tail, oldest, window - 1)))
        for sums in tail:
            sums[:oldest] = sums[oldest]
        now = _slots(head, begin - block, end - block)
        _accumulate(x[begin:end], after, now)
        then = _slots(tail, begin - block, end - block)
        _join(then, now, (before, after), min_valid, mean[begin:end], deviation[begin:end])
