"""Implementation shortfall: what the paper portfolio earned and the real one did not.

Belongs here: Perold's definition on orders, and on the rows of `trades.TRADES`. Not here: prices
and fees (`engine`), and funding, which the paper portfolio pays alike. A cost is positive.

Perold (1988), "The implementation shortfall: paper versus reality", Journal of Portfolio
Management 14(3).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from quantlab_pipeline.simulation.trades import CLOSED

F64 = npt.NDArray[np.float64]

SHORTFALL = (
    "shortfall_bps",
    *("delay_bps", "spread_cost_bps", "impact_bps", "fee_cost_bps", "opportunity_bps"),
)
"""The columns of `shortfall`: the whole, and the five parts that sum to it."""


class OrderFills(NamedTuple):
    """n orders, arrays of shape [n]; of several fills of one order the size-weighted averages.

    `side` is +1 or -1, `ordered` and `filled` base quantities, `decided` the mid at the decision
    and `end` that at which the rest is given up. `mid`, `touch` and `price` are those of the fills
    (anything where `filled` is 0), `fee` is in quote units.
    """

    side: F64
    ordered: F64
    filled: F64
    decided: F64
    end: F64
    mid: F64
    touch: F64
    price: F64
    fee: F64


class Shortfall(NamedTuple):
    """Shares of the order's value at its decision's mid, bps, shape [n]; costs are positive."""

    total: F64
    delay: F64
    spread: F64
    impact: F64
    fee: F64
    opportunity: F64


def shortfall_of(orders: OrderFills) -> Shortfall:
    """[sum q s (f - D) + (Q - sum q) s (P_end - D) + fees] / (Q D), and its parts, bps.

    Delay: from the decision's mid to the mid at the fill. Spread: from there to the touch. Impact:
    from the touch to the price. Opportunity: what the unfilled rest missed. The parts sum to the
    total. NaN in, NaN out; `ordered` must be positive.
    """
    scale = 1e4 / (orders.ordered * orders.decided)
    signed = orders.side * orders.filled
    missed = orders.side * (orders.ordered - orders.filled) * (orders.end - orders.decided)
    bought = np.where(signed != 0.0, signed * (orders.price - orders.decided), 0.0)

    def of_fills(value: F64, before: F64) -> F64:
        return np.where(signed != 0.0, signed * (value - before) * scale, 0.0)

    return Shortfall(
        total=(bought + missed + orders.fee) * scale,
        delay=of_fills(orders.mid, orders.decided),
        spread=of_fills(orders.touch, orders.mid),
        impact=of_fills(orders.price, orders.touch),
        fee=orders.fee * scale,
        opportunity=missed * scale,
    )


def shortfall(trades: pl.DataFrame) -> pl.DataFrame:
    """The columns `SHORTFALL` for each row of `trades` (`trades.TRADES`), in its order.

    A trade is two orders: into the position, measured against `decision_mid`, and out of it,
    against `leave_mid`. Their shortfalls and parts are added in quote units and stated in bps of
    Q x decision_mid, so that total = paper - real over that value: paper is the move from
    `decision_mid` to `leave_mid`, real is gross - spread - slippage - fee. Q is what was ordered.
    Funding is left out. What was not filled of an order cost nothing but its opportunity: the whole
    move up to `leave_mid`, a gain (below zero) where the market went the other way. Trades that
    were never ordered, or whose result is unknown, are null, and so is a row whose mids are.
    """
    closed = pl.col("status").is_in(CLOSED)
    filled = pl.col("lots") / pl.col("ordered_lots")
    paper = 1e4 * pl.col("side") * (pl.col("leave_mid") - pl.col("decision_mid"))
    paper = paper / pl.col("decision_mid")
    ordered = pl.col("notional_usd") / pl.col("entry_mid") / filled
    value = ordered * pl.col("decision_mid")
    real = pl.col("gross_usd") - pl.col("spread_usd") - pl.col("slippage_usd") - pl.col("fee_usd")
    of_closed = {
        "shortfall_bps": paper - 1e4 * real / value,
        "delay_bps": 1e4 * pl.col("latency_usd") / value,
        "spread_cost_bps": 1e4 * pl.col("spread_usd") / value,
        "impact_bps": 1e4 * pl.col("slippage_usd") / value,
        "fee_cost_bps": 1e4 * pl.col("fee_usd") / value,
        "opportunity_bps": (1.0 - filled) * paper,
    }
    missed = {"shortfall_bps": paper, "opportunity_bps": paper}
    return trades.select(
        pl.when(closed)
        .then(expression)
        .when(pl.col("status") == "not_filled")
        .then(missed.get(name, 0.0 * paper))
        .alias(name)
        for name, expression in of_closed.items()
    )
