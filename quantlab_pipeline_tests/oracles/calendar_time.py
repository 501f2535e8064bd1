"""Oracle of the calendar-time estimator: one event, one minute at a time, from the definition."""

from __future__ import annotations

import math
from collections.abc import Sequence


def simple_return(
    prices: Sequence[float], funding: Sequence[float], entry: int, horizon: int
) -> float:
    """What one unit of money in a long gains from `entry` to `entry + horizon`, funding paid."""
    paid = sum(funding[entry + 1 : entry + horizon + 1])
    return (prices[entry + horizon] - prices[entry] - paid) / prices[entry]


def weights(
    prices: Sequence[float], events: Sequence[tuple[int, int]], horizon: int
) -> list[float]:
    """a_t of one symbol; events are (entry, sign)."""
    out = [0.0] * len(prices)
    for entry, sign in events:
        for t in range(entry + 1, entry + horizon + 1):
            if math.isfinite(prices[t - 1]):
                out[t] += sign * prices[t - 1] / prices[entry]
    return out


def returns(prices: Sequence[float], funding: Sequence[float]) -> list[float]:
    """Simple returns with funding paid; NaN where a price is missing."""
    out = [math.nan]
    for t in range(1, len(prices)):
        out.append((prices[t] - prices[t - 1] - funding[t]) / prices[t - 1])
    return out


def bartlett(y: Sequence[float], lags: int = 5) -> float:
    """Newey-West sum with uncentred products."""
    total = sum(v * v for v in y)
    for lag in range(1, lags + 1):
        products = sum(y[t] * y[t - lag] for t in range(lag, len(y)))
        total += 2.0 * (1.0 - lag / (lags + 1)) * products
    return total


def calendar_time(
    prices: Sequence[Sequence[float]],
    funding: Sequence[Sequence[float]],
    events: Sequence[tuple[int, int, int]],
    horizon: int,
) -> tuple[list[float], list[float]]:
    """(y, contrast) per minute; events are (symbol, entry, sign)."""
    n = len(prices[0])
    y, contrast = [0.0] * n, [0.0] * n
    for i, path in enumerate(prices):
        mine = [(entry, sign) for symbol, entry, sign in events if symbol == i]
        a, r = weights(path, mine, horizon), returns(path, funding[i])
        valid = [t for t in range(n) if math.isfinite(r[t])]
        mean = sum(a) / len(valid) if valid else 0.0
        for t in valid:
            y[t] += a[t] * r[t]
            contrast[t] += (a[t] - mean) * r[t]
    return y, contrast


def kept(
    prices: Sequence[Sequence[float]],
    funding: Sequence[Sequence[float]],
    events: Sequence[tuple[int, int, int]],
    horizon: int,
) -> float:
    """Contrast's share of a drift of 1 per minute in the direction of most events held."""
    raw, contrast = 0.0, 0.0
    for i, path in enumerate(prices):
        mine = [(entry, sign) for symbol, entry, sign in events if symbol == i]
        a, r = weights(path, mine, horizon), returns(path, funding[i])
        n = sum(1 for v in r if math.isfinite(v))
        mean = sum(a) / n if n else 0.0
        for t, v in enumerate(a):
            net = sum(sign for entry, sign in mine if entry < t <= entry + horizon)
            drift = int(net > 0) - int(net < 0)
            raw += v * drift
            contrast += (v - mean) * drift
    return contrast / raw


def z_scores(
    prices: Sequence[Sequence[float]],
    funding: Sequence[Sequence[float]],
    events: Sequence[tuple[int, int, int]],
    horizon: int,
    cost: float,
) -> tuple[float, float]:
    """(z_raw, z_contrast) net of the summed `cost` (in units of return)."""
    out = []
    for series in calendar_time(prices, funding, events, horizon):
        variance = max(sum(v * v for v in series), bartlett(series))
        out.append((sum(series) - cost) / math.sqrt(variance))
    return out[0], out[1]


def cross_bartlett(x: Sequence[float], y: Sequence[float], lags: int = 5) -> float:
    """Newey-West product of two series: that of `bartlett` where they are one."""
    total = 0.0
    for t, value in enumerate(x):
        for u in range(max(0, t - lags), min(len(y), t + lags + 1)):
            total += (1.0 - abs(t - u) / (lags + 1)) * value * y[u]
    return total


def excess_z(
    prices: Sequence[Sequence[float]],
    funding: Sequence[Sequence[float]],
    part: Sequence[tuple[int, int, int]],
    rest: Sequence[tuple[int, int, int]],
    horizon: int,
) -> float:
    """z of the part's mean return over the rest's, from their difference minute by minute."""
    x, _ = calendar_time(prices, funding, part, horizon)
    y, _ = calendar_time(prices, funding, rest, horizon)
    difference = [a / len(part) - b / len(rest) for a, b in zip(x, y, strict=True)]
    variance = max(sum(v * v for v in difference), bartlett(difference))
    return sum(difference) / math.sqrt(variance)
