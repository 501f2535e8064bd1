"""Oracles of the secondary standard errors: every pair of events, from the definitions."""

from __future__ import annotations

from collections.abc import Sequence


def sparse_bartlett(minute: Sequence[int], value: Sequence[float], lags: int) -> float:
    """Newey-West sum of values laid on their minutes, pair by pair."""
    total = 0.0
    for t, v in zip(minute, value, strict=True):
        for u, w in zip(minute, value, strict=True):
            total += max(0.0, 1.0 - abs(t - u) / (lags + 1)) * v * w
    return total


def two_way(symbol: Sequence[int], day: Sequence[int], value: Sequence[float]) -> float:
    """Sum of u_e u_f over pairs that share a symbol or a day (Cameron, Gelbach and Miller)."""
    mean = sum(value) / len(value)
    scores = [v - mean for v in value]
    total = 0.0
    for i, d, u in zip(symbol, day, scores, strict=True):
        for j, e, w in zip(symbol, day, scores, strict=True):
            total += u * w if i == j or d == e else 0.0
    return total
