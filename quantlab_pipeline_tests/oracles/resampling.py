"""Slow twins of resampling and of many tests at once: one draw, one candidate, one pair each."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


def resampled_sums(values: Floats, weights: Floats) -> Floats:
    """Each row of values [K, D] summed over each draw of weights [B, D], correctly rounded."""
    return np.array([[math.fsum(row * draw) for draw in weights] for row in values])


def stationary_variance(x: Floats, block: float) -> float:
    """Variance of the sum of a stationary bootstrap's draw, by Hansen (2005), section 3.2."""
    n, e = x.size, x - x.mean()
    total = float(e @ e)
    for lag in range(1, n):
        stay = (1.0 - 1.0 / block) ** lag
        around = (1.0 - 1.0 / block) ** (n - lag)
        kappa = (n - lag) / n * stay + lag / n * around
        total += 2.0 * kappa * float(e[lag:] @ e[:-lag])
    return total


def step_down(draws: Floats, centre: Floats, scale: Floats, observed: Floats, order: Ints) -> Ints:
    """How many draws' largest statistic among a candidate and all weaker ones reaches its own."""
    counts = []
    for place, k in enumerate(order):
        reached = 0
        for b in range(draws.shape[1]):
            values = [(draws[j, b] - centre[j]) / scale[j] for j in order[: place + 1]]
            if max(0.0, *(v for v in values if not math.isnan(v)), -math.inf) >= observed[k]:
                reached += 1
        counts.append(reached)
    return np.array(counts, dtype=np.int64)


def ratio_tails(
    above: Floats, below: Floats, of: Ints, ratio: Floats, depth: int
) -> tuple[Floats, Floats, Floats]:
    """Squares, `depth` smallest rising and `depth` largest falling of above - ratio below."""
    rows = above - ratio[:, None] * below[of]
    ordered = np.sort(rows, axis=1)
    return (rows**2).sum(axis=1), ordered[:, :depth], ordered[:, ::-1][:, :depth]


def likeness(signed: npt.NDArray[np.int8], order: Ints) -> tuple[Floats, Ints]:
    """Largest Jaccard index of each candidate's set of (event, sign) with an earlier one's."""
    sets = [{(e, s) for e, s in enumerate(row.tolist()) if s} for row in signed]
    index, likest = np.zeros(len(sets)), np.full(len(sets), -1)
    for place, c in enumerate(order):
        for other in order[:place]:
            union = sets[c] | sets[other]
            found = len(sets[c] & sets[other]) / len(union) if union else 0.0
            if found > index[c]:
                index[c], likest[c] = found, other
    return index, likest


def taken_by_hierarchy(p: Sequence[float], group: Sequence[int], q: float) -> list[bool]:
    """Which candidates hierarchical BH takes at level q, step by step; NaN p counts as 1."""
    p = [1.0 if math.isnan(v) else v for v in p]
    names = sorted(set(group))
    members = {g: [i for i, own in enumerate(group) if own == g] for g in names}
    simes = []
    for g in names:
        ordered = sorted(p[i] for i in members[g])
        simes.append(min(len(ordered) * v / (r + 1) for r, v in enumerate(ordered)))
    selected = [g for g, took in zip(names, _bh(simes, q), strict=True) if took]
    taken = [False] * len(p)
    for g in selected:
        inside = _bh([p[i] for i in members[g]], q * len(selected) / len(names))
        for i, took in zip(members[g], inside, strict=True):
            taken[i] = took
    return taken


def _bh(p: Sequence[float], q: float) -> list[bool]:
    """The largest k with p_(k) <= k q / m; everything up to it is taken."""
    ordered = sorted(p)
    last = max((k + 1 for k, v in enumerate(ordered) if v <= (k + 1) * q / len(p)), default=0)
    return [v <= ordered[last - 1] for v in p] if last else [False] * len(p)
