"""Slow, obvious twin of `kernels.trade_bars.add_trades`: minutes gathered first, then summed."""

from __future__ import annotations

import math


def minute_bars(trades):
    """minute -> bar as a dict, from (minute, price, qty, n, buyer_is_maker) in order of arrival."""
    out = {}
    for minute in {t[0] for t in trades}:
        own = [t for t in trades if t[0] == minute]
        usable = all(math.isfinite(v) and v > 0 for t in own for v in (t[1], t[2]))
        bar = {"n_trades": sum(t[3] for t in own)}
        if usable:
            prices = [t[1] for t in own]
            bar |= {
                "open": prices[0],
                "high": max(prices),
                "low": min(prices),
                "close": prices[-1],
                "volume_base": running_sum(t[2] for t in own),
                "volume_quote": running_sum(t[1] * t[2] for t in own),
            }
            if all(t[4] is not None for t in own):
                bar["taker_buy_base"] = running_sum(0.0 if t[4] else t[2] for t in own)
        out[minute] = bar
    return out


def running_sum(values):
    """Left to right, one rounding an addition (the built-in sum compensates from Python 3.12)."""
    total = 0.0
    for value in values:
        total = total + value
    return total
