"""The stationary bootstrap: arch's block lengths, Hansen's variance, honest errors and ends."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quantlab_pipeline.core.seeds import generator
from quantlab_pipeline.research.validation.bootstrap import (
    common_block,
    day_weights,
    mean_intervals,
    optimal_blocks,
    resampled_sums,
)
from quantlab_pipeline_tests.oracles import resampling as oracle


def _noise(n_rows, n_days, rho=0.0, seed=0, burn=50):
    """Rows of a first-order autoregression with unit innovations."""
    shocks = np.random.default_rng(seed).standard_normal((n_rows, n_days + burn))
    for t in range(1, n_days + burn):
        shocks[:, t] += rho * shocks[:, t - 1]
    return shocks[:, burn:]


def _weights(n_draws, n_days, block, seed=0):
    return day_weights(n_draws, n_days, block, generator(seed, "test"))


def _errors(values, block, n_draws=400):
    """Bootstrap standard errors of the rows' means."""
    weights = _weights(n_draws, values.shape[1], block)
    sums = resampled_sums(values, weights)
    return mean_intervals(values, np.ones(values.shape), sums, weights)[0]


@pytest.mark.parametrize("n_days", [10, 11, 30, 90, 365, 1000])
def test_block_lengths_equal_those_of_arch(n_days):
    from arch.bootstrap import optimal_block_length

    rows = [_noise(8, n_days, rho, seed=n_days) for rho in (0.0, 0.3, 0.9, -0.5, 0.99)]
    rows.append(_noise(8, n_days) * (np.random.default_rng(1).random((8, n_days)) < 0.3))
    values = np.concatenate(rows) * 10.0 ** np.arange(48)[:, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        expected = optimal_block_length(values.T)["stationary"].to_numpy()
    np.testing.assert_allclose(optimal_blocks(values), expected, rtol=1e-9, atol=0)


def test_a_row_that_is_constant_missing_or_short_has_no_block_length():
    values = _noise(4, 60)
    values[1], values[2, 5] = 0.25, np.nan
    assert np.isnan(optimal_blocks(values)).tolist() == [False, True, True, False]
    assert np.isnan(optimal_blocks(_noise(2, 9))).all()
    assert optimal_blocks(np.empty((0, 60))).shape == (0,)


def test_the_common_block_is_the_median_and_never_below_its_floor():
    values = _noise(9, 400, rho=0.6)
    median = float(np.median(optimal_blocks(values)))
    assert common_block(values, 1.0) == round(median, 2) > 3.0
    assert common_block(np.vstack([values, np.zeros((30, 400))]), 1.0) == round(median, 2)
    assert common_block(values, 40.0) == 40.0
    assert common_block(np.zeros((3, 400)), 1.0) == 1.0


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 40), st.floats(1.0, 60.0), st.integers(0, 10**6))
def test_every_draw_holds_as_many_days_as_the_sample(n_days, block, seed):
    weights = _weights(20, n_days, block, seed)
    assert (weights.sum(axis=1) == n_days).all()
    assert (weights >= 0).all()
    assert (weights == np.round(weights)).all()


def test_no_days_and_blocks_below_one_are_refused():
    for n_days, block in ((0, 1.0), (5, 0.5)):
        with pytest.raises(ValueError, match="cannot be drawn"):
            _weights(3, n_days, block)


@pytest.mark.parametrize("block", [1.0, 4.0, 15.0])
def test_the_draws_have_the_variance_that_hansen_derives(block):
    values = _noise(1, 60, rho=0.5)
    sums = resampled_sums(values, _weights(20_000, 60, block))
    variance = float(np.mean((sums - values.sum()) ** 2))
    assert variance == pytest.approx(oracle.stationary_variance(values[0], block), rel=0.05)


def test_days_around_the_end_are_drawn_as_often_as_any_other():
    often = _weights(20_000, 12, 5.0).mean(axis=0)
    np.testing.assert_allclose(often, 1.0, atol=0.05)


def test_sums_equal_a_loop_over_draws():
    values = _noise(5, 70) * 10.0 ** np.arange(-6, 4, 2)[:, None]
    values[3] = 0.0
    weights = _weights(30, 70, 3.0)
    expected = oracle.resampled_sums(values, weights)
    near = 1e-12 * np.abs(values).sum(axis=1, keepdims=True)
    assert (np.abs(resampled_sums(values, weights) - expected) <= near).all()


def test_neither_the_order_of_days_nor_the_rows_beside_it_change_a_bit():
    values, weights = _noise(301, 91), _weights(100, 91, 2.0)
    sums = resampled_sums(values, weights)
    shuffle = np.random.default_rng(3).permutation(91)
    np.testing.assert_array_equal(resampled_sums(values[:, shuffle], weights[:, shuffle]), sums)
    np.testing.assert_array_equal(resampled_sums(values[7:8], weights), sums[7:8])


def test_threads_change_no_bit():
    code = (
        "import hashlib, numpy as np\n"
        "from quantlab_pipeline.research.validation.bootstrap import resampled_sums\n"
        "rng = np.random.default_rng(0)\n"
        "x, w = rng.standard_normal((4999, 91)), rng.poisson(1.0, (100, 91)).astype(float)\n"
        "print(hashlib.sha256(resampled_sums(x, w).tobytes()).hexdigest())\n"
    )
    found = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "OPENBLAS_NUM_THREADS": threads, "MKL_NUM_THREADS": threads},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for threads in ("1", "2")
    }
    assert len(found) == 1


def test_the_error_is_that_of_the_mean_per_event_and_the_ends_are_percentiles():
    rng = np.random.default_rng(5)
    events = rng.poisson(2.0, (6, 50)).astype(np.float64)
    events[1] = events[0]
    net = rng.standard_normal((6, 50)) * np.sqrt(events) - 0.7 * events
    weights = _weights(200, 50, 2.0)
    se, low, high = mean_intervals(net, events, resampled_sums(net, weights), weights)
    for k in range(6):
        n, mean = events[k].sum(), net[k].sum() / events[k].sum()
        apart = weights @ (net[k] - mean * events[k]) / n
        assert se[k] == pytest.approx(np.sqrt(np.mean(apart**2)), rel=1e-9)
        ends = mean + np.percentile(apart, [2.5, 97.5])
        assert [low[k], high[k]] == pytest.approx(ends, rel=1e-9)


def test_a_constant_cost_per_event_moves_the_interval_and_leaves_the_error():
    rng = np.random.default_rng(6)
    events = rng.poisson(3.0, (1, 80)).astype(np.float64)
    gross, weights = rng.standard_normal((1, 80)), _weights(300, 80, 1.0)
    before, after = (
        mean_intervals(net, events, resampled_sums(net, weights), weights)
        for net in (gross, gross - 5.0 * events)
    )
    np.testing.assert_allclose(after[0], before[0], rtol=1e-9)
    np.testing.assert_allclose(after[1], before[1] - 5.0, rtol=1e-9)


def test_a_row_without_events_has_no_error():
    weights = _weights(50, 20, 1.0)
    found = mean_intervals(np.zeros((1, 20)), np.zeros((1, 20)), np.zeros((1, 50)), weights)
    assert all(np.isnan(values).all() for values in found)


def test_blocks_of_one_day_fail_on_autocorrelated_days():
    """The check of METHOD 1.4: true error sqrt((1 + r) / (1 - r)) times the iid one."""
    values = _noise(200, 1000, rho=0.3)
    true = values.mean(axis=1).std()
    assert 0.9 < _errors(values, common_block(values, 1.0)).mean() / true < 1.1
    assert _errors(values, 1.0).mean() / true < 0.8


def test_the_interval_covers_the_truth_where_the_basic_one_leans_the_wrong_way():
    """Skewed days, 60 of them."""
    rng, rows = np.random.default_rng(8), 1500
    values = rng.exponential(1.0, (rows, 60)) ** 1.5
    true = 1.3293403881791370
    weights = _weights(400, 60, 1.0)
    sums = resampled_sums(values, weights)
    _, low, high = mean_intervals(values, np.ones((rows, 60)), sums, weights)
    below, above = np.mean(high < true), np.mean(low > true)
    assert 0.89 < 1.0 - below - above < 0.96
    mean = values.mean(axis=1)
    basic = np.mean(2 * mean - low < true), np.mean(2 * mean - high > true)
    assert below + above < sum(basic)
