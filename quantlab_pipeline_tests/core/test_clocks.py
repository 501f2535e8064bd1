"""Days that close at midnight, and microseconds that lose nothing."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from quantlab_pipeline.core.clocks import (
    TS,
    day_end,
    day_of,
    day_start,
    days_between,
    from_us,
    minute_grid,
    minute_index,
    to_us,
)

INSTANTS = st.datetimes(datetime(2000, 1, 1), datetime(2099, 1, 1)).map(
    lambda d: d.replace(tzinfo=UTC)
)


def test_midnight_belongs_to_the_day_that_it_closes() -> None:
    midnight = datetime(2025, 3, 2, tzinfo=UTC)
    frame = pl.DataFrame(
        {"ts": [midnight, midnight + timedelta(microseconds=1)]}, schema={"ts": TS}
    )
    assert frame.select(day_of()).to_series().to_list() == [date(2025, 3, 1), date(2025, 3, 2)]


@given(INSTANTS)
def test_microseconds_round_trip(instant: datetime) -> None:
    assert from_us(to_us(instant)) == instant


def test_grid_holds_every_minute_close_of_its_days() -> None:
    days = days_between(date(2025, 1, 1), date(2025, 1, 2))
    grid = minute_grid(days)
    assert grid.len() == 2 * 1440
    assert grid[0] == day_start(days[0]) + timedelta(minutes=1)
    assert grid[-1] == day_end(days[-1])
    assert grid.to_frame().select(day_of().unique().sort()).to_series().to_list() == days


def test_minute_index_is_absolute() -> None:
    frame = minute_grid([date(1970, 1, 1)]).to_frame().select(minute_index())
    assert frame.to_series().to_list() == list(range(1, 1441))


def test_days_between_is_empty_backwards() -> None:
    assert days_between(date(2025, 1, 2), date(2025, 1, 1)) == []
