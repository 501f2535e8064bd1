"""The words of the venue's kernels: the columns of their tables, the codes, and the state's slots.

Belongs here: names and units. Not here: any rule (`venue_money`, `venue_orders`, `venue_match`, and
the clock in `venue`). A table is an int64 array [rows, columns] and everything in it is whole:
prices in ticks, sizes in lots, cash in units, rates in 1e-8, instants in microseconds. A price or
size that is unknown is 0.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

I64 = npt.NDArray[np.int64]

NEVER = 1 << 62
"""An instant after all others, and a size that no order exceeds."""

Q_AT, Q_BID, Q_BID_LOTS, Q_ASK, Q_ASK_LOTS, Q_AGE = 0, 1, 2, 3, 4, 5
"""A quote: instant, top of the book, its age at that instant."""

B_OPENS, B_CLOSES, B_OPEN, B_HIGH, B_LOW, B_CLOSE, B_AWAY = 0, 1, 2, 3, 4, 5, 6
"""A bar. B_AWAY: a taker's concession in ticks, half-spread and slippage; 0: without costs."""

M_AT, M_UNITS = 0, 1
"""A mark: instant, one lot's value in units."""

S_AT, S_UNITS, S_E9, S_E18 = 0, 1, 2, 3
"""A settlement: instant; a lot pays units + e9 x 1e-9 + e18 x 1e-18, the last two in [0, 1e9)."""

O_ARRIVES, O_KIND, O_LOTS, O_PRICE, O_EXPIRES, O_PARENT, O_GROUP, O_REDUCES = 0, 1, 2, 3, 4, 5, 6, 7
N_ORDER = 8
"""Columns of an order as it is given, sorted by arrival.

O_LOTS > 0 buys; O_PRICE: the limit, or the stop's trigger; O_PARENT: an earlier row, or -1;
O_GROUP, from 0: the set of which one fill cancels the others, or -1.
"""

O_STATUS, O_REASON, O_DONE, O_DUE, O_REACHED, O_TRIGGERED = 8, 9, 10, 11, 12, 13
O_CHILD, O_SIBLING, O_RING, N_BOOK = 14, 15, 16, 17
"""Further columns of an order as the venue keeps it.

O_DONE: lots filled; O_DUE: when it arrived, or is to; O_REACHED: it did; O_TRIGGERED: the stop was
met. Links between rows: first child, next child of the same parent, next of the same group.
"""

MARKET, LIMIT, STOP, LIQUIDATION = 0, 1, 2, 3
"""Kinds of orders; the last row of the book is the venue's own, of which a liquidation is made."""

WAITING, LIVE, FILLED, CANCELLED, EXPIRED, REJECTED = 0, 1, 2, 3, 4, 5
"""What became of an order; WAITING: it never reached the venue."""

NO_REASON, NO_MARGIN, NO_CASH, NO_POSITION, NO_MARK = 0, 1, 2, 3, 4
NOTHING_TO_REDUCE, OTHER_FILLED, PARENT_ENDED, LIQUIDATED, TOO_LARGE = 5, 6, 7, 8, 9

F_ORDER, F_AT, F_LOTS, F_TICKS, F_FEE, F_MAKER, N_FILL = 0, 1, 2, 3, 4, 5, 6
"""A fill: F_LOTS is signed, F_FEE negative for a rebate."""

P_SETTLEMENT, P_LOTS, P_UNITS = 0, 1, 2
"""A payment: row of the settlement, position, units received."""

NO_WATCH, AT_CLOSES, AT_MARKS = 0, 1, 2
"""When equity is noted: never, at each bar's close, or at each mark."""

LIVE_LIST, DUE_LIST = 0, 1
"""Rows of the queue [2, m + 1]: live orders in order of arrival, and children on their way."""

CASH, LOTS, WORTH, MARK, EQUITY, NET, DOOMED, BROKEN = 0, 1, 2, 3, 4, 5, 6, 7
"""The account: cash, position, a lot's value at the last price and at the last mark (0: none yet),
equity by its own sum, the log's lots summed, when it was doomed (NEVER), which fill broke a law.
"""

N_FILLS, N_PAID, N_LIVE, N_DUE, NEXT_DUE, NEXT_EXPIRY, ENDED = 8, 9, 10, 11, 12, 13, 14
"""Rows used of log, payments and both lists; when the first child is due, when the first live order
has expired; whether a live order may have ended since the list was tidied.
"""

BID, BID_SHOWN, BID_LEFT, ASK, ASK_SHOWN, ASK_LEFT, OPENED, QUOTE = 15, 16, 17, 18, 19, 20, 21, 22
"""The touch: prices, sizes shown, what is left of them (below 0: lots taken beyond). OPENED: the
instant of the open it was read from; QUOTE: the row of the quote (-1: none).
"""

MARGIN, UNIT, INITIAL, MAINTENANCE, MAKER, TAKER, EXTRA = 23, 24, 25, 26, 27, 28, 29
LATENCY, MAX_AGE, WALK, MOST = 30, 31, 32, 33
"""The terms, as in `Account`; EXTRA: a liquidation's fee rate beyond a taker's."""

I_DATA, I_ORDER, I_MARK, I_SETTLED, N_STATE = 34, 35, 36, 37, 38
"""The next row of each table (of bars twice as many: open and close in turn)."""


class Account(NamedTuple):
    """`margin`: a linear perpetual on margin, else spot against cash. Rates are in 1e-8.

    `unit`: value of one lot at one tick, in cash units. `latency_us`: from a parent's end to its
    children's arrival. `walk_ticks`: how much further each further size as large as the one shown
    lies; negative: what exceeds the size shown waits. `most_lots` bounds the position, so that its
    value at any price stays below 2^61 units.
    """

    margin: bool
    cash: int
    unit: int
    initial_e8: int
    maintenance_e8: int
    maker_e8: int
    taker_e8: int
    liquidation_e8: int
    latency_us: int
    max_age_us: int
    walk_ticks: int
    most_lots: int


class Tape(NamedTuple):
    """One symbol's market, each table sorted by instant: quotes [q, 6], or bars [b, 7] where there
    is no quote (none opens before the one before it closed); marks [k, 2]; settlements [s, 4].
    """

    quotes: I64
    bars: I64
    marks: I64
    settlements: I64


class Ran(NamedTuple):
    """`book`: the orders as they ended and the venue's own [m + 1, 17]; `fills`, `payments`.

    `path`: equity in units at each instant watched. `state`: the slots as they ended; BROKEN counts
    from 1 the fill at which a law of conservation broke, 0: none did.
    """

    book: I64
    fills: I64
    payments: I64
    path: I64
    state: I64
