"""The calendar-time estimator: after-event returns summed per minute instead of per event.

Belongs here: the weights, the per-minute series and its contrast. Sums of such series are
`calendar_moments`, parts of a set of events `calendar_parts`. Which events exist, what they cost
and what a z means are the caller's matter.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from quantlab_pipeline.kernels.calendar_moments import (
    BLOCK,
    blocks_of,
    clear,
    mixed_products,
    moments,
    ordered_sum,
    second_moments,
    sum_and_variance,
)

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

CANCELLED = 1e-4
"""Share of its terms below which the contrast's variance is summed minute by minute."""


class Market(NamedTuple):
    """I symbols over T minutes. No entry but those of `prices` may be NaN.

    `prices` float64[I, T]: P_t, NaN where there is none. `gains` float64[I, T]: what one unit of
    base gains in minute t, P_t - P_(t-1) - funding paid at t; 0 where a price is missing. `returns`
    float64[I, T]: gains / P_(t-1). `n_minutes` int64[I]: minutes that have a return. Of the
    returns: `drift` [I] their sums, `squares` [I, I] sum_t r_it r_jt, `bartlett` [I, I] the same
    over the lags of Bartlett's sum.
    """

    prices: FloatArray
    gains: FloatArray
    returns: FloatArray
    n_minutes: IntArray
    drift: FloatArray
    squares: FloatArray
    bartlett: FloatArray


class Events(NamedTuple):
    """Events sorted by (symbol, entry), each held for the same horizon.

    `symbol` int64[n] and `entry` int64[n] index `Market`; every price from an entry to its exit is
    finite and entry + horizon < T. `sign` float64[n]: +1 long, -1 short.
    """

    symbol: IntArray
    entry: IntArray
    sign: FloatArray


class Positions(NamedTuple):
    """Stretches [start, stop) of one symbol without a change, in order; at most two per event.

    `units` of base held, and `net`, the sum of the signs of the events held.
    """

    symbol: IntArray
    start: IntArray
    stop: IntArray
    units: FloatArray
    net: FloatArray


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


@njit(cache=True, nogil=True)
def market(prices: FloatArray, funding: FloatArray) -> Market:
    """Gains and simple returns of `prices` [I, T]; `funding` [I, T] is rate x mark paid per unit.

    NaN prices give zero gain and zero return in their minute and the next. O(I^2 T).
    """
    n_symbols, n = prices.shape
    gains = np.zeros((n_symbols, n))
    returns = np.zeros((n_symbols, n))
    n_minutes = np.zeros(n_symbols, np.int64)
    drift = np.zeros(n_symbols)
    for i in range(n_symbols):
        for t in range(1, n):
            before, now = prices[i, t - 1], prices[i, t]
            if np.isfinite(before) and np.isfinite(now):
                gains[i, t] = now - before - funding[i, t]
                returns[i, t] = gains[i, t] / before
                n_minutes[i] += 1
        drift[i] = returns[i].sum()
    squares, bartlett = second_moments(returns)
    return Market(prices, gains, returns, n_minutes, drift, squares, bartlett)


@njit(cache=True, nogil=True)
def units_of(events: Events, world: Market) -> FloatArray:
    """Units of base that each event buys for one unit of money, float64[n]: s_e / P_entry."""
    units = np.empty(events.entry.shape[0])
    for e in range(units.shape[0]):
        units[e] = events.sign[e] / world.prices[events.symbol[e], events.entry[e]]
    return units


@njit(cache=True, nogil=True)
def positions(symbol: IntArray, entry: IntArray, bought: FloatArray, horizon: int) -> Positions:
    """What is held when: the units `bought` by events with entry < t <= entry + horizon.

    All [n], as in `Events`; the units' sign is the event's. O(n). Oracle: `calendar_time` of the
    tests, through the series.
    """
    n, head, count = entry.shape[0], 0, 0
    whose, start, stop = (
        np.empty(2 * n, np.int64),
        np.empty(2 * n, np.int64),
        np.empty(2 * n, np.int64),
    )
    held, nets = np.empty(2 * n), np.empty(2 * n)
    while head < n:
        i, tail, units, net = symbol[head], head, 0.0, 0.0
        t = entry[head] + 1
        while tail < n and symbol[tail] == i:
            if head == tail:
                # Nothing is held: restart from zero, so that rounding never outlives a position.
                units, net, t = 0.0, 0.0, entry[head] + 1
            while head < n and symbol[head] == i and entry[head] < t:
                units += bought[head]
                net += np.sign(bought[head])
                head += 1
            # Until the next entry or the oldest exit the position does not change.
            until = entry[tail] + horizon + 1
            if head < n and symbol[head] == i:
                until = min(until, entry[head] + 1)
            whose[count], start[count], stop[count] = i, t, until
            held[count], nets[count] = units, net
            count, t = count + 1, until
            while tail < head and entry[tail] + horizon < t:
                units -= bought[tail]
                net -= np.sign(bought[tail])
                tail += 1
    return Positions(whose[:count], start[:count], stop[:count], held[:count], nets[:count])


@njit(cache=True, nogil=True)
def flag(held: Positions, touched: BoolArray) -> None:
    """Flag the blocks of [T] in which something is held."""
    for k in range(held.symbol.shape[0]):
        touched[held.start[k] // BLOCK : (held.stop[k] - 1) // BLOCK + 1] = True


@njit(cache=True, nogil=True)
def lay(held: Positions, world: Market, y: FloatArray, touched: BoolArray) -> None:
    """Add sum_i units_it gain_it to y[T], and flag its blocks. O(minutes held)."""
    flag(held, touched)
    for k in range(held.symbol.shape[0]):
        start, stop, units = held.start[k], held.stop[k], held.units[k]
        into = y[start:stop]
        gains = world.gains[held.symbol[k], start:stop]
        for t in range(stop - start):
            into[t] += units * gains[t]


@njit(cache=True, nogil=True)
def _exposure(held: Positions, world: Market) -> FloatArray:
    """float64[3, I]: sum_t a_it, sum_t a_it d_it and sum_t d_it, with a = units x P_(t-1)."""
    out = np.zeros((3, world.prices.shape[0]))
    for k in range(held.symbol.shape[0]):
        i, start, stop = held.symbol[k], held.start[k], held.stop[k]
        exposure = held.units[k] * ordered_sum(world.prices[i, start - 1 : stop - 1])
        direction = np.sign(held.net[k])
        out[0, i] += exposure
        out[1, i] += exposure * direction
        out[2, i] += (stop - start) * direction
    return out


@njit(cache=True, nogil=True)
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
    at = positions(events.symbol, events.entry, units_of(events, world), horizon)
    lay(at, world, y, blocks_of(y))
    held[:, :] = _exposure(at, world)
    first, last = y.shape[0], 0
    for k in range(at.symbol.shape[0]):
        first, last = min(first, at.start[k]), max(last, at.stop[k])
    return first, last


@njit(cache=True, nogil=True)
def calendar_sums(
    events: Events, horizon: int, world: Market, y: FloatArray, contrast: FloatArray
) -> CalendarSums:
    """Raw and contrast sums of a set of events, minute by minute; y[T] and contrast[T] are filled.

    contrast_t = sum_i (a_it - abar_i) r_it with abar_i the mean of a_i over the minutes in which
    the symbol has a return: what a drift of the symbol alone would earn is taken out, minute by
    minute. No events: zeros. Oracle: `calendar_time` of the tests. O(I T).
    """
    held = np.empty((3, world.prices.shape[0]))
    first, last = calendar_series(events, horizon, world, y, held)
    total, variance = sum_and_variance(y, first, last)
    means = _means(held, world)
    _subtract(y, means, world, contrast)
    contrast_total, contrast_variance = sum_and_variance(contrast, 0, contrast.shape[0])
    kept = _kept(held, means)
    return CalendarSums(total, variance, contrast_total, contrast_variance, kept)


@njit(cache=True, nogil=True)
def held_sums(
    events: Events, horizon: int, world: Market, y: FloatArray, touched: BoolArray
) -> CalendarSums:
    """As `calendar_sums`, from the minutes held alone; y[T] is filled and its blocks are `touched`.

    On entry y is zero outside `touched`, as this leaves it. The contrast's square is multiplied
    out: sum y^2 - 2 sum_t y_t m_t + sum_ij abar_i abar_j sum_t r_it r_jt with
    m_t = sum_i abar_i r_it, where the last sums are the market's own; Bartlett's likewise. Where
    the terms cancel (`CANCELLED`) it is summed minute by minute instead. O(I x minutes touched).
    Oracles: `calendar_time` of the tests, and `calendar_sums`.
    """
    clear(y, touched)
    at = positions(events.symbol, events.entry, units_of(events, world), horizon)
    lay(at, world, y, touched)
    held = _exposure(at, world)
    means = _means(held, world)
    raw = moments(y, touched, y)
    contrast_total = raw.total - _inner(means, world.drift)
    cross, near_cross = mixed_products(y, touched, means, world.returns)
    squares, bartlett = 0.0, 0.0
    for i in range(means.shape[0]):
        squares += means[i] * _inner(world.squares[i], means)
        bartlett += means[i] * _inner(world.bartlett[i], means)
    contrast = raw.squares - 2.0 * cross + squares
    long_run = raw.bartlett - 2.0 * near_cross + bartlett
    # The larger one counts: it suffices that it has kept its digits.
    variance = max(contrast, long_run)
    if variance <= CANCELLED * max(raw.squares + squares, raw.bartlett + bartlett):
        series = np.empty_like(y)
        _subtract(y, means, world, series)
        contrast_total, variance = sum_and_variance(series, 0, series.shape[0])
    kept = _kept(held, means)
    return CalendarSums(raw.total, max(raw.squares, raw.bartlett), contrast_total, variance, kept)


@njit(cache=True, nogil=True)
def raw_sums(events: Events, horizon: int, world: Market, y: FloatArray) -> tuple[float, float]:
    """Sum and variance of the raw series alone (curves, late entries); y[T] is filled."""
    y[:] = 0.0
    touched = blocks_of(y)
    at = positions(events.symbol, events.entry, units_of(events, world), horizon)
    lay(at, world, y, touched)
    sums = moments(y, touched, y)
    return sums.total, max(sums.squares, sums.bartlett)


@njit(cache=True, nogil=True)
def _means(held: FloatArray, world: Market) -> FloatArray:
    """Per symbol the mean of a over the minutes with a return; 0 for a symbol that has none."""
    out = np.zeros(held.shape[1])
    for i in range(held.shape[1]):
        if held[0, i] != 0.0:
            out[i] = held[0, i] / world.n_minutes[i]
    return out


@njit(cache=True, nogil=True)
def _kept(held: FloatArray, means: FloatArray) -> float:
    exposure = held[1].sum()
    return 1.0 - _inner(means, held[2]) / exposure if exposure > 0.0 else 0.0


@njit(cache=True, nogil=True)
def _subtract(y: FloatArray, means: FloatArray, world: Market, out: FloatArray) -> None:
    """Fill out with y - sum_i abar_i r_i, all [T]."""
    out[:] = y
    for i in range(means.shape[0]):
        if means[i] != 0.0:
            for t in range(out.shape[0]):
                out[t] -= means[i] * world.returns[i, t]


@njit(cache=True, nogil=True)
def _inner(x: FloatArray, y: FloatArray) -> float:
    """Sum of x y of two short vectors."""
    total = 0.0
    for k in range(x.shape[0]):
        total += x[k] * y[k]
    return total
