"""Executed-like backtest: target positions at decision instants, filled on delayed quotes.

Belongs here: orders that move a position to its target, one at a time, and the equity that follows.
Not here: which quote fills an order and at what price (`execution`), targets, lots and ticks
(`simulation`). Instants are int64 microseconds on one clock. Oracle:
`quantlab_pipeline_tests/oracles/quote_backtest.py`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from quantlab_pipeline.kernels.equity_path import (
    BLOCK,
    Marks,
    carry_block,
    pass_equity,
    pass_rows,
    sharpe_of,
)
from quantlab_pipeline.kernels.execution import (
    UNFILLED,
    Book,
    Limits,
    find_quote,
    is_usable,
    least_size,
    standing_at,
    take_quote,
)
from quantlab_pipeline.kernels.side_by_side import rows_side_by_side

I64 = npt.NDArray[np.int64]
F64 = npt.NDArray[np.float64]
I8 = npt.NDArray[np.int8]


class Calendar(NamedTuple):
    """Settlements (`stamp_us` rising, `rate`, `mark`; NaN: the mid is taken) and ends of days."""

    stamp_us: I64
    rate: F64
    mark: F64
    day_end_us: I64


class Terms(NamedTuple):
    """How orders are sent and what they cost.

    An order meets the book `latency_us` after its decision and waits at most `max_wait_us` for a
    usable quote. One unit of target is `quantity` base units. `impact_bps` is the least price
    concession beyond the touch, for each decision or, of size 1, for all (NaN: unknown, no fill).
    Of the size shown `depth_share` is really there.
    """

    latency_us: int
    max_wait_us: int
    quantity: float
    fee_bps: float
    impact_bps: F64
    depth_share: float


class QuoteStats(NamedTuple):
    """Per variant, shape [v], in quote units.

    `fees`, `spread` and `slippage` (beyond the touch) are paid, `funding` is received.
    `max_drawdown` is the deepest fall of equity from its running peak (the start counts) at every
    quote and after every fill, >= 0. `daily` [v, days] is the P&L of each day, `sharpe` its mean
    over its sample deviation times sqrt(365). `n_unfilled` counts orders that no quote filled.
    """

    equity: F64
    fees: F64
    spread: F64
    slippage: F64
    funding: F64
    max_drawdown: F64
    sharpe: F64
    daily: F64
    n_fills: I64
    n_unfilled: I64


class OrderLog(NamedTuple):
    """Orders of one variant, shape [m]: arrival, wait allowed, base quantity bought (+) or sold.

    `held` is the position if it fills; `at_us`, `mid`, `touch` and `price` the fill (NaN: none).
    """

    arrive_us: I64
    wait_us: I64
    change: F64
    held: F64
    at_us: I64
    mid: F64
    touch: F64
    price: F64


@njit(cache=True, nogil=True)
def quote_marks(book: Book, max_age_us: int) -> Marks:
    """The mid of the last usable quote at each quote, with its extremes. O(n), 2 to 3 ns a quote.

    One pass for any number of variants, latencies and costs.
    """
    n, last = book.ts_us.size, np.nan
    price, low, high = np.empty(n), np.empty(n // BLOCK), np.empty(n // BLOCK)
    for first in range(0, n, BLOCK):
        end = min(first + BLOCK, n)
        piece = price[first:end]
        bid, bid_qty = book.bid[first:end], book.bid_qty[first:end]
        ask, ask_qty = book.ask[first:end], book.ask_qty[first:end]
        age_us = book.age_us[first:end]
        for i in range(piece.size):
            good = is_usable(bid[i], bid_qty[i], ask[i], ask_qty[i], age_us[i], max_age_us)
            piece[i] = 0.5 * (bid[i] + ask[i]) if good else np.nan
        last, least, most = carry_block(piece, last)
        if piece.size == BLOCK:
            low[first // BLOCK], high[first // BLOCK] = least, most
    return Marks(price, low, high)


@njit(cache=True, nogil=True)
def marks_at(ts_us: I64, marks: Marks, at_us: I64) -> F64:
    """The mark standing at each of the rising instants `at_us`; NaN before the first."""
    out, hint = np.full(at_us.size, np.nan), 0
    for k in range(at_us.size if ts_us.size else 0):
        i = standing_at(ts_us, at_us[k], hint)
        if i >= 0:
            out[k], hint = marks.price[i], i
    return out


@njit(cache=True, nogil=True)
def send_orders(
    book: Book, decide_us: I64, target: I8, terms: Terms, limits: Limits, log: OrderLog
) -> int:
    """Orders that move a position to `target` [m] (units wanted from `decide_us` on): how many.

    At each decision whose target is not where the last order leads, or whose last order is known to
    have expired unfilled, an order for the difference is sent. It fills as in
    `execution.fill_on_quotes`: at the bid or ask standing when it arrives, else at the next usable
    quote within its wait. One that still waits when the next arrives is cancelled, and the next
    carries the whole difference. `decide_us` rises; `log` has room for m orders. O(m log n).
    """
    m, count, hint, units = decide_us.size, 0, 0, 0
    aim, sent, arrive_us, impact = 0, False, 0, np.nan
    for k in range(m + 1):
        want = int(target[k]) if k < m else aim
        expired = sent and (k == m or decide_us[k] > arrive_us + terms.max_wait_us)
        arrives = int(decide_us[k]) + terms.latency_us if k < m else 0
        if (expired or (sent and want != aim)) and aim != units:
            wait_us = terms.max_wait_us
            if not expired:
                wait_us = min(wait_us, arrives - 1 - arrive_us)
            change = aim * terms.quantity - units * terms.quantity
            side = 1 if change > 0.0 else -1
            least = least_size(abs(change), terms.depth_share, limits)
            i, at_us, how = find_quote(
                book, arrive_us, wait_us, limits.max_age_us, hint, side, least
            )
            log.arrive_us[count], log.wait_us[count], log.change[count] = arrive_us, wait_us, change
            log.held[count], log.at_us[count], log.price[count] = (
                aim * terms.quantity,
                at_us,
                np.nan,
            )
            if how != UNFILLED and impact >= 0.0:
                mid, touch, price = take_quote(
                    book, i, side, abs(change), impact, terms.depth_share, limits
                )
                log.mid[count], log.touch[count], log.price[count] = mid, touch, price
                units, hint = aim, i
            count += 1
        if expired or want != aim:
            sent = False
            aim = units if expired else aim
        if want != aim and k < m:
            aim, sent, arrive_us = want, True, arrives
            impact = terms.impact_bps[k if terms.impact_bps.size > 1 else 0]
    return count


_END, _FILL, _SETTLE, _DAY = range(4)


@njit(cache=True, nogil=True)
def walk_equity(
    ts_us: I64,
    marks: Marks,
    calendar: Calendar,
    log: OrderLog,
    count: int,
    fee_bps: float,
    out: QuoteStats,
    k: int,
) -> None:
    """Equity of variant `k` of `out` through its fills, settlements and days.

    The first `count` orders of `log` are its own; `out` holds zeros there; `ts_us` is not empty.
    At one instant the order is quote, settlement, fill, end of the day.
    """
    daily, fee = out.daily[k], fee_bps * 1e-4
    cash, held, peak, deepest, before, equity = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    fees, spread, slippage, funding, n_fills = 0.0, 0.0, 0.0, 0.0, 0
    row, f, s, d, end_us = 0, 0, 0, 0, int(ts_us[-1])
    while True:
        while f < count and np.isnan(log.price[f]):
            f += 1
        at_us, kind = (int(log.at_us[f]), _FILL) if f < count else (end_us, _END)
        if s < calendar.stamp_us.size and calendar.stamp_us[s] <= at_us:
            at_us, kind = int(calendar.stamp_us[s]), _SETTLE
        if d < daily.size:
            ends = int(calendar.day_end_us[d])
            if ends < at_us or (kind == _END and ends == at_us):
                at_us, kind = ends, _DAY
        until = standing_at(ts_us, at_us, min(row, ts_us.size - 1)) + 1
        if held != 0.0:
            peak, deepest = pass_rows(cash, held, marks, row, until, peak, deepest)
        row = until
        mark = marks.price[row - 1] if row > 0 else np.nan
        if kind == _SETTLE:
            if held != 0.0:
                known = 0.0 < calendar.mark[s] < np.inf
                paid = held * (calendar.mark[s] if known else mark) * calendar.rate[s]
                cash, funding = cash - paid, funding - paid
            s += 1
        elif kind == _FILL:
            change, price = log.change[f], log.price[f]
            charged = abs(change) * price * fee
            cash -= change * price + charged
            fees += charged
            spread += abs(change) * abs(log.touch[f] - log.mid[f])
            slippage += abs(change) * abs(price - log.touch[f])
            held, n_fills, end_us, f = log.held[f], n_fills + 1, max(end_us, at_us), f + 1
        equity = cash + held * mark if held != 0.0 else cash
        peak, deepest = pass_equity(equity, peak, deepest)
        if kind == _DAY or (kind == _END and d < daily.size):
            daily[d], before = equity - before, equity
            d += 1
        if kind == _END:
            break
    out.equity[k], out.max_drawdown[k], out.sharpe[k] = equity, deepest, sharpe_of(daily)
    out.fees[k], out.spread[k], out.slippage[k], out.funding[k] = fees, spread, slippage, funding
    out.n_fills[k], out.n_unfilled[k] = n_fills, count - n_fills


def run_quotes(
    book: Book,
    calendar: Calendar,
    decide_us: I64,
    targets: I8,
    terms: Terms,
    limits: Limits,
    threads: int = 1,
    marks: Marks | None = None,
) -> QuoteStats:
    """Backtest every row of `targets` [v, m], units of `terms.quantity` wanted from `decide_us` on.

    Orders are those of `send_orders`: never filled on a quote that is crossed, locked, stale or
    lacks a price or a size. A settlement is met if entry < stamp <= exit, also where it comes after
    the last quote but before the last fill. `calendar.day_end_us` covers the book. The bytes do not
    depend on `threads`. Cost: one pass over the book for its `marks` (`quote_marks`; give them if
    they are made) and some 100 ns an order.
    """
    v, days = targets.shape[0], calendar.day_end_us.size
    floats = [np.zeros(v) for _ in range(7)]
    whole = [np.zeros(v, dtype=np.int64) for _ in range(2)]
    out = QuoteStats._make([*floats, np.zeros((v, days)), *whole])
    if not book.ts_us.size:
        out.sharpe[:] = np.nan
        return out
    known = quote_marks(book, limits.max_age_us) if marks is None else marks

    def part(rows: slice) -> None:
        log = order_log(decide_us.size)
        for k in range(rows.start, rows.stop):
            count = send_orders(book, decide_us, targets[k], terms, limits, log)
            walk_equity(book.ts_us, known, calendar, log, count, terms.fee_bps, out, k)

    rows_side_by_side(part, v, threads)
    return out


def order_log(m: int) -> OrderLog:
    """Room for `m` orders."""
    whole = [np.zeros(m, dtype=np.int64) for _ in range(3)]
    prices = [np.full(m, np.nan) for _ in range(5)]
    return OrderLog(whole[0], whole[1], prices[0], prices[1], whole[2], *prices[2:])
