"""Taker fills on a tape of quotes or bars: one order at a time, nothing that orders share.

Belongs here: finding the first usable price for each order and what it costs to take it. Money,
fees, funding and positions are the engine's. Instants are int64 microseconds on one clock. Oracle:
`quantlab_pipeline_tests/oracles/execution.py`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

I64 = npt.NDArray[np.int64]
F64 = npt.NDArray[np.float64]
I8 = npt.NDArray[np.int8]
B1 = npt.NDArray[np.bool_]

UNFILLED, FILLED, FORCED = 0, 1, 2


class Book(NamedTuple):
    """One symbol's quotes, sorted by `ts_us`, all shape [n]; `age_us` is a quote's age then.

    A missing price or size is NaN.
    """

    ts_us: I64
    bid: F64
    bid_qty: F64
    ask: F64
    ask_qty: F64
    age_us: I64


class Bars(NamedTuple):
    """One symbol's bars, sorted by `open_us`, all shape [n]; `tradable`: a trade happened."""

    open_us: I64
    open: F64
    tradable: B1


class Orders(NamedTuple):
    """Orders at the venue's door, all shape [m]: arrival, +1 buy or -1 sell, base quantity.

    `depth_share` of the size shown is really there; it is read by `fill_on_quotes` alone.
    `impact_bps` is the least price concession beyond the touch (NaN: liquidity unknown, no trade);
    `half_spread_bps` is read by `fill_on_bars` alone; `max_wait_us` < 0 means that the order must
    be filled: it waits to the tape's end and is then forced at the last usable price.
    """

    arrive_us: I64
    side: I8
    quantity: F64
    impact_bps: F64
    half_spread_bps: F64
    max_wait_us: I64
    depth_share: F64


class Limits(NamedTuple):
    """What makes a quote usable, what lies behind it, and how far into that an order goes."""

    max_age_us: int
    beyond_depth_bps: float
    spread_scale: float
    max_walk_bps: float


class Fills(NamedTuple):
    """Per order, shape [m].

    UNFILLED, FILLED or FORCED; instant, mid, touch and price (NaN: none).
    """

    state: I8
    at_us: I64
    mid: F64
    touch: F64
    price: F64


@njit(cache=True, nogil=True)
def is_usable(
    bid: float, bid_qty: float, ask: float, ask_qty: float, age_us: int, max_age_us: int
) -> bool:
    """Whether a quote has two prices that do not touch, two sizes, and is young enough."""
    # Comparisons with NaN are false, so a missing price or size is refused here too.
    return bool(
        (bid > 0.0)
        & (bid < ask)
        & (ask < np.inf)
        & (bid_qty > 0.0)
        & (bid_qty < np.inf)
        & (ask_qty > 0.0)
        & (ask_qty < np.inf)
        & (age_us <= max_age_us)
    )


@njit(cache=True, nogil=True)
def usable(book: Book, i: int, waited_us: int, max_age_us: int) -> bool:
    """`is_usable` of quote `i` for an order that has stood on it for `waited_us`."""
    return is_usable(
        book.bid[i],
        book.bid_qty[i],
        book.ask[i],
        book.ask_qty[i],
        book.age_us[i] + waited_us,
        max_age_us,
    )


@njit(cache=True, nogil=True)
def standing_at(ts_us: I64, at_us: int, hint: int) -> int:
    """Index of the last instant <= `at_us` (-1: none), galloping from `hint`, a valid index.

    Orders mostly come in the order of time: the next one is found in a step or two.
    """
    low, high, step = -1, ts_us.size, 1
    if ts_us[hint] <= at_us:
        low = hint
        while low + step < ts_us.size and ts_us[low + step] <= at_us:
            low, step = low + step, step * 2
        high = min(ts_us.size, low + step)
    else:
        high = hint
    while high - low > 1:
        middle = (low + high) >> 1
        if ts_us[middle] <= at_us:
            low = middle
        else:
            high = middle
    return low


@njit(cache=True, nogil=True)
def least_size(quantity: float, depth_share: float, limits: Limits) -> float:
    """The smallest size shown from which `quantity` walks at most `max_walk_bps`.

    With d = x quantity the walk is (B / 2) (1 - x)^2 / x, so that x solves a quadratic.
    """
    if not (limits.beyond_depth_bps > 0.0 and limits.max_walk_bps < np.inf):
        return 0.0
    w = 1.0 + limits.max_walk_bps / limits.beyond_depth_bps
    # The smaller root, in the form that does not cancel.
    return float(quantity / ((w + np.sqrt(w * w - 1.0)) * depth_share))


@njit(cache=True, nogil=True)
def find_quote(
    book: Book,
    arrive_us: int,
    max_wait_us: int,
    max_age_us: int,
    hint: int,
    side: int,
    least: float,
) -> tuple[int, int, int]:
    """(index, instant, state) of the quote that fills an order standing at arrival or after it.

    It must be usable and show at least the size `least` to `side`. None: -1 and UNFILLED, or with
    `max_wait_us` < 0 the last usable quote of any size and FORCED. `hint` is an index near which
    the arrival is looked for.
    """
    n = book.ts_us.size
    if n == 0:
        return -1, 0, UNFILLED
    size = book.ask_qty if side > 0 else book.bid_qty
    at = standing_at(book.ts_us, arrive_us, hint)
    large = at >= 0 and size[at] >= least
    if large and usable(book, at, arrive_us - int(book.ts_us[at]), max_age_us):
        return at, arrive_us, FILLED
    i = at + 1
    while i < n and (max_wait_us < 0 or book.ts_us[i] - arrive_us <= max_wait_us):
        if size[i] >= least and usable(book, i, 0, max_age_us):
            return i, int(book.ts_us[i]), FILLED
        i += 1
    if max_wait_us < 0:
        for k in range(n - 1, -1, -1):
            if usable(book, k, 0, max_age_us):
                return k, max(arrive_us, int(book.ts_us[n - 1])), FORCED
    return -1, 0, UNFILLED


@njit(cache=True, nogil=True)
def take_quote(
    book: Book,
    i: int,
    side: int,
    quantity: float,
    impact_bps: float,
    depth_share: float,
    limits: Limits,
) -> tuple[float, float, float]:
    """(mid, touch, price) of taking `quantity` from quote `i`; see `fill_on_quotes`."""
    depth = depth_share * (book.ask_qty[i] if side > 0 else book.bid_qty[i])
    excess = max(0.0, quantity - depth)
    walk = limits.beyond_depth_bps * excess / (2.0 * depth)
    if quantity > 0.0:
        walk *= excess / quantity
    walk = min(walk, limits.max_walk_bps)
    wider = 0.5 * (book.ask[i] - book.bid[i]) * (limits.spread_scale - 1.0)
    mid = 0.5 * (book.bid[i] + book.ask[i])
    touch = (book.ask[i] if side > 0 else book.bid[i]) + side * wider
    return mid, touch, touch * (1.0 + side * max(walk, impact_bps) * 1e-4)


@njit(cache=True)
def fill_on_quotes(book: Book, orders: Orders, limits: Limits) -> Fills:
    """Fill taker orders at the bid or ask standing at their arrival.

    A usable quote has finite prices, sizes > 0, bid < ask, and is no older than `max_age_us` at the
    moment of the fill; otherwise the order waits for the next usable one, and so it does where the
    quote shows so little that it would walk more than `max_walk_bps`. Price = touch moved against
    the order by max(impact_bps, walk), walk = beyond_depth_bps e / (2 d) on the excess
    e = quantity - d over d = depth_share x size shown, averaged over the whole quantity. An order
    that is forced walks `max_walk_bps` at most. An order whose `depth_share` is not above 0 is not
    sent. `spread_scale` widens the quote about its mid. Cost: O(m log n) plus the quotes waited
    through.
    """
    m = orders.arrive_us.size
    state = np.zeros(m, dtype=np.int8)
    at_us = np.zeros(m, dtype=np.int64)
    mid = np.full(m, np.nan)
    touch = np.full(m, np.nan)
    price = np.full(m, np.nan)
    hint = 0
    for j in range(m):
        share, side, quantity = orders.depth_share[j], orders.side[j], orders.quantity[j]
        if not (orders.impact_bps[j] >= 0.0 and share > 0.0):
            continue
        i, at, how = find_quote(
            book,
            orders.arrive_us[j],
            orders.max_wait_us[j],
            limits.max_age_us,
            hint,
            side,
            least_size(quantity, share, limits),
        )
        if how == UNFILLED:
            continue
        hint = i
        state[j], at_us[j] = how, at
        mid[j], touch[j], price[j] = take_quote(
            book, i, side, quantity, orders.impact_bps[j], share, limits
        )
    return Fills(state, at_us, mid, touch, price)


@njit(cache=True)
def fill_on_bars(bars: Bars, orders: Orders, spread_scale: float) -> Fills:
    """Fill taker orders at the open of the first tradable bar that opens at or after their arrival.

    The open stands for the mid; the touch is the assumed half-spread (times `spread_scale`) away,
    the price another `impact_bps`. A bar whose open is not finite and positive, or which had no
    trade, is skipped. Cost: O(m log n) plus the bars waited through.
    """
    m, n = orders.arrive_us.size, bars.open_us.size
    state = np.zeros(m, dtype=np.int8)
    at_us = np.zeros(m, dtype=np.int64)
    mid = np.full(m, np.nan)
    touch = np.full(m, np.nan)
    price = np.full(m, np.nan)
    for j in range(m):
        if not (orders.impact_bps[j] >= 0.0 and orders.half_spread_bps[j] >= 0.0):
            continue
        arrive, wait = orders.arrive_us[j], orders.max_wait_us[j]
        i = np.searchsorted(bars.open_us, arrive, side="left")
        how = UNFILLED
        while i < n and (wait < 0 or bars.open_us[i] - arrive <= wait):
            if bars.tradable[i] and 0.0 < bars.open[i] < np.inf:
                how, at = FILLED, bars.open_us[i]
                break
            i += 1
        if how == UNFILLED and wait < 0:
            for k in range(n - 1, -1, -1):
                if bars.tradable[k] and 0.0 < bars.open[k] < np.inf:
                    how, at, i = FORCED, max(arrive, bars.open_us[n - 1]), k
                    break
        if how == UNFILLED:
            continue
        side = orders.side[j]
        state[j], at_us[j], mid[j] = how, at, bars.open[i]
        touch[j] = mid[j] * (1.0 + side * orders.half_spread_bps[j] * spread_scale * 1e-4)
        price[j] = touch[j] * (1.0 + side * orders.impact_bps[j] * 1e-4)
    return Fills(state, at_us, mid, touch, price)
