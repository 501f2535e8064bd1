"""LEAN's folders: both layouts, opens that become closes, quotes that stand, and hostile files."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import polars as pl
import pytest

from quantlab_pipeline.core.errors import SourceError
from quantlab_pipeline.sources.archive.codec import make_zip
from quantlab_pipeline.sources.base import MemoryTree
from quantlab_pipeline.sources.lean.source import Lean
from quantlab_pipeline_tests.sources.builders import DAY, SYMBOL, MemorySink, ingest

START = datetime(2024, 3, 5, tzinfo=UTC)
BEFORE = DAY - timedelta(days=1)
MINUTE_MS = 60_000
TOB = "tob_snapshots"
TRADES, QUOTES = "perp/20240305_trade.zip", "perp/20240305_quote.zip"


def at(minute: int) -> datetime:
    return START + timedelta(minutes=minute)


def trade(minute: int, close: float = 100.0) -> str:
    return f"{minute * MINUTE_MS},100,{max(close, 101)},{min(close, 99)},{close},2.5"


def quote(minute: int, bid: float = 99.0) -> str:
    return f"{minute * MINUTE_MS},98,100,97,{bid},3,99,101,98,{bid + 1},4"


def zipped(lines: list[str], tick: str, day: date = DAY, perp: bool = True) -> bytes:
    name = f"{day:%Y%m%d}_btcusdt_minute_{tick}{'_perp' if perp else ''}.csv"
    return make_zip(name, "\n".join(lines).encode())


def lean(files: dict[str, bytes], **options) -> Lean:
    return Lean(MemoryTree(files), **options)


def one_day(tick: str, lines: list[str], **options) -> Lean:
    return lean({f"perp/20240305_{tick}.zip": zipped(lines, tick)}, **options)


def counted(parsed) -> list[tuple[str, str, int, date]]:
    return [(f.dataset, f.check, f.count, f.day) for f in parsed.findings]


def test_a_bar_is_stamped_by_its_close_and_knows_neither_value_nor_trades():
    source = one_day("trade", [trade(0), trade(1, 103.0), trade(1439)])
    frame = ingest(source, "bars_1m_perp", [DAY]).frame
    assert frame["ts"].to_list() == [at(1), at(2), at(1440)]
    assert frame["open_ts"][0] == START
    assert frame["close"].to_list() == [100.0, 103.0, 100.0]
    assert frame["volume_base"].to_list() == [2.5] * 3
    for unknown in ("volume_quote", "n_trades", "taker_buy_base"):
        assert frame[unknown].null_count() == 3
    assert source.symbols() == [SYMBOL]
    assert source.days("bars_1m_perp", SYMBOL) == (DAY, DAY)
    assert not source.offers("bars_1m_spot", SYMBOL)
    assert not source.offers("mark_index", SYMBOL)
    assert ingest(source, "mark_index", [DAY]).frame.is_empty()


def test_leans_own_folders_hold_the_same_and_venues_are_told_apart():
    perp, spot = "Data/cryptofuture/{}/minute/btcusdt/", "Data/crypto/{}/minute/btcusdt/"
    bybit = {
        perp.format("bybit") + "20240305_trade.zip": zipped([trade(0)], "trade"),
        spot.format("bybit") + "20240305_trade.zip": zipped([trade(0, 102.0)], "trade", perp=False),
        "Data/cryptofuture/bybit/margin_interest/btcusdt.csv": b"20240305 08:00:00,0.0001\n",
        "Data/crypto/bybit/hour/btcusdt_trade.zip": b"not read",
        "Data/crypto/bybit/minute/btcusdt/20241340_trade.zip": b"no day",
    }
    source = lean(bybit)
    assert ingest(source, "bars_1m_perp", [DAY]).frame["close"].to_list() == [100.0]
    assert ingest(source, "bars_1m_spot", [DAY]).frame["close"].to_list() == [102.0]
    assert ingest(source, "funding", [DAY]).frame["settled_rate"].to_list() == [0.0001]
    binance = {perp.format("binance") + "20240305_trade.zip": zipped([trade(0, 98.0)], "trade")}
    with pytest.raises(SourceError, match="several venues: binance, bybit"):
        lean(bybit | binance).symbols()
    chosen = lean(bybit | binance, venue="binance")
    assert ingest(chosen, "bars_1m_perp", [DAY]).frame["close"].to_list() == [98.0]
    assert not chosen.offers("bars_1m_spot", SYMBOL)


def test_the_closing_quote_of_a_minute_is_the_sample_at_its_close():
    parsed = ingest(one_day("quote", [quote(0), quote(1, 97.0), quote(1439, 96.0)]), TOB, [DAY])
    frame = parsed.frame
    assert parsed.findings == ()
    assert frame.height == 1440
    assert frame["ts"][0] == at(1), "nothing of a minute is known before its close"
    assert frame["bid_px"].head(2).to_list() == [99.0, 97.0]
    assert frame["ask_px"].head(2).to_list() == [100.0, 98.0]
    assert frame.select("bid_qty", "ask_qty").row(0) == (3.0, 4.0)
    last = frame.row(-1, named=True)
    assert (last["ts"], last["bid_px"], last["n_updates"]) == (at(1440), 96.0, 1)
    assert last["quote_age_s"] < 0.001


def test_a_quote_stands_through_omitted_minutes_and_says_its_age():
    frame = ingest(one_day("quote", [quote(0), quote(5, 90.0)]), TOB, [DAY]).frame.head(7)
    assert frame["bid_px"].to_list() == [99.0] * 5 + [90.0] * 2
    assert frame["quote_age_s"].round(3).to_list() == [0.0, 60.0, 120.0, 180.0, 240.0, 0.0, 60.0]
    assert frame["n_updates"].to_list() == [1, 0, 0, 0, 0, 1, 0]


def test_a_quote_stands_overnight_and_a_range_equals_its_days():
    files = {
        "perp/20240304_quote.zip": zipped([quote(7), quote(1438, 90.0)], "quote", BEFORE),
        QUOTES: zipped([quote(2)], "quote"),
        "spot/20240305_quote.zip": zipped([quote(0, 88.0)], "quote", perp=False),
    }
    alone = ingest(lean(files), TOB, [DAY]).frame
    perp = alone.filter(leg="perp")
    assert perp["bid_px"].head(3).to_list() == [90.0, 90.0, 99.0]
    assert perp["quote_age_s"].round(3)[0] == 120.0
    assert alone.filter(leg="spot")["bid_px"][0] == 88.0
    both = ingest(lean(files), TOB, [BEFORE, DAY]).frame
    assert both.filter(pl.col("ts") > START).equals(alone)
    assert lean(files).days(TOB, SYMBOL) == (BEFORE, DAY)


def test_an_omitted_trade_bar_is_a_missing_minute_and_an_empty_side_an_invalid_quote():
    bars = ingest(one_day("trade", [trade(0), trade(2)]), "bars_1m_perp", [DAY])
    assert (bars.frame.height, bars.findings) == (2, ())
    one_sided = "0,,,,,,99,101,98,100,4"
    parsed = ingest(one_day("quote", [one_sided]), TOB, [DAY])
    assert parsed.frame["bid_px"].null_count() == 1440
    assert ("tob_perp", "invalid_quotes", 1, DAY) in counted(parsed)


def test_rates_are_settlements_and_the_midnight_beyond_the_file_is_told():
    text = b"20240304 16:00:00,0.0001\n20240305 00:00:00,0.0002\n20240305 08:00:00,-0.0003"
    source = lean({TRADES: zipped([trade(0)], "trade"), "perp/funding_btcusdt.csv": text})
    parsed = ingest(source, "funding", [DAY])
    assert parsed.frame["ts"].to_list() == [START + timedelta(hours=8)]
    assert parsed.frame["settled_rate"].to_list() == [-0.0003]
    assert parsed.frame["interval_h"].to_list() == [8]
    assert counted(parsed) == [("funding", "uncovered_settlement", 1, DAY)]
    assert parsed.findings[0].places == (at(1440),)
    before = ingest(source, "funding", [BEFORE])
    assert before.frame["settled_rate"].to_list() == [0.0001, 0.0002]
    assert before.findings == (), "the file goes on past that midnight"
    assert source.days("funding", SYMBOL) == (BEFORE, DAY)


def test_a_file_that_ends_at_midnight_says_nothing_of_the_day_after():
    source = lean({"perp/funding_btcusdt.csv": b"20240304 16:00:00,1e-4\n20240305 00:00:00,1e-4"})
    assert ingest(source, "funding", [BEFORE, DAY]).findings == ()


def test_rows_outside_their_files_day_are_set_aside_and_counted():
    far = f"{10**18},1,1,1,1,1"
    parsed = ingest(
        one_day("trade", [trade(-1), trade(0), trade(1440), far]), "bars_1m_perp", [DAY]
    )
    assert parsed.frame["ts"].to_list() == [at(1)]
    assert counted(parsed) == [("bars_1m_perp", "outside_file", 3, DAY)]
    assert parsed.findings[0].places[:2] == (at(-1), at(1440))
    quotes = ingest(one_day("quote", [quote(0), quote(1440)]), TOB, [DAY])
    assert counted(quotes) == [("tob_perp", "outside_file", 1, DAY)]
    assert quotes.frame["bid_px"].unique().to_list() == [99.0]


def test_stamps_off_the_minute_are_set_aside_and_counted():
    parsed = ingest(one_day("trade", ["500,100,101,99,100,1"]), "bars_1m_perp", [DAY])
    assert counted(parsed) == [("bars_1m_perp", "misaligned", 1, DAY)]
    late = quote(3).replace(f"{3 * MINUTE_MS}", f"{3 * MINUTE_MS + 7}")
    quotes = ingest(one_day("quote", [quote(0), late]), TOB, [DAY])
    assert counted(quotes) == [("tob_perp", "misaligned", 1, DAY)]
    assert quotes.findings[0].places == (at(3) + timedelta(milliseconds=7),)
    assert quotes.frame["n_updates"].sum() == 1


def test_faults_of_the_day_before_are_not_those_of_the_day():
    files = {
        "perp/20240304_quote.zip": zipped([quote(2000)], "quote", BEFORE),
        QUOTES: zipped([quote(0)], "quote"),
    }
    assert counted(ingest(lean(files), TOB, [DAY])) == []
    assert len(counted(ingest(lean(files), TOB, [BEFORE, DAY]))) == 1


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("60000,100,101,99,abc,1", "line 2: close is 'abc', not a number"),
        ("60000,100,101,99,100", "line 2: 5 fields, 6 columns"),
        ("60000,100,101,99,100,1,2", "line 2: 7 fields, 6 columns"),
        (",100,101,99,100,1", "line 2: ms is empty"),
        ("6e4,100,101,99,100,1", "line 2: ms is '6e4', not a whole number"),
        ("", "line 2: 1 fields, 6 columns"),
    ],
)
def test_a_damaged_line_is_named(line, problem):
    source = one_day("trade", [trade(0), line, trade(2)])
    with pytest.raises(SourceError, match=problem) as caught:
        ingest(source, "bars_1m_perp", [DAY])
    assert (caught.value.fields["file"], caught.value.fields["line"]) == (TRADES, 2)


def test_a_damaged_rate_is_named():
    for text, problem in (
        (b"20240305 08:00:00,x\n", "line 1: rate is 'x'"),
        (b"20240305 08:00:00,0.1\n2024-03-05 16:00,0.1\n", "line 2: stamp is '2024-03-05 16:00'"),
        (b"20240305 08:00:00\n", "1 columns, not 2"),
    ):
        with pytest.raises(SourceError, match=problem):
            ingest(lean({"perp/funding_btcusdt.csv": text}), "funding", [DAY])


def test_a_file_of_the_other_kind_has_the_wrong_width():
    files = {"cryptofuture/bybit/minute/btcusdt/20240305_trade.zip": zipped([quote(0)], "quote")}
    with pytest.raises(SourceError, match="11 columns, not 6"):
        ingest(lean(files), "bars_1m_perp", [DAY])


def test_a_damaged_zip_is_named_where_its_symbol_is_read_or_its_rows():
    whole = zipped([trade(m) for m in range(50)], "trade")
    for data in (whole[:100], b"", b"no zip"):
        with pytest.raises(SourceError, match="not a whole zip"):
            lean({TRADES: data}).symbols()
    changed = whole.replace(b"60000,100", b"60000,200")
    with pytest.raises(SourceError, match="not a whole zip"):
        ingest(lean({TRADES: changed}), "bars_1m_perp", [DAY])


def test_a_zip_of_another_day_or_kind_than_its_name_is_refused():
    for data in (
        zipped([trade(0)], "trade", BEFORE),
        zipped([quote(0)], "quote"),
        make_zip("a.csv", b"0,1,1,1,1,1"),
    ):
        with pytest.raises(SourceError, match="no trades of its day"):
            lean({TRADES: data}).symbols()


def test_another_grid_than_the_minute_is_refused_where_a_book_is_parsed():
    files = {TRADES: zipped([trade(0)], "trade"), QUOTES: zipped([quote(0)], "quote")}
    fine = lean(files, grid_s=1)
    assert ingest(fine, "bars_1m_perp", [DAY]).frame.height == 1
    with pytest.raises(SourceError, match=r"every 1 s.*tob_grid_s: 60"):
        ingest(fine, TOB, [DAY])


def test_a_folder_of_something_else_is_refused_and_what_is_absent_is_empty():
    with pytest.raises(SourceError, match="no minute file of LEAN"):
        lean({"readme.md": b""}).symbols()
    source = one_day("trade", [trade(0)])
    assert source.days("funding", SYMBOL) is None
    assert ingest(source, "bars_1m_perp", [BEFORE]).frame.is_empty()
    assert source.land("bars_1m_perp", SYMBOL, [], MemorySink()) == []
    with pytest.raises(SourceError, match="no dataset"):
        source.offers("bars_5m", SYMBOL)


def test_landing_again_changes_nothing():
    source, sink = one_day("trade", [trade(0)]), MemorySink()
    first = source.land("bars_1m_perp", SYMBOL, [DAY], sink)
    assert source.land("bars_1m_perp", SYMBOL, [DAY], sink) == first
    assert (sink.new, first[0].name) == (1, TRADES)
