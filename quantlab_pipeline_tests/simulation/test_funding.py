"""Funding: golden payments to the cent, and which settlements a position meets (planted truth)."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import numpy as np
import polars as pl
import pytest

from quantlab_pipeline.core.clocks import TS, to_us
from quantlab_pipeline.core.instruments import Instrument
from quantlab_pipeline.simulation.accounting import funding_units
from quantlab_pipeline.simulation.funding import payment_usd, settled_between, settlements
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
