"""Funding: golden payments to the cent, and which settlements a position meets (planted truth)."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import numpy as np
import polars as pl
import pytest

from quantlab_pipeline.core.clocks import TS, to_us
from quantlab_pipeline.core.instruments import Instrument
from quantlab_pipeline.simulation.accounting import funding_units
from quantlab_pipeline.simulation.funding import (
    payment_usd,
    settled_between,
    settlements,
    unsettled,
)
from quantlab_pipeline_tests.simulation.builders import funding_of

BTC = Instrument(symbol="BTC", tick_size=Decimal("0.1"), lot_size=Decimal("0.001"))
T0 = datetime(2025, 1, 1, tzinfo=UTC)
STAMPS = np.array([to_us(T0 + timedelta(hours=8 * (i + 1))) for i in range(21)])


def paid(entry, exit_, side, stamps=STAMPS, rate=1e-4):
    met = stamps[settled_between(stamps, to_us(entry), to_us(exit_))]
    units = sum(funding_units(BTC, side * 1000, 60_000.0, rate) for _ in met)
    return units / 1e8


@pytest.mark.parametrize(("side", "cash"), [(1, -126.00), (-1, 126.00)])
def test_seven_days_of_one_basis_point_cost_126_exactly(side, cash):
    assert paid(T0, T0 + timedelta(days=7), side) == cash
    assert payment_usd(side, 60_000.0, 1e-4) * 21 == pytest.approx(cash)


def test_closing_a_second_before_the_stamp_pays_nothing():
    assert paid(T0, T0 + timedelta(hours=8, seconds=-1), 1) == 0


def test_an_entry_at_the_stamp_pays_nothing_and_an_exit_at_it_pays():
    stamp = T0 + timedelta(hours=8)
    assert paid(stamp, stamp + timedelta(hours=1), 1) == 0
    assert paid(stamp - timedelta(hours=1), stamp, 1) == -6.0


def test_after_the_last_published_settlement_nothing_is_paid():
    last = T0 + timedelta(days=7)
    assert paid(last, last + timedelta(days=30), 1) == 0


def test_an_interval_that_switches_from_eight_hours_to_one_is_paid_as_published():
    hourly = [to_us(T0 + timedelta(hours=8 + i)) for i in range(1, 5)]
    stamps = np.array([*STAMPS[:1], *hourly])
    assert paid(T0, T0 + timedelta(hours=12), 1, stamps) == -30.0


def test_a_missing_mark_comes_from_the_minute_before_and_else_stays_unknown():
    stamps = [T0 + timedelta(hours=8), T0 + timedelta(hours=16)]
    marks = pl.DataFrame(
        {
            "symbol": ["BTC"],
            "ts": pl.Series([T0 + timedelta(hours=8, minutes=-1)], dtype=TS),
            "mark_price": [50_000.0],
        }
    )
    got = settlements(funding_of(stamps, 1e-4), marks)["mark_price"].to_list()
    assert got[0] == 50_000.0
    assert np.isnan(got[1])


def due(hours, intervals, first_h=0, last_h=48):
    """Hours since T0 at which a settlement was due and is not among `hours`."""
    rows = funding_of([T0 + timedelta(hours=h) for h in hours], 1e-4, interval_h=intervals)
    ends = (to_us(T0 + timedelta(hours=h)) for h in (first_h, last_h))
    return [(int(s) - to_us(T0)) / 3.6e9 for s in unsettled(rows, *ends)]


@pytest.mark.parametrize(
    ("hours", "intervals", "expected"),
    [
        ([8, 16, 24, 32, 40, 48], 8, []),
        ([8, 24, 32, 40, 48], 8, [16]),
        ([16, 24, 32, 40, 48], 8, [8]),
        ([8, 16, 24], 8, [32, 40, 48]),
        ([8, 12, 16, 20, 21, 22, 30, 38, 46], [8, 4, 4, 4, 1, 1, 8, 8, 8], []),
        ([8, 16, 20, 24, 25, 27, 28, 36, 44], [8, 8, 4, 4, 1, 1, 1, 8, 8], [26]),
        ([8, 16, 24, 32, 40], 4, [4, 12, 20, 28, 36, 44, 48]),
        ([], 8, []),
    ],
)
def test_what_the_intervals_call_for_and_is_not_there_is_due(hours, intervals, expected):
    """An interval that switches is followed as each settlement published it."""
    assert due(hours, intervals) == expected


def test_nothing_is_due_before_the_symbol_traded_or_after_it_ended():
    assert due([16, 24], 8, first_h=12, last_h=30) == []
    assert due([16, 24], 8, first_h=8, last_h=31) == []
    assert due([16, 24], 8, first_h=7, last_h=32) == [8, 32]


def test_a_settlement_without_a_rate_is_due_and_is_no_settlement():
    rows = funding_of([T0 + timedelta(hours=h) for h in (8, 16, 24)], 1e-4).with_columns(
        settled_rate=pl.Series([1e-4, None, float("nan")])
    )
    missing = unsettled(rows, to_us(T0), to_us(T0 + timedelta(hours=24)))
    assert missing.tolist() == [to_us(T0 + timedelta(hours=h)) for h in (16, 24)]
    assert settlements(rows).height == 1
