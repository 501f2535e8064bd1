"""Capacity under square-root impact: METHOD's golden numbers, and the interval of an estimate."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantlab_pipeline.simulation.capacity import (
    best_participation,
    break_even_participation,
    capacity_interval,
)
from quantlab_pipeline.simulation.impact import impact_bps


@pytest.mark.parametrize(
    ("edge", "break_even", "best", "digits"),
    [(20.0, 0.000319, 0.000142, 6), (40.0, 0.00287, 0.00128, 5)],
)
def test_capacity_meets_its_golden_numbers(edge, break_even, best, digits):
    assert round(break_even_participation(edge, 10.0, 400.0, 0.7), digits) == break_even
    assert round(best_participation(edge, 10.0, 400.0, 0.7), digits) == best


@given(st.floats(10.5, 60), st.floats(100, 900), st.floats(0.3, 1.2))
def test_capacity_is_where_the_modelled_profit_peaks_and_vanishes(edge, sigma, y):
    def profit(q):
        return q * (edge - 10.0 - 2 * y * sigma * np.sqrt(q))

    best, zero = (f(edge, 10.0, sigma, y) for f in (best_participation, break_even_participation))
    grid = np.linspace(0.0, zero, 20_001)
    assert grid[np.argmax(profit(grid))] == pytest.approx(best, rel=1e-3)
    assert profit(zero) == pytest.approx(0.0, abs=1e-9 * zero * edge + 1e-15)


def test_an_edge_below_its_costs_has_no_capacity():
    assert break_even_participation(9.0, 10.0, 400.0, 0.7) == 0.0
    assert break_even_participation(11.0, 10.0, 400.0, 0.0) == float("inf")


def test_an_estimated_edge_has_an_interval_of_capacity_and_a_certain_one_a_number():
    """METHOD 8.1, PT-13: within 10 % takes a z of about 39; at 2 the interval begins at 0."""
    certain = capacity_interval(20.0, 0.0, 10.0, 400.0, 0.7)
    assert certain.low == certain.best == certain.high == pytest.approx(0.000142, abs=5e-7)
    low, best, high = capacity_interval(20.0, 10.0 / 39.2, 10.0, 400.0, 0.7)
    assert low / best == pytest.approx(0.9025, abs=1e-3)
    assert high / best == pytest.approx(1.1025, abs=1e-3)
    assert capacity_interval(20.0, 10.0, 10.0, 400.0, 0.7).low == 0.0
    with pytest.raises(ValueError, match="standard error"):
        capacity_interval(20.0, float("nan"), 10.0, 400.0, 0.7)


def test_impact_goes_with_the_root_of_the_size():
    """Y 0.7, a day's volatility of 400 bps: 1 % of a day's volume costs 28 bps a side."""
    got = impact_bps(0.7, np.array([400.0, 400.0, np.nan]), np.array([0.01, 0.04, 0.01]))
    np.testing.assert_allclose(got, [28.0, 56.0, np.nan], rtol=1e-12)
