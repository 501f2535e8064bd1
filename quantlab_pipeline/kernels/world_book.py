"""Quotes of a generated book, written on change, between the closes of a minute path.

Belongs here: the event loop over quotes. Where minutes close and how wide they are is given.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class QuoteMinutes(NamedTuple):
    """One book's minutes, [T] each; log prices in units of ln(ticks).

    `x_open`, `x_close` the path's ends, `x_low`, `x_high` its extremes, `sigma` its deviation;
    `is_wick` marks minutes whose middle quote sits on an extreme (+1 high, -1 low, 0 none);
    `spread` and `bid_close` in ticks, `depth` in lots.
    """

    x_open: Floats
    x_close: Floats
    x_low: Floats
    x_high: Floats
    sigma: Floats
    is_wick: Ints
    spread: Ints
    bid_close: Ints
    depth: Floats


class QuoteDraws(NamedTuple):
    """Draws of each quote [T, n]: uniform place in its slot; bridge and size normals."""

    place: Floats
    bridge: Floats
    bid_size: Floats
    ask_size: Floats


@njit(cache=True)
def quote_stream(
    minutes: QuoteMinutes, draws: QuoteDraws, size_log_sigma: float
) -> tuple[Ints, Ints, Ints, Ints, Ints]:
    """Write n quotes a minute, one in each of n equal slots, so that no gap exceeds two slots.

    The mid follows a Brownian bridge from open to close, kept within the extremes; a third of the
    inner quotes is one tick wider; the last quote of a minute is its closing quote. Neighbouring
    quotes always differ. Stamps are whole milliseconds, strictly ascending, inside the minute.
    Returns ms since the first open, bid ticks, bid lots, ask ticks, ask lots: [T n] each.
    Finite input only. O(T n). Oracle: tests, oracles/world_book.py.
    """
    n_minutes, n = draws.place.shape
    size = n_minutes * n
    at_ms = np.empty(size, np.int64)
    bid = np.empty(size, np.int64)
    bid_lots = np.empty(size, np.int64)
    ask = np.empty(size, np.int64)
    ask_lots = np.empty(size, np.int64)
    last_ms = 0
    for m in range(n_minutes):
        x, w = minutes.x_open[m], 0.0
        for k in range(n):
            q = m * n + k
            w_next = (k + draws.place[m, k]) / n
            at_ms[q] = max(60_000 * m + 1 + int(w_next * 59_990.0), last_ms + 1)
            last_ms = at_ms[q]
            if k == n - 1:
                bid[q] = minutes.bid_close[m]
                ask[q] = bid[q] + minutes.spread[m]
            else:
                left = max(1.0 - w, 1e-12)
                mean = x + (minutes.x_close[m] - x) * (w_next - w) / left
                variance = (w_next - w) * max(1.0 - w_next, 0.0) / left
                x = mean + minutes.sigma[m] * math.sqrt(variance) * draws.bridge[m, k]
                x = min(max(x, minutes.x_low[m]), minutes.x_high[m])
                w = w_next
                seen = x
                if k == n // 2 and minutes.is_wick[m] != 0:
                    seen = minutes.x_high[m] if minutes.is_wick[m] > 0 else minutes.x_low[m]
                width = minutes.spread[m] + (1 if draws.bid_size[m, k] < -0.43 else 0)
                bid[q] = max(int(np.rint(math.exp(seen) - 0.5 * width)), 1)
                ask[q] = bid[q] + width
            depth = minutes.depth[m]
            bid_lots[q] = max(
                int(np.rint(depth * math.exp(size_log_sigma * draws.bid_size[m, k]))), 1
            )
            ask_lots[q] = max(
                int(np.rint(depth * math.exp(size_log_sigma * draws.ask_size[m, k]))), 1
            )
            same_prices = q > 0 and bid[q] == bid[q - 1] and ask[q] == ask[q - 1]
            if same_prices and bid_lots[q] == bid_lots[q - 1] and ask_lots[q] == ask_lots[q - 1]:
                ask_lots[q] += 1
    return at_ms, bid, bid_lots, ask, ask_lots
