"""Minute bars: from a source's rows in file order to the typed table, with every fault counted.

Belongs here: the bar's stamps and the rules by which a row cannot be a bar. A minute
without trades is a bar (zero volume, the venue's carried price); a minute without a row is a gap,
which `qa` counts.
"""

from __future__ import annotations

from typing import Any

import polars as pl

from quantlab_pipeline.core.clocks import MINUTE, MINUTE_US, TS
from quantlab_pipeline.core.columns import TableSchema
from quantlab_pipeline.research.market_data.parsed import (
    Origin,
    ParsedTable,
    not_negative,
    one_row_each,
    positive,
    set_aside,
    within,
)

RAW_BARS: dict[str, Any] = {
    "open_ts": TS,
    "open": pl.Float64,
    "high": pl.Float64,
    "low": pl.Float64,
    "close": pl.Float64,
    "volume_base": pl.Float64,
    "volume_quote": pl.Float64,
    "n_trades": pl.Int64,
    "taker_buy_base": pl.Float64,
}
"""What a source gives, in file order; the last three may be null throughout."""

PRICES = ("open", "high", "low", "close")


def build_bars(raw: pl.DataFrame, origin: Origin, schema: TableSchema) -> ParsedTable:
    """Bars of `origin.days` (schema BARS_1M_PERP or BARS_1M_SPOT) from RAW_BARS rows.

    `ts` is the close (open + 1 min) and so is `available_at`. Set aside and counted: stamps off the
    minute (`misaligned`), prices that are missing or not positive (`non_positive_price`), extremes
    that do not hold open and close (`ohlc_inconsistent`), volumes that are missing or negative
    (`negative_volume`), repeated minutes after the first (`duplicates`). Rows out of order are
    sorted and counted (`non_monotone`).
    """
    stamped = raw.with_columns((pl.col("open_ts") + MINUTE).alias("ts"))
    rows, findings = one_row_each(within(stamped, origin.days), origin)
    for check, faulty in _faults():
        rows, found = set_aside(rows, faulty, origin, check)
        findings += found
    frame = rows.with_columns(
        pl.lit(origin.symbol).alias("symbol"), pl.col("ts").alias("available_at")
    )
    return ParsedTable(schema.conform(frame), tuple(findings))


def _faults() -> list[tuple[str, pl.Expr]]:
    highest, lowest = pl.max_horizontal("open", "close"), pl.min_horizontal("open", "close")
    contained = (pl.col("high") >= highest) & (pl.col("low") <= lowest)
    amounts = pl.all_horizontal(
        not_negative("volume_base"),
        *(
            not_negative(c) | pl.col(c).is_null()
            for c in ("volume_quote", "n_trades", "taker_buy_base")
        ),
    )
    return [
        ("misaligned", pl.col("ts").dt.epoch("us") % MINUTE_US != 0),
        ("non_positive_price", ~positive(*PRICES)),
        ("ohlc_inconsistent", ~contained),
        ("negative_volume", ~amounts),
    ]
