"""Time as every table sees it: UTC instants in microseconds, and days that close at midnight.

A row's `ts` is the instant it describes (a bar: its close); `available_at` is when it could be
known. Day D holds `ts` in (D 00:00, D+1 00:00]. No function here reads the wall clock: a clock is
an argument.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta

import polars as pl

TS = pl.Datetime("us", "UTC")
MINUTE = timedelta(minutes=1)
MINUTE_US = 60_000_000
DAY_MINUTES = 1440
DAY_US = DAY_MINUTES * MINUTE_US

Clock = Callable[[], datetime]
"""Returns the current instant, UTC. Passed in, so that a run can be repeated."""


def day_start(day: date) -> datetime:
    """Midnight that opens `day`, UTC. Itself belongs to the day before."""
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def day_end(day: date) -> datetime:
    """Midnight that closes `day`, UTC: the last instant that belongs to it."""
    return day_start(day) + timedelta(days=1)


def day_of(column: str = "ts") -> pl.Expr:
    """Expression for the day that owns each instant of `column`, as pl.Date."""
    return (pl.col(column) - pl.duration(microseconds=1)).dt.date()


def days_between(first: date, last: date) -> list[date]:
    """Every day from `first` to `last`, both included; empty if `last` is earlier."""
    return [first + timedelta(days=i) for i in range((last - first).days + 1)]


def to_us(instant: datetime) -> int:
    """Microseconds since 1970-01-01 UTC, exact."""
    return (instant - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def from_us(microseconds: int) -> datetime:
    """Inverse of `to_us`."""
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=microseconds)


def minute_grid(days: list[date]) -> pl.Series:
    """Every minute close of consecutive `days`, 1,440 a day, dtype TS, name `ts`."""
    return pl.datetime_range(
        day_start(days[0]) + MINUTE, day_end(days[-1]), MINUTE, eager=True, time_unit="us"
    ).alias("ts")


def minute_index(column: str = "ts") -> pl.Expr:
    """Minutes since 1970 of each instant of `column` (floor), as Int64."""
    return pl.col(column).dt.epoch("us") // MINUTE_US
