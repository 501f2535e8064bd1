"""Top-of-book kernels: sampling a quote stream on a grid, and aggregating a minute of samples.

Belongs here: the two loops. What a valid quote means for a table, and how streams are cut into
days, is `research.market_data.book`'s matter. Oracle: `quantlab_pipeline_tests/oracles/book.py`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit

MINUTE_US = 60_000_000
N_FLOATS = 12
N_COUNTS = 5

SPREAD_MEAN, SPREAD_MEDIAN, SPREAD_MAX = 0, 1, 2
DEPTH_MEAN, DEPTH_MIN = 3, 4
IMBALANCE_MEAN, IMBALANCE_STD = 5, 6
BID_LAST, ASK_LAST, MID_LAST = 7, 8, 9
VALID_FRAC, STALENESS = 10, 11
UPDATES, LOCKED, CROSSED, STALE, INVALID = 0, 1, 2, 3, 4
LATE = STALE
"""In a stream of messages nothing is stale yet; the row counts those that go back in time."""


class Quotes(NamedTuple):
    """A piece of a quote stream, arrays of one length N in the order of arrival."""

    ts_us: Any
    bid_px: Any
    bid_qty: Any
    ask_px: Any
    ask_qty: Any


class Samples(NamedTuple):
    """One book's samples, arrays of one length N in order of time; `age_s` is that of the quote."""

    ts_us: Any
    bid_px: Any
    bid_qty: Any
    ask_px: Any
    ask_qty: Any
    age_s: Any
    n_updates: Any


class Faults(NamedTuple):
    """Messages at fault on one day, by class: int64[N_COUNTS] and int64[N_COUNTS, minutes].

    `first_us` is the first one's stamp (0: none). Minute m is (from_us + m, from_us + m + 1 min]; a
    stamp outside the day counts in its nearest minute. Row LATE: older than a predecessor.
    """

    first_us: Any
    by_minute: Any
    from_us: int


@njit(cache=True)
def _count_fault(faults: Faults, fault: int, now: int) -> None:
    first = faults.first_us[fault]
    faults.first_us[fault] = now if first == 0 else min(now, first)
    minute = (now - faults.from_us - 1) // MINUTE_US
    minute = min(max(minute, 0), faults.by_minute.shape[1] - 1)
    faults.by_minute[fault, minute] += 1


@njit(cache=True)
def quote_class(
    bid_px: float, bid_qty: float, ask_px: float, ask_qty: float, age_s: float, max_age_s: float
) -> int:
    """0 for a valid sample, else the count it belongs to: INVALID, CROSSED, LOCKED, STALE.

    One class a sample, in that order. A price or size that is NaN, infinite or not positive is
    invalid.
    """
    for value in (bid_px, bid_qty, ask_px, ask_qty):
        if not (value > 0.0 and value < np.inf):
            return INVALID
    if bid_px > ask_px:
        return CROSSED
    if bid_px == ask_px:
        return LOCKED
    return STALE if age_s > max_age_s else 0


@njit(cache=True)
def sample_quotes(
    quotes: Quotes, grid_us: Any, state_f: Any, state_i: Any, faults: Faults, out_f: Any, out_i: Any
) -> None:
    """Write, for each grid instant that the quotes pass, the last quote at or before it.

    `grid_us` is int64[G], rising. `state_f` float64[4] and `state_i` int64[3] carry the stream from
    one piece to the next: last quote; its stamp (-1: none), next grid row, messages since the last
    row. `out_f` float64[G, 4] and `out_i` int64[G, 2] (stamp, messages) are filled in place, and so
    are `faults`; late messages are skipped, never sorted in. NaN prices pass through. O(N + G).
    """
    last, row, fresh = state_i[0], state_i[1], state_i[2]
    for i in range(quotes.ts_us.shape[0]):
        now = quotes.ts_us[i]
        fault = quote_class(
            quotes.bid_px[i], quotes.bid_qty[i], quotes.ask_px[i], quotes.ask_qty[i], 0.0, 1.0
        )
        if now < last:
            fault = LATE
        if fault:
            _count_fault(faults, fault, now)
        if fault == LATE:
            continue
        while row < grid_us.shape[0] and grid_us[row] < now:
            out_f[row] = state_f
            out_i[row, 0] = last
            out_i[row, 1] = fresh
            row += 1
            fresh = 0
        state_f[0] = quotes.bid_px[i]
        state_f[1] = quotes.bid_qty[i]
        state_f[2] = quotes.ask_px[i]
        state_f[3] = quotes.ask_qty[i]
        last = now
        fresh += 1
    state_i[0], state_i[1], state_i[2] = last, row, fresh


@njit(cache=True)
def finish_day(grid_us: Any, state_f: Any, state_i: Any, out_f: Any, out_i: Any) -> None:
    """Fill the grid after a day's last quote with that quote. Arrays as in `sample_quotes`."""
    for row in range(state_i[1], grid_us.shape[0]):
        out_f[row] = state_f
        out_i[row, 0] = state_i[0]
        out_i[row, 1] = state_i[2]
        state_i[2] = 0
    state_i[1] = grid_us.shape[0]


@njit(cache=True)
def _describe(spread: Any, depth: Any, imbalance: Any, out: Any) -> None:
    n = spread.shape[0]
    ordered = np.sort(spread)
    half = n // 2
    out[SPREAD_MEDIAN] = ordered[half] if n % 2 else (ordered[half - 1] + ordered[half]) / 2.0
    out[SPREAD_MAX] = ordered[n - 1]
    total_spread = total_depth = total_imbalance = 0.0
    thinnest = np.inf
    for i in range(n):
        total_spread += spread[i]
        total_depth += depth[i]
        total_imbalance += imbalance[i]
        thinnest = min(thinnest, depth[i])
    out[SPREAD_MEAN] = total_spread / n
    out[DEPTH_MEAN] = total_depth / n
    out[DEPTH_MIN] = thinnest
    out[IMBALANCE_MEAN] = total_imbalance / n
    if n > 1:
        squares = 0.0
        for i in range(n):
            deviation = imbalance[i] - out[IMBALANCE_MEAN]
            squares += deviation * deviation
        out[IMBALANCE_STD] = np.sqrt(squares / (n - 1))


@njit(cache=True)
def _closing_minute(ts_us: int) -> int:
    """The close of the minute that owns an instant: a minute holds its close, not its opening."""
    return -(-ts_us // MINUTE_US) * MINUTE_US


@njit(cache=True)
def aggregate_minutes(samples: Samples, max_age_s: float, slots: int) -> tuple[Any, Any, Any]:
    """Each minute's close (int64[M], us), aggregates float64[N_FLOATS, M], int64[N_COUNTS, M].

    `samples` are one book's, in order of time; M minutes have at least one. `slots` is the number
    of grid points of a minute: an absent one counts as invalid. Every valid sample weighs the same;
    NaN where there is none. Spread is on the mid, in bps. O(N log slots).
    """
    n = samples.ts_us.shape[0]
    minutes = 0
    for i in range(n):
        at = _closing_minute(samples.ts_us[i])
        if i == 0 or at != _closing_minute(samples.ts_us[i - 1]):
            minutes += 1
    closes = np.empty(minutes, np.int64)
    floats = np.full((N_FLOATS, minutes), np.nan)
    counts = np.zeros((N_COUNTS, minutes), np.int64)
    scratch = np.empty((3, slots))
    m = i = 0
    while i < n:
        first, closes[m] = i, _closing_minute(samples.ts_us[i])
        while i < n and samples.ts_us[i] <= closes[m]:
            i += 1
        if i - first > scratch.shape[1]:
            scratch = np.empty((3, i - first))
        counts[INVALID, m] = max(0, slots - (i - first))
        valid = _measure(samples, first, i, max_age_s, scratch, floats[:, m], counts[:, m])
        floats[VALID_FRAC, m] = min(1.0, valid / slots)
        if valid:
            _describe(scratch[0, :valid], scratch[1, :valid], scratch[2, :valid], floats[:, m])
        if samples.ts_us[i - 1] == closes[m]:
            floats[STALENESS, m] = samples.age_s[i - 1]
        m += 1
    return closes, floats, counts


@njit(cache=True)
def _measure(
    samples: Samples, first: int, end: int, max_age_s: float, scratch: Any, floats: Any, counts: Any
) -> int:
    """Count one minute's samples; spread, depth and imbalance of the valid ones into `scratch`."""
    valid = 0
    for i in range(first, end):
        bid, bid_qty = samples.bid_px[i], samples.bid_qty[i]
        ask, ask_qty = samples.ask_px[i], samples.ask_qty[i]
        counts[UPDATES] += samples.n_updates[i]
        fault = quote_class(bid, bid_qty, ask, ask_qty, samples.age_s[i], max_age_s)
        if fault:
            counts[fault] += 1
            continue
        mid = (bid + ask) / 2.0
        scratch[0, valid] = 1e4 * (ask - bid) / mid
        scratch[1, valid] = bid * bid_qty + ask * ask_qty
        scratch[2, valid] = (bid_qty - ask_qty) / (bid_qty + ask_qty)
        floats[BID_LAST], floats[ASK_LAST], floats[MID_LAST] = bid, ask, mid
        valid += 1
    return valid
