"""Paging: whatever a page may hold, a day has the same rows."""

from __future__ import annotations

from datetime import date, timedelta

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from quantlab_pipeline.core.clocks import day_start, to_us
from quantlab_pipeline.sources.remote.endpoints import ENDPOINTS
from quantlab_pipeline_tests.sources import builders as b
from quantlab_pipeline_tests.sources.remote import rest_server as r
from quantlab_pipeline_tests.sources.remote.test_binance_rest import (
    NOW,
    table,
    two_days,
    venue_with,
)


def ask(endpoint, stamps: list[int], day: date, cap: int, newest: bool) -> tuple[list[int], int]:
    """All stamps that the pages of `day` gave, and the number of pages, without a network."""
    got: list[int] = []
    todo, pages = [endpoint.span(day)], 0
    while todo:
        span = todo.pop()
        found = [at for at in stamps if span[0] <= at <= span[1]]
        page = found[-cap:] if newest else found[:cap]
        got += page
        pages += 1
        todo += endpoint.left(span, page)
    return got, pages


@settings(max_examples=60)
@given(
    st.sampled_from(sorted(ENDPOINTS)),
    st.integers(1, 1500),
    st.booleans(),
    st.sets(st.integers(0, 1439), max_size=200),
    st.randoms(use_true_random=False),
)
def test_any_limit_at_either_end_gives_the_same_rows_once(series, cap, newest, missing, random):
    endpoint = ENDPOINTS[series]
    first, last = endpoint.span(b.DAY)
    step = endpoint.step // timedelta(milliseconds=1)
    grid = [at for i, at in enumerate(range(first, last + 1, step)) if i not in missing]
    if series[1] == "metrics":
        random.shuffle(grid)
        newest = False
        cap = max(cap, len(grid))
    around = [first - step, *grid, last + step]
    got, pages = ask(endpoint, around, b.DAY, cap, newest)
    assert sorted(got) == sorted(grid)
    # A hole at the edge of a page costs one more, which finds it empty.
    assert pages <= len(grid) // cap + 3 + len(missing)


@settings(max_examples=6, deadline=None)
@given(st.integers(90, 1500), st.booleans())
def test_any_page_limit_of_the_server_gives_the_same_table(cap, newest):
    minutes = b.klines(b.DAY).filter(pl.int_range(pl.len()) % 97 != 5)
    rows = r.candle_rows(minutes)
    with r.rest_of(venue_with("klines", rows, cap=cap, newest=newest), NOW) as (rest, _):
        paged = table(rest, "bars_1m_perp")
    opened = paged.frame["open_ts"].dt.epoch("ms").alias("open_time")
    assert opened.equals(minutes["open_time"])
    assert paged.findings == ()


def test_smaller_pages_by_our_own_choice_give_the_same_table_and_cost_less_each():
    venue = venue_with("klines", two_days())
    with r.rest_of(venue, NOW, page_rows=499) as (rest, server):
        assert table(rest, "bars_1m_perp").frame.height == 1440
        assert [q.query["limit"] for q in server.requests] == ["499"] * 3
        assert rest.usage()[0].spent["weight_1m"] == 6


def test_a_span_is_in_milliseconds():
    first, last = ENDPOINTS["futures/um", "klines"].span(b.DAY)
    assert first * 1000 == to_us(day_start(b.DAY))
    assert last - first == 86_399_999
