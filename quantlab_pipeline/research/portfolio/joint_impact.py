"""What the book's own size does to prices: orders of all its strategies meet in one market.

Belongs here: the impact of the book's orders beyond what each strategy's backtest has paid alone.
Not here: weights (`allocate`) and the book's path (`book`). A strategy's backtest paid the
square-root law at its own size; in a book its orders are larger or smaller, and orders of several
strategies on one symbol in one minute are one parent order, which nets and aggregates.
"""

from __future__ import annotations

from datetime import date

import numpy as np
import polars as pl
from numpy.typing import NDArray

from quantlab_pipeline.core.clocks import day_of

Vector = NDArray[np.float64]

LEGS = ("decided_at", "left_at")
"""The two decisions of a trade; its size is that of the first."""


def joint_impact(
    trades: pl.DataFrame, scale: pl.DataFrame, days: list[date], impact_y: float
) -> Vector:
    """USD of impact per day of `days` beyond what the trades have paid alone, shape [days].

    `trades` are closed ones: strategy_id, symbol, side, decided_at, left_at, notional_usd,
    sigma_d_bps, volume_usd. `scale` (strategy_id, day, scale) is the multiple of a trade's notional
    that the book trades if it is decided on that day; absent: 0. Per symbol and minute, with Q the
    sum of signed sizes: Y sigma (|Q| / V)^(1/2) |Q| - sum of scale x what each paid alone. Negative
    where orders net or are smaller than alone. An order whose liquidity is unknown raises
    ValueError: no trade is made without it.
    The law is that of `simulation.costs.impact_bps`.
    """
    orders = _orders(trades, scale)
    if orders.select("sigma_d_bps", "volume_usd").null_count().sum_horizontal().item():
        raise ValueError("a closed trade must know the liquidity that it met")
    law = impact_y * 1e-4 * pl.col("sigma_d_bps") / pl.col("volume_usd").sqrt()
    size = pl.col("scale") * pl.col("notional_usd")
    parents = (
        orders.with_columns(
            (pl.col("side") * size).alias("signed"),
            law.alias("law"),
            (law * size * pl.col("notional_usd").sqrt()).alias("alone"),
        )
        .group_by("symbol", "minute", maintain_order=True)
        .agg(pl.col("day").first(), pl.col("law").first(), pl.col("signed", "alone").sum())
        .with_columns(
            (pl.col("law") * pl.col("signed").abs() ** 1.5 - pl.col("alone")).alias("usd")
        )
    )
    number = {day: i for i, day in enumerate(days)}
    out = np.zeros(len(days))
    for day, usd in parents.select("day", "usd").iter_rows():
        if day in number:
            out[number[day]] += usd
    return out


def _orders(trades: pl.DataFrame, scale: pl.DataFrame) -> pl.DataFrame:
    """Two rows a trade with its scale: minute, day and signed side of each leg, in fixed order."""
    sized = trades.with_columns(day_of("decided_at").alias("day")).join(
        scale, on=["strategy_id", "day"], how="inner", maintain_order="left"
    )
    legs = [
        sized.with_columns(
            pl.col(at).dt.truncate("1m").alias("minute"),
            day_of(at).alias("day"),
            (pl.col("side").cast(pl.Int64) * sign).alias("side"),
        )
        for at, sign in zip(LEGS, (1, -1), strict=True)
    ]
    return pl.concat(legs).sort("minute", "symbol", "strategy_id", "side", maintain_order=True)
