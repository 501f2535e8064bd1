"""A freqtrade folder: opens become closes, the rate is in `open`, the mark is the candle's open."""

from __future__ import annotations

import io
from datetime import UTC, date, datetime, timedelta

import polars as pl
import pytest

from quantlab_pipeline.core.errors import SourceError
from quantlab_pipeline.sources.base import DiskTree, MemoryTree
from quantlab_pipeline.sources.freqtrade import Freqtrade
from quantlab_pipeline_tests.sources.builders import SYMBOL, MemorySink, ingest

DAY = date(2025, 5, 20)
START = datetime(2025, 5, 20, tzinfo=UTC)
PERP = "binance/futures/BTC_USDT_USDT-1m-futures.feather"
SPOT = "binance/BTC_USDT-1m.feather"
RATE = "binance/futures/BTC_USDT_USDT-8h-funding_rate.feather"
MARK = "binance/futures/BTC_USDT_USDT-8h-mark.feather"


def feather(stamps: list[datetime], opens: list[float], unit: str = "ns") -> bytes:
    rows = pl.DataFrame({"date": pl.Series(stamps, dtype=pl.Datetime(unit, "UTC")), "open": opens})
    rows = rows.with_columns(
        *(pl.col("open").alias(c) for c in ("high", "low", "close")), pl.lit(1.5).alias("volume")
    )
    buffer = io.BytesIO()
    rows.write_ipc(buffer)
    return buffer.getvalue()


def minutes(n: int) -> list[datetime]:
    return [START + timedelta(minutes=i) for i in range(n)]


def source(files: dict[str, bytes]) -> Freqtrade:
    return Freqtrade(MemoryTree(files))


def test_perp_and_spot_of_one_pair_have_one_symbol_and_are_stamped_by_their_close():
    both = source(
        {PERP: feather(minutes(3), [1.0] * 3), SPOT: feather(minutes(3), [2.0] * 3, "ms")}
    )
    assert both.symbols() == [SYMBOL]
    for dataset, price in (("bars_1m_perp", 1.0), ("bars_1m_spot", 2.0)):
        frame = ingest(both, dataset, [DAY]).frame
        assert frame["close"].to_list() == [price] * 3
        assert frame["ts"][0] == START + timedelta(minutes=1)
        assert frame["volume_quote"].null_count() == 3
    assert both.days("bars_1m_perp", SYMBOL) == (DAY, DAY)
    assert not both.offers("mark_index", SYMBOL)
    assert not both.offers("funding", SYMBOL)
    assert both.land("tob_snapshots", SYMBOL, [DAY], MemorySink()) == []


def test_funding_takes_the_rate_from_open_and_the_mark_from_the_candles_open():
    stamps = [START + timedelta(hours=8 * k, milliseconds=3) for k in range(4)]
    marks = [START + timedelta(hours=8 * k) for k in range(4)]
    files = {
        PERP: feather(minutes(1), [1.0]),
        RATE: feather(stamps, [1e-4, 2e-4, 3e-4, 4e-4]),
        MARK: feather(marks, [60_000.0, 61_000.0, 62_000.0, 63_000.0]),
    }
    frame = ingest(source(files), "funding", [DAY]).frame
    assert frame["settled_rate"].to_list() == [2e-4, 3e-4, 4e-4]
    assert frame["mark_price"].to_list() == [61_000.0, 62_000.0, 63_000.0]
    assert frame["interval_h"].to_list() == [8, 8, 8]
    assert (frame["available_at"] - frame["ts"]).to_list() == [timedelta(milliseconds=3)] * 3
    del files[MARK]
    assert ingest(source(files), "funding", [DAY]).frame["mark_price"].null_count() == 3


def test_a_damaged_or_foreign_file_is_one_clear_error():
    whole = feather(minutes(3), [1.0] * 3)
    buffer = io.BytesIO()
    pl.read_ipc(io.BytesIO(whole)).drop("close").write_ipc(buffer)
    text = io.BytesIO()
    pl.read_ipc(io.BytesIO(whole)).with_columns(close=pl.lit("abc")).write_ipc(text)
    for data, problem in (
        (whole[: len(whole) // 2], "not a whole feather"),
        (b"", "not a whole feather"),
        (buffer.getvalue(), "lacks the column close"),
        (text.getvalue(), "has String in the column close"),
    ):
        with pytest.raises(SourceError, match=problem) as caught:
            ingest(source({PERP: data}), "bars_1m_perp", [DAY])
        assert caught.value.fields["file"] == PERP
    with pytest.raises(SourceError, match="no file of freqtrade"):
        source({"a.csv": b""}).symbols()


def test_a_folder_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(SourceError, match="no folder"):
        DiskTree(tmp_path / "nowhere")
    (tmp_path / "futures").mkdir()
    (tmp_path / PERP.removeprefix("binance/")).write_bytes(feather(minutes(2), [1.0] * 2))
    assert ingest(Freqtrade(DiskTree(tmp_path)), "bars_1m_perp", [DAY]).frame.height == 2


def test_an_unknown_dataset_is_refused_by_name():
    with pytest.raises(SourceError, match="no dataset"):
        source({PERP: feather(minutes(1), [1.0])}).offers("bars_5m", SYMBOL)
