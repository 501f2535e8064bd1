"""Bar backtest: target positions in, costs and equity statistics out, for many variants at once.

Belongs here: the arithmetic of a position that changes at bar opens. Not here: where targets come
from (`bar_targets`), how equity moves between trades (`equity_path`), or quotes
(`quote_backtest`). Oracle: `quantlab_pipeline_tests/oracles/bar_backtest.py`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from quantlab_pipeline.kernels.bits import lowest_bit
from quantlab_pipeline.kernels.equity_path import (
    Marks,
    marks_of,
    pass_equity,
    pass_rows,
    sharpe_of,
)
from quantlab_pipeline.kernels.side_by_side import rows_side_by_side

I64 = npt.NDArray[np.int64]
F64 = npt.NDArray[np.float64]
I8 = npt.NDArray[np.int8]

STRIDE = 64
"""Targets looked at in one step while none of them differs from the position."""


class BarTape(NamedTuple):
    """One symbol's consecutive bars, all shape [n].

    `funding_rate` is the rate settled at the bar's close (0: none), `mark` the price it is paid on
    (NaN: the last close is taken); `day` numbers the day that owns the close, from 0,
    non-decreasing. A bar without a price has NaN in `open` or `close`.
    """

    open: F64
    close: F64
    mark: F64
    funding_rate: F64
    day: I64


class BarCosts(NamedTuple):
    """What trading costs, per side, in bps of the value traded.

    `half_spread_bps` and `slippage_bps` have one value for each bar's open, shape [n], or one for
    all, shape [1]; at a bar whose value is not finite nothing is traded: the order waits.
    `base_quantity` is the size of a position in base units; 0: the size that is worth 1 at the
    price of its entry.
    """

    fee_bps: float
    half_spread_bps: F64
    slippage_bps: F64
    base_quantity: float


class SweepStats(NamedTuple):
    """Per variant, shape [v], in multiples of the notional (with `base_quantity`: quote units).

    `fees`, `spread` and `slippage` are paid, `funding` is received. `max_drawdown` is the deepest
    fall of equity from its running peak (the start counts) at bar closes, >= 0. `daily` [v, days]
    is the P&L of each day of the tape; `sharpe` its mean over its sample deviation times sqrt(365),
    NaN under 2 days or without variation. `n_orders` counts changes of the position, `n_fills`
    openings and closings: a reversal is one order and two fills.
    """

    equity: F64
    fees: F64
    spread: F64
    slippage: F64
    funding: F64
    max_drawdown: F64
    sharpe: F64
    daily: F64
    n_orders: I64
    n_fills: I64


class Trace(NamedTuple):
    """One variant bar by bar: equity at each close [n]; its orders [m] by bar, at the open's price.

    `quantity` is what was bought (+) or sold (-), base units.
    """

    equity: F64
    bar: I64
    price: F64
    quantity: F64


class Prepared(NamedTuple):
    """What all variants share: marks, and the bars at whose close cash or the day changes."""

    marks: Marks
    breaks: I64


@njit(cache=True, nogil=True)
def prepare(tape: BarTape) -> Prepared:
    """Marks and breaks of a tape. O(n), about 2 ns a bar; once for any number of sweeps."""
    n = tape.open.size
    breaks = np.empty(n, dtype=np.int64)
    count = 0
    for t in range(n):
        ends = t == n - 1 or tape.day[t + 1] != tape.day[t]
        if ends or tape.funding_rate[t] != 0.0:
            breaks[count] = t
            count += 1
    return Prepared(marks_of(tape.close), breaks[:count].copy())


@njit(cache=True, nogil=True)
def _until_change(target: I8, t: int, held: int) -> int:
    """First bar after `t` at whose open another position than `held` is wanted; n: none."""
    n, u, same = target.size, t, np.int8(held)
    while u + STRIDE < n:
        # The compiler turns this loop into a few comparisons of many bytes at once.
        differs, ahead = np.uint64(0), target[u : u + STRIDE]
        for i in range(STRIDE):
            differs |= np.uint64(ahead[i] != same) << np.uint64(i)
        if differs != 0:
            return u + lowest_bit(differs) + 1
        u += STRIDE
    while u < n - 1 and target[u] == same:
        u += 1
    return u + 1


@njit(cache=True, nogil=True)
def _cost_at(costs: BarCosts, t: int) -> tuple[float, float]:
    """(half-spread, slippage) at the open of bar `t`, as shares."""
    half = costs.half_spread_bps[t if costs.half_spread_bps.size > 1 else 0]
    slip = costs.slippage_bps[t if costs.slippage_bps.size > 1 else 0]
    return half * 1e-4, slip * 1e-4


@njit(cache=True, nogil=True)
def _sized(want: int, price: float, base_quantity: float) -> float:
    return want * base_quantity if base_quantity > 0.0 else want / price


@njit(cache=True, nogil=True)
def _run_one(
    tape: BarTape, prepared: Prepared, target: I8, costs: BarCosts, out: SweepStats, k: int
) -> None:
    """Variant `k`: from one change of target to the next, stopping where cash or day change."""
    n, daily, breaks = tape.open.size, out.daily[k], prepared.breaks
    fee, price, rate = costs.fee_bps * 1e-4, prepared.marks.price, tape.funding_rate
    cash, quantity, entry, held, known = 0.0, 0.0, 0.0, 0, True
    equity, peak, deepest, before = 0.0, 0.0, 0.0, 0.0
    fees, spread, slippage, funding, n_orders, n_fills = 0.0, 0.0, 0.0, 0.0, 0, 0
    t, b = 0, 0
    while t < n:
        want = int(target[t - 1]) if t > 0 else 0
        if want != held:
            half, slip = _cost_at(costs, t)
            if 0.0 < tape.open[t] < np.inf and -np.inf < half + slip < np.inf:
                entry, known = tape.open[t], False
                new = _sized(want, entry, costs.base_quantity)
                traded = (abs(quantity) + abs(new)) * entry
                fees, spread, slippage = (
                    fees + traded * fee,
                    spread + traded * half,
                    slippage + traded * slip,
                )
                cash += (quantity - new) * entry - traded * (fee + half + slip)
                n_orders += 1
                n_fills += (held != 0) + (want != 0)
                quantity, held = new, want
        end = _until_change(target, t, held) if want == held else t + 1
        while t < end:
            stop = min(end, breaks[b])
            # Until the first close after it, a position is valued at the price of its entry.
            while not known and t < stop:
                known = 0.0 < tape.close[t] < np.inf
                if not known:
                    peak, deepest = pass_equity(cash + quantity * entry, peak, deepest)
                    t += 1
            if held == 0:
                peak, deepest = pass_equity(cash, peak, deepest)
            else:
                peak, deepest = pass_rows(cash, quantity, prepared.marks, t, stop, peak, deepest)
            t = stop
            if t == end:
                break
            b += 1
            known = known or 0.0 < tape.close[t] < np.inf
            mark = price[t] if known else entry
            if held != 0 and rate[t] != 0.0:
                paid_on = tape.mark[t] if 0.0 < tape.mark[t] < np.inf else mark
                paid = quantity * paid_on * rate[t]
                cash, funding = cash - paid, funding - paid
            equity = cash + quantity * mark if held != 0 else cash
            peak, deepest = pass_equity(equity, peak, deepest)
            if t == n - 1 or tape.day[t + 1] != tape.day[t]:
                daily[tape.day[t]], before = equity - before, equity
            t += 1
    out.equity[k], out.max_drawdown[k], out.sharpe[k] = equity, deepest, sharpe_of(daily)
    out.fees[k], out.spread[k], out.slippage[k], out.funding[k] = fees, spread, slippage, funding
    out.n_orders[k], out.n_fills[k] = n_orders, n_fills


@njit(cache=True, nogil=True)
def sweep_rows(
    tape: BarTape, prepared: Prepared, targets: I8, costs: BarCosts, out: SweepStats
) -> None:
    """Backtest every row of `targets` into the same row of `out`, which holds zeros."""
    for k in range(targets.shape[0]):
        _run_one(tape, prepared, targets[k], costs, out, k)


def sweep(tape: BarTape, targets: I8, costs: BarCosts, threads: int = 1) -> SweepStats:
    """Backtest every row of `targets` [v, n] (-1, 0 or +1, wanted from the next open on).

    The target set at the close of bar t - 1 is traded at the first open from bar t on that has a
    price and a known cost, plus or minus half-spread and slippage, with a fee per side on the
    traded value; a reversal closes the old quantity and opens a new one. P&L is additive. A NaN
    close leaves the mark where it was. A position whose target falls to 0 on the last bar stays
    open and is marked at the last close. A rate that is NaN makes the result NaN from there on.

    Each variant is one sequence of operations whatever the number of threads: the bytes are the
    same. Cost: the targets are read once (about 0.1 ns a bar and variant); beyond that some 50 ns
    for each trade, settlement and day.
    """
    # An int for a float would be compiled for anew.
    costs = costs._replace(fee_bps=float(costs.fee_bps), base_quantity=float(costs.base_quantity))
    v = targets.shape[0]
    days = int(tape.day[-1]) + 1 if tape.day.size else 0
    floats = [np.zeros(v) for _ in range(7)]
    whole = [np.zeros(v, dtype=np.int64) for _ in range(2)]
    out = SweepStats._make([*floats, np.zeros((v, days)), *whole])
    if not tape.open.size:
        out.sharpe[:] = np.nan
        return out
    prepared = prepare(tape)

    def part(rows: slice) -> None:
        sweep_rows(tape, prepared, targets[rows], costs, SweepStats._make(a[rows] for a in out))

    rows_side_by_side(part, v, threads)
    return out


@njit(cache=True, nogil=True)
def trace(tape: BarTape, target: I8, costs: BarCosts) -> Trace:
    """The equity path and the orders of one variant, by the rules and to the bits of `sweep`."""
    n = tape.open.size
    equity, bar = np.empty(n), np.empty(n, dtype=np.int64)
    price, change = np.empty(n), np.empty(n)
    fee, m = costs.fee_bps * 1e-4, 0
    cash, quantity, held, mark = 0.0, 0.0, 0, np.nan
    for t in range(n):
        want, opened = target[t - 1] if t > 0 else 0, tape.open[t]
        half, slip = _cost_at(costs, t)
        if want != held and 0.0 < opened < np.inf and -np.inf < half + slip < np.inf:
            new = _sized(want, opened, costs.base_quantity)
            traded = (abs(quantity) + abs(new)) * opened
            bar[m], price[m], change[m] = t, opened, new - quantity
            cash += (quantity - new) * opened - traded * (fee + half + slip)
            quantity, held, mark, m = new, want, opened, m + 1
        if 0.0 < tape.close[t] < np.inf:
            mark = tape.close[t]
        if held != 0 and tape.funding_rate[t] != 0.0:
            paid_on = tape.mark[t] if 0.0 < tape.mark[t] < np.inf else mark
            cash -= quantity * paid_on * tape.funding_rate[t]
        equity[t] = cash + quantity * mark if held != 0 else cash
    return Trace(equity, bar[:m].copy(), price[:m].copy(), change[:m].copy())


@njit(cache=True, nogil=True)
def hold_targets(entry: I64, side: I8, hold: I64, n: int, extend: bool) -> I8:
    """Targets [v, n] of one position held `hold[v]` bars from each entry, shape of `entry` [e].

    `entry` holds rising bar indices at whose close the decision falls. While a position is open a
    further signal is skipped, or with `extend` moves the exit of a same-side position (a signal of
    the other side is always skipped).
    """
    v = hold.size
    out = np.zeros((v, n), dtype=np.int8)
    for k in range(v):
        until, held = -1, 0
        for e in range(entry.size):
            start = entry[e]
            if start >= until:
                held = side[e]
            elif not (extend and side[e] == held):
                continue
            stop = min(n, start + hold[k])
            out[k, start:stop] = held
            until = stop
    return out
