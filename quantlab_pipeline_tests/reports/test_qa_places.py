"""Places as ranges: exact, and as a person would say them."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantlab_pipeline.reports.qa_places import expand, fold, instant_text, places_text

DAY = date(2025, 2, 2)
MIDNIGHT = datetime(2025, 2, 2, tzinfo=UTC)


def at(*minutes: float) -> list[datetime]:
    return [MIDNIGHT + timedelta(minutes=m) for m in minutes]


minutes_of_the_day = st.lists(st.integers(1, 1440), unique=True).map(sorted)
blocks = st.lists(
    st.tuples(st.integers(1, 1440), st.integers(1, 60), st.sampled_from([1, 1, 1, 5, 60])),
    max_size=8,
).map(lambda bs: sorted({b + i * step for b, n, step in bs for i in range(n)}))


@given(st.one_of(minutes_of_the_day, blocks))
def test_ranges_expand_back_to_the_same_minutes(minutes: list[int]) -> None:
    places = at(*minutes)
    ranges = fold(places)
    assert expand(ranges) == places
    assert sum(r.count for r in ranges) == len(places)
    assert all(r.last < later.first for r, later in pairwise(ranges))


@given(st.lists(st.integers(1, 86_400_000_000), unique=True, max_size=50).map(sorted))
def test_instants_off_the_minute_are_kept_to_the_microsecond(offsets_us: list[int]) -> None:
    places = [MIDNIGHT + timedelta(microseconds=us) for us in offsets_us]
    assert expand(fold(places)) == places


@given(blocks)
def test_no_two_neighbouring_ranges_of_minutes_could_be_one(minutes: list[int]) -> None:
    by_minute = [r for r in fold(at(*minutes)) if r.step == timedelta(minutes=1)]
    for left, right in pairwise(by_minute):
        assert right.first - left.last != timedelta(minutes=1)


@pytest.mark.parametrize(
    ("places", "text"),
    [
        (at(), ""),
        (at(672), "11:12"),
        (at(*range(603, 648), 672), "10:03-10:47 (45), 11:12"),
        (at(10, 11), "00:10-00:11 (2)"),
        (at(5, 10), "00:05, 00:10"),
        (at(*range(5, 1441, 5)), "00:05-24:00 every 5 min (288)"),
        (at(0.5), "00:00:30"),
        (at(480, 960, 1440), "08:00, 16:00, 24:00"),
        (at(0), "2025-02-02 00:00"),
        (at(1441), "2025-02-03 00:01"),
    ],
)
def test_the_text_of_places(places: list[datetime], text: str) -> None:
    assert places_text(places, DAY) == text


def test_what_is_not_shown_is_counted_in_places() -> None:
    places = at(1, 3, *range(10, 20), 30)
    assert places_text(places, DAY, most=2) == "00:01, 00:03 and 11 more"
    assert places_text(places, DAY, most=4) == "00:01, 00:03, 00:10-00:19 (10), 00:30"


def test_a_fraction_of_a_second_is_written_as_short_as_it_is() -> None:
    assert instant_text(MIDNIGHT + timedelta(seconds=1, milliseconds=250), DAY) == "00:00:01.25"
