"""Resting orders on a tape of quotes or bars: one order at a time, nothing that orders share.

Belongs here: when, and how much of, a limit order that waits at its price is filled, by each of
three rules. What the rules assume is written in `simulation.fills`; orders that take are filled by
`kernels.execution`. Instants are int64 microseconds on one clock. Oracle:
`quantlab_pipeline_tests/oracles/passive_fills.py`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from quantlab_pipeline.kernels.execution import FILLED, UNFILLED, Book, quote_index, usable

I64 = npt.NDArray[np.int64]
F64 = npt.NDArray[np.float64]
I8 = npt.NDArray[np.int8]
B1 = npt.NDArray[np.bool_]

TOUCH, QUEUE, PENETRATION = 0, 1, 2


class Candles(NamedTuple):
    """One symbol's bars, sorted by `open_us`, all shape [n]; `tradable`: a trade happened."""

    open_us: I64
    close_us: I64
    open: F64
    low: F64
    high: F64
    tradable: B1


class Resting(NamedTuple):
    """Orders at the venue's door, all shape [m]: arrival, +1 buy or -1 sell, base quantity.

    `limit` is the price to rest at (NaN: the near touch when the order is laid). The order is
    cancelled after `until_us`. A quantity that is not above 0, NaN included, is no order.
    `queue_multiple` times the size shown stands ahead of it; of what others show at its price
    `depth_share` is really there. `half_spread_bps` is read by `rest_on_bars` alone.
    """

    arrive_us: I64
    until_us: I64
    side: I8
    quantity: F64
    limit: F64
    queue_multiple: F64
    depth_share: F64
    half_spread_bps: F64


class Rested(NamedTuple):
    """Per order, shape [m]: UNFILLED or FILLED, instant of the last part, quantity filled.

    `mid` is that of the last usable quote before the one that showed the first part: price against
    it is the half-spread that the order earned. NaN where nothing was filled.
    """

    state: I8
    at_us: I64
    mid: F64
    price: F64
    filled: F64


@njit(cache=True)
def _nothing(m: int) -> Rested:
    return Rested(
        np.zeros(m, dtype=np.int8),
        np.zeros(m, dtype=np.int64),
        np.full(m, np.nan),
        np.full(m, np.nan),
        np.zeros(m),
    )


@njit(cache=True)
def _touched(level: float, reach: float, size: float, shown: float) -> bool:
    """Whether a quote shows anything that a trade at the price could have left behind."""
    if reach <= 0.0:
        return True
    if level < 0.0:
        return bool(shown != 0.0)
    # An unknown size is NaN: the near side was better than the price and has come down to it.
    return bool(level == 0.0 and not size >= shown)


@njit(cache=True)
def _rest(
    book: Book, orders: Resting, j: int, laid: int, rule: int, max_age_us: int, traded_share: float
) -> tuple[float, int, int]:
    """(quantity filled, quote that showed the last part, last usable quote before the first)."""
    side, quantity, limit = orders.side[j], orders.quantity[j], orders.limit[j]
    near, size = (book.bid, book.bid_qty) if side > 0 else (book.ask, book.ask_qty)
    far, far_size = (book.ask, book.ask_qty) if side > 0 else (book.bid, book.bid_qty)
    level = 0.0 if np.isnan(limit) else side * (near[laid] - limit)
    if np.isnan(limit):
        limit = near[laid]
    elif side * (far[laid] - limit) <= 0.0:
        return 0.0, laid, laid
    shown = np.nan if level > 0.0 else (size[laid] if level == 0.0 else 0.0)
    ahead = np.inf if level > 0.0 else orders.queue_multiple[j] * shown
    met, left, at, before, last = 0.0, quantity, laid, laid, laid
    k = laid + 1
    while k < book.ts_us.size and book.ts_us[k] <= orders.until_us[j]:
        if not usable(book, k, 0, max_age_us):
            k += 1
            continue
        part = 0.0
        level, reach = side * (near[k] - limit), side * (far[k] - limit)
        now = np.nan if level > 0.0 else (size[k] if level == 0.0 else 0.0)
        if rule == TOUCH:
            part = left if _touched(level, reach, now, shown) else 0.0
        elif rule == QUEUE and level <= 0.0:
            traded = traded_share * (shown - now) if shown > now else 0.0
            part = max(0.0, traded - ahead)
            ahead = min(max(0.0, ahead - traded), orders.queue_multiple[j] * now)
        shown = now
        if reach < 0.0:
            part = left
        elif reach == 0.0 and orders.depth_share[j] * far_size[k] > met:
            part += orders.depth_share[j] * far_size[k] - met
            met = orders.depth_share[j] * far_size[k]
        if part > 0.0:
            before = last if left == quantity else before
            left, at = max(0.0, left - part), k
        if left == 0.0:
            break
        last = k
        k += 1
    return quantity - left, at, before


@njit(cache=True)
def rest_on_quotes(
    book: Book, orders: Resting, rule: int, max_age_us: int, traded_share: float
) -> Rested:
    """Fill resting orders by `rule` from the quotes that come after each was laid.

    An order is laid on the first usable quote that stands at its arrival or comes after it, and a
    given limit that would take there is not sent. Quotes are usable as for `fill_on_quotes`; others
    say nothing. `traded_share` is the share of a shrinking of the size shown that counts as
    traded. An order whose `queue_multiple` or `depth_share` is NaN is not sent.
    Cost: O(m log n) plus the quotes waited through.
    """
    out = _nothing(orders.arrive_us.size)
    hint = 0
    for j in range(orders.arrive_us.size):
        arrive = orders.arrive_us[j]
        sent = orders.quantity[j] > 0.0 and orders.until_us[j] >= arrive
        known = 0.0 <= orders.queue_multiple[j] < np.inf and orders.depth_share[j] > 0.0
        if not (sent and known):
            continue
        laid, _, how = quote_index(book, arrive, orders.until_us[j] - arrive, max_age_us, hint)
        if how == UNFILLED:
            continue
        hint = laid
        filled, at, before = _rest(book, orders, j, laid, rule, max_age_us, traded_share)
        if filled > 0.0:
            out.state[j], out.at_us[j], out.filled[j] = FILLED, book.ts_us[at], filled
            out.mid[j] = 0.5 * (book.bid[before] + book.ask[before])
            near = book.bid[laid] if orders.side[j] > 0 else book.ask[laid]
            out.price[j] = near if np.isnan(orders.limit[j]) else orders.limit[j]
    return out


@njit(cache=True)
def rest_on_bars(bars: Candles, orders: Resting, rule: int, tick: float) -> Rested:
    """Fill resting orders from bars: TOUCH at a low at the price, else at one a tick beyond it.

    The order is laid at the open of the first tradable bar that opens at or after its arrival, half
    the assumed spread from it, rounded away from it to a whole `tick` (highs and up for a sell). A
    bar fills the whole order or nothing, and does so at its close; one that closes after `until_us`
    comes too late. Bars without a trade, or with an open, low or high that is not finite and
    positive, say nothing. The mid is the open that the order was laid from.
    """
    n = bars.open_us.size
    out = _nothing(orders.arrive_us.size)
    through = 1e-6 * tick if rule == TOUCH else (1e-6 - 1.0) * tick
    for j in range(orders.arrive_us.size):
        half, side = orders.half_spread_bps[j] * 1e-4, orders.side[j]
        if not (orders.quantity[j] > 0.0 and half >= 0.0):
            continue
        limit, mid = np.nan, np.nan
        k = np.searchsorted(bars.open_us, orders.arrive_us[j], side="left")
        while k < n and bars.close_us[k] <= orders.until_us[j]:
            extreme = bars.low[k] if side > 0 else bars.high[k]
            if bars.tradable[k] and 0.0 < bars.open[k] < np.inf and 0.0 < extreme < np.inf:
                if np.isnan(mid):
                    mid, limit = bars.open[k], orders.limit[j]
                    if np.isnan(limit):
                        ticks = side * mid * (1.0 - side * half) / tick
                        limit = side * np.floor(ticks + 1e-6) * tick
                    elif side * (mid * (1.0 + side * half) - limit) <= 0.0:
                        break
                if limit > 0.0 and side * (extreme - limit) <= through:
                    out.state[j], out.at_us[j] = FILLED, bars.close_us[k]
                    out.mid[j], out.price[j], out.filled[j] = mid, limit, orders.quantity[j]
                    break
            k += 1
    return out
