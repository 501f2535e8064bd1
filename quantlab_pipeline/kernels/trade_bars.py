"""The trade kernel: trades added to the bars of their minutes, one after the other.

Belongs here: the loop. Which minute a trade belongs to, and what a bar of trades means for a table,
is `research.market_data.trades`'s matter. Oracle: `quantlab_pipeline_tests/oracles/trade_bars.py`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit

N_FLOATS = 7
N_COUNTS = 3

OPEN, HIGH, LOW, CLOSE = 0, 1, 2, 3
BASE, QUOTE, TAKER_BUY = 4, 5, 6
TRADES, ROWS, UNUSABLE = 0, 1, 2


class Trades(NamedTuple):
    """A piece of a trade stream, arrays of one length N in the order of arrival.

    `bar` is the row of the bar that each belongs to; `seller` is 1.0 where the taker sold, 0.0
    where the taker bought, NaN where that is unknown; `n` is how many trades the row stands for.
    """

    bar: Any
    price: Any
    qty: Any
    n: Any
    seller: Any


@njit(cache=True)
def add_trades(trades: Trades, floats: Any, counts: Any) -> None:
    """Add each trade to its bar, in place: float64[M, N_FLOATS] and int64[M, N_COUNTS].

    A fresh bar is all zeros. Sums are left to right, so that pieces of a stream give bit for bit
    what the whole gives. A price or quantity that is NaN, infinite or not positive is UNUSABLE: it
    is counted and enters nothing else. A NaN `seller` makes TAKER_BUY NaN. O(N).
    """
    for i in range(trades.price.shape[0]):
        bar, price, qty = trades.bar[i], trades.price[i], trades.qty[i]
        counts[bar, TRADES] += trades.n[i]
        counts[bar, ROWS] += 1
        if not (price > 0.0 and price < np.inf and qty > 0.0 and qty < np.inf):
            counts[bar, UNUSABLE] += 1
            continue
        row = floats[bar]
        if counts[bar, ROWS] - counts[bar, UNUSABLE] == 1:
            row[OPEN], row[HIGH], row[LOW] = price, price, price
        row[HIGH] = max(row[HIGH], price)
        row[LOW] = min(row[LOW], price)
        row[CLOSE] = price
        row[BASE] += qty
        row[QUOTE] += price * qty
        row[TAKER_BUY] += qty * (1.0 - trades.seller[i])
