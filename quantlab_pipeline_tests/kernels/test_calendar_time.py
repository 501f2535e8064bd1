"""The calendar-time kernel: exact identity, hand case, oracle, statsmodels, duplication."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quantlab_pipeline.kernels import calendar_time as ct
from quantlab_pipeline_tests.oracles import calendar_time as oracle


def _events(rows):
    ordered = sorted(rows)
    return ct.Events(
        np.array([r[0] for r in ordered], np.int64),
        np.array([r[1] for r in ordered], np.int64),
        np.array([r[2] for r in ordered], np.float64),
    )


def _world(seed, n_symbols=3, n=200, n_events=40, horizon=12):
    rng = np.random.default_rng(seed)
    returns = 1e-3 * rng.standard_t(4, (n_symbols, n))
    prices = 100.0 * np.cumprod(1.0 + np.clip(returns, -0.2, 0.2), axis=1)
    funding = np.zeros_like(prices)
    funding[:, 60::60] = (
        1e-4 * prices[:, 60::60] * rng.standard_normal((n_symbols, len(range(60, n, 60))))
    )
    rows = [
        (int(rng.integers(n_symbols)), int(rng.integers(n - horizon)), int(rng.choice([-1, 1])))
        for _ in range(n_events)
    ]
    return prices, funding, rows


def _series(prices, funding, rows, horizon):
    world = ct.market(prices, funding)
    y, contrast = np.empty(prices.shape[1]), np.empty(prices.shape[1])
    sums = ct.calendar_sums(_events(rows), horizon, world, y, contrast)
    return sums, y, contrast


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 30), st.integers(1, 60))
def test_sum_of_minutes_is_sum_of_events(seed, horizon, n_events):
    prices, funding, rows = _world(seed, n_events=n_events, horizon=horizon)
    sums, y, _ = _series(prices, funding, rows, horizon)
    by_event = [s * oracle.simple_return(prices[i], funding[i], k, horizon) for i, k, s in rows]
    assert math.isclose(sums.total, math.fsum(by_event), rel_tol=0, abs_tol=1e-12)
    assert math.isclose(math.fsum(y), math.fsum(by_event), rel_tol=0, abs_tol=1e-12)


@pytest.mark.parametrize("seed", range(8))
def test_kernel_equals_the_scalar_oracle(seed):
    prices, funding, rows = _world(seed, n=120, horizon=9)
    if seed % 2:
        prices[0, :7] = np.nan
        prices[1, 90:] = np.nan
        rows = [(i, k, s) for i, k, s in rows if np.isfinite(prices[i, [k, k + 9]]).all()]
    sums, y, contrast = _series(prices, funding, rows, 9)
    slow_y, slow_contrast = oracle.calendar_time(prices, funding, rows, 9)
    np.testing.assert_allclose(y, slow_y, rtol=0, atol=1e-13)
    np.testing.assert_allclose(contrast, slow_contrast, rtol=0, atol=1e-13)
    z_raw, z_contrast = oracle.z_scores(prices, funding, rows, 9, cost=0.01)
    assert math.isclose((sums.total - 0.01) / math.sqrt(sums.variance), z_raw, rel_tol=1e-10)
    fast = (sums.contrast_total - 0.01) / math.sqrt(sums.contrast_variance)
    assert math.isclose(fast, z_contrast, rel_tol=1e-10)
    assert math.isclose(sums.kept, oracle.kept(prices, funding, rows, 9), abs_tol=1e-12)


def test_golden_hand_case():
    """Two overlapping longs, one settlement: every figure by hand.

    P = 100, 100, 110, 99; A enters at 0, B at 1, both hold two minutes; funding of 1 at minute 2.
    y_1 = 0; y_2 = 2/100 x (10 - 1) = 0.18; y_3 = (99 - 110)/100 = -0.11. a = 0, 1, 2, 1.1.
    """
    prices = np.array([[100.0, 100.0, 110.0, 99.0]])
    funding = np.array([[0.0, 0.0, 1.0, 0.0]])
    sums, y, contrast = _series(prices, funding, [(0, 0, 1), (0, 1, 1)], 2)
    np.testing.assert_allclose(y, [0, 0, 0.18, -0.11], atol=1e-15)
    assert math.isclose(sums.total, 0.07, abs_tol=1e-15)
    # sum y^2 = 0.0445; Bartlett adds 2 x 5/6 x (-0.0198) = -0.033: the larger one stands.
    assert math.isclose(sums.variance, 0.0445, abs_tol=1e-15)
    mean = 4.1 / 3
    np.testing.assert_allclose(contrast, [0, 0, (2 - mean) * 0.09, (1.1 - mean) * -0.1], atol=1e-15)
    # Held in every minute that has a return: no contrast can see a steady drift.
    assert math.isclose(sums.kept, 0.0, abs_tol=1e-12)


@pytest.mark.parametrize("ar", [0.0, 0.4, -0.4])
def test_variance_is_the_larger_of_hc0_and_statsmodels_bartlett(ar):
    from statsmodels.stats.sandwich_covariance import S_hac_simple

    noise = np.random.default_rng(3).standard_normal(500)
    y = noise.copy()
    for t in range(1, 500):
        y[t] = ar * y[t - 1] + noise[t]
    hac = float(np.squeeze(S_hac_simple(y[:, None], nlags=5)))
    total, variance = ct.sum_and_variance(y, 0, 500)
    assert math.isclose(variance, max(hac, float(y @ y)), rel_tol=1e-12)
    assert math.isclose(total, y.sum(), abs_tol=1e-10)


def test_a_copied_universe_moves_no_z():
    prices, funding, rows = _world(5, n=400, n_events=80)
    once, _, _ = _series(prices, funding, rows, 12)
    copies = rows + [(i + 3, k, s) for i, k, s in rows]
    twice, _, _ = _series(np.vstack([prices] * 2), np.vstack([funding] * 2), copies, 12)
    for name in ("", "contrast_"):
        z = [
            getattr(s, f"{name}total") / math.sqrt(getattr(s, f"{name}variance"))
            for s in (once, twice)
        ]
        assert abs(z[0] - z[1]) <= 1e-9
    assert math.isclose(once.kept, twice.kept, abs_tol=1e-12)


def test_mirrored_signs_mirror_the_series_exactly():
    prices, funding, rows = _world(9)
    _, y, contrast = _series(prices, funding, rows, 12)
    _, mirror_y, mirror_contrast = _series(prices, funding, [(i, k, -s) for i, k, s in rows], 12)
    assert np.array_equal(y, -mirror_y)
    assert np.array_equal(contrast, -mirror_contrast)


def test_a_pure_drift_leaves_nothing_in_the_contrast():
    prices = 100.0 * 1.0001 ** np.arange(500)[None, :]
    rows = [(0, int(k), 1) for k in range(20, 400, 37)]
    sums, _, _ = _series(prices, np.zeros_like(prices), rows, 30)
    assert sums.total > 0.03
    assert abs(sums.contrast_total) < 1e-12


def test_no_events_give_zeros():
    prices, funding, _ = _world(1)
    sums, y, contrast = _series(prices, funding, [], 12)
    assert (sums.total, sums.variance, sums.contrast_variance, sums.kept) == (0.0, 0.0, 0.0, 0.0)
    assert not y.any()
    assert not contrast.any()


def _mutant(prices, funding, rows, horizon, *, shift=0, log=False, funded=True):
    """Scalar estimator with a deliberate fault."""
    funding = funding if funded else np.zeros_like(funding)
    if log:
        prices = 100.0 + 100.0 * np.log(prices / 100.0)
    shifted = [(i, k + shift, s) for i, k, s in rows]
    return math.fsum(oracle.calendar_time(prices, funding, shifted, horizon)[0])


@pytest.mark.parametrize("fault", [{"shift": 1}, {"shift": -1}, {"log": True}, {"funded": False}])
def test_the_identity_kills_faulty_estimators(fault):
    prices, funding, rows = _world(11, n=300, horizon=20)
    rows = [r for r in rows if 1 <= r[1] < 270]
    by_event = [s * oracle.simple_return(prices[i], funding[i], k, 20) for i, k, s in rows]
    sums, _, _ = _series(prices, funding, rows, 20)
    assert abs(sums.total - math.fsum(by_event)) < 1e-12
    assert abs(_mutant(prices, funding, rows, 20, **fault) - math.fsum(by_event)) > 1e-6


@pytest.mark.parametrize("seed", [2, 4])
def test_series_and_raw_sums_equal_the_oracle_and_clear_what_was_there(seed):
    """Both overwrite their outputs; longs only, so that a is never 0 while held."""
    prices, funding, rows = _world(seed, n=150, horizon=9)
    rows = [(i, k, 1) for i, k, _ in rows]
    world, events = ct.market(prices, funding), _events(rows)
    y, held = np.full(150, np.nan), np.full((3, 3), np.nan)
    first, last = ct.calendar_series(events, 9, world, y, held)
    expected, _ = oracle.calendar_time(prices, funding, rows, 9)
    np.testing.assert_allclose(y, expected, rtol=0, atol=1e-13)
    assert not y[:first].any()
    assert not y[last:].any()
    for i in range(3):
        a = oracle.weights(prices[i], [(k, s) for j, k, s in rows if j == i], 9)
        np.testing.assert_allclose(held[:, i], [sum(a), sum(a), np.count_nonzero(a)], rtol=1e-12)
    total, variance = ct.raw_sums(events, 9, world, y)
    assert math.isclose(total, math.fsum(expected), abs_tol=1e-12)
    hc0 = sum(v * v for v in expected)
    assert math.isclose(variance, max(hc0, oracle.bartlett(expected)), rel_tol=1e-10)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 60))
def test_neighbours_give_bartletts_product_of_two_series(seed, n):
    rng = np.random.default_rng(seed)
    x, y = rng.standard_normal((2, n)) * (rng.random((2, n)) < 0.5)
    near = np.full(n, np.nan)
    ct.neighbours(y, near)
    assert math.isclose(x @ near, oracle.cross_bartlett(x, y), rel_tol=1e-12, abs_tol=1e-12)
    assert math.isclose(y @ near, oracle.bartlett(y), rel_tol=1e-12, abs_tol=1e-12)


@pytest.mark.parametrize("seed", range(6))
def test_part_sums_equal_the_oracle(seed):
    prices, funding, rows = _world(seed, n=120, horizon=9)
    part = [row for row in rows if row[0] == 0]
    _, whole, _ = _series(prices, funding, rows, 9)
    near, y = np.empty(120), np.full(120, np.nan)
    ct.neighbours(whole, near)
    sums = ct.part_sums(_events(part), 9, ct.market(prices, funding), whole, near, y)
    x, _ = oracle.calendar_time(prices, funding, part, 9)
    all_of_it, _ = oracle.calendar_time(prices, funding, rows, 9)
    expected = (
        math.fsum(x), math.fsum(v * v for v in x), oracle.bartlett(x),
        math.fsum(a * b for a, b in zip(x, all_of_it, strict=True)),
        oracle.cross_bartlett(x, all_of_it),
    )  # fmt: skip
    np.testing.assert_allclose(sums, expected, rtol=1e-9, atol=1e-15)
    np.testing.assert_allclose(y, x, rtol=0, atol=1e-13)


def test_stretches_of_zeros_change_no_moment():
    rng = np.random.default_rng(8)
    y = rng.standard_normal(400)
    for gap in (1, 5, 6, 7, 40):
        y[50 * gap % 300 : 50 * gap % 300 + gap] = 0.0
    y[:13] = y[390:] = 0.0
    sums = ct.moments(y, 0, 400, y, y)
    assert math.isclose(sums.bartlett, oracle.bartlett(y), rel_tol=1e-12)
    assert math.isclose(sums.squares, float(y @ y), rel_tol=1e-12)
    assert sums.product == sums.near_product == sums.squares
