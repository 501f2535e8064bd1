"""The archive's aggTrades as trades: what bars of the same minutes must add up to.

Belongs here: the meaning of that file's columns. How trades become bars is
`research.market_data.trades`'s matter.
"""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from quantlab_pipeline.research.market_data.trades import TRADE_COLUMNS
from quantlab_pipeline.sources.archive.codec import AGG_TRADES
from quantlab_pipeline.sources.zipped_csv import PIECE_BYTES, read_pieces


def read_trades(data: bytes, name: str, piece_bytes: int = PIECE_BYTES) -> Iterator[pl.DataFrame]:
    """The trades (TRADE_COLUMNS) of one zipped aggTrades file, in pieces, in its order.

    `n_trades` is how many the venue put together. SourceError as `read_pieces`.
    """
    for rows in read_pieces(data, name, AGG_TRADES, piece_bytes):
        yield rows.select(
            pl.col("transact_time").alias("ts"),
            "price",
            pl.col("quantity").alias("qty"),
            (pl.col("last_trade_id") - pl.col("first_trade_id") + 1).alias("n_trades"),
            "is_buyer_maker",
        ).select(list(TRADE_COLUMNS))
