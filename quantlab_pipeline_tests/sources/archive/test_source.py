"""Which file holds which day, what lies outside, and what landing checks."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest

from quantlab_pipeline.core.errors import SourceError
from quantlab_pipeline.sources import zipped_csv
from quantlab_pipeline.sources.archive import codec
from quantlab_pipeline.sources.archive.layout import archive_file, archive_name
from quantlab_pipeline.sources.archive.source import BinanceArchive
from quantlab_pipeline.sources.base import MemoryTree
from quantlab_pipeline_tests.sources import builders as b

UM = "futures/um"
NEXT = b.DAY + timedelta(days=1)


def name(kind: str, day: date, daily: bool = True, market: str = UM) -> str:
    return archive_name(market, kind, b.SYMBOL, day, daily=daily)


def klines_of(files: dict[str, pl.DataFrame], **options) -> BinanceArchive:
    return BinanceArchive(b.tree({n: (rows, codec.KLINES) for n, rows in files.items()}, **options))


def test_names_are_the_official_ones():
    assert name("klines", b.DAY) == (
        "data/futures/um/daily/klines/BTCUSDT/1m/BTCUSDT-1m-2024-03-05.zip"
    )
    assert name("fundingRate", b.DAY, daily=False) == (
        "data/futures/um/monthly/fundingRate/BTCUSDT/BTCUSDT-fundingRate-2024-03.zip"
    )
    for kind in ("klines", "markPriceKlines", "metrics", "bookTicker"):
        file = archive_file(name(kind, b.DAY))
        assert file is not None
        assert (file.kind, file.symbol, file.first, file.last) == (kind, b.SYMBOL, b.DAY, b.DAY)
    hourly = archive_file(name("klines:1h", b.DAY))
    assert hourly is not None
    assert (hourly.kind, hourly.name.rpartition("/")[2]) == (
        "klines:1h",
        "BTCUSDT-1h-2024-03-05.zip",
    )
    daily = name("klines", b.DAY).replace("/1m/", "/1d/").replace("-1m-", "-1d-")
    assert archive_file(daily) is None
    assert archive_file(name("klines", b.DAY).replace("-1m-", "-1h-")) is None


def test_a_day_is_its_daily_file_and_the_month_gives_the_others():
    days = [b.DAY, NEXT]
    month = pl.concat([b.klines(d, price=1.0) for d in days])
    source = klines_of(
        {name("klines", b.DAY, daily=False): month, name("klines", NEXT): b.klines(NEXT, price=2.0)}
    )
    parsed = b.ingest(source, "bars_1m_perp", days)
    assert parsed.findings == ()
    assert parsed.frame["close"].to_list() == [1.0] * 1440 + [2.0] * 1440
    assert b.ingest(source, "bars_1m_perp", [NEXT]).frame["close"].to_list() == [2.0] * 1440


def test_a_day_holds_the_closes_after_its_midnight_up_to_the_next():
    source = klines_of({name("klines", b.DAY): b.klines(b.DAY)})
    bars = b.ingest(source, "bars_1m_perp", [b.DAY]).frame
    assert bars["ts"][0] == datetime(2024, 3, 5, 0, 1, tzinfo=UTC)
    assert bars["ts"][-1] == datetime(2024, 3, 6, tzinfo=UTC)
    assert (bars["available_at"] == bars["ts"]).all()


def test_rows_outside_their_file_are_counted_and_set_aside():
    source = klines_of({name("klines", b.DAY): b.klines(b.DAY, first=60)})
    parsed = b.ingest(source, "bars_1m_perp", [b.DAY])
    assert parsed.frame.height == 1380
    assert [(f.check, f.count, f.day) for f in parsed.findings] == [("outside_file", 60, b.DAY)]


def test_landing_again_changes_nothing_and_keeps_the_bytes():
    source = klines_of({name("klines", b.DAY): b.klines(b.DAY, 10)})
    sink = b.MemorySink()
    first = source.land("bars_1m_perp", b.SYMBOL, [b.DAY], sink)
    assert source.land("bars_1m_perp", b.SYMBOL, [b.DAY], sink) == first
    assert sink.new == 1
    assert first[0].name == name("klines", b.DAY)


def test_a_missing_checksum_is_refused_unless_allowed():
    bare = b.tree({name("klines", b.DAY): (b.klines(b.DAY, 3), codec.KLINES)}, checksums=False)
    with pytest.raises(SourceError, match="no CHECKSUM"):
        b.ingest(BinanceArchive(bare), "bars_1m_perp", [b.DAY])
    allowed = BinanceArchive(bare, require_checksum=False)
    assert b.ingest(allowed, "bars_1m_perp", [b.DAY]).frame.height == 3


def test_a_wrong_checksum_is_refused_always():
    good = b.tree({name("klines", b.DAY): (b.klines(b.DAY, 3), codec.KLINES)})
    files = {n: good.read(n) for n in good.names()}
    files[name("klines", b.DAY) + ".CHECKSUM"] = codec.make_checksum("a", b"other")
    for required in (True, False):
        source = BinanceArchive(MemoryTree(files), require_checksum=required)
        with pytest.raises(SourceError, match="CHECKSUM"):
            b.ingest(source, "bars_1m_perp", [b.DAY])


def test_a_folder_of_something_else_is_refused():
    with pytest.raises(SourceError, match="no file of the official archive"):
        BinanceArchive(MemoryTree({"readme.txt": b""})).symbols()


def test_what_is_not_there_is_empty_not_an_error():
    source = klines_of({name("klines", b.DAY): b.klines(b.DAY, 3)})
    assert source.days("bars_1m_perp", b.SYMBOL) == (b.DAY, b.DAY)
    assert source.days("funding", b.SYMBOL) is None
    assert b.ingest(source, "funding", [b.DAY]).frame.is_empty()
    assert b.ingest(source, "bars_1m_perp", [b.DAY + timedelta(days=9)]).frame.is_empty()


def test_the_midnight_settlement_comes_from_the_next_month_or_is_said_to_be_uncovered():
    last = date(2024, 3, 31)
    stamps = [b.ms(datetime(2024, 3, 31, h, tzinfo=UTC)) + 7 for h in (0, 8, 16)]
    midnight = b.ms(datetime(2024, 4, 1, tzinfo=UTC)) + 3
    form = codec.FUNDING_RATE
    march = {name("fundingRate", last, daily=False): (b.funding_rates(stamps), form)}
    april = {
        name("fundingRate", date(2024, 4, 1), daily=False): (b.funding_rates([midnight]), form)
    }
    alone = b.ingest(BinanceArchive(b.tree(march)), "funding", [last])
    assert alone.frame["ts"].dt.hour().to_list() == [8, 16]
    assert [(f.check, f.day) for f in alone.findings] == [("uncovered_settlement", last)]
    both = b.ingest(BinanceArchive(b.tree(march | april)), "funding", [last])
    assert both.frame["ts"].dt.hour().to_list() == [8, 16, 0]
    assert both.frame["available_at"][-1] == datetime(2024, 4, 1, 0, 0, 0, 3000, tzinfo=UTC)
    assert both.findings == ()


def test_the_mark_at_settlement_is_the_mark_minute_that_closes_there():
    at = datetime(2024, 3, 5, 8, tzinfo=UTC)
    source = BinanceArchive(
        b.tree(
            {
                name("fundingRate", b.DAY, daily=False): (
                    b.funding_rates([b.ms(at) + 5]),
                    codec.FUNDING_RATE,
                ),
                name("markPriceKlines", b.DAY): (
                    b.klines(b.DAY, 2, first=479).with_columns(pl.Series("close", [60_000.0, 1.0])),
                    codec.KLINES,
                ),
            }
        )
    )
    assert b.ingest(source, "funding", [b.DAY]).frame["mark_price"].to_list() == [60_000.0]


def test_a_bucket_stamped_at_midnight_is_found_in_the_file_before():
    form = codec.METRICS
    before = b.DAY - timedelta(days=1)
    source = BinanceArchive(
        b.tree(
            {
                name("metrics", before): (
                    b.metrics(["2024-03-04 23:55:00", "2024-03-05 00:00:00"]),
                    form,
                ),
                name("metrics", b.DAY): (b.metrics(["2024-03-05 00:05:00"]), form),
            }
        )
    )
    parsed = b.ingest(source, "open_interest", [b.DAY])
    assert parsed.findings == ()
    assert parsed.frame["bucket_start"].dt.minute().to_list() == [0, 5]
    assert parsed.frame["ts"].dt.minute().to_list() == [5, 10]
    assert parsed.frame["available_at"].dt.minute().to_list() == [6, 11]


def test_the_book_stands_overnight_and_a_range_equals_its_days():
    start = datetime(2024, 3, 4, tzinfo=UTC)
    before, form = b.DAY - timedelta(days=1), codec.BOOK_TICKER
    early = [b.ms(start + timedelta(hours=h)) for h in (1, 23)]
    edge = [b.ms(start + timedelta(days=1)) + 2]
    late = [b.ms(start + timedelta(days=1, hours=1))]
    source = BinanceArchive(
        b.tree(
            {
                name("bookTicker", before): (b.book_ticker(early + edge, bid=90.0), form),
                name("bookTicker", b.DAY): (b.book_ticker(late), form),
            }
        )
    )
    both = b.ingest(source, "tob_snapshots", [before, b.DAY])
    alone = b.ingest(source, "tob_snapshots", [b.DAY])
    assert both.findings == alone.findings == ()
    second = both.frame.filter(pl.col("ts") > start + timedelta(days=1))
    assert alone.frame.equals(second)
    assert alone.frame["bid_px"][0] == 90.0
    assert alone.frame["n_updates"][0] == 1
    assert alone.frame.height == 86_400


def test_spot_klines_have_no_header_and_microseconds():
    rows = b.klines(b.DAY, 5).with_columns(
        pl.col("open_time") * 1000, pl.col("close_time") * 1000 + 999
    )
    spot = archive_name("spot", "klines", b.SYMBOL, b.DAY, daily=True)
    source = BinanceArchive(b.tree({spot: (rows, codec.KLINES)}, header=False))
    parsed = b.ingest(source, "bars_1m_spot", [b.DAY])
    assert (parsed.frame.height, parsed.findings) == (5, ())


def test_a_candle_of_another_width_is_no_minute_bar():
    rows = b.klines(b.DAY, 5).with_columns(pl.col("open_time") + 59 * 60_000 + 59_999)
    wide = b.klines(b.DAY, 5).with_columns(close_time=rows["open_time"])
    parsed = b.ingest(klines_of({name("klines", b.DAY): wide}), "bars_1m_perp", [b.DAY])
    assert parsed.frame.is_empty()
    assert [(f.check, f.count) for f in parsed.findings] == [("misaligned", 5)]


def test_in_a_monthly_book_the_day_before_stands_too():
    start = datetime(2024, 3, 4, tzinfo=UTC)
    stamps = [b.ms(start + timedelta(hours=h)) for h in (5, 23, 25)]
    month = name("bookTicker", b.DAY, daily=False)
    source = BinanceArchive(b.tree({month: (b.book_ticker(stamps), codec.BOOK_TICKER)}))
    frame = b.ingest(source, "tob_snapshots", [b.DAY]).frame
    assert frame["ts"][0] == datetime(2024, 3, 5, 0, 0, 1, tzinfo=UTC)
    assert frame["quote_age_s"][0] == 3601.0
    assert frame.height == 86_400


def hour_of(rows: pl.DataFrame, **changes: float) -> pl.DataFrame:
    """Hourly klines (ms) of minute klines that fill whole hours."""
    hourly = rows.group_by(pl.col("open_time") // 3_600_000 * 3_600_000, maintain_order=True).agg(
        pl.col("open").first(),
        pl.col("high").max(),
        pl.col("low").min(),
        pl.col("close").last(),
        pl.col("volume", "quote_volume", "count", "taker_buy_volume").sum(),
        pl.col("close_time").last(),
        pl.lit(0).alias("taker_buy_quote_volume"),
        pl.lit(0).alias("ignore"),
    )
    return hourly.with_columns(pl.lit(value).alias(name) for name, value in changes.items())


def test_minutes_are_held_against_the_hours_where_there_are_some():
    minutes, hours = b.klines(b.DAY), name("klines:1h", b.DAY, daily=False)
    files = {name("klines", b.DAY): minutes}
    alone = klines_of(files)
    assert b.ingest(alone, "bars_1m_perp", [b.DAY]).findings == ()
    good = klines_of(files | {hours: hour_of(minutes)})
    assert b.ingest(good, "bars_1m_perp", [b.DAY]).findings == ()
    assert good.days("bars_1m_perp", b.SYMBOL) == (b.DAY, b.DAY), "a total is no bar"
    wrong = klines_of(files | {hours: hour_of(minutes, volume=119.0)})
    found = b.ingest(wrong, "bars_1m_perp", [b.DAY]).findings
    assert [(f.check, f.count, f.detail) for f in found] == [
        ("totals_mismatch", 24, "differs in volume_base")
    ]
    assert found[0].places[-1] == datetime(2024, 3, 6, tzinfo=UTC)


def test_a_daily_file_of_hours_wins_over_the_months_and_spot_has_its_own():
    minutes = b.klines(b.DAY)
    spot = {"market": "spot"}
    source = klines_of(
        {
            name("klines", b.DAY, **spot): minutes,
            name("klines:1h", b.DAY, daily=False, **spot): hour_of(minutes, count=1),
            name("klines:1h", b.DAY, **spot): hour_of(minutes),
            name("klines:1h", b.DAY): hour_of(minutes, count=1),
        }
    )
    assert b.ingest(source, "bars_1m_spot", [b.DAY]).findings == ()


def test_an_hour_whose_minutes_are_not_all_there_is_said_to_be_uncovered():
    minutes = b.klines(b.DAY)
    files = {name("klines", b.DAY): minutes[:-1], name("klines:1h", b.DAY): hour_of(minutes)}
    found = b.ingest(klines_of(files), "bars_1m_perp", [b.DAY]).findings
    assert [(f.check, f.count) for f in found] == [("totals_uncovered", 1)]


@pytest.mark.parametrize("market", [UM, "spot"])
def test_the_official_hours_are_the_sums_of_minutes_made_to_fit_them(real_data: Path, market: str):
    """Both dialects of the real totals, beside minutes that share each hour out."""
    day = date(2024, 10, 28)
    sample = {UM: "futures-um", "spot": "spot"}[market]
    data = (real_data / "official_samples" / f"{sample}-klines-BTCUSDT-1h-{day}.zip").read_bytes()
    minutes = shared_out(zipped_csv.read_rows(data, "sample", codec.KLINES), day)
    twice = pl.when(pl.int_range(pl.len()) == 777).then(1).otherwise(pl.col("count"))
    dataset = "bars_1m_perp" if market == UM else "bars_1m_spot"
    found = []
    for rows in (minutes, minutes.with_columns(count=twice)):
        files = b.tree({name("klines", day, market=market): (rows, codec.KLINES)})
        both = {n: files.read(n) for n in files.names()}
        both[name("klines:1h", day, market=market)] = data
        source = BinanceArchive(MemoryTree(both), require_checksum=False)
        parsed = b.ingest(source, dataset, [day])
        assert parsed.frame.height == 1440
        found.append([(f.check, f.places, f.detail) for f in parsed.findings])
    place = (datetime(2024, 10, 28, 13, tzinfo=UTC),)
    assert found == [[], [("totals_mismatch", place, "differs in n_trades")]]


def shared_out(hours: pl.DataFrame, day: date) -> pl.DataFrame:
    """Minute klines whose trades lie in each hour's first minute and, a third, in its last.

    Between them stands a price that no trade made; only an hour without a trade (the futures' file
    has one, at 20:00) is what its minutes carried.
    """
    amounts = ("volume", "quote_volume", "taker_buy_volume")
    out = []
    for hour in hours.iter_rows(named=True):
        at_last = {c: round(hour[c] / 3, 3) for c in amounts} | {"count": hour["count"] // 3}
        at_first = {c: float(Decimal(str(hour[c])) - Decimal(str(at_last[c]))) for c in amounts}
        ends = dict.fromkeys(("open", "close"), hour["open"])
        carried = 1.0 if hour["count"] else hour["close"]
        idle = dict.fromkeys(("open", "high", "low", "close"), carried) | dict.fromkeys(at_last, 0)
        first = ends | {"high": hour["high"], "low": hour["low"]} | at_first
        last = dict.fromkeys(("open", "high", "low", "close"), hour["close"]) | at_last
        out += [first | {"count": hour["count"] - at_last["count"]}, *[idle] * 58, last]
    values = pl.DataFrame(out, schema_overrides=dict.fromkeys(amounts, pl.Float64))
    return b.klines(day).with_columns(values[c] for c in values.columns)
