"""Days from the REST interface: paging, costs, refusals, and what is kept."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta

import polars as pl
import pytest

from quantlab_pipeline.core.errors import SourceError
from quantlab_pipeline.sources.remote.binance_rest import (
    UnknownSymbolError,
    offers,
    parse_pages,
)
from quantlab_pipeline.sources.remote.endpoints import ENDPOINTS
from quantlab_pipeline.sources.remote.http import BannedError, RemoteError
from quantlab_pipeline_tests.sources import builders as b
from quantlab_pipeline_tests.sources.remote import rest_server as r
from quantlab_pipeline_tests.sources.remote import server as s

NEXT = b.DAY + timedelta(days=1)
NOW = datetime(2024, 3, 7, 12, tzinfo=UTC)
MIDNIGHT = datetime(2024, 3, 5, tzinfo=UTC)


def venue_with(endpoint: str, rows: list[tuple[int, object]], **options) -> r.RestVenue:
    venue = r.RestVenue(**options)
    venue.serve(endpoint, b.SYMBOL, rows)
    return venue


def table(rest, dataset: str, day: date = b.DAY, sink: b.MemorySink | None = None):
    sink = sink or b.MemorySink()
    files = rest.land("binance", dataset, b.SYMBOL, day, sink)
    return parse_pages(dataset, b.SYMBOL, files, sink, [day])


def two_days() -> list[tuple[int, object]]:
    return r.candle_rows(pl.concat([b.klines(d) for d in (b.DAY - timedelta(days=1), b.DAY, NEXT)]))


def test_a_day_of_candles_is_one_page_kept_as_it_was_sent_with_its_address():
    venue = venue_with("klines", two_days())
    sink = b.MemorySink()
    with r.rest_of(venue, NOW) as (rest, server):
        files = rest.land("binance", "bars_1m_perp", b.SYMBOL, b.DAY, sink)
        assert [f.name for f in files] == ["rest/klines/BTCUSDT/BTCUSDT-klines-2024-03-05-1.json"]
        first = b.ms(MIDNIGHT)
        assert files[0].url == (
            f"{server.url}/fapi/v1/klines?symbol=BTCUSDT&interval=1m"
            f"&startTime={first}&endTime={first + 86_400_000 - 1}&limit=1500"
        )
        assert dict(server.requests[0].query) == {
            "symbol": "BTCUSDT",
            "interval": "1m",
            "startTime": str(first),
            "endTime": str(first + 86_399_999),
            "limit": "1500",
        }
    rows = [element for at, element in two_days() if first <= at < first + 86_400_000]
    assert sink.read(files[0]) == json.dumps(rows).encode()
    parsed = parse_pages("bars_1m_perp", b.SYMBOL, files, sink, [b.DAY])
    assert (parsed.frame.height, parsed.findings) == (1440, ())


def test_spot_comes_in_two_pages_and_the_index_by_its_pair():
    venue = venue_with("spotKlines", two_days())
    for endpoint in ("markPriceKlines", "indexPriceKlines", "premiumIndexKlines"):
        venue.serve(endpoint, b.SYMBOL, two_days())
    with r.rest_of(venue, NOW) as (rest, server):
        assert table(rest, "bars_1m_spot").frame.height == 1440
        assert [q.query["limit"] for q in server.requests] == ["1000", "1000"]
        marks = table(rest, "mark_index").frame
        assert marks.select("mark_price", "index_price", "premium_index").null_count().row(0) == (
            0,
            0,
            0,
        )
        index = next(q for q in server.requests if "index" in q.path)
        assert index.query["pair"] == b.SYMBOL
        assert "symbol" not in index.query


def test_a_day_that_was_landed_is_not_asked_for_again():
    venue = venue_with("klines", two_days(), cap=600)
    sink = b.MemorySink()
    with r.rest_of(venue, NOW) as (rest, server):
        first = rest.land("binance", "bars_1m_perp", b.SYMBOL, b.DAY, sink)
        asked = len(server.requests)
        assert asked == len(first) == 3
        assert rest.land("binance", "bars_1m_perp", b.SYMBOL, b.DAY, sink) == first
        assert len(server.requests) == asked
    assert sink.new == 3


def test_a_page_of_another_host_is_the_same_page_and_one_of_another_question_is_not():
    sink = b.MemorySink()
    with r.rest_of(venue_with("klines", two_days()), NOW) as (rest, _):
        first = rest.land("binance", "bars_1m_perp", b.SYMBOL, b.DAY, sink)
    with r.rest_of(venue_with("klines", two_days()), NOW) as (rest, server):
        assert rest.land("binance", "bars_1m_perp", b.SYMBOL, b.DAY, sink) == first
        assert server.requests == []
    with r.rest_of(venue_with("klines", two_days()), NOW, page_rows=900) as (rest, server):
        assert table(rest, "bars_1m_perp", sink=sink).frame.height == 1440
        assert len(server.requests) == 2


def test_a_landing_that_was_broken_off_goes_on_with_the_page_it_lacks():
    venue = venue_with("klines", two_days(), cap=600)
    venue.faults = [lambda _, a: a, *[s.status(500)] * 3]
    sink = b.MemorySink()
    with r.rest_of(venue, NOW) as (rest, server):
        with pytest.raises(RemoteError, match="500"):
            rest.land("binance", "bars_1m_perp", b.SYMBOL, b.DAY, sink)
        assert sink.new == 1
        asked = len(server.requests)
        assert table(rest, "bars_1m_perp", sink=sink).frame.height == 1440
        assert len(server.requests) == asked + 2


def test_a_symbol_listed_in_the_day_begins_where_it_begins():
    listed = r.candle_rows(b.klines(b.DAY, minutes=440, first=1000))
    with r.rest_of(venue_with("klines", listed), NOW) as (rest, server):
        parsed = table(rest, "bars_1m_perp")
        assert parsed.frame["ts"][0] == MIDNIGHT + timedelta(minutes=1001)
        assert (parsed.frame.height, parsed.findings) == (440, ())
        assert len(server.requests) == 2


def test_a_day_without_a_row_is_absent_and_asked_for_once():
    sink = b.MemorySink()
    with r.rest_of(venue_with("klines", r.candle_rows(b.klines(NEXT))), NOW) as (rest, server):
        for _ in range(2):
            assert rest.land("binance", "bars_1m_perp", b.SYMBOL, b.DAY, sink) == []
        assert len(server.requests) == 1
    assert sink.kept == {}


@pytest.mark.parametrize(
    ("now", "landed"),
    [
        (datetime(2024, 3, 6, 0, 14, 59, tzinfo=UTC), False),
        (datetime(2024, 3, 6, 0, 15, tzinfo=UTC), True),
        (datetime(2024, 4, 8, 23, tzinfo=UTC), True),
        (datetime(2024, 4, 9, 1, tzinfo=UTC), False),
    ],
)
def test_a_day_is_asked_for_when_it_is_whole_and_not_too_old(now, landed):
    with r.rest_of(venue_with("klines", two_days()), now) as (rest, server):
        assert (table(rest, "bars_1m_perp").frame.height == 1440) is landed
        assert bool(server.requests) is landed


def test_open_interest_is_asked_for_thirty_days_back_alone():
    stamps = [f"2024-03-05 {h:02}:{m:02}:00" for h in range(24) for m in range(0, 60, 5)]
    rows = r.interest_rows(b.metrics(stamps), b.SYMBOL)
    for now, buckets in (
        (datetime(2024, 4, 3, 23, 59, tzinfo=UTC), 288),
        (datetime(2024, 4, 4, 0, 1, tzinfo=UTC), 0),
    ):
        with r.rest_of(venue_with("openInterestHist", rows), now) as (rest, _):
            assert table(rest, "open_interest").frame.height == buckets


def test_a_day_that_was_landed_stays_when_it_is_too_old_to_ask_for():
    sink = b.MemorySink()
    with r.rest_of(venue_with("klines", two_days()), NOW) as (rest, server):
        first = rest.land("binance", "bars_1m_perp", b.SYMBOL, b.DAY, sink)
        # The same addresses, a year later.
        rest._clock = lambda: NOW + timedelta(days=365)
        assert rest.land("binance", "bars_1m_perp", b.SYMBOL, b.DAY, sink) == first
        assert len(server.requests) == 1


def test_open_interest_unsorted_and_doubled_is_sorted_and_counted():
    stamps = [f"2024-03-05 00:{m:02}:00" for m in (0, 10, 5, 5, 15)]
    rows = r.interest_rows(b.metrics(stamps), b.SYMBOL)
    with r.rest_of(venue_with("openInterestHist", rows), NOW) as (rest, _):
        parsed = table(rest, "open_interest")
    assert parsed.frame["bucket_start"].dt.minute().to_list() == [0, 5, 10, 15]
    assert parsed.frame["ts"].dt.minute().to_list() == [5, 10, 15, 20]
    assert parsed.frame["available_at"].dt.minute().to_list() == [6, 11, 16, 21]
    assert sorted((f.check, f.count) for f in parsed.findings) == [
        ("duplicates", 1),
        ("non_monotone", 2),
    ]


def settlements(*hours: float, jitter_ms: int = 4) -> list[tuple[int, object]]:
    stamps = [b.ms(MIDNIGHT + timedelta(hours=h)) + jitter_ms for h in hours]
    return r.funding_rows(b.funding_rates(stamps), b.SYMBOL)


def test_funding_has_the_midnight_that_ends_the_day_and_keeps_the_jitter():
    venue = venue_with("fundingRate", settlements(-16, -8, 0, 8, 16, 24, 32))
    with r.rest_of(venue, NOW) as (rest, _):
        parsed = table(rest, "funding")
    assert parsed.frame["ts"].to_list() == [MIDNIGHT + timedelta(hours=h) for h in (8, 16, 24)]
    assert set(parsed.frame["available_at"] - parsed.frame["ts"]) == {timedelta(milliseconds=4)}
    assert parsed.frame["interval_h"].to_list() == [8, 8, 8]
    assert parsed.findings == ()


@pytest.mark.parametrize(
    ("hours", "intervals"),
    [
        ((-16, -8, 0, 4, 8, 12, 16, 20, 24), [4] * 6),
        ((-8, -4, 0, 8, 16, 24), [8] * 3),
        ((-8, 0, 8, 12, 16, 20, 24), [8, 4, 4, 4, 4]),
        ((-8, 0, *range(1, 25)), [1] * 24),
        # The settlement at midnight is missing: what came before it is not asked for.
        ((-4, 4, 8, 12, 16, 20, 24), [4] * 6),
    ],
)
@pytest.mark.parametrize("jitter_ms", [-4, 0, 29_000])
def test_the_interval_is_the_spacing_also_where_it_changes(hours, intervals, jitter_ms):
    venue = venue_with("fundingRate", settlements(*hours, jitter_ms=jitter_ms))
    with r.rest_of(venue, NOW) as (rest, _):
        parsed = table(rest, "funding")
    assert parsed.frame["interval_h"].to_list() == intervals
    assert parsed.findings == ()


def test_a_settlement_outside_the_span_is_counted_and_tells_no_interval():
    sink = b.MemorySink()
    body = json.dumps([row for _, row in settlements(-4, 4, 8, 12)]).encode()
    name = "rest/fundingRate/BTCUSDT/BTCUSDT-fundingRate-2024-03-05-1.json"
    file = sink.put("binance", "funding", b.SYMBOL, name, body, "")
    parsed = parse_pages("funding", b.SYMBOL, [file], sink, [b.DAY])
    assert parsed.frame["interval_h"].to_list() == [4, 4, 4]
    assert [(f.check, f.count) for f in parsed.findings] == [("outside_file", 1)]


def test_the_mark_at_settlement_is_the_minute_that_closes_there():
    venue = venue_with("fundingRate", settlements(0, 8))
    marks = b.klines(b.DAY).with_columns(pl.int_range(1, 1441).cast(pl.Float64).alias("close"))
    marks = marks.with_columns(high=pl.lit(2000.0), low=pl.lit(0.5))
    venue.serve("markPriceKlines", b.SYMBOL, r.candle_rows(marks))
    with r.rest_of(venue, NOW) as (rest, _):
        assert table(rest, "funding").frame["mark_price"].to_list() == [480.0]


def test_rows_outside_what_was_asked_for_are_counted():
    sink = b.MemorySink()
    rows = r.candle_rows(b.klines(b.DAY, 1440)) + r.candle_rows(b.klines(NEXT, 7))
    body = json.dumps([element for _, element in rows]).encode()
    name = "rest/klines/BTCUSDT/BTCUSDT-klines-2024-03-05-1.json"
    file = sink.put("binance", "bars_1m_perp", b.SYMBOL, name, body, "")
    parsed = parse_pages("bars_1m_perp", b.SYMBOL, [file], sink, [b.DAY])
    assert parsed.frame.height == 1440
    (found,) = parsed.findings
    assert (found.check, found.count, found.day, len(found.places)) == ("outside_file", 7, b.DAY, 7)


# --- costs -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rows", "weight"), [(1, 1), (99, 1), (100, 2), (499, 2), (500, 5), (1000, 5), (1001, 10)]
)
def test_candles_cost_what_the_documentation_says(rows, weight):
    for series in (("futures/um", "klines"), ("futures/um", "premiumIndexKlines")):
        assert ENDPOINTS[series].costs(rows) == {"weight_1m": weight}


def test_what_was_asked_is_accounted_for_by_window():
    venue = venue_with("klines", two_days())
    venue.serve("spotKlines", b.SYMBOL, two_days())
    venue.serve("fundingRate", b.SYMBOL, settlements(0, 8, 16, 24))
    with r.rest_of(venue, NOW) as (rest, server):
        for dataset in ("bars_1m_perp", "bars_1m_spot", "funding"):
            table(rest, dataset)
        (usage,) = rest.usage()
    # Candles 10, spot twice 2, funding one call and a refused page of marks 10.
    assert usage.spent == {"weight_1m": 24, "funding_calls_5m": 1, "data_calls_5m": 0}
    assert usage.used["weight_1m"] == venue.used == 24
    assert (usage.requests, usage.waits) == (len(server.requests), 0)


def test_the_venue_s_word_makes_the_next_request_wait():
    watch = r.Watch()
    venue = venue_with("klines", two_days())
    venue.used = 1950
    with r.rest_of(venue, NOW, watch) as (rest, _):
        table(rest, "bars_1m_perp")
        assert watch.slept == []
        table(rest, "bars_1m_perp", NEXT)
        assert watch.slept == [pytest.approx(60.0)]
        assert rest.usage()[0].waits == 1


def test_too_many_requests_waits_as_long_as_it_is_told():
    watch = r.Watch()
    venue = venue_with("klines", two_days())
    venue.faults = [s.status(429, retry_after="17")]
    with r.rest_of(venue, NOW, watch) as (rest, server):
        assert table(rest, "bars_1m_perp").frame.height == 1440
        assert len(server.requests) == 2
    assert sum(watch.slept) >= 17


def test_a_ban_stops_at_once_and_for_all_who_ask_the_host():
    venue = venue_with("klines", two_days())
    venue.faults = [s.status(418, retry_after="120")]
    with r.rest_of(venue, NOW) as (rest, server):
        with pytest.raises(BannedError, match="120 s"):
            table(rest, "bars_1m_perp")
        with pytest.raises(BannedError, match="nothing more is asked"):
            table(rest, "funding")
        assert len(server.requests) == 1


def test_a_server_that_fails_for_a_moment_is_asked_again():
    venue = venue_with("klines", two_days())
    venue.faults = [s.status(503), s.reset(3)]
    with r.rest_of(venue, NOW) as (rest, server):
        assert table(rest, "bars_1m_perp").frame.height == 1440
        assert len(server.requests) == 3


# --- refusals ----------------------------------------------------------------------------------


def test_an_unknown_symbol_is_said_to_be_one_and_asked_for_once():
    with r.rest_of(r.RestVenue(), NOW) as (rest, server):
        for _ in range(2):
            with pytest.raises(UnknownSymbolError, match=r"knows no symbol BTCUSDT .*-1121"):
                table(rest, "bars_1m_perp")
        assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (s.body(b'{"code":-1000,"msg":"An unknown error."}'), "-1000: An unknown error"),
        (s.body(b'[[1709596800000,"1'), "no whole JSON"),
        (s.body(b"<html>maintenance</html>"), "no whole JSON"),
        (s.status(451), r"451.*|DATA_REMOTE_PROVIDERS=disabled"),
        (s.status(404), "interface has changed"),
        (lambda *_: s.Answer(400, {}, b'{"code":-1130,"msg":"startTime"}'), "-1130: startTime"),
    ],
)
def test_what_is_no_page_is_an_error_and_nothing_is_kept(fault, said):
    venue = venue_with("klines", two_days())
    venue.faults = [fault]
    sink = b.MemorySink()
    with r.rest_of(venue, NOW) as (rest, _), pytest.raises(SourceError, match=said):
        table(rest, "bars_1m_perp", sink=sink)
    assert sink.kept == {}


def test_a_series_that_only_adds_may_be_missing():
    venue = venue_with("markPriceKlines", two_days())
    with r.rest_of(venue, NOW) as (rest, _):
        parsed = table(rest, "mark_index")
    assert parsed.frame.height == 1440
    assert parsed.frame["index_price"].null_count() == 1440


def test_there_are_no_books_of_the_past():
    assert not offers("tob_snapshots")
    with r.rest_of(r.RestVenue(), NOW) as (rest, server):
        assert rest.land("binance", "tob_snapshots", b.SYMBOL, b.DAY, b.MemorySink()) == []
        assert server.requests == []
    with pytest.raises(SourceError, match="no dataset"):
        offers("candles")
