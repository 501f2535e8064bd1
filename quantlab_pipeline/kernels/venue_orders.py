"""The life of an order at the venue: taken in or refused, cancelled, expired, and its children.

Belongs here: the book-keeping of orders and the conditions of their acceptance. Not here: prices
(`venue_match`) and money (`venue_money`). `book` is the table of orders, `queue` its two lists.
Oracle: `quantlab_pipeline_tests/oracles/venue.py`.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from quantlab_pipeline.kernels import venue_words as w
from quantlab_pipeline.kernels.venue_money import affordable, margin_covers
from quantlab_pipeline.kernels.venue_words import I64, NEVER


def new_book(orders: I64) -> I64:
    """The orders [m, 8] before their first event, parents, children and groups linked; and a last
    row for the venue's own order [m + 1, 17]. Plain Python: it is done once.
    """
    m = orders.shape[0]
    book = np.zeros((m + 1, w.N_BOOK), dtype=np.int64)
    book[:m, : w.N_ORDER] = orders
    book[m, [w.O_ARRIVES, w.O_EXPIRES]] = NEVER
    book[m, w.O_KIND] = w.LIQUIDATION
    book[m, [w.O_PARENT, w.O_GROUP]] = -1
    book[:, w.O_DUE] = book[:, w.O_ARRIVES]
    book[:, [w.O_CHILD, w.O_SIBLING]] = -1
    book[:, w.O_RING] = np.arange(m + 1)
    for j in np.flatnonzero(book[:, w.O_PARENT] >= 0)[::-1].tolist():
        parent = book[j, w.O_PARENT]
        book[j, w.O_SIBLING], book[parent, w.O_CHILD] = book[parent, w.O_CHILD], j
    last: dict[int, int] = {}
    for j in np.flatnonzero(book[:, w.O_GROUP] >= 0).tolist():
        group = int(book[j, w.O_GROUP])
        before = last.get(group, j)
        book[j, w.O_RING], book[before, w.O_RING] = book[before, w.O_RING], j
        last[group] = j
    return book


@njit(cache=True)
def end_order(
    state: I64, book: I64, queue: I64, j: int, status: int, reason: int, now: int
) -> None:
    """End order `j`. If any of it was filled its children are sent, for no more than that part."""
    book[j, w.O_STATUS], book[j, w.O_REASON] = status, reason
    state[w.ENDED] = 1
    done = book[j, w.O_DONE]
    if done == 0:
        return
    c = book[j, w.O_CHILD]
    while c >= 0:
        if book[c, w.O_STATUS] == w.WAITING:
            if status != w.FILLED:
                book[c, w.O_LOTS] = min(max(book[c, w.O_LOTS], -done), done)
            due = max(book[c, w.O_DUE], now + state[w.LATENCY])
            book[c, w.O_DUE] = due
            queue[w.DUE_LIST, state[w.N_DUE]] = c
            state[w.N_DUE] += 1
            state[w.NEXT_DUE] = min(state[w.NEXT_DUE], due)
        c = book[c, w.O_SIBLING]


@njit(cache=True, inline="always")
def cancel_others(state: I64, book: I64, queue: I64, j: int, now: int) -> None:
    """Cancel the orders of `j`'s group that have not ended, arrived or not."""
    k = book[j, w.O_RING]
    while k != j:
        if book[k, w.O_STATUS] <= w.LIVE:
            end_order(state, book, queue, k, w.CANCELLED, w.OTHER_FILLED, now)
        k = book[k, w.O_RING]


@njit(cache=True, inline="always")
def next_child(state: I64, book: I64, queue: I64) -> int:
    """Take the child that is due first out of the list: by instant, then by row."""
    n, at, first, after = state[w.N_DUE], 0, NEVER, NEVER
    for k in range(n):
        c = queue[w.DUE_LIST, k]
        if book[c, w.O_DUE] == state[w.NEXT_DUE] and c < first:
            at, first = k, c
    queue[w.DUE_LIST, at] = queue[w.DUE_LIST, n - 1]
    for k in range(n - 1):
        after = min(after, book[queue[w.DUE_LIST, k], w.O_DUE])
    state[w.N_DUE], state[w.NEXT_DUE] = n - 1, after
    return first


@njit(cache=True, inline="always")
def _worst_position(state: I64, book: I64, queue: I64, lots: int) -> int:
    """The position if `lots` and all that is live on its side were filled."""
    worst = state[w.LOTS] + lots
    for i in range(state[w.N_LIVE]):
        k = queue[w.LIVE_LIST, i]
        other = book[k, w.O_LOTS]
        if book[k, w.O_REDUCES] == 0 and (other > 0) == (lots > 0):
            left = abs(other) - book[k, w.O_DONE]
            worst += left if lots > 0 else -left
    return int(worst)


@njit(cache=True, inline="always")
def refusal(state: I64, book: I64, queue: I64, j: int) -> int:
    """Why the venue does not take order `j` (NO_REASON: it does).

    Spot sells no more than is held and buys no more at the order's own price than cash covers (a
    market order has none, and is held against cash at its fill). A perpetual needs the initial
    margin, at the mark, of the largest position to which the live orders of this side could lead,
    unless that position is no larger than the one held.
    """
    lots, held = book[j, w.O_LOTS], state[w.LOTS]
    if book[j, w.O_REDUCES] != 0:
        against = (lots > 0 and held < 0) or (lots < 0 and held > 0)
        return w.NO_REASON if against else w.NOTHING_TO_REDUCE
    worst = _worst_position(state, book, queue, lots)
    if abs(worst) > state[w.MOST]:
        return w.TOO_LARGE
    if state[w.MARGIN] == 0:
        if lots < 0:
            return w.NO_REASON if -lots <= held else w.NO_POSITION
        if book[j, w.O_KIND] == w.MARKET or affordable(state, lots, book[j, w.O_PRICE]):
            return w.NO_REASON
        return w.NO_CASH
    if abs(worst) <= abs(held):
        return w.NO_REASON
    if state[w.MARK] <= 0:
        return w.NO_MARK
    return w.NO_REASON if margin_covers(state, worst, state[w.INITIAL]) else w.NO_MARGIN


@njit(cache=True)
def arrive(state: I64, book: I64, queue: I64, j: int, now: int) -> bool:
    """Whether order `j`, arriving now, is live."""
    book[j, w.O_DUE], book[j, w.O_REACHED] = now, 1
    if state[w.DOOMED] < NEVER:
        end_order(state, book, queue, j, w.REJECTED, w.LIQUIDATED, now)
        return False
    if book[j, w.O_EXPIRES] < now:
        end_order(state, book, queue, j, w.EXPIRED, w.NO_REASON, now)
        return False
    why = refusal(state, book, queue, j)
    if why != w.NO_REASON:
        end_order(state, book, queue, j, w.REJECTED, why, now)
        return False
    book[j, w.O_STATUS] = w.LIVE
    queue[w.LIVE_LIST, state[w.N_LIVE]] = j
    state[w.N_LIVE] += 1
    state[w.NEXT_EXPIRY] = min(state[w.NEXT_EXPIRY], book[j, w.O_EXPIRES] + 1)
    return True


@njit(cache=True, inline="always")
def expire(state: I64, book: I64, queue: I64, now: int) -> None:
    """End the live orders whose last instant was before `now`."""
    for i in range(state[w.N_LIVE]):
        j = queue[w.LIVE_LIST, i]
        if book[j, w.O_EXPIRES] < now:
            end_order(state, book, queue, j, w.EXPIRED, w.NO_REASON, now)


@njit(cache=True, inline="always")
def tidy(state: I64, book: I64, queue: I64) -> None:
    """Drop from the list of live orders what has ended."""
    kept, first = 0, NEVER
    for i in range(state[w.N_LIVE]):
        j = queue[w.LIVE_LIST, i]
        if book[j, w.O_STATUS] == w.LIVE:
            queue[w.LIVE_LIST, kept] = j
            kept += 1
            first = min(first, book[j, w.O_EXPIRES] + 1)
    state[w.N_LIVE], state[w.NEXT_EXPIRY], state[w.ENDED] = kept, first, 0


@njit(cache=True, inline="always")
def doom(state: I64, book: I64, queue: I64, now: int) -> None:
    """Liquidate the account: what is live is cancelled, the venue's own order closes the position,
    and no other is accepted any more.
    """
    state[w.DOOMED] = now
    for i in range(state[w.N_LIVE]):
        j = queue[w.LIVE_LIST, i]
        end_order(state, book, queue, j, w.CANCELLED, w.LIQUIDATED, now)
    own = book.shape[0] - 1
    book[own, w.O_LOTS], book[own, w.O_STATUS], book[own, w.O_DUE] = -state[w.LOTS], w.LIVE, now
    book[own, w.O_REACHED] = 1
    queue[w.LIVE_LIST, 0] = own
    state[w.N_LIVE], state[w.NEXT_EXPIRY] = 1, NEVER


def orphan(book: I64) -> None:
    """Cancel children whose parents ended without a fill. A parent comes before its children."""
    for j in np.flatnonzero(book[:, w.O_PARENT] >= 0).tolist():
        parent = book[book[j, w.O_PARENT]]
        unfilled = parent[w.O_STATUS] > w.LIVE and parent[w.O_DONE] == 0
        if book[j, w.O_STATUS] == w.WAITING and unfilled:
            book[j, w.O_STATUS], book[j, w.O_REASON] = w.CANCELLED, w.PARENT_ENDED
