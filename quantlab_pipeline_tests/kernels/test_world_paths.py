"""The world kernels equal their oracles, and hostile input stays inside its row."""

from __future__ import annotations

import numpy as np
import pytest

from quantlab_pipeline.kernels.world_book import QuoteDraws, QuoteMinutes, quote_stream
from quantlab_pipeline.kernels.world_paths import autoregression, price_walk, two_state_chain
from quantlab_pipeline_tests.oracles import world_book, world_paths


@pytest.mark.parametrize(("alpha", "beta", "pull"), [(0, 0, 0), (0.1, 0.85, 0), (0, 0, 0.05)])
def test_price_walk_equals_its_oracle(alpha, beta, pull):
    draw = np.random.default_rng(1)
    shocks = 3 * draw.standard_t(3, (3, 200))
    shocks[0, 5] = 400.0
    sigma = draw.uniform(1e-4, 2e-3, (3, 200))
    drift = draw.normal(0, 1e-5, (3, 200))
    got = price_walk(shocks, sigma, drift, float(alpha), float(beta), float(pull))
    expected = world_paths.price_walk(
        shocks.tolist(), sigma.tolist(), drift.tolist(), alpha, beta, pull
    )
    for ours, oracle in zip(got, expected, strict=True):
        np.testing.assert_allclose(ours, oracle, rtol=1e-11, atol=1e-14)


def test_price_walk_by_hand():
    x, s, d = price_walk(
        np.array([[2.0, -1.0]]), np.full((1, 2), 0.01), np.array([[0.0, 0.003]]), 0.2, 0.5, 0.1
    )
    ratio = 0.3 + 0.2 * 4 + 0.5
    assert s[0].tolist() == [0.01, pytest.approx(0.01 * ratio**0.5)]
    assert d[0].tolist() == [0.0, pytest.approx(0.003 - 0.1 * np.log(1.02))]
    assert x[0, 2] == pytest.approx(np.log(1.02) + np.log(1 - s[0, 1]) + d[0, 1])


def test_autoregression_equals_its_oracle():
    draw = np.random.default_rng(2)
    e, start = draw.standard_normal((2, 60)), draw.standard_normal(2)
    got = autoregression(e, 0.9, start)
    np.testing.assert_allclose(got, world_paths.autoregression(e, 0.9, start), atol=1e-12)


def test_a_nan_innovation_spoils_its_own_row_only():
    e = np.ones((2, 4))
    e[0, 1] = np.nan
    got = autoregression(e, 0.5, np.zeros(2))
    assert np.isnan(got[0]).tolist() == [False, True, True, True]
    assert np.isfinite(got[1]).all()


def test_two_state_chain_equals_its_oracle():
    u = np.random.default_rng(3).random(500)
    for start in (0, 1):
        got = two_state_chain(u, 0.1, 0.3, start)
        assert got.tolist() == world_paths.two_state_chain(u, 0.1, 0.3, start)


@pytest.mark.parametrize("n", [1, 2, 7, 600])
def test_quote_stream_equals_its_oracle(n):
    draw = np.random.default_rng(n)
    steps = 12
    x = np.log(5000) + np.cumsum(draw.normal(0, 5e-4, steps + 1))
    spread = draw.integers(1, 6, steps)
    minutes = QuoteMinutes(
        x_open=x[:-1],
        x_close=x[1:],
        x_low=np.minimum(x[:-1], x[1:]) - 3e-4,
        x_high=np.maximum(x[:-1], x[1:]) + 3e-4,
        sigma=np.full(steps, 4e-4),
        is_wick=draw.integers(-1, 2, steps),
        spread=spread,
        bid_close=np.rint(np.exp(x[1:]) - spread / 2).astype(np.int64),
        depth=np.full(steps, 0.2 if n == 7 else 300.0),
    )
    draws = QuoteDraws(draw.random((steps, n)), *draw.standard_normal((3, steps, n)))
    got = np.column_stack(quote_stream(minutes, draws, 0.4))
    assert got.tolist() == world_book.quote_stream(minutes, draws, 0.4)
    assert (np.diff(got[:, 0]) > 0).all()
    assert (np.diff(got[:, 1:], axis=0) != 0).any(axis=1).all()
    assert (got[n - 1 :: n, 0] < 60_000 * np.arange(1, steps + 1)).all()
