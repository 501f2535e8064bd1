"""What equity does between trades: peaks, falls and the Sharpe ratio of its days.

Belongs here: the walk of cash + quantity x mark over rows at which neither cash nor quantity
changes. Not here: who changes them (`bar_backtest`, `quote_backtest`). Oracle: the naive walks of
`quantlab_pipeline_tests/oracles/bar_backtest.py`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

F64 = npt.NDArray[np.float64]

BLOCK = 64
YEAR_DAYS = 365.0


class Marks(NamedTuple):
    """Prices at which positions are valued: the last known one, shape [n], NaN before the first.

    `low` and `high` are its extremes in each whole block of 64 rows, shape [n // 64].
    """

    price: F64
    low: F64
    high: F64


@njit(cache=True, nogil=True, fastmath={"nnan", "nsz"})
def _extremes(price: F64) -> tuple[float, float]:
    """(lowest, highest) of known prices; the flags let the compiler take many at once."""
    least, most = np.inf, -np.inf
    for value in price:
        least = min(least, value)
        most = max(most, value)
    return least, most


@njit(cache=True, nogil=True)
def carry_block(price: F64, last: float) -> tuple[float, float, float]:
    """(last, lowest, highest) of a piece of a series; NaN in it gives way to the value before it.

    `last` is the value before the piece. Without any value the extremes are infinite.
    """
    holes = False
    for value in price:
        holes |= np.isnan(value)
    if not holes:
        low, high = _extremes(price)
        return price[-1], low, high
    low, high = np.inf, -np.inf
    for i in range(price.size):
        if np.isnan(price[i]):
            price[i] = last
        last = price[i]
        if last < low:
            low = last
        if last > high:
            high = last
    return last, low, high


@njit(cache=True, nogil=True)
def marks_of(close: F64) -> Marks:
    """`close` (not finite or not positive: unknown) carried forward, with its extremes."""
    n, last = close.size, np.nan
    price, low, high = np.empty(n), np.empty(n // BLOCK), np.empty(n // BLOCK)
    for first in range(0, n, BLOCK):
        piece, raw = price[first : first + BLOCK], close[first : first + BLOCK]
        for i in range(piece.size):
            piece[i] = raw[i] if 0.0 < raw[i] < np.inf else np.nan
        last, least, most = carry_block(piece, last)
        if piece.size == BLOCK:
            low[first // BLOCK], high[first // BLOCK] = least, most
    return Marks(price, low, high)


@njit(cache=True, nogil=True)
def pass_equity(equity: float, peak: float, deepest: float) -> tuple[float, float]:
    """(peak, deepest fall) after one more value of equity; NaN changes neither."""
    if equity > peak:
        peak = equity
    elif peak - equity > deepest:
        deepest = peak - equity
    return peak, deepest


@njit(cache=True, nogil=True)
def pass_rows(
    cash: float, quantity: float, marks: Marks, first: int, end: int, peak: float, deepest: float
) -> tuple[float, float]:
    """(peak, deepest fall) after cash + quantity x mark has passed the rows first <= t < end.

    To the last bit what a walk row by row gives: rounding keeps order, so that the extremes of
    equity are those of the marks. Rows are walked only if they hold a new peak and are themselves
    wider than the deepest fall so far. Marks must be known. O(end - first), /64 where long.
    """
    begin, stop = (first + BLOCK - 1) // BLOCK, end // BLOCK
    price, t = marks.price, first
    while t < end:
        if t == begin * BLOCK and begin < stop:
            low, high, upto = marks.low[begin], marks.high[begin], t + BLOCK
            begin += 1
        else:
            upto = begin * BLOCK if begin <= stop and t < begin * BLOCK else end
            low, high = _extremes(price[t:upto])
        one, other = cash + quantity * low, cash + quantity * high
        least, most = (one, other) if one < other else (other, one)
        if most <= peak:
            if peak - least > deepest:
                deepest = peak - least
        elif most - least <= deepest:
            peak = most
        else:
            for i in range(t, upto):
                peak, deepest = pass_equity(cash + quantity * price[i], peak, deepest)
        t = upto
    return peak, deepest


@njit(cache=True, nogil=True)
def sharpe_of(daily: F64) -> float:
    """Mean over sample deviation times sqrt(365), summed in order.

    NaN below two days, without variation, and where a day is NaN.
    """
    days = daily.size
    if days < 2:
        return np.nan
    total = 0.0
    for d in range(days):
        total += daily[d]
    mean, squares = total / days, 0.0
    for d in range(days):
        squares += (daily[d] - mean) * (daily[d] - mean)
    deviation = np.sqrt(squares / (days - 1))
    return float(mean / deviation * np.sqrt(YEAR_DAYS)) if deviation > 1e-15 else np.nan
