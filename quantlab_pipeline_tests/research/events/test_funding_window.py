"""Funding windows lie where the venue announced a settlement, also where the interval changes."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any

import pytest

from quantlab_pipeline.core.clocks import MINUTE, MINUTE_US, day_start, from_us
from quantlab_pipeline.worlds.timing import settlements
from quantlab_pipeline_tests.research.events.planted import Seen, seen
from quantlab_pipeline_tests.worlds.builders import scenario

FIRST = date(2025, 1, 6)
TO_4H, TO_1H, BACK = (FIRST + timedelta(days=n) for n in (2, 4, 6))
WINDOW_MIN = 30


@pytest.fixture(scope="module")
def market() -> Seen:
    """Two days each of settlements every 8, 4, 1 and again 8 hours; longs pay 3 bps."""
    changes = [
        {"day": TO_4H, "interval_h": 4},
        {"day": TO_1H, "interval_h": 1},
        {"day": BACK, "interval_h": 8},
    ]
    funding = {"interval_h": 8, "interval_changes": changes, "interest_bps": 3}
    basis = {"mean_bps": 3, "sigma_bps": 0.2, "slow_sigma_bps": 0.2}
    return seen(scenario(2, 8, funding=funding, basis=basis), 4)


def announced(market: Seen, symbol: str, at: datetime) -> datetime | None:
    """The next settlement as the newest row that was known at `at` tells it."""
    known = [
        row
        for row in market.world.frames["funding"].iter_rows(named=True)
        if row["symbol"] == symbol and row["available_at"] <= at
    ]
    return max(known, key=lambda row: row["ts"])["next_funding_ts"] if known else None


def windows(market: Seen) -> list[dict[str, Any]]:
    return [
        row for row in market.events.iter_rows(named=True) if row["event_type"] == "funding_window"
    ]


def in_window(market: Seen, symbol: str, settled: datetime) -> int:
    """Events of `symbol` in the window before `settled`."""
    return sum(
        row["symbol"] == symbol and settled - WINDOW_MIN * MINUTE <= row["ts"] < settled
        for row in windows(market)
    )


def test_every_event_lies_in_the_window_before_the_announced_settlement(market: Seen) -> None:
    found = windows(market)
    assert len(found) > 60
    for row in found:
        due = announced(market, row["symbol"], row["ts"])
        assert due is not None
        assert timedelta(0) < due - row["ts"] <= WINDOW_MIN * MINUTE


def test_every_announced_settlement_has_its_window(market: Seen) -> None:
    n_tried = 0
    for symbol in market.symbols:
        due = settlements(market.world.scenario, symbol)
        for minute, hours in zip(due.minutes.tolist(), due.interval_h.tolist(), strict=True):
            at = from_us(market.world.truth.origin_us + minute * MINUTE_US)
            if announced(market, symbol, at - MINUTE) == at:
                n_tried += 1
                assert in_window(market, symbol, at) == 1, (symbol, at, hours)
    assert n_tried > 60


@pytest.mark.parametrize(
    ("day", "per_day"),
    [
        (FIRST + timedelta(days=1), 3),
        (TO_4H + timedelta(days=1), 6),
        (TO_1H + timedelta(days=1), 24),
        (BACK + timedelta(days=1), 3),
    ],
)
def test_windows_are_as_many_as_the_days_interval_has_settlements(
    market: Seen, day: date, per_day: int
) -> None:
    start = day_start(day)
    for symbol in market.symbols:
        found = [
            row["ts"]
            for row in windows(market)
            if row["symbol"] == symbol and start < row["ts"] <= start + timedelta(days=1)
        ]
        assert len(found) == per_day


def test_a_settlement_that_nobody_announced_has_none(market: Seen) -> None:
    """The row of midnight still tells the old interval: the first of the new one is a surprise."""
    for day, hours in ((TO_4H, 4), (TO_1H, 1)):
        first = day_start(day) + timedelta(hours=hours)
        for symbol in market.symbols:
            assert announced(market, symbol, first - MINUTE) != first
            assert in_window(market, symbol, first) == 0


def test_a_settlement_that_was_put_off_has_its_window_once_and_then_silence(market: Seen) -> None:
    """At midnight the next was announced for 01:00; it came at 08:00, and nobody knew before."""
    start = day_start(BACK)
    for symbol in market.symbols:
        assert in_window(market, symbol, start + timedelta(hours=1)) == 1
        assert in_window(market, symbol, start + timedelta(hours=8)) == 0
        assert in_window(market, symbol, start + timedelta(hours=16)) == 1
