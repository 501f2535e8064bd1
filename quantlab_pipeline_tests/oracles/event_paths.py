"""Oracle of the price path around events: one event and one minute at a time, from the definition.

Prices are lists with NaN where none was observed; an event is (symbol index, minute of t0).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from quantlab_pipeline_tests.oracles.calendar_time import bartlett

Prices = Sequence[Sequence[float]]
Event = tuple[int, int]


def carried(path: Sequence[float]) -> list[float]:
    """Each minute's newest price; NaN before the first and after the last."""
    last = max((t for t, price in enumerate(path) if math.isfinite(price)), default=-1)
    out, newest = [], math.nan
    for t, price in enumerate(path):
        newest = price if math.isfinite(price) else newest
        out.append(newest if t <= last else math.nan)
    return out


def is_whole(
    path: Sequence[float], t0: int, before: int, after: int, max_missing_frac: float
) -> bool:
    """Whether the event's window can be followed."""
    if t0 - before < 0 or t0 + after >= len(path) or not math.isfinite(path[t0]):
        return False
    filled = carried(path)
    if not all(math.isfinite(filled[t]) for t in range(t0 - before, t0 + after + 1)):
        return False
    window = range(t0 - before + 1, t0 + after + 1)
    missing = sum(1 for t in window if not math.isfinite(path[t]))
    return missing <= max_missing_frac * (before + after) + 1e-9


def path_point(prices: Prices, events: Sequence[Event], minute: int) -> tuple[float, float]:
    """Mean and standard error in bps of whole `events` at `minute` from t0."""
    if minute == 0:
        return 0.0, 0.0
    filled = [carried(path) for path in prices]
    y = [0.0] * len(prices[0])
    gained = 0.0
    for symbol, t0 in events:
        path = filled[symbol]
        start, end = (t0, t0 + minute) if minute > 0 else (t0 + minute, t0)
        gained += path[end] / path[start] - 1.0
        for t in range(start + 1, end + 1):
            y[t] += (path[t] - path[t - 1]) / path[start]
    variance = max(sum(v * v for v in y), bartlett(y))
    sign = 1.0 if minute > 0 else -1.0
    return sign * 1e4 * gained / len(events), 1e4 * math.sqrt(variance) / len(events)
