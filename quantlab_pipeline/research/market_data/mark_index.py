"""Mark and index price at each minute's close, from the two kline series.

Belongs here: the join by minute. A minute without a mark has no row; a minute without an index has
a null. Both are `mark_index_gap` in the examination.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import polars as pl

from quantlab_pipeline.core.clocks import MINUTE, MINUTE_US, TS
from quantlab_pipeline.core.findings import Finding
from quantlab_pipeline.research.market_data.parsed import (
    Origin,
    ParsedTable,
    one_row_each,
    positive,
    set_aside,
    within,
)
from quantlab_pipeline.research.market_data.schema import MARK_INDEX

RAW_PRICE = {"open_ts": TS, "close": pl.Float64}
"""What a source gives of each series, in file order."""
RAW_STREAM = {"open_ts": TS, "predicted_rate": pl.Float64, "next_funding_ts": TS}
"""What a stream says beside its prices, one row a minute."""


def build_mark_index(
    mark: pl.DataFrame,
    index: pl.DataFrame | None,
    origin: Origin,
    premium: pl.DataFrame | None = None,
    stream: pl.DataFrame | None = None,
) -> ParsedTable:
    """Rows of `origin.days` (schema MARK_INDEX) from RAW_PRICE rows of mark, index and premium.

    Known at the minute's close. Set aside and counted, in either price series: stamps off the
    minute (`misaligned`), prices that are missing or not positive (`non_positive_price`), repeated
    minutes (`duplicates`), rows out of order (`non_monotone`); the index's own as
    `index_misaligned` and so on. A series that is not given is null throughout. Of the premium,
    which may have any sign, the first finite value of a minute counts.
    """
    marks, findings = _clean(mark, origin, "mark_price")
    indices, more = _clean(_given(index, RAW_PRICE), origin, "index_price")
    said = _first_of_minute(_given(stream, RAW_STREAM))
    level = _first_of_minute(_given(premium, RAW_PRICE).filter(pl.col("close").is_finite()))
    frame = (
        marks.join(indices, on="ts", how="left")
        .join(level.rename({"close": "premium_index"}), on="ts", how="left")
        .join(said, on="ts", how="left")
        .with_columns(pl.lit(origin.symbol).alias("symbol"), pl.col("ts").alias("available_at"))
    )
    of_index = [replace(finding, check=f"index_{finding.check}") for finding in more]
    return ParsedTable(MARK_INDEX.conform(frame), (*findings, *of_index))


def _given(rows: pl.DataFrame | None, columns: Mapping[str, Any]) -> pl.DataFrame:
    return pl.DataFrame(schema=columns) if rows is None else rows


def _first_of_minute(rows: pl.DataFrame) -> pl.DataFrame:
    stamped = rows.with_columns((pl.col("open_ts") + MINUTE).alias("ts")).drop("open_ts")
    return stamped.unique("ts", keep="first", maintain_order=True)


def _clean(raw: pl.DataFrame, origin: Origin, name: str) -> tuple[pl.DataFrame, list[Finding]]:
    stamped = raw.select((pl.col("open_ts") + MINUTE).alias("ts"), pl.col("close").alias(name))
    rows, findings = one_row_each(within(stamped, origin.days), origin)
    for check, faulty in (
        ("misaligned", pl.col("ts").dt.epoch("us") % MINUTE_US != 0),
        ("non_positive_price", ~positive(name)),
    ):
        rows, found = set_aside(rows, faulty, origin, check, name)
        findings += found
    return rows, findings
