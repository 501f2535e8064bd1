"""Fees to the unit: schedules, discounts, rebates, and both ways in which a venue takes them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from quantlab_pipeline.simulation.fees import (
    FeeAssumption,
    FeeRates,
    FeeSchedule,
    Settled,
    fee_of,
    settle,
)

TIERS = [
    {"volume_from_usd": 0.0, "maker_bps": 2.0, "taker_bps": 5.0},
    {"volume_from_usd": 1e6, "maker_bps": 0.7, "taker_bps": 3.2},
    {"volume_from_usd": 1e7, "maker_bps": -0.5, "taker_bps": 2.0},
]
OWN = {"XUSDT": {"maker_bps": 0.0, "taker_bps": 4.0}}
SCHEDULE = FeeSchedule.model_validate({"tiers": TIERS, "coin_discount": 0.1, "instruments": OWN})
COIN = 100_000_000
"""Units of one coin, and of one dollar."""


@pytest.mark.parametrize(
    ("volume", "with_coin", "symbol", "maker", "taker"),
    [
        (0.0, False, "", 2.0, 5.0),
        (999_999.99, False, "", 2.0, 5.0),
        (1e6, False, "", 0.7, 3.2),
        (1e6, True, "", 0.63, 2.88),
        (1e9, True, "", -0.5, 1.8),
        (1e9, False, "XUSDT", 0.0, 4.0),
        (0.0, True, "XUSDT", 0.0, 3.6),
    ],
)
def test_rates_follow_volume_coin_and_symbol(volume, with_coin, symbol, maker, taker):
    trader = FeeAssumption(volume_30d_usd=volume, pays_with_coin=with_coin)
    assert SCHEDULE.rates(trader, symbol) == FeeRates(maker_bps=maker, taker_bps=taker)


@pytest.mark.parametrize(
    ("side", "charged", "coin", "cash"),
    [
        (1, "added_to_cost", 2.0, -100_100.0),
        (-1, "added_to_cost", -2.0, 99_900.0),
        (1, "deducted_from_returns", 1.998, -100_000.0),
        (-1, "deducted_from_returns", -2.0, 99_900.0),
    ],
)
def test_two_coins_at_50_000_and_ten_basis_points_to_the_cent(side, charged, coin, cash):
    """A fee that is added costs cash on both sides; one that is deducted is paid in what comes."""
    got = settle(side, 2 * COIN, 100_000 * COIN, 10.0, charged)
    assert got == Settled(round(coin * COIN), round(cash * COIN))


def test_a_rebate_is_a_negative_fee_on_either_way():
    added = settle(1, COIN, 50_000 * COIN, -0.5, "added_to_cost")
    assert added == Settled(COIN, -50_000 * COIN + 250_000_000)
    assert settle(1, COIN, 50_000 * COIN, -0.5, "deducted_from_returns").coin_units == COIN + 5_000


@pytest.mark.parametrize(("units", "fee"), [(5_000, 2), (15_000, 8), (25_000, 12), (5_001, 3)])
def test_half_a_unit_goes_to_the_even_one(units, fee):
    assert fee_of(units, 5.0) == fee
    assert fee_of(units, -5.0) == -fee


@given(st.integers(0, 10**15), st.integers(0, 10**15), st.floats(-5, 50), st.sampled_from([1, -1]))
def test_what_a_fill_brings_and_its_fee_are_what_was_traded(coin, value, bps, side):
    """Conservation: put the fee back, and coin and cash are those of the trade alone."""
    added = settle(side, coin, value, bps, "added_to_cost")
    assert (added.coin_units, added.cash_units + fee_of(value, bps)) == (side * coin, -side * value)
    out = settle(side, coin, value, bps, "deducted_from_returns")
    back = Settled(fee_of(coin, bps), 0) if side > 0 else Settled(0, fee_of(value, bps))
    assert out.coin_units + back.coin_units == side * coin
    assert out.cash_units + back.cash_units == -side * value


@given(st.floats(-2, 10), st.floats(2, 10), st.floats(0, 5), st.floats(0, 5))
def test_a_scaled_round_trip_never_falls_with_the_multiple_nor_a_rebate_rises(
    maker, taker, low, more
):
    rates = FeeRates(maker_bps=maker, taker_bps=taker)
    less, dear = rates.scaled(low), rates.scaled(low + more)
    assert dear.taker_bps >= less.taker_bps >= 0.0
    assert dear.maker_bps + dear.taker_bps >= less.maker_bps + less.taker_bps - 1e-12
    assert dear.maker_bps >= min(0.0, maker)


@pytest.mark.parametrize(
    "change",
    [
        {"tiers": []},
        {"tiers": TIERS[1:]},
        {"tiers": TIERS[::-1]},
        {"tiers": [TIERS[0], {**TIERS[1], "taker_bps": 6.0}]},
        {"tiers": [{**TIERS[0], "taker_bps": -1.0}]},
        {"tiers": [{**TIERS[0], "maker_bps": -6.0}]},
        {"instruments": {"X": {"maker_bps": -6.0, "taker_bps": 5.0}}},
        {"coin_discount": 1.0},
        {"charged": "sometimes"},
        {"taker": 5.0},
    ],
)
def test_a_schedule_that_cannot_be_meant_is_refused(change):
    with pytest.raises(ValidationError):
        FeeSchedule.model_validate({"tiers": TIERS, **change})
