"""Matching: which live orders trade at a touch or inside a bar, at which price, and the fill.

Belongs here: the rules of the three tiers. Takers (market orders, triggered stops) come before
limit orders, and each in order of arrival. Not here: the clock (`venue`), the life of orders
(`venue_orders`), sums (`venue_money`). Oracle: `quantlab_pipeline_tests/oracles/venue.py`.
"""

from __future__ import annotations

from numba import njit

from quantlab_pipeline.kernels import venue_words as w
from quantlab_pipeline.kernels.venue_money import affordable, conserved, portion, revalue
from quantlab_pipeline.kernels.venue_orders import cancel_others, end_order
from quantlab_pipeline.kernels.venue_words import I64


@njit(cache=True, inline="always")
def _trade(state: I64, log: I64, j: int, lots: int, price: int, rate: int, now: int) -> None:
    """Cash, position, equity and the log's next row."""
    value = lots * price * state[w.UNIT]
    fee = portion(abs(value), rate)
    revalue(state, price * state[w.UNIT])
    state[w.CASH] -= value + fee
    state[w.LOTS] += lots
    state[w.EQUITY] -= fee
    n = state[w.N_FILLS]
    log[n, w.F_ORDER], log[n, w.F_AT], log[n, w.F_LOTS] = j, now, lots
    log[n, w.F_TICKS], log[n, w.F_FEE] = price, fee
    state[w.NET] += log[n, w.F_LOTS]
    state[w.N_FILLS] = n + 1


@njit(cache=True)
def fill(
    state: I64,
    book: I64,
    queue: I64,
    log: I64,
    j: int,
    lots: int,
    price: int,
    maker: bool,
    now: int,
) -> bool:
    """Trade signed `lots` of order `j` at `price`; False: spot cannot pay, and the order ends."""
    if state[w.MARGIN] == 0:
        why = w.NO_REASON
        if lots > 0 and not affordable(state, lots, price):
            why = w.NO_CASH
        elif lots < 0 and -lots > state[w.LOTS]:
            why = w.NO_POSITION
        if why != w.NO_REASON:
            end_order(state, book, queue, j, w.CANCELLED, why, now)
            return False
    rate = state[w.MAKER] if maker else state[w.TAKER]
    if book[j, w.O_KIND] == w.LIQUIDATION:
        rate += state[w.EXTRA]
    log[state[w.N_FILLS], w.F_MAKER] = maker
    _trade(state, log, j, lots, price, rate, now)
    size = abs(book[j, w.O_LOTS])
    book[j, w.O_DONE] += abs(lots)
    if state[w.BROKEN] == 0 and not (conserved(state) and book[j, w.O_DONE] <= size):
        state[w.BROKEN] = state[w.N_FILLS]
    cancel_others(state, book, queue, j, now)
    if book[j, w.O_DONE] == size:
        end_order(state, book, queue, j, w.FILLED, w.NO_REASON, now)
    return True


@njit(cache=True, inline="always")
def _wanted(state: I64, book: I64, queue: I64, j: int, now: int) -> int:
    """Lots that order `j` may still trade, signed; 0 where it ends for want of a position."""
    lots, held = book[j, w.O_LOTS], state[w.LOTS]
    left = lots - book[j, w.O_DONE] if lots > 0 else lots + book[j, w.O_DONE]
    if book[j, w.O_REDUCES] == 0:
        return int(left)
    if (lots > 0) == (held > 0) or held == 0:
        end_order(state, book, queue, j, w.CANCELLED, w.NOTHING_TO_REDUCE, now)
        return 0
    return int(min(left, -held) if lots > 0 else max(left, -held))


@njit(cache=True, inline="always")
def take(
    state: I64,
    book: I64,
    queue: I64,
    log: I64,
    j: int,
    lots: int,
    price: int,
    maker: bool,
    now: int,
) -> None:
    """Trade signed `lots` at `price` up to the size left at the touch.

    What a taker wants beyond it waits, or (WALK >= 0) is paid at the level of its last lot: every
    further size as large as the one shown lies WALK ticks further away, up to twice the touch.
    """
    buy = lots > 0
    sign = 1 if buy else -1
    left, shown = (w.ASK_LEFT, w.ASK_SHOWN) if buy else (w.BID_LEFT, w.BID_SHOWN)
    first = min(abs(lots), max(state[left], 0))
    if first > 0:
        if not fill(state, book, queue, log, j, sign * first, price, maker, now):
            return
        state[left] -= first
    rest = abs(lots) - first
    if rest > 0 and state[w.WALK] >= 0 and book[j, w.O_KIND] != w.LIMIT:
        levels = (rest - state[left] + state[shown] - 1) // state[shown]
        further = min(max(1, price + sign * state[w.WALK] * levels), 2 * price)
        if fill(state, book, queue, log, j, sign * rest, further, maker, now):
            state[left] -= rest


@njit(cache=True, inline="always")
def reaches(state: I64, book: I64, j: int) -> bool:
    """Whether order `j` can trade at the touch: a limit no worse, a stop no better than its own."""
    kind = book[j, w.O_KIND]
    if book[j, w.O_LOTS] > 0:
        worse = state[w.ASK] - book[j, w.O_PRICE]
    else:
        worse = book[j, w.O_PRICE] - state[w.BID]
    if kind == w.LIMIT:
        return bool(worse <= 0)
    return bool(kind != w.STOP or worse >= 0 or book[j, w.O_TRIGGERED] != 0)


@njit(cache=True)
def take_touch(state: I64, book: I64, queue: I64, log: I64, j: int, now: int) -> None:
    """Order `j`, which reaches it, against the touch.

    A limit that rested when its quote came makes, at its own price; all else takes.
    """
    price, maker = state[w.ASK] if book[j, w.O_LOTS] > 0 else state[w.BID], False
    if book[j, w.O_KIND] == w.STOP:
        book[j, w.O_TRIGGERED] = 1
    elif book[j, w.O_KIND] == w.LIMIT and state[w.QUOTE] >= 0 and book[j, w.O_DUE] < now:
        price, maker = book[j, w.O_PRICE], True
    lots = _wanted(state, book, queue, j, now)
    if lots != 0:
        take(state, book, queue, log, j, lots, price, maker, now)


@njit(cache=True, inline="always")
def _take_range(state: I64, book: I64, queue: I64, log: I64, j: int, bars: I64, i: int) -> None:
    """Order `j` inside bar `i`, after its open: a stop on the cross, a limit at its own price.

    Should the bar have jumped past that price unseen (its open is unknown), a stop pays the near
    end of the range and a limit gets no better than its far end.
    """
    buy, own = book[j, w.O_LOTS] > 0, book[j, w.O_PRICE]
    low, high, away = bars[i, w.B_LOW], bars[i, w.B_HIGH], bars[i, w.B_AWAY]
    limit, now = book[j, w.O_KIND] == w.LIMIT, bars[i, w.B_CLOSES]
    if limit:
        reached = low <= own if buy else high >= own
        price = min(own, high + away) if buy else max(own, low - away)
    else:
        reached = high >= own if buy else low <= own
        price = max(own, low) + away if buy else max(1, min(own, high) - away)
    if not reached:
        return
    if not limit:
        book[j, w.O_TRIGGERED] = 1
    lots = _wanted(state, book, queue, j, now)
    if lots != 0:
        fill(state, book, queue, log, j, lots, price, limit, now)


@njit(cache=True, inline="always")
def match_touch(state: I64, book: I64, queue: I64, log: I64, now: int) -> None:
    """All live orders against a new touch."""
    for limits in (False, True):
        for i in range(state[w.N_LIVE]):
            j = queue[w.LIVE_LIST, i]
            due = book[j, w.O_STATUS] == w.LIVE and (book[j, w.O_KIND] == w.LIMIT) == limits
            if due and reaches(state, book, j):
                take_touch(state, book, queue, log, j, now)


@njit(cache=True, inline="always")
def match_range(state: I64, book: I64, queue: I64, log: I64, bars: I64, i: int) -> None:
    """All stops and limits that were live from bar `i`'s open to its close against its range."""
    for kind in (w.STOP, w.LIMIT):
        for n in range(state[w.N_LIVE]):
            j = queue[w.LIVE_LIST, n]
            waits = book[j, w.O_KIND] == kind and book[j, w.O_TRIGGERED] == 0
            if waits and book[j, w.O_STATUS] == w.LIVE and book[j, w.O_DUE] <= bars[i, w.B_OPENS]:
                _take_range(state, book, queue, log, j, bars, i)
