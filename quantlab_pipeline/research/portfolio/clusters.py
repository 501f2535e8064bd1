"""Which strategies share risk: the same event family and horizon, or returns that move together."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def risk_clusters(
    labels: list[tuple[str, str]], returns: NDArray[np.float64], threshold: float
) -> NDArray[np.int64]:
    """Cluster number of each strategy, 0 upward in order of first appearance.

    `labels` are (event family, horizon), `returns` has shape (days, strategies), no NaN. Two
    strategies are linked by equal labels or a correlation of at least `threshold`; clusters are the
    connected components. A constant series correlates with nothing.
    """
    n = len(labels)
    linked = np.array([[a == b for b in labels] for a in labels], dtype=bool).reshape(n, n)
    moving = returns.std(axis=0) > 0 if len(returns) else np.zeros(n, dtype=bool)
    if moving.sum() > 1:
        inner = np.corrcoef(returns[:, moving], rowvar=False) >= threshold
        linked[np.ix_(moving, moving)] |= inner
    numbers = np.full(n, -1, dtype=np.int64)
    for start in range(n):
        if numbers[start] < 0:
            _flood(linked, numbers, start, numbers.max(initial=-1) + 1)
    return numbers


def _flood(linked: NDArray[np.bool_], numbers: NDArray[np.int64], start: int, number: int) -> None:
    todo = [start]
    while todo:
        i = todo.pop()
        if numbers[i] < 0:
            numbers[i] = number
            todo.extend(int(j) for j in np.flatnonzero(linked[i]))
