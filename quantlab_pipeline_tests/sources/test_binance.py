"""The combined source: which of archive and REST gives a day, and that both give the same."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from quantlab_pipeline.core.errors import SourceError
from quantlab_pipeline.core.fingerprints import digest_bytes
from quantlab_pipeline.core.seeds import generator
from quantlab_pipeline.sources.archive import codec
from quantlab_pipeline.sources.archive.layout import archive_name
from quantlab_pipeline.sources.base import MemoryTree
from quantlab_pipeline.sources.binance import Binance, mirror_tree
from quantlab_pipeline.sources.remote.binance_rest import UnknownSymbolError
from quantlab_pipeline.sources.remote.pages import file_days
from quantlab_pipeline.storage.raw_store import FileRawSink
from quantlab_pipeline_tests.sources import builders as b
from quantlab_pipeline_tests.sources.remote import rest_server as r

UM = "futures/um"
BEFORE, DAY, NEXT = DAYS = [date(2024, 2, 28), date(2024, 2, 29), date(2024, 3, 1)]
"""Two days of one month, of which funding has one file, and one of the next."""

MIDNIGHT = datetime(2024, 2, 29, tzinfo=UTC)
NOW = datetime(2024, 3, 2, 12, tzinfo=UTC)
REST_DATASETS = ("bars_1m_perp", "bars_1m_spot", "funding", "mark_index", "open_interest")

Files = dict[str, tuple[pl.DataFrame, codec.Format]]


class Market:
    """The same three days twice: as the archive's files, and as the REST interface's rows."""

    def __init__(self) -> None:
        self.files: dict[str, Files] = {d: {} for d in REST_DATASETS}
        self.venue = r.RestVenue()
        self._candles("bars_1m_perp", UM, "klines", "klines", 1)
        self._candles("bars_1m_spot", "spot", "klines", "spotKlines", 2)
        for seed, kind in enumerate(("markPriceKlines", "indexPriceKlines"), 3):
            self._candles("mark_index", UM, kind, kind, seed)
        self._candles("mark_index", UM, "premiumIndexKlines", "premiumIndexKlines", 5)
        self._funding()
        self._interest()

    def tree(self, days: list[date]) -> MemoryTree:
        """The archive as it stood when it had `days`: their files, and those of whole months."""
        lacking = {d.isoformat() for d in DAYS if d not in days}
        chosen: Files = {}
        for files in self.files.values():
            for name, file in files.items():
                part = name[-14:-4] if "/daily/" in name else name[-11:-4]
                if not any(d.startswith(part) for d in lacking):
                    chosen[name] = file
        return b.tree(chosen)

    def _candles(self, dataset: str, market: str, kind: str, endpoint: str, seed: int) -> None:
        frames = {d: b.moving_klines(d, seed) for d in DAYS}
        for day, frame in frames.items():
            name = archive_name(market, kind, b.SYMBOL, day, daily=True)
            self.files[dataset][name] = (frame, codec.KLINES)
        self.venue.serve(endpoint, b.SYMBOL, r.candle_rows(pl.concat(frames.values())))

    def _funding(self) -> None:
        """Every 8 hours, jittered, from two days before to the last midnight."""
        stamps = [b.ms(MIDNIGHT + timedelta(hours=8 * i)) + i % 3 * 7 for i in range(-9, 7)]
        rates = b.funding_rates(stamps).with_columns(
            last_funding_rate=pl.Series(generator(7).normal(1e-4, 1e-4, len(stamps)))
        )
        month = pl.from_epoch("calc_time", "ms").dt.month()
        for first in (date(2024, 2, 1), date(2024, 3, 1)):
            name = archive_name(UM, "fundingRate", b.SYMBOL, first, daily=False)
            part = rates.filter(month == first.month)
            self.files["funding"][name] = (part, codec.FUNDING_RATE)
        self.venue.serve("fundingRate", b.SYMBOL, r.funding_rows(rates, b.SYMBOL))

    def _interest(self) -> None:
        rows = []
        for day in DAYS:
            start = datetime(day.year, day.month, day.day, tzinfo=UTC)
            stamps = [f"{start + timedelta(minutes=5 * i):%Y-%m-%d %H:%M:%S}" for i in range(288)]
            values = generator(8, day.isoformat()).gamma(3.0, 1e4, 288)
            frame = b.metrics(stamps).with_columns(
                sum_open_interest=pl.Series(values), sum_open_interest_value=pl.Series(values * 99)
            )
            name = archive_name(UM, "metrics", b.SYMBOL, day, daily=True)
            self.files["open_interest"][name] = (frame, codec.METRICS)
            rows += r.interest_rows(frame, b.SYMBOL)
        self.venue.serve("openInterestHist", b.SYMBOL, rows)


@pytest.fixture(scope="module")
def market() -> Market:
    return Market()


@pytest.fixture
def online(market: Market) -> Iterator:
    market.venue.used = 0
    with r.rest_of(market.venue, NOW) as (rest, server):
        yield rest, server


def ingest(source: Binance, dataset: str, days: list[date], sink: b.MemorySink | None = None):
    sink = sink or b.MemorySink()
    files = source.land(dataset, b.SYMBOL, days, sink)
    return files, source.parse(dataset, b.SYMBOL, files, sink, days)


@pytest.mark.parametrize("dataset", REST_DATASETS)
def test_a_day_is_the_same_to_the_last_bit_whichever_of_the_two_gives_it(market, online, dataset):
    rest, _ = online
    by_archive = ingest(Binance(market.tree(DAYS), None), dataset, [DAY])
    by_rest = ingest(Binance(MemoryTree({}), rest), dataset, [DAY])
    assert all(file_days(f.name) is None for f in by_archive[0])
    assert all(file_days(f.name) == (DAY, DAY) for f in by_rest[0])
    assert by_archive[1].frame.height in {3, 288, 1440}
    assert by_rest[1].frame.equals(by_archive[1].frame)
    assert by_rest[1].findings == by_archive[1].findings == ()
    if dataset == "mark_index":
        assert (
            by_rest[1]
            .frame.select(pl.all().exclude("^predicted.*|next.*$"))
            .null_count()
            .pipe(lambda nulls: sum(nulls.row(0)))
            == 0
        )


@pytest.mark.parametrize("dataset", REST_DATASETS)
def test_the_mirror_wins_and_rest_gives_what_it_lacks(market, online, dataset):
    rest, _ = online
    files, parsed = ingest(Binance(market.tree([BEFORE, DAY]), rest), dataset, DAYS)
    paged = {file_days(f.name)[0] for f in files if file_days(f.name) is not None}
    # February's funding lacks the settlement that ends its last day: that is in March's file.
    assert paged == ({DAY, NEXT} if dataset == "funding" else {NEXT})
    assert any(file_days(f.name) is None for f in files)
    whole = ingest(Binance(market.tree(DAYS), None), dataset, DAYS)[1]
    assert parsed.frame.equals(whole.frame)
    assert parsed.findings == whole.findings == ()


def test_a_settlement_in_a_file_to_come_is_said_to_be_uncovered_without_the_network(market):
    _, parsed = ingest(Binance(market.tree([BEFORE, DAY]), None), "funding", [DAY])
    assert parsed.frame["ts"].dt.hour().to_list() == [8, 16]
    assert [f.check for f in parsed.findings] == ["uncovered_settlement"]


def test_where_rest_has_nothing_either_the_archive_s_part_of_a_day_is_kept(market):
    with r.rest_of(r.RestVenue(), NOW) as (rest, _):
        _, parsed = ingest(Binance(market.tree([BEFORE, DAY]), rest), "funding", [DAY])
    assert parsed.frame["ts"].dt.hour().to_list() == [8, 16]
    assert [f.check for f in parsed.findings] == ["uncovered_settlement"]


def test_a_page_that_was_landed_gives_way_when_the_archive_has_the_day(market, online):
    rest, _ = online
    sink = b.MemorySink()
    early, first = ingest(Binance(market.tree([BEFORE]), rest), "bars_1m_perp", [DAY], sink)
    late, second = ingest(Binance(market.tree(DAYS), rest), "bars_1m_perp", [DAY], sink)
    assert {f.name for f in early}.isdisjoint(f.name for f in late)
    assert not {(f.name, f.sha256) for f in late} <= {(f.name, f.sha256) for f in early}
    assert second.frame.equals(first.frame)


def test_without_the_network_it_is_the_archive_alone(market):
    source = Binance(market.tree([BEFORE]), None)
    assert source.days("bars_1m_perp", b.SYMBOL) == (BEFORE, BEFORE)
    files, parsed = ingest(source, "bars_1m_perp", DAYS)
    assert len(files) == 1
    assert parsed.frame.height == 1440
    empty = Binance(MemoryTree({}), None)
    assert (empty.symbols(), empty.days("funding", b.SYMBOL)) == ([], None)
    assert not empty.offers("funding", b.SYMBOL)
    assert ingest(empty, "funding", DAYS)[1].frame.is_empty()


def test_an_absent_mirror_is_an_empty_one(tmp_path: Path, online):
    rest, _ = online
    source = Binance(mirror_tree(tmp_path / "none"), rest)
    assert source.symbols() == []
    assert ingest(source, "bars_1m_perp", [DAY])[1].frame.height == 1440


def test_what_it_says_it_has(market, online):
    rest, server = online
    source = Binance(market.tree([BEFORE]), rest)
    assert source.kind == "binance"
    assert source.symbols() == [b.SYMBOL]
    # 35 days back from noon of 2 March, and the last whole day.
    assert source.days("bars_1m_perp", b.SYMBOL) == (date(2024, 1, 28), NEXT)
    assert source.days("open_interest", b.SYMBOL) == (date(2024, 2, 2), NEXT)
    assert source.days("tob_snapshots", b.SYMBOL) is None
    assert source.offers("open_interest", "ETHUSDT")
    assert not source.offers("tob_snapshots", b.SYMBOL)
    assert server.requests == []
    for asked in (source.offers, source.days):
        with pytest.raises(SourceError, match="no dataset"):
            asked("candles", b.SYMBOL)


def test_a_perpetual_that_nobody_ever_heard_of_is_an_error(market, online):
    rest, _ = online
    source = Binance(market.tree(DAYS), rest)
    with pytest.raises(UnknownSymbolError, match="BTCUDST"):
        source.land("bars_1m_perp", "BTCUDST", [DAY], b.MemorySink())


def test_a_delisted_perpetual_and_a_coin_without_spot_are_absent(market):
    with r.rest_of(r.RestVenue(), NOW) as (rest, _):
        source = Binance(market.tree([BEFORE]), rest)
        files, parsed = ingest(source, "bars_1m_perp", DAYS)
        assert (len(files), parsed.frame.height) == (1, 1440)
        assert ingest(Binance(MemoryTree({}), rest), "bars_1m_spot", DAYS)[0] == []


def test_landing_again_asks_nothing_and_changes_nothing(market, online):
    rest, server = online
    sink = b.MemorySink()
    source = Binance(market.tree([BEFORE]), rest)
    for dataset in ("bars_1m_spot", "funding", "open_interest"):
        first = source.land(dataset, b.SYMBOL, DAYS, sink)
        asked, new = len(server.requests), sink.new
        assert source.land(dataset, b.SYMBOL, DAYS, sink) == first
        assert (len(server.requests), sink.new) == (asked, new)
        assert all(digest_bytes(sink.kept[f.path]) == f.sha256 for f in first)


def test_pages_lie_in_the_raw_store_with_their_addresses(tmp_path, online):
    rest, server = online
    sink = FileRawSink(tmp_path, lambda: NOW)
    source = Binance(MemoryTree({}), rest)
    first = source.land("bars_1m_spot", b.SYMBOL, [DAY], sink)
    asked = len(server.requests)
    assert source.land("bars_1m_spot", b.SYMBOL, [DAY], sink) == first
    assert len(server.requests) == asked == 2
    assert [f.name for f in first] == [
        f"rest/spotKlines/BTCUSDT/BTCUSDT-spotKlines-{DAY}-{n}.json" for n in (1, 2)
    ]
    assert all(f.url.startswith(f"{server.url}/api/v3/klines?symbol=BTCUSDT&") for f in first)
    assert all((tmp_path / f.path).is_file() for f in first)
    (tmp_path / first[0].path).write_bytes(b"[]")
    with pytest.raises(SourceError, match="does not have its checksum"):
        source.parse("bars_1m_spot", b.SYMBOL, first, sink, [DAY])


def test_a_range_equals_its_days(market, online):
    rest, _ = online
    source = Binance(market.tree([BEFORE]), rest)
    for dataset in ("bars_1m_spot", "funding", "open_interest"):
        range_ = ingest(source, dataset, DAYS)[1]
        days = pl.concat(ingest(source, dataset, [d])[1].frame for d in DAYS)
        assert range_.frame.equals(days)


def test_no_day_gives_no_row(market, online):
    rest, _ = online
    assert ingest(Binance(market.tree(DAYS), rest), "bars_1m_perp", [])[1].frame.is_empty()
