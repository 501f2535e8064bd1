"""Distributions in few numbers: percentiles, a histogram, the distance of two samples.

Pure functions of sorted arrays without NaN. Drawing them is `charts`' work.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

PERCENTILES = (1, 5, 50, 95, 99)
N_BINS = 40


@dataclass(frozen=True, slots=True)
class Histogram:
    """`counts` of equal bins from `low` to `high`; `below` and `above` lie outside of them.

    A bin holds its lower edge, the last one both. With `low` = `high` there is one bin.
    """

    low: float
    high: float
    counts: tuple[int, ...]
    below: int
    above: int


def percentiles(ordered: FloatArray, wanted: Sequence[float] = PERCENTILES) -> tuple[float, ...]:
    """Percentiles of a sorted sample, interpolated linearly between ranks. Empty: NaN."""
    if not ordered.size:
        return (float("nan"),) * len(wanted)
    at = np.asarray(wanted, dtype=np.float64) / 100.0 * (ordered.size - 1)
    under = np.floor(at).astype(np.int64)
    over = np.minimum(under + 1, ordered.size - 1)
    low, high = ordered[under], ordered[over]
    return tuple(float(v) for v in low + (at - under) * (high - low))


def histogram(ordered: FloatArray, n_bins: int = N_BINS) -> Histogram | None:
    """Histogram of a sorted sample from its 1st to its 99th percentile. Empty: None.

    Tails would flatten everything else, so they are counted, not drawn. Where both percentiles are
    one value (a flag), the bins go from the smallest to the largest value.
    """
    if not ordered.size:
        return None
    low, high = percentiles(ordered, (1, 99))
    if low == high:
        low, high = float(ordered[0]), float(ordered[-1])
    if low == high:
        return Histogram(low, high, (ordered.size,), 0, 0)
    edges = np.linspace(low, high, n_bins + 1)
    starts = np.searchsorted(ordered, edges[:-1], side="left")
    end = np.searchsorted(ordered, high, side="right")
    counts = np.diff(np.append(starts, end))
    below, above = int(starts[0]), int(ordered.size - end)
    return Histogram(low, high, tuple(int(c) for c in counts), below, above)


def ks_distance(one: FloatArray, other: FloatArray) -> float | None:
    """Kolmogorov-Smirnov distance of two sorted samples, 0 to 1; None where one is empty.

    The largest difference, over all levels, of the shares of values at or below that level
    (Kolmogorov 1933, Smirnov 1939).
    """
    if not one.size or not other.size:
        return None
    levels = np.concatenate([one, other])
    at_or_below = np.searchsorted(one, levels, side="right") / one.size
    theirs = np.searchsorted(other, levels, side="right") / other.size
    return float(np.max(np.abs(at_or_below - theirs)))
