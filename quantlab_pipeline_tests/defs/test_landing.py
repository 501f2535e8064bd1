"""What the raw store kept of a file's versions decides from when a row is known."""

from __future__ import annotations

from datetime import UTC, datetime

import polars as pl

from quantlab_pipeline.core.clocks import day_end
from quantlab_pipeline.defs.market_data.landing import parse_as_known
from quantlab_pipeline.sources.archive import codec
from quantlab_pipeline.sources.archive.layout import KLINES, UM, archive_name
from quantlab_pipeline.sources.archive.source import BinanceArchive
from quantlab_pipeline.storage.raw_store import FileRawSink
from quantlab_pipeline_tests.sources import builders as b

NAME = archive_name(UM, KLINES, b.SYMBOL, b.DAY, daily=True)


def test_a_corrected_minute_is_known_from_the_day_its_file_arrived(tmp_path):
    arrivals = [datetime(2024, 3, 8, tzinfo=UTC), datetime(2024, 3, 9, tzinfo=UTC)]
    sink = FileRawSink(tmp_path, iter(arrivals).__next__)

    def land_and_parse(rows: pl.DataFrame) -> pl.DataFrame:
        source = BinanceArchive(b.tree({NAME: (rows, codec.KLINES)}))
        files = source.land("bars_1m_perp", b.SYMBOL, [b.DAY], sink)
        return parse_as_known(source, "bars_1m_perp", b.SYMBOL, files, sink, [b.DAY]).frame

    first = b.klines(b.DAY)
    at_first = land_and_parse(first)
    assert (at_first["available_at"] == at_first["ts"]).all()
    corrected = first.with_columns(
        pl.when(pl.int_range(pl.len()) == 10).then(7.0).otherwise("volume").alias("volume")
    )
    then = land_and_parse(corrected)
    assert then["volume_base"][10] == 7.0
    assert then["available_at"][10] == arrivals[0]
    assert then.filter(pl.col("available_at") > day_end(b.DAY)).height == 1
    again = land_and_parse(corrected.with_columns(pl.col("count") + pl.int_range(pl.len()) // 1439))
    late = again.filter(pl.col("available_at") > day_end(b.DAY))
    assert late["available_at"].to_list() == arrivals
