"""Small archives and a sink in memory, for the tests of sources."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta

import numpy as np
import polars as pl

from quantlab_pipeline.core.errors import SourceError
from quantlab_pipeline.core.fingerprints import digest_bytes
from quantlab_pipeline.core.ports import RawFile
from quantlab_pipeline.core.seeds import generator
from quantlab_pipeline.sources.archive import codec
from quantlab_pipeline.sources.base import MemoryTree, Source
from quantlab_pipeline.sources.zipped_csv import Format

SYMBOL = "BTCUSDT"
DAY = date(2024, 3, 5)


class MemorySink:
    """The RawSink port over a dict; remembers how often something new came in."""

    def __init__(self):
        self.kept: dict[str, bytes] = {}
        self.files: dict[str, RawFile] = {}
        self.new = 0

    def put(self, source, dataset, symbol, name, data, url):
        path = f"raw/{source}/{dataset}/{symbol}/{name}"
        if self.kept.get(path) != data:
            self.kept[path] = data
            self.new += 1
        file = RawFile(source, dataset, symbol, name, path, digest_bytes(data), url)
        self.files[path] = file
        return file

    def versions(self, source, dataset, symbol, name):
        file = self.files.get(f"raw/{source}/{dataset}/{symbol}/{name}")
        return [] if file is None else [file]

    def read(self, file):
        data = self.kept[file.path]
        if digest_bytes(data) != file.sha256:
            raise SourceError(f"{file.name} changed.", "Land it again.", file=file.name)
        return data


def ingest(source: Source, dataset: str, days: Sequence[date], symbol: str = SYMBOL):
    """Land and parse: the ParsedTable of `days`."""
    sink = MemorySink()
    files = source.land(dataset, symbol, days, sink)
    return source.parse(dataset, symbol, files, sink, days)


def klines(day: date, minutes: int = 1440, first: int = 0, price: float = 100.0) -> pl.DataFrame:
    """Archive klines (ms) of consecutive minutes from minute `first` of `day`."""
    start = datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(minutes=first)
    opened = [int((start + timedelta(minutes=i)).timestamp() * 1000) for i in range(minutes)]
    return pl.DataFrame({"open_time": opened}).with_columns(
        *(pl.lit(price).alias(c) for c in ("open", "high", "low", "close")),
        pl.lit(2.0).alias("volume"),
        (pl.col("open_time") + 59_999).alias("close_time"),
        pl.lit(2.0 * price).alias("quote_volume"),
        pl.lit(3).alias("count"),
        pl.lit(1.0).alias("taker_buy_volume"),
        pl.lit(price).alias("taker_buy_quote_volume"),
        pl.lit(0).alias("ignore"),
    )


def moving_klines(day: date, seed: int) -> pl.DataFrame:
    """A day of candles whose every number differs, some to their last bit."""
    random = generator(seed, day.isoformat())
    close = 100.0 * np.exp(np.cumsum(random.normal(0, 1e-3, 1440)))
    volume = random.gamma(2.0, 3.0, 1440)
    return klines(day).with_columns(
        open=close * 0.999,
        high=close * (1 + random.random(1440) / 100),
        low=close * 0.99,
        close=close,
        volume=volume,
        quote_volume=volume * close,
        count=random.integers(0, 500, 1440),
        taker_buy_volume=volume / 3,
    )


def funding_rates(stamps_ms: list[int], hours: int = 8) -> pl.DataFrame:
    return pl.DataFrame({"calc_time": stamps_ms}).with_columns(
        pl.lit(hours).alias("funding_interval_hours"),
        pl.lit(0.0001).alias("last_funding_rate"),
    )


def metrics(stamps: list[str], oi: float = 1000.0) -> pl.DataFrame:
    rows = pl.DataFrame({"create_time": stamps}).with_columns(
        pl.lit(SYMBOL).alias("symbol"),
        pl.lit(oi).alias("sum_open_interest"),
        pl.lit(oi * 100.0).alias("sum_open_interest_value"),
    )
    return rows.with_columns(pl.lit(None).alias(c) for c in codec.METRICS_COLUMNS[4:])


def book_ticker(stamps_ms: list[int], bid: float = 99.0, ask: float = 101.0) -> pl.DataFrame:
    return pl.DataFrame({"transaction_time": stamps_ms, "event_time": stamps_ms}).with_columns(
        pl.int_range(pl.len()).alias("update_id"),
        pl.lit(bid).alias("best_bid_price"),
        pl.lit(1.0).alias("best_bid_qty"),
        pl.lit(ask).alias("best_ask_price"),
        pl.lit(2.0).alias("best_ask_qty"),
    )


def tree(
    files: dict[str, tuple[pl.DataFrame, Format]],
    header: bool = True,
    checksums: bool = True,
) -> MemoryTree:
    """An archive in memory: name -> (rows, format)."""
    out: dict[str, bytes] = {}
    for name, (rows, form) in files.items():
        base = name.rpartition("/")[2]
        text = codec.encode_csv(rows, form, header=header)
        out[name] = codec.make_zip(base.replace(".zip", ".csv"), text)
        if checksums:
            out[f"{name}.CHECKSUM"] = codec.make_checksum(base, out[name])
    return MemoryTree(out)


def ms(instant: datetime) -> int:
    return int(instant.timestamp() * 1000)
