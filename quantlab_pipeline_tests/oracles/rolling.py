"""Slow, obvious twins of the rolling kernels: every window is cut out and computed afresh."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def _each_window(x: Floats, window: int, value: Callable[[Floats], float]) -> Floats:
    return np.array([value(x[max(t - window + 1, 0) : t + 1]) for t in range(x.size)])


def _valid(rows: Floats) -> Floats:
    return rows[~np.isnan(rows)]


def mean(x: Floats, window: int, min_valid: int) -> Floats:
    """Mean of the valid rows of each window."""

    def value(rows: Floats) -> float:
        good = _valid(rows)
        return float(good.mean()) if good.size >= min_valid else np.nan

    return _each_window(x, window, value)


def deviation(x: Floats, window: int, min_valid: int) -> Floats:
    """Sample deviation of the valid rows of each window."""

    def value(rows: Floats) -> float:
        good = _valid(rows)
        return float(good.std(ddof=1)) if good.size >= max(min_valid, 2) else np.nan

    return _each_window(x, window, value)


def maximum(x: Floats, window: int, min_valid: int) -> Floats:
    """Largest valid row of each window."""

    def value(rows: Floats) -> float:
        good = _valid(rows)
        return float(good.max()) if good.size >= min_valid else np.nan

    return _each_window(x, window, value)


def last_rank(rows: Floats, min_valid: int) -> float:
    """Midrank of the last row among the valid ones."""
    good = _valid(rows)
    if np.isnan(rows[-1]) or good.size < min_valid:
        return np.nan
    below, same = (good < rows[-1]).sum(), (good == rows[-1]).sum()
    return float((below + 0.5 * same) / good.size)


def rank(x: Floats, window: int, min_valid: int) -> Floats:
    """Midrank of each window's last row among its valid rows."""
    return _each_window(x, window, lambda rows: last_rank(rows, min_valid))


def last_quantile(rows: Floats, q: float, min_valid: int) -> float:
    """numpy's own quantile of the valid rows."""
    good = _valid(rows)
    return float(np.quantile(good, q)) if good.size >= max(min_valid, 1) else np.nan


def quantile(x: Floats, window: int, q: float, min_valid: int) -> Floats:
    """Quantile of each window's valid rows."""
    return _each_window(x, window, lambda rows: last_quantile(rows, q, min_valid))


def last_ar1(x: Floats, window: int, min_valid: int) -> float:
    """Least-squares slope of the last `window` pairs of neighbours, if enough are whole."""
    now = range(max(x.size - window, 1), x.size)
    pairs = [(x[u - 1], x[u]) for u in now if not np.isnan(x[u - 1] + x[u])]
    if len(pairs) < max(min_valid, 3):
        return np.nan
    before, after = np.array(pairs).T
    if np.ptp(before) == 0:
        return np.nan
    centred = before - before.mean()
    return float((centred * (after - after.mean())).sum() / (centred**2).sum())


def ar1(x: Floats, window: int, min_valid: int) -> Floats:
    """Least-squares slope of the pairs whose second end lies in each window."""
    return np.array([last_ar1(x[: t + 1], window, min_valid) for t in range(x.size)])


def ewm(
    x: Floats, start: int, alpha: float, anchor: int, warmup: int, min_valid: int, first: int = 0
) -> Floats:
    """Each row's recursion run alone, from its block's restart; rows before `first` are NaN."""
    out = np.full(x.size, np.nan)
    for t in range(first, x.size):
        block = (start + t) // anchor * anchor - start
        history = _valid(x[max(block - warmup, 0) : t + 1])
        if not np.isnan(x[t]) and history.size >= min_valid:
            state = history[0]
            for value in history[1:]:
                state += alpha * (value - state)
            out[t] = state
    return out


def sign_runs(value: Floats, fact_at: Floats, now: Floats, window: float, cap: int) -> Floats:
    """For each row: the facts known so far, latest value of each, walked back from the newest."""
    out = np.full(value.size, np.nan)
    for t in range(value.size):
        if np.isnan(value[t]):
            continue
        facts = {fact_at[u]: value[u] for u in range(t + 1) if not np.isnan(value[u])}
        recent = [np.sign(facts[at]) for at in sorted(facts) if at > now[t] - window]
        newest_first = recent[::-1][:cap]
        if newest_first:
            run = next(
                (i for i, s in enumerate(newest_first) if s != newest_first[0]), len(newest_first)
            )
            out[t] = run * newest_first[0]
    return out
