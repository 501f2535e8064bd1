"""The plan covers exactly the wanted days, once each, with few downloads."""

from __future__ import annotations

from collections import Counter
from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantlab_pipeline.core.clocks import days_between
from quantlab_pipeline.core.errors import SourceError
from quantlab_pipeline.sources.archive.layout import (
    AGG_TRADES,
    BOOK,
    FUNDING,
    HOURLY,
    INDEX,
    KLINES,
    MARK,
    METRICS,
    PREMIUM,
    SPOT,
    UM,
    archive_file,
    archive_name,
)
from quantlab_pipeline.sources.archive.rows import reached
from quantlab_pipeline.sources.archive.source import BinanceArchive
from quantlab_pipeline.sources.base import DATASETS, MemoryTree
from quantlab_pipeline.sources.remote.plan import (
    FETCHABLE,
    MONTH_NOT_OVER,
    NEVER,
    NOT_OVER,
    plan_fetch,
    series_of,
)
from quantlab_pipeline_tests.sources.builders import MemorySink

TODAY = date(2024, 7, 15)
BTC = ["BTCUSDT"]


def names(plan) -> list[str]:
    return [f.name.rpartition("/")[2] for f in plan.files]


def planned(dataset: str, first: date, last: date, today: date = TODAY, **more):
    return plan_fetch([dataset], BTC, days_between(first, last), today, **more)


def of_kind(plan, kind: str) -> list[str]:
    return [f.name.rpartition("/")[2] for f in plan.files if f.file.kind == kind]


# --- examples ----------------------------------------------------------------------------------


def test_a_whole_month_is_one_file_and_the_rest_are_days():
    plan = planned("bars_1m_perp", date(2024, 5, 30), date(2024, 6, 30))
    assert of_kind(plan, KLINES) == [
        "BTCUSDT-1m-2024-05-30.zip",
        "BTCUSDT-1m-2024-05-31.zip",
        "BTCUSDT-1m-2024-06.zip",
    ]


def test_most_of_a_month_is_its_file_and_half_of_it_is_not():
    assert of_kind(planned("bars_1m_perp", date(2024, 6, 5), date(2024, 6, 30)), KLINES) == [
        "BTCUSDT-1m-2024-06.zip"
    ]
    assert len(planned("bars_1m_perp", date(2024, 6, 16), date(2024, 6, 30)).files) == 30


def test_a_month_that_is_not_over_is_asked_by_day_and_the_future_not_at_all():
    plan = planned("bars_1m_perp", date(2024, 7, 1), date(2024, 7, 31))
    assert of_kind(plan, KLINES)[-1] == "BTCUSDT-1m-2024-07-14.zip"
    assert len(of_kind(plan, KLINES)) == 14
    assert {(a.reason, a.days[0]) for a in plan.absent} == {(NOT_OVER, TODAY)}


def test_the_last_month_may_be_asked_for_on_the_day_after_it():
    june = (date(2024, 6, 1), date(2024, 6, 30))
    assert len(planned("bars_1m_spot", *june, today=date(2024, 7, 1)).files) == 2
    assert len(planned("bars_1m_spot", *june, today=date(2024, 6, 30)).files) == 58


def test_funding_is_published_by_the_month_and_reaches_past_midnight():
    plan = planned("funding", date(2024, 6, 20), date(2024, 6, 30))
    assert of_kind(plan, FUNDING) == ["BTCUSDT-fundingRate-2024-06.zip"]
    assert len(of_kind(plan, MARK)) == 11
    (late,) = plan.absent
    assert (late.kind, late.reason, late.days) == (FUNDING, MONTH_NOT_OVER, (date(2024, 7, 1),))


def test_metrics_and_the_book_are_daily_and_reach_back():
    oi = planned("open_interest", date(2024, 5, 1), date(2024, 5, 31))
    assert (len(oi.files), names(oi)[0]) == (32, "BTCUSDT-metrics-2024-04-30.zip")
    book = planned("tob_snapshots", date(2024, 3, 29), date(2024, 4, 2))
    assert names(book) == [f"BTCUSDT-bookTicker-2024-03-{d}.zip" for d in (28, 29, 30)]
    (gone,) = book.absent
    assert (gone.reason, len(gone.days), gone.market) == (NEVER, 3, UM)


def test_each_dataset_needs_its_series():
    assert {d: series_of(d) for d in FETCHABLE} == {
        "bars_1m_perp": ((UM, KLINES), (UM, HOURLY)),
        "bars_1m_spot": ((SPOT, KLINES), (SPOT, HOURLY)),
        "funding": ((UM, FUNDING), (UM, MARK)),
        "mark_index": ((UM, MARK), (UM, INDEX), (UM, PREMIUM)),
        "open_interest": ((UM, METRICS),),
        "tob_snapshots": ((UM, BOOK),),
        "agg_trades_perp": ((UM, AGG_TRADES),),
        "agg_trades_spot": ((SPOT, AGG_TRADES),),
    }
    with pytest.raises(SourceError, match="bars_1m is nothing that can be fetched"):
        series_of("bars_1m")


def test_what_is_there_already_is_kept_to():
    june = (date(2024, 6, 1), date(2024, 6, 30))
    days = {archive_name(UM, KLINES, "BTCUSDT", d, daily=True) for d in days_between(*june)}
    plan = planned("bars_1m_perp", *june, has=days.__contains__)
    assert {f.name for f in plan.files if f.file.kind == KLINES} == days
    month = archive_name(UM, KLINES, "BTCUSDT", june[0], daily=False)
    plan = planned("bars_1m_perp", june[0], june[0], has={month}.__contains__)
    assert [f.name for f in plan.files if f.file.kind == KLINES] == [month]


def test_a_symbol_that_no_file_can_be_named_by_is_refused():
    with pytest.raises(SourceError, match=r"BTC/\.\. is no symbol"):
        plan_fetch(["funding"], ["BTC/.."], [date(2024, 1, 1)], TODAY)


# --- properties --------------------------------------------------------------------------------

spans = st.tuples(
    st.dates(date(2023, 3, 1), date(2024, 8, 1)), st.integers(min_value=0, max_value=75)
).map(lambda s: days_between(s[0], s[0] + timedelta(days=s[1])))
datasets = st.lists(st.sampled_from(FETCHABLE), min_size=1, max_size=4)
symbols = st.lists(st.sampled_from(["BTCUSDT", "ETHUSDT", "1000PEPEUSDT"]), min_size=1, max_size=3)
held = st.sets(st.dates(date(2023, 3, 1), date(2024, 8, 1)), max_size=40)


@given(datasets, symbols, spans, st.dates(date(2023, 6, 1), date(2024, 9, 1)), held)
def test_every_wanted_day_of_a_series_is_given_once_or_said_to_be_absent(
    asked, of, days, today, present
):
    there = {
        archive_name(UM, k, s, d, daily=True) for k in (KLINES, MARK) for s in of for d in present
    }
    plan = plan_fetch(asked, of, days, today, there.__contains__)
    given_days = Counter(
        (f.file.market, f.file.kind, f.file.symbol, d) for f in plan.files for d in f.days
    )
    absent = Counter((a.market, a.kind, a.symbol, d) for a in plan.absent for d in a.days)
    want = {
        (market, kind, symbol, day)
        for dataset in asked
        for market, kind in series_of(dataset)
        for symbol in of
        for day in reached(kind, days)
    }
    both = given_days + absent
    assert set(both) == want
    assert set(both.values()) == {1}
    assert len(plan.files) <= len(given_days)
    assert len({f.name for f in plan.files}) == len(plan.files)
    for wanted in plan.files:
        assert all(wanted.file.first <= d <= wanted.file.last for d in wanted.days)
        assert wanted.file.last < today
        assert wanted.file.daily <= (wanted.file.kind != FUNDING)
        assert [d for w in wanted.by_day() for d in w.days] in ([], list(wanted.days))


@given(st.sampled_from(sorted(DATASETS)), spans)
def test_what_the_archive_source_reads_is_planned(dataset, days):
    every = {
        archive_name(market, kind, "BTCUSDT", day, daily=True): b""
        for market, kind in {s for d in DATASETS for s in series_of(d)}
        for day in reached(FUNDING, reached(METRICS, days))
    }
    source = BinanceArchive(MemoryTree(every), require_checksum=False)
    landed = source.land(dataset, "BTCUSDT", days, MemorySink())
    plan = plan_fetch([dataset], BTC, days, date.max)
    given_days = {(f.file.market, f.file.kind, d) for f in plan.files for d in f.days}
    absent = {(a.market, a.kind, d) for a in plan.absent for d in a.days}
    for file in map(archive_file, (f.name for f in landed)):
        assert file is not None
        assert (file.market, file.kind, file.first) in given_days | absent
