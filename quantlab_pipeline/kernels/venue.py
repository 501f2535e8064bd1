"""The account-and-orders machine: one account's orders against one symbol's tape, event by event.

Belongs here: the clock. An order is good up to and including its last instant. At one instant
funding comes first, then data (the bar that closes, the bar that opens, the quote, the mark), then
orders, new ones before children. The rules are in
`venue_match`, `venue_orders` and `venue_money`, the words in `venue_words`. Oracle:
`quantlab_pipeline_tests/oracles/venue.py`.

The tiers differ by their tape alone: bars whose B_AWAY is 0 are T0, bars with costs T1, quotes
BRIDGE.

Bars. An order acts at the first open at or after its arrival, inside that bar if it is live from
the bar's open to its close, and so on. At the open (moved by B_AWAY against it) a market order
trades, a stop that was crossed (never better than its price), and a limit that was crossed (better
than its price, as a taker). Inside the bar, whose path is unknown, stops trade before limits: a
stop-loss before a take-profit. What happens inside a bar is dated at its close; a child that it
sends acts from the next open on.

Quotes. A quote is usable as in `execution`: prices and sizes above 0, bid < ask, not too old. A
market order takes the opposite touch standing at its arrival, at most the size left there (see
`venue_match.take`); a stop is triggered by that touch; a limit that crosses it on arrival takes,
and one that rests is filled at its own price by every quote that reaches it, up to the size shown.
Each row shows its size anew.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from quantlab_pipeline.kernels import venue_words as w
from quantlab_pipeline.kernels.venue_match import match_range, match_touch, reaches, take_touch
from quantlab_pipeline.kernels.venue_money import conserved, margin_covers, revalue, times_fixed
from quantlab_pipeline.kernels.venue_orders import (
    arrive,
    doom,
    expire,
    new_book,
    next_child,
    orphan,
    tidy,
)
from quantlab_pipeline.kernels.venue_words import I64, NEVER, Account, Ran, Tape

_NOBODY, _ALL = -1, -2
"""Who meets the touch after an event, where it is not one order's row."""


def _new_state(account: Account) -> I64:
    state = np.zeros(w.N_STATE, dtype=np.int64)
    state[w.CASH] = state[w.EQUITY] = account.cash
    state[w.DOOMED] = state[w.NEXT_DUE] = state[w.NEXT_EXPIRY] = NEVER
    state[w.OPENED], state[w.QUOTE] = -NEVER, -1
    state[w.MARGIN], state[w.UNIT] = account.margin, account.unit
    state[w.INITIAL], state[w.MAINTENANCE] = account.initial_e8, account.maintenance_e8
    state[w.MAKER], state[w.TAKER] = account.maker_e8, account.taker_e8
    state[w.EXTRA], state[w.LATENCY] = account.liquidation_e8, account.latency_us
    state[w.MAX_AGE], state[w.WALK] = account.max_age_us, account.walk_ticks
    state[w.MOST] = account.most_lots
    return state


@njit(cache=True, inline="always")
def _read_quote(state: I64, quotes: I64, i: int) -> None:
    state[w.QUOTE] = i
    state[w.BID], state[w.ASK] = quotes[i, w.Q_BID], quotes[i, w.Q_ASK]
    state[w.BID_SHOWN] = state[w.BID_LEFT] = quotes[i, w.Q_BID_LOTS]
    state[w.ASK_SHOWN] = state[w.ASK_LEFT] = quotes[i, w.Q_ASK_LOTS]


@njit(cache=True, inline="always")
def _stands(state: I64, quotes: I64, i: int, now: int) -> bool:
    """Whether there is a touch to trade on now; `i` is the next piece of data."""
    if quotes.shape[0] == 0:
        return bool(state[w.OPENED] == now)
    if i == 0:
        return False
    if state[w.QUOTE] != i - 1:
        _read_quote(state, quotes, i - 1)
    shown = state[w.BID_SHOWN] > 0 and state[w.ASK_SHOWN] > 0
    age = quotes[i - 1, w.Q_AGE] + now - quotes[i - 1, w.Q_AT]
    return bool(shown and 0 < state[w.BID] < state[w.ASK] and age <= state[w.MAX_AGE])


@njit(cache=True, inline="always")
def _show_open(state: I64, bars: I64, i: int) -> None:
    """Show bar `i`'s open, if it has one, as a touch of endless size."""
    price, away = bars[i, w.B_OPEN], bars[i, w.B_AWAY]
    if price <= 0:
        return
    state[w.OPENED] = bars[i, w.B_OPENS]
    state[w.BID], state[w.ASK] = max(1, price - away), price + away
    state[w.BID_SHOWN] = state[w.BID_LEFT] = NEVER
    state[w.ASK_SHOWN] = state[w.ASK_LEFT] = NEVER


@njit(cache=True, inline="always")
def _fails_on_mark(state: I64, units: int) -> bool:
    """Take a new mark; whether maintenance fails. It is checked here alone, never on a trade."""
    if units <= 0:
        return False
    state[w.MARK] = units
    revalue(state, units)
    if state[w.MARGIN] == 0 or state[w.LOTS] == 0 or state[w.DOOMED] < NEVER:
        return False
    return not margin_covers(state, state[w.LOTS], state[w.MAINTENANCE])


@njit(cache=True, inline="always")
def _settle(state: I64, payments: I64, settled: I64, f: int) -> None:
    if state[w.LOTS] == 0:
        return
    units = times_fixed(
        -state[w.LOTS], settled[f, w.S_UNITS], settled[f, w.S_E9], settled[f, w.S_E18]
    )
    state[w.CASH] += units
    state[w.EQUITY] += units
    n = state[w.N_PAID]
    payments[n, w.P_SETTLEMENT], payments[n, w.P_LOTS], payments[n, w.P_UNITS] = (
        f,
        state[w.LOTS],
        units,
    )
    state[w.N_PAID] = n + 1


@njit(cache=True, inline="always")
def _data_us(quotes: I64, bars: I64, i: int) -> int:
    """Instant of the i-th piece of data: a quote, or open and close of bars in turn."""
    at = NEVER
    if i < quotes.shape[0]:
        at = quotes[i, w.Q_AT]
    elif i < 2 * bars.shape[0]:
        at = bars[i // 2, w.B_CLOSES if i % 2 else w.B_OPENS]
    return int(at)


@njit(cache=True)
def advance(
    state: I64, book: I64, queue: I64, log: I64, payments: I64, path: I64, tape: Tape, watch: int
) -> bool:
    """Go on, event by event; False where the log has no room for the next event's fills."""
    quotes, bars, marks, settled = tape
    i, j, k, f = state[w.I_DATA], state[w.I_ORDER], state[w.I_MARK], state[w.I_SETTLED]
    quoted, more = quotes.shape[0] > 0, True
    while state[w.BROKEN] == 0:
        if state[w.ENDED] != 0:
            tidy(state, book, queue)
        while j < book.shape[0] and (book[j, w.O_PARENT] >= 0 or book[j, w.O_STATUS] != w.WAITING):
            j += 1
        own_us = book[j, w.O_ARRIVES] if j < book.shape[0] else NEVER
        mark_us = marks[k, w.M_AT] if k < marks.shape[0] else NEVER
        stamp_us = settled[f, w.S_AT] if f < settled.shape[0] else NEVER
        order_us = min(own_us, state[w.NEXT_DUE], state[w.NEXT_EXPIRY])
        if state[w.N_LIVE] == 0:
            # Nothing trades on these quotes: only the last one can be met.
            while i < quotes.shape[0] and quotes[i, w.Q_AT] <= min(order_us, mark_us):
                i += 1
        data_us = _data_us(quotes, bars, i)
        now = min(stamp_us, data_us, mark_us, order_us)
        if now >= NEVER:
            break
        # Two fills for each live order and for the one that comes.
        if state[w.N_FILLS] + 2 * state[w.N_LIVE] + 2 > log.shape[0]:
            more = False
            break
        meets, noted = _NOBODY, -1
        if state[w.NEXT_EXPIRY] == now:
            expire(state, book, queue, now)
        elif stamp_us == now:
            _settle(state, payments, settled, f)
            f += 1
        elif data_us == now and (quoted or i % 2 == 0):
            if not quoted:
                _show_open(state, bars, i // 2)
            meets, i = _ALL, i + 1
        elif data_us == now:
            bar, i = i // 2, i + 1
            if state[w.N_LIVE] > 0 and 0 < bars[bar, w.B_LOW] <= bars[bar, w.B_HIGH]:
                match_range(state, book, queue, log, bars, bar)
            if bars[bar, w.B_CLOSE] > 0:
                revalue(state, bars[bar, w.B_CLOSE] * state[w.UNIT])
            noted = bar if watch == w.AT_CLOSES else -1
        elif mark_us == now:
            if _fails_on_mark(state, marks[k, w.M_UNITS]):
                doom(state, book, queue, now)
                meets = book.shape[0] - 1
            noted = k if watch == w.AT_MARKS else -1
            k += 1
        else:
            o = j if own_us == now else next_child(state, book, queue)
            if book[o, w.O_STATUS] == w.WAITING and arrive(state, book, queue, o, now):
                meets = o
        if meets != _NOBODY and state[w.N_LIVE] > 0 and _stands(state, quotes, i, now):
            if meets == _ALL:
                match_touch(state, book, queue, log, now)
            elif reaches(state, book, meets):
                take_touch(state, book, queue, log, meets, now)
        if noted >= 0:
            path[noted] = state[w.EQUITY]
        if not conserved(state) and state[w.BROKEN] == 0:
            state[w.BROKEN] = state[w.N_FILLS] + 1
    state[w.I_DATA], state[w.I_ORDER], state[w.I_MARK], state[w.I_SETTLED] = i, j, k, f
    return more


def run(tape: Tape, orders: I64, account: Account, watch: int) -> Ran:
    """Run an account through a tape, from its first event to the last of tape and orders [m, 8].

    `watch` says when equity is noted: NO_WATCH, AT_CLOSES [bars] or AT_MARKS [marks]. The caller
    has seen to it that instants rise, parents come first, and the account's cash and `most_lots` at
    any price stay below 2^61 units. Cost: O(rows x live orders); rows alone where no order is live.
    Plain Python around `advance`, which spares compiling what is done once.
    """
    state, book = _new_state(account), new_book(orders)
    queue = np.zeros((2, book.shape[0]), dtype=np.int64)
    log = np.zeros((2 * book.shape[0], w.N_FILL), dtype=np.int64)
    payments = np.zeros((tape.settlements.shape[0], 3), dtype=np.int64)
    path = np.zeros((0, tape.bars.shape[0], tape.marks.shape[0])[watch], dtype=np.int64)
    while not advance(state, book, queue, log, payments, path, tape, watch):
        log = np.concatenate([log, np.zeros_like(log)])
    orphan(book)
    return Ran(book, log[: state[w.N_FILLS]], payments[: state[w.N_PAID]], path, state)
