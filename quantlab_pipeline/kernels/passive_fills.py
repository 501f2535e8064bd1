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

from quantlab_pipeline.kernels.execution import FILLED, UNFILLED, Book, find_quote

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

    `mid` is as far from the price as half the spread, the order included, of the last usable quote
    before the one that showed the first part: how far the market jumped through the price between
    two quotes is no spread. NaN where nothing was filled.
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


class _Order(NamedTuple):
    """One laid order as the loop over quotes reads it."""

    side: float
    limit: float
    quantity: float
    multiple: float
    depth_share: float
    until_us: int
    laid: int


@njit(cache=True)
def _seen_by(side: int, book: Book) -> Book:
    """The book with the order's own side in the bid's place."""
    if side > 0:
        return book
    return Book(book.ts_us, book.ask, book.ask_qty, book.bid, book.bid_qty, book.age_us)


@njit(cache=True)
def _rest(
    seen: Book, order: _Order, rule: int, max_age_us: int, traded_share: float
) -> tuple[float, int, int]:
    """(quantity filled, quote that showed the last part, last usable quote before the first)."""
    # Arrays as locals: through the tuple each read counts a reference (four times slower).
    ts_us, age_us = seen.ts_us, seen.age_us
    near, size, far, far_size = seen.bid, seen.bid_qty, seen.ask, seen.ask_qty
    side, limit, quantity, laid = order.side, order.limit, order.quantity, order.laid
    level = side * (near[laid] - limit)
    shown = np.nan if level > 0.0 else (size[laid] if level == 0.0 else 0.0)
    ahead = np.inf if level > 0.0 else order.multiple * shown
    met, left, at, before, last = 0.0, quantity, laid, laid, laid
    for k in range(laid + 1, ts_us.size):
        if ts_us[k] > order.until_us:
            break
        level, reach = side * (near[k] - limit), side * (far[k] - limit)
        # As `usable`: what is NaN or not finite fails a comparison.
        sound = 0.0 < near[k] < np.inf and 0.0 < far[k] < np.inf
        sound = sound and side * (far[k] - near[k]) > 0.0
        sized = 0.0 < size[k] < np.inf and 0.0 < far_size[k] < np.inf
        if not (sound and sized and age_us[k] <= max_age_us):
            continue
        part = 0.0
        now = np.nan if level > 0.0 else (size[k] if level == 0.0 else 0.0)
        if rule == TOUCH:
            part = left if _touched(level, reach, now, shown) else 0.0
        elif rule == QUEUE and level <= 0.0:
            traded = traded_share * (shown - now) if shown > now else 0.0
            part = max(0.0, traded - ahead)
            ahead = min(max(0.0, ahead - traded), order.multiple * now)
        shown = now
        if reach < 0.0:
            part = left
        elif reach == 0.0 and order.depth_share * far_size[k] > met:
            part += order.depth_share * far_size[k] - met
            met = order.depth_share * far_size[k]
        if part > 0.0:
            before = last if left == quantity else before
            left, at = max(0.0, left - part), k
        if left == 0.0:
            break
        last = k
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
        laid, _, how = find_quote(
            book, arrive, orders.until_us[j] - arrive, max_age_us, hint, 1, 0.0
        )
        if how == UNFILLED:
            continue
        hint = laid
        side, limit, seen = float(orders.side[j]), orders.limit[j], _seen_by(orders.side[j], book)
        if np.isnan(limit):
            limit = seen.bid[laid]
        elif side * (seen.ask[laid] - limit) <= 0.0:
            continue
        order = _Order(
            side,
            limit,
            orders.quantity[j],
            orders.queue_multiple[j],
            orders.depth_share[j],
            orders.until_us[j],
            laid,
        )
        filled, at, before = _rest(seen, order, rule, max_age_us, traded_share)
        if filled > 0.0:
            out.state[j], out.at_us[j], out.filled[j] = FILLED, book.ts_us[at], filled
            # With the order in the book its near touch is never worse than the order's price.
            best = seen.bid[before] if side * (seen.bid[before] - limit) > 0.0 else limit
            out.price[j], out.mid[j] = limit, limit + 0.5 * (seen.ask[before] - best)
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
