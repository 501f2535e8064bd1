"""Sums of series that are mostly zero: statsmodels, naive loops, gaps of any length."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quantlab_pipeline.kernels import calendar_moments as cm
from quantlab_pipeline_tests.oracles import calendar_time as oracle


def _sparse(rng, n, share=0.3):
    """A series with stretches of zeros, and the flags of its blocks."""
    y = rng.standard_normal(n) * np.repeat(rng.random(n // 7 + 1) < share, 7)[:n]
    touched = cm.blocks_of(y)
    touched[np.flatnonzero(y) // cm.BLOCK] = True
    return y, touched


@pytest.mark.parametrize("ar", [0.0, 0.4, -0.4])
def test_variance_is_the_larger_of_hc0_and_statsmodels_bartlett(ar):
    from statsmodels.stats.sandwich_covariance import S_hac_simple

    noise = np.random.default_rng(3).standard_normal(2500)
    y = noise.copy()
    for t in range(1, y.size):
        y[t] = ar * y[t - 1] + noise[t]
    hac = float(np.squeeze(S_hac_simple(y[:, None], nlags=5)))
    total, variance = cm.sum_and_variance(y, 0, y.size)
    assert math.isclose(variance, max(hac, float(y @ y)), rel_tol=1e-12)
    assert math.isclose(total, y.sum(), abs_tol=1e-10)


def test_a_range_is_taken_as_if_the_rest_were_zero():
    y = np.random.default_rng(4).standard_normal(300)
    total, variance = cm.sum_and_variance(y, 40, 250)
    inside = y[40:250]
    assert math.isclose(total, math.fsum(inside), abs_tol=1e-12)
    expected = max(float(inside @ inside), oracle.bartlett(inside))
    assert math.isclose(variance, expected, rel_tol=1e-12)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 400))
def test_moments_and_products_of_sparse_series_equal_the_naive_loop(seed, n):
    rng = np.random.default_rng(seed)
    whole, _ = _sparse(rng, n, share=0.6)
    y, touched = _sparse(rng, n)
    sums = cm.moments(y, touched, whole)
    expected = (
        math.fsum(y), math.fsum(y * y), oracle.bartlett(y), math.fsum(y * whole),
        oracle.cross_bartlett(y, whole),
    )  # fmt: skip
    np.testing.assert_allclose(sums, expected, rtol=1e-11, atol=1e-11)
    weights, series = rng.standard_normal(3), rng.standard_normal((3, n))
    weights[1] = 0.0
    plain, long_run = cm.mixed_products(y, touched, weights, series)
    mixed = weights @ series
    assert math.isclose(plain, math.fsum(y * mixed), rel_tol=1e-10, abs_tol=1e-11)
    assert math.isclose(long_run, oracle.cross_bartlett(y, mixed), rel_tol=1e-10, abs_tol=1e-11)


@pytest.mark.parametrize("n", [cm.CHUNK - 1, cm.CHUNK, cm.CHUNK + 3, 2 * cm.CHUNK + 31])
def test_sums_run_over_the_seams_of_chunks(n):
    rng = np.random.default_rng(n)
    x, y = rng.standard_normal((2, n))
    touched = np.ones_like(cm.blocks_of(y))
    sums = cm.moments(y, touched, x)
    assert math.isclose(sums.bartlett, oracle.bartlett(y), rel_tol=1e-11)
    assert math.isclose(sums.near_product, oracle.cross_bartlett(y, x), rel_tol=1e-9)
    squares, bartlett = cm.second_moments(np.vstack([x, y]))
    assert math.isclose(squares[0, 1], math.fsum(x * y), rel_tol=1e-9)
    assert math.isclose(bartlett[0, 1], oracle.cross_bartlett(x, y), rel_tol=1e-9)
    np.testing.assert_allclose(np.diag(bartlett), [oracle.bartlett(x), oracle.bartlett(y)])
    assert np.array_equal(squares, squares.T)
    assert np.array_equal(bartlett, bartlett.T)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 60))
def test_neighbours_give_bartletts_product_of_two_series(seed, n):
    rng = np.random.default_rng(seed)
    x, y = rng.standard_normal((2, n)) * (rng.random((2, n)) < 0.5)
    near = np.full(n, np.nan)
    cm.neighbours(np.pad(y, cm.LAGS), n, near)
    assert math.isclose(x @ near, oracle.cross_bartlett(x, y), rel_tol=1e-12, abs_tol=1e-12)
    assert math.isclose(y @ near, oracle.bartlett(y), rel_tol=1e-12, abs_tol=1e-12)


@pytest.mark.parametrize("gap", [1, 4, 5, 6, 29, 30, 31, 60, 95])
def test_a_gap_of_any_length_changes_no_moment(gap):
    rng = np.random.default_rng(gap)
    y = rng.standard_normal(400)
    y[77 : 77 + gap] = y[:13] = y[390:] = 0.0
    touched = cm.blocks_of(y)
    touched[np.flatnonzero(y) // cm.BLOCK] = True
    sums = cm.moments(y, touched, y)
    assert math.isclose(sums.bartlett, oracle.bartlett(y), rel_tol=1e-12)
    assert math.isclose(sums.squares, float(y @ y), rel_tol=1e-12)
    assert sums.product == sums.squares
    assert math.isclose(sums.near_product, sums.bartlett, rel_tol=1e-12)


def test_clearing_leaves_zeros_and_no_flag():
    y, touched = _sparse(np.random.default_rng(9), 501)
    cm.clear(y, touched)
    assert not y.any()
    assert not touched.any()


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(-1e6, 1e6), max_size=40))
def test_an_ordered_sum_is_the_sum(values):
    total = cm.ordered_sum(np.array(values, dtype=np.float64))
    scale = math.fsum(abs(v) for v in values)
    assert math.isclose(total, math.fsum(values), abs_tol=1e-14 * scale)
