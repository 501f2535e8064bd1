"""Limits of chance, against scipy's own distributions and by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from quantlab_pipeline.calibration.certificate.limits import (
    Held,
    interval95,
    least,
    limit_of_mean,
    margin,
    mean_over,
    most,
    share_limits,
)
from quantlab_pipeline.research.validation.bands import ShareBand

POWER = ShareBand(low=0.9, high=1.0, cases=100, expected=0.95)


def held(measured, low, high):
    return Held("PT-00", "x", measured, low, high, 1)


def test_a_figure_on_the_edge_of_its_band_holds() -> None:
    assert held(0.9, 0.9, 0.9).holds
    assert held(5.0, None, None).holds
    assert not held(0.89, 0.9, None).holds
    assert not held(0.91, None, 0.9).holds


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_could_not_be_measured_does_not_hold(value: float) -> None:
    assert not held(value, None, None).holds


@given(st.integers(1, 400), st.floats(0.001, 0.999), st.floats(1e-6, 0.1))
def test_limits_leave_no_more_than_the_false_alarm_outside(n, p, alarm) -> None:
    # The complement of the quantile's own tail, summed term by term.
    weights = stats.binom.pmf(np.arange(n + 1), n, p)
    assert weights[most(n, p, alarm) + 1 :].sum() <= alarm * (1 + 1e-9)
    assert weights[: least(n, p, alarm)].sum() <= alarm * (1 + 1e-9)


def test_golden_limits() -> None:
    assert most(200, 0.1, 1e-3) == 34
    assert least(200, 0.95, 1e-3) == 179
    assert most(10, 3.0, 1e-3) == 10
    assert limit_of_mean(100, 1e-3) == pytest.approx(3.290526731491896 / 10)


def test_the_full_band_is_the_documents_own_and_a_small_one_is_wider() -> None:
    assert share_limits(POWER, 100, 1e-3) == (0.9, 1.0)
    assert share_limits(POWER, 200, 1e-3) == (0.9, 1.0)
    low, high = share_limits(POWER, 12, 1e-3)
    assert high == 1.0
    assert low == stats.binom.ppf(5e-4, 12, 0.95) / 12 < 0.9
    assert share_limits(POWER, 0, 1e-3) == (0.9, 1.0)


@pytest.mark.parametrize(("events", "cases"), [(0, 20), (20, 20), (7, 20), (190, 200)])
def test_intervals_are_the_exact_ones(events: int, cases: int) -> None:
    exact = stats.binomtest(events, cases).proportion_ci(0.95, method="exact")
    assert interval95(events, cases) == pytest.approx((exact.low, exact.high), abs=1e-12)


def test_no_cases_tell_nothing() -> None:
    assert interval95(0, 0) == (0.0, 1.0)


def test_a_mean_takes_worlds_as_its_unit() -> None:
    mean = mean_over(np.array([0.0, 0.1, 0.2, math.nan]))
    assert mean.value == pytest.approx(0.1)
    assert mean.se == pytest.approx(0.1 / math.sqrt(3))
    assert mean.worlds == 3
    none = mean_over(np.array([math.nan]))
    assert none.worlds == 0
    assert math.isnan(none.value)


def test_a_margin_is_students_and_never_that_of_a_lucky_zero() -> None:
    spread = mean_over(np.array([0.0, 0.1, 0.2, 0.1]))
    t = stats.t.ppf(0.999, 3)
    assert margin(spread, 0.05, 10**6, 1e-3) == pytest.approx(t * spread.se)
    zeros = mean_over(np.zeros(4))
    assert margin(zeros, 0.05, 400, 1e-3) == pytest.approx(t * math.sqrt(0.05 * 0.95 / 400))
    assert margin(mean_over(np.array([0.1])), 0.05, 400, 1e-3) == math.inf
