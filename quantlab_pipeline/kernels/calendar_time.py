"""The calendar-time estimator: after-event returns summed per minute instead of per event.

Belongs here: the weights, the per-minute series, its moments and the contrast series. Which events
exist, what they cost and what a z means are the caller's matter.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


class Market(NamedTuple):
    """I symbols over T minutes. No entry but those of `prices` may be NaN.

    `prices` float64[I, T]: P_t, NaN where there is none. `gains` float64[I, T]: what one unit of
    base gains in minute t, P_t - P_(t-1) - funding paid at t; 0 where a price is missing. `returns`
    float64[I, T]: gains / P_(t-1). `n_minutes` int64[I]: minutes that have a return.
    """

    prices: FloatArray
    gains: FloatArray
    returns: FloatArray
    n_minutes: IntArray


class Events(NamedTuple):
    """Events sorted by (symbol, entry), each held for the same horizon.

    `symbol` int64[n] and `entry` int64[n] index `Market`; every price from an entry to its exit is
    finite and entry + horizon < T. `sign` float64[n]: +1 long, -1 short.
    """

    symbol: IntArray
    entry: IntArray
    sign: FloatArray


class CalendarSums(NamedTuple):
    """What the estimator needs of the raw series y and of its contrast.

    Sums and variances of both; `kept` is the share of an effect that the contrast still shows if
    the effect is a steady drift while events are held: 1 - sum_i abar_i sum_t d_it / sum a d, with
    d_it the direction of most events held.
    """

    total: float
    variance: float
    contrast_total: float
    contrast_variance: float
    kept: float


class PartSums(NamedTuple):
    """Of a series and the whole it is part of: its sum, squares and Bartlett's long-run sum, its
    product with the whole, and Bartlett's long-run product.
    """

    total: float
    squares: float
    bartlett: float
    product: float
    near_product: float


@njit(cache=True)
def market(prices: FloatArray, funding: FloatArray) -> Market:
    """Gains and simple returns of `prices` [I, T]; `funding` [I, T] is rate x mark paid per unit.

    NaN prices give zero gain and zero return in their minute and the next. O(I T).
    """
    n_symbols, n = prices.shape
    gains = np.zeros((n_symbols, n))
    returns = np.zeros((n_symbols, n))
    n_minutes = np.zeros(n_symbols, np.int64)
    for i in range(n_symbols):
        for t in range(1, n):
            before, now = prices[i, t - 1], prices[i, t]
            if np.isfinite(before) and np.isfinite(now):
                gains[i, t] = now - before - funding[i, t]
                returns[i, t] = gains[i, t] / before
                n_minutes[i] += 1
    return Market(prices, gains, returns, n_minutes)


@njit(cache=True)
def calendar_series(
    events: Events, horizon: int, world: Market, y: FloatArray, held: FloatArray
) -> tuple[int, int]:
    """Fill y[T] with y_t = sum_i a_it r_it; return the touched range [first, last).

    a_it = sum_e s_e P_i,t-1 / P_i,entry over events with entry < t <= entry + horizon, so that
    sum_t y_t is the sum of the events' signed simple returns, exactly; zero outside the range.
    held[3, I] receives sum_t a_it, sum_t a_it d_it and sum_t d_it. O(T + minutes held).
    Oracle: `calendar_time` of the tests. Calendar-time portfolios: Fama (1998), "Market efficiency,
    long-term returns, and behavioral finance".
    """
    y[:] = 0.0
    held[:, :] = 0.0
    n = events.entry.shape[0]
    first, last, head = y.shape[0], 0, 0
    while head < n:
        i = events.symbol[head]
        tail, units, net = head, 0.0, 0.0
        t = events.entry[head] + 1
        first = min(first, t)
        while tail < n and events.symbol[tail] == i:
            if head == tail:
                # Nothing is held: restart from zero, so that rounding never outlives a position.
                units, net, t = 0.0, 0.0, events.entry[head] + 1
            while head < n and events.symbol[head] == i and events.entry[head] < t:
                units += events.sign[head] / world.prices[i, events.entry[head]]
                net += events.sign[head]
                head += 1
            # Until the next entry or the oldest exit the position does not change.
            stop = events.entry[tail] + horizon + 1
            if head < n and events.symbol[head] == i:
                stop = min(stop, events.entry[head] + 1)
            for u in range(t, stop):
                y[u] += units * world.gains[i, u]
            base = 0.0
            for u in range(t, stop):
                base += world.prices[i, u - 1]
            held[0, i] += units * base
            held[1, i] += units * base * np.sign(net)
            held[2, i] += (stop - t) * np.sign(net)
            t = stop
            while tail < head and events.entry[tail] + horizon < t:
                units -= events.sign[tail] / world.prices[i, events.entry[tail]]
                net -= events.sign[tail]
                tail += 1
        last = max(last, t)
    return first, last


@njit(cache=True)
def moments(y: FloatArray, first: int, last: int, whole: FloatArray, near: FloatArray) -> PartSums:
    """Moments of y over [first, last), and its products with `whole` and `near`, all [T].

    Bartlett's long-run sum with 5 lags: g_0 + 2 sum_l (1 - l/6) g_l with uncentred
    g_l = sum_t y_t y_(t-l) (Newey and West 1987). y is zero outside the range, and stretches of
    zeros cost a glance. Oracle: statsmodels' S_hac_simple.
    """
    total, g0, g1, g2, g3, g4, g5 = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    p1, p2, p3, p4, p5 = 0.0, 0.0, 0.0, 0.0, 0.0
    product, near_product = 0.0, 0.0
    t, quiet = first, 0
    while t < last:
        now = y[t]
        quiet = quiet + 1 if now == 0.0 else 0
        if quiet > 5:
            # The five before are zeros too: nothing here adds to any sum.
            while t < last and y[t] == 0.0:
                t += 1
            continue
        total += now
        g0 += now * now
        g1 += now * p1
        g2 += now * p2
        g3 += now * p3
        g4 += now * p4
        g5 += now * p5
        product += now * whole[t]
        near_product += now * near[t]
        p5, p4, p3, p2, p1 = p4, p3, p2, p1, now
        t += 1
    bartlett = g0 + 2.0 * (5.0 * g1 + 4.0 * g2 + 3.0 * g3 + 2.0 * g4 + g5) / 6.0
    return PartSums(total, g0, bartlett, product, near_product)


@njit(cache=True)
def sum_and_variance(y: FloatArray, first: int, last: int) -> tuple[float, float]:
    """Sum of y[first:last] and its variance: the larger of sum y^2 and Bartlett's (`moments`)."""
    sums = moments(y, first, last, y, y)
    return sums.total, max(sums.squares, sums.bartlett)


@njit(cache=True)
def neighbours(y: FloatArray, near: FloatArray) -> None:
    """Fill near[T] with near_t = sum over |l| <= 5 of (1 - |l|/6) y_(t+l); zero beyond the ends.

    Then sum_t x_t near_t is Bartlett's long-run product of x and y: that of `moments` where x is y.
    Oracle: `cross_bartlett` of the tests.
    """
    n, inner = y.shape[0], max(0, y.shape[0] - 10)
    middle = near[5 : 5 + inner]
    b5, b4, b3, b2, b1 = y[0:], y[1:], y[2:], y[3:], y[4:]
    now, a1, a2, a3, a4, a5 = y[5:], y[6:], y[7:], y[8:], y[9:], y[10:]
    # Views whose index is never negative: the compiler then takes several minutes at once.
    for t in range(inner):
        ones = 5.0 * (b1[t] + a1[t]) + 4.0 * (b2[t] + a2[t])
        twos = 3.0 * (b3[t] + a3[t]) + 2.0 * (b4[t] + a4[t])
        middle[t] = now[t] + (ones + twos + (b5[t] + a5[t])) / 6.0
    for t in range(n):
        if t < 5 or t >= 5 + inner:
            near[t] = 0.0
            for u in range(max(0, t - 5), min(n, t + 6)):
                near[t] += (1.0 - abs(u - t) / 6.0) * y[u]


@njit(cache=True)
def part_sums(
    events: Events, horizon: int, world: Market, whole: FloatArray, near: FloatArray, y: FloatArray
) -> PartSums:
    """Sums of a part of the events, and its products with the series of all of them; y is filled.

    `whole` [T] is the series of all the events, `near` [T] its `neighbours`. O(T + minutes held).
    """
    held = np.empty((3, world.prices.shape[0]))
    first, last = calendar_series(events, horizon, world, y, held)
    return moments(y, first, last, whole, near)


@njit(cache=True)
def calendar_sums(
    events: Events, horizon: int, world: Market, y: FloatArray, contrast: FloatArray
) -> CalendarSums:
    """Raw and contrast sums of one set of events; y[T] and contrast[T] are filled.

    contrast_t = sum_i (a_it - abar_i) r_it with abar_i the mean of a_i over the minutes in which
    the symbol has a return: what a drift of the symbol alone would earn is taken out, minute by
    minute. No events: zeros. Oracle: `calendar_time` of the tests. O(I T).
    """
    n_symbols = world.prices.shape[0]
    held = np.empty((3, n_symbols))
    first, last = calendar_series(events, horizon, world, y, held)
    total, variance = sum_and_variance(y, first, last)
    contrast[:] = y
    always = 0.0
    for i in range(n_symbols):
        if held[0, i] != 0.0:
            mean = held[0, i] / world.n_minutes[i]
            always += mean * held[2, i]
            for t in range(contrast.shape[0]):
                contrast[t] -= mean * world.returns[i, t]
    contrast_total, contrast_variance = sum_and_variance(contrast, 0, contrast.shape[0])
    exposure = held[1].sum()
    kept = 1.0 - always / exposure if exposure > 0.0 else 0.0
    return CalendarSums(total, variance, contrast_total, contrast_variance, kept)


@njit(cache=True)
def raw_sums(events: Events, horizon: int, world: Market, y: FloatArray) -> tuple[float, float]:
    """Sum and variance of the raw series alone (slices, curves); y[T] is filled."""
    held = np.empty((3, world.prices.shape[0]))
    first, last = calendar_series(events, horizon, world, y, held)
    return sum_and_variance(y, first, last)
