"""Top of book to minutes, parquet to parquet, against duckdb on the same files."""

from __future__ import annotations

import resource
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from quantlab_pipeline.core.clocks import DAY_MINUTES, TS, day_start, to_us
from quantlab_pipeline.research.market_data.book import aggregate_book
from quantlab_pipeline.research.market_data.schema import TOB_SNAPSHOTS
from quantlab_pipeline_tests.benchmarks.measure import compare

pytestmark = pytest.mark.benchmark
DAYS = 30
SECONDS = DAY_MINUTES * 60
MAX_MEMORY_MB = 600
PEER = """
copy (
    select symbol, leg, time_bucket(interval 1 minute, ts - interval 1 microsecond) as minute,
        avg(spread) filter (v), median(spread) filter (v), max(spread) filter (v),
        avg(depth) filter (v), min(depth) filter (v),
        avg(imbalance) filter (v), stddev_samp(imbalance) filter (v),
        arg_max(bid_px, ts) filter (v), arg_max(ask_px, ts) filter (v), sum(n_updates),
        count(*) filter (bid_px = ask_px), count(*) filter (bid_px > ask_px),
        count(*) filter (quote_age_s > 3), count(*) filter (v), arg_max(quote_age_s, ts)
    from (
        select *, 1e4 * (ask_px - bid_px) / ((bid_px + ask_px) / 2) as spread,
            bid_px * bid_qty + ask_px * ask_qty as depth,
            (bid_qty - ask_qty) / (bid_qty + ask_qty) as imbalance,
            bid_px > 0 and ask_px > bid_px and bid_qty > 0 and ask_qty > 0
                and quote_age_s <= 3 as v
        from read_parquet('{folder}/day*.parquet')
    )
    group by all order by all
) to '{folder}/peer.parquet' (format parquet, compression zstd)
"""


def write_day(folder: Path, day: date) -> None:
    """A day of one symbol's book, one sample a second."""
    draw = np.random.default_rng(day.toordinal())
    stamps = to_us(day_start(day)) + 1_000_000 * np.arange(1, SECONDS + 1)
    mid = np.round(100 * np.exp(np.cumsum(draw.normal(0, 5e-5, SECONDS))), 2)
    frame = pl.DataFrame(
        {
            "ts": stamps,
            "available_at": stamps,
            "bid_px": mid - 0.01 * draw.integers(1, 4, SECONDS),
            "bid_qty": draw.exponential(3, SECONDS).round(3) + 0.001,
            "ask_px": mid + 0.01 * draw.integers(1, 4, SECONDS),
            "ask_qty": draw.exponential(3, SECONDS).round(3) + 0.001,
            "quote_age_s": draw.random(SECONDS).round(3),
            "n_updates": draw.integers(0, 30, SECONDS),
        }
    ).with_columns(
        pl.col("ts", "available_at").cast(TS),
        pl.lit("BTCUSDT").alias("symbol"),
        pl.lit("perp").alias("leg"),
    )
    TOB_SNAPSHOTS.conform(frame).write_parquet(folder / f"day{day}.parquet", compression="zstd")


def test_the_minute_aggregate_ties_with_duckdb_or_beats_it(tmp_path: Path) -> None:
    import duckdb

    for i in range(DAYS):
        write_day(tmp_path, date(2025, 1, 1) + timedelta(days=i))
    files = sorted(tmp_path.glob("day*.parquet"))

    def ours() -> None:
        for file in files:
            minutes = aggregate_book(pl.read_parquet(file))
            minutes.write_parquet(tmp_path / f"agg_{file.name}", compression="zstd")

    ours()
    used_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"\npeak memory of the process with ours alone: {used_mb:.0f} MB")
    assert used_mb < MAX_MEMORY_MB
    ratio = compare(
        f"top of book to minutes, {DAYS} days, per sample",
        SECONDS * DAYS,
        ours,
        lambda: duckdb.connect().execute(PEER.format(folder=tmp_path)),
    )
    assert ratio.value < 1.3
