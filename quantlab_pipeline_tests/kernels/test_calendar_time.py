"""The calendar-time kernel: exact identity, hand case, oracle, statsmodels, duplication."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quantlab_pipeline.kernels import calendar_time as ct
from quantlab_pipeline_tests.oracles import calendar_time as oracle


def events_of(rows):
    ordered = sorted(rows)
    return ct.Events(
        np.array([r[0] for r in ordered], np.int64),
        np.array([r[1] for r in ordered], np.int64),
        np.array([r[2] for r in ordered], np.float64),
    )


def market_with_events(seed, n_symbols=3, n=200, n_events=40, horizon=12, *, gaps=False):
    """Prices and funding [I, T], and events of both signs that overlap, as (symbol, entry, sign).

    `gaps`: the first symbol begins late, the second ends early.
    """
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
    if gaps:
        prices[0, :7] = np.nan
        prices[1, n - n // 4 :] = np.nan
        rows = [(i, k, s) for i, k, s in rows if np.isfinite(prices[i, [k, k + horizon]]).all()]
    return prices, funding, rows


def _series(prices, funding, rows, horizon):
    world = ct.market(prices, funding)
    y, contrast = np.empty(prices.shape[1]), np.empty(prices.shape[1])
    sums = ct.calendar_sums(events_of(rows), horizon, world, y, contrast)
    return sums, y, contrast


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 30), st.integers(1, 60))
def test_sum_of_minutes_is_sum_of_events(seed, horizon, n_events):
    prices, funding, rows = market_with_events(seed, n_events=n_events, horizon=horizon)
    sums, y, _ = _series(prices, funding, rows, horizon)
    by_event = [s * oracle.simple_return(prices[i], funding[i], k, horizon) for i, k, s in rows]
    assert math.isclose(sums.total, math.fsum(by_event), rel_tol=0, abs_tol=1e-12)
    assert math.isclose(math.fsum(y), math.fsum(by_event), rel_tol=0, abs_tol=1e-12)


@pytest.mark.parametrize("seed", range(8))
def test_kernel_equals_the_scalar_oracle(seed):
    prices, funding, rows = market_with_events(seed, n=120, horizon=9, gaps=seed % 2 == 1)
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


def test_a_copied_universe_moves_no_z():
    prices, funding, rows = market_with_events(5, n=400, n_events=80)
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
    prices, funding, rows = market_with_events(9)
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


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 10**6), st.integers(1, 4), st.integers(0, 80), st.integers(1, 100), st.booleans()
)
def test_sums_of_held_minutes_equal_those_of_every_minute(seed, n_symbols, n_events, horizon, gaps):
    """Overlapping opposite signs, funding, gaps, one symbol, no event: all in what is drawn.

    Twice in the same room: what the first left must not show.
    """
    gaps = gaps and n_symbols > 1
    prices, funding, rows = market_with_events(seed, n_symbols, 300, n_events, horizon, gaps=gaps)
    expected, y, _ = _series(prices, funding, rows, horizon)
    world, space, touched = ct.market(prices, funding), np.zeros(300), np.zeros(10, np.bool_)
    earlier = [(0, 20, 1), (0, 150, -1)]
    ct.held_sums(events_of(earlier), 30, world, space, touched)
    found = ct.held_sums(events_of(rows), horizon, world, space, touched)
    np.testing.assert_allclose(space, y, rtol=0, atol=1e-15)
    for name in ("total", "variance", "kept"):
        assert getattr(found, name) == pytest.approx(getattr(expected, name), rel=1e-12, abs=1e-15)
    deviation = math.sqrt(expected.contrast_variance)
    assert found.contrast_total == pytest.approx(
        expected.contrast_total, abs=1e-10 * deviation + 1e-15
    )
    assert found.contrast_variance == pytest.approx(expected.contrast_variance, rel=1e-9, abs=1e-24)


def test_sums_of_held_minutes_meet_the_scalar_oracle():
    prices, funding, rows = market_with_events(21, n=150, horizon=40, n_events=60, gaps=True)
    world, y, touched = ct.market(prices, funding), np.zeros(150), np.zeros(5, np.bool_)
    sums = ct.held_sums(events_of(rows), 40, world, y, touched)
    z_raw, z_contrast = oracle.z_scores(prices, funding, rows, 40, cost=0.01)
    assert math.isclose((sums.total - 0.01) / math.sqrt(sums.variance), z_raw, rel_tol=1e-10)
    fast = (sums.contrast_total - 0.01) / math.sqrt(sums.contrast_variance)
    assert math.isclose(fast, z_contrast, rel_tol=1e-10)
    assert math.isclose(sums.kept, oracle.kept(prices, funding, rows, 40), abs_tol=1e-12)


@pytest.mark.parametrize("size", [1e-3, 1e-6])
def test_a_contrast_that_cancels_keeps_its_digits(size):
    """One symbol, held in every minute that moves: what is left is the drift of the weights."""
    n = 600
    returns = size * np.random.default_rng(2).choice([-1.0, 1.0], n)
    returns[:10] = returns[-10:] = 0.0
    prices = 100.0 * np.cumprod(1.0 + returns)[None, :]
    funding, rows = np.zeros_like(prices), [(0, k, 1) for k in range(n - 5)]
    _, slow = oracle.calendar_time(prices, funding, rows, 5)
    variance = max(math.fsum(v * v for v in slow), oracle.bartlett(slow))
    y, touched = np.zeros(n), np.zeros(20, np.bool_)
    found = ct.held_sums(events_of(rows), 5, ct.market(prices, funding), y, touched)
    assert found.contrast_variance == pytest.approx(variance, rel=1e-9)
    assert found.contrast_total == pytest.approx(math.fsum(slow), abs=1e-9 * math.sqrt(variance))
    assert variance < ct.CANCELLED * found.variance


def test_what_is_held_is_a_list_of_stretches():
    """A hand case: opposite signs that overlap, an exit and an entry in one minute, two symbols."""
    symbol, entry = np.array([0, 0, 0, 1]), np.array([0, 1, 3, 2])
    held = ct.positions(symbol, entry, np.array([0.5, -0.25, 1.0, -2.0]), 2)
    stretches = list(zip(*(column.tolist() for column in held), strict=True))
    assert stretches == [
        (0, 1, 2, 0.5, 1.0), (0, 2, 3, 0.25, 0.0), (0, 3, 4, -0.25, -1.0), (0, 4, 6, 1.0, 1.0),
        (1, 3, 5, -2.0, -1.0),
    ]  # fmt: skip
    touched = np.zeros(1, np.bool_)
    ct.flag(held, touched)
    assert touched.all()


def test_units_and_series_of_a_hand_case():
    prices = np.array([[100.0, 110.0, 121.0, 121.0]])
    world = ct.market(prices, np.zeros_like(prices))
    events = events_of([(0, 0, 1), (0, 1, -1)])
    assert ct.units_of(events, world).tolist() == [1 / 100, -1 / 110]
    y, touched = np.zeros(4), np.zeros(1, np.bool_)
    held = ct.positions(events.symbol, events.entry, ct.units_of(events, world), 2)
    ct.lay(held, world, y, touched)
    np.testing.assert_allclose(y, [0.0, 0.1, 0.11 - 0.1, 0.0], atol=1e-15)


def test_no_events_give_zeros():
    prices, funding, _ = market_with_events(1)
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
    prices, funding, rows = market_with_events(11, n=300, horizon=20)
    rows = [r for r in rows if 1 <= r[1] < 270]
    by_event = [s * oracle.simple_return(prices[i], funding[i], k, 20) for i, k, s in rows]
    sums, _, _ = _series(prices, funding, rows, 20)
    assert abs(sums.total - math.fsum(by_event)) < 1e-12
    assert abs(_mutant(prices, funding, rows, 20, **fault) - math.fsum(by_event)) > 1e-6


@pytest.mark.parametrize("seed", [2, 4])
def test_series_and_raw_sums_equal_the_oracle_and_clear_what_was_there(seed):
    """Both overwrite their outputs; longs only, so that a is never 0 while held."""
    prices, funding, rows = market_with_events(seed, n=150, horizon=9)
    rows = [(i, k, 1) for i, k, _ in rows]
    world, events = ct.market(prices, funding), events_of(rows)
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
