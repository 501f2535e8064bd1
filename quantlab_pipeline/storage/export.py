"""Tables as files for other programs: streamed, sorted by time, replaced atomically.

Belongs here: copying what the lake's door lets through into one file. Which files a study has, and
what else they hold, is the reports' matter.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from pathlib import Path

import polars as pl

from quantlab_pipeline.storage.objects import TEMP_PREFIX, write_atomic
from quantlab_pipeline.storage.reader import LakeReader
from quantlab_pipeline.storage.writing import encode_parquet


def stream_days(
    lake: LakeReader, table: str, days: Sequence[date], symbols: Sequence[str], path: Path
) -> int:
    """A day table's admitted rows of `symbols` as one parquet file, sorted by ts and symbol.

    One day stands in memory at a time; a reader sees the old file or the whole new one. Returns the
    rows written. Raises what the lake's gated read raises.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temp = path.with_name(f"{TEMP_PREFIX}{path.name}")
    try:
        rows = _write_days(lake, table, days, symbols, temp)
        temp.replace(path)
    finally:
        temp.unlink(missing_ok=True)
    return rows


def _write_days(
    lake: LakeReader, table: str, days: Sequence[date], symbols: Sequence[str], path: Path
) -> int:
    import pyarrow.parquet as pq

    names = lake.plan(table, list(days)).columns
    rows, writer = 0, None
    try:
        for day in days:
            frame = lake.read(table, [day]).filter(pl.col("symbol").is_in(list(symbols)))
            arrow = _with_columns_of(frame, names, lake, table).sort("ts", "symbol").to_arrow()
            writer = writer or pq.ParquetWriter(path, arrow.schema, compression="zstd")
            writer.write_table(arrow.cast(writer.schema))
            rows += frame.height
    finally:
        if writer is not None:
            writer.close()
    return rows


def _with_columns_of(
    frame: pl.DataFrame, names: Sequence[str], lake: LakeReader, table: str
) -> pl.DataFrame:
    """`frame` with exactly `names`: a column that a gate refused on this day alone is null."""
    dtypes = {c.name: c.dtype for c in lake.graph.spec(table).schema.columns}
    missing = [pl.lit(None, dtypes[n]).alias(n) for n in names if n not in frame.columns]
    return frame.with_columns(missing).select(names)


def write_frame(frame: pl.DataFrame, path: Path) -> None:
    """A small frame as parquet or csv, by the ending of `path`, atomically."""
    data = frame.write_csv().encode() if path.suffix == ".csv" else encode_parquet(frame)
    write_atomic(path, data)
