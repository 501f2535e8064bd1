"""Oracle of the labels: one decision and one horizon at a time, from the definition."""

from __future__ import annotations

import math
from collections.abc import Sequence


def label(
    prices: Sequence[float | None],
    t: int,
    horizon: int,
    delay: int = 1,
    max_missing_frac: float = 0.05,
    max_entry_gap: int = 0,
    max_exit_gap: int = 3,
) -> tuple[float, float, float] | None:
    """(log return, MFE, MAE) of a long decided at index `t`, or None. None in `prices` is a gap."""
    entry, leave = t + delay, t + delay + horizon
    start = _price_in_gap(prices, entry, max_entry_gap)
    end = _price_in_gap(prices, leave, max_exit_gap)
    path = prices[entry + 1 : leave + 1]
    if start is None or end is None:
        return None
    if path.count(None) > math.floor(max_missing_frac * horizon + 1e-9):
        return None
    moves = [math.log(p / start) for p in path if p is not None] + [math.log(end / start)]
    return math.log(end / start), max(0.0, *moves), min(0.0, *moves)


def _price_in_gap(prices: Sequence[float | None], at: int, longest: int) -> float | None:
    """The price carried to index `at`, if its gap is closed on both sides and not too long."""
    if at >= len(prices):
        return None
    before = at
    while before >= 0 and prices[before] is None:
        before -= 1
    after = at
    while after < len(prices) and prices[after] is None:
        after += 1
    if before < 0 or after == len(prices):
        return None
    if before != at and after - before - 1 > longest:
        return None
    return prices[before]
