"""The kernel on hostile inputs and against its oracle."""

from __future__ import annotations

import numpy as np
import pytest

from quantlab_pipeline.kernels.label_windows import TILE, forward_windows
from quantlab_pipeline_tests.oracles import label_paths

HORIZONS = np.array([1, 3, 8], np.int64)


def _run(log_price: np.ndarray, fresh: np.ndarray, delay: int = 1) -> np.ndarray:
    none_missing = np.zeros(len(HORIZONS), np.int64)
    return forward_windows(log_price, fresh, fresh, fresh, HORIZONS, none_missing, delay)


def test_equals_the_oracle_with_gaps() -> None:
    rng = np.random.default_rng(11)
    n = 400
    prices = 50 * np.exp(np.cumsum(rng.standard_normal(n) * 0.01))
    fresh = rng.random(n) > 0.1
    fresh[0] = True
    carried = prices[np.maximum.accumulate(np.where(fresh, np.arange(n), 0))]
    allowed = np.array([0, 1, 2], np.int64)
    made = forward_windows(np.log(carried), fresh, fresh, fresh, HORIZONS, allowed, 1)
    path = [float(p) if f else None for p, f in zip(prices, fresh, strict=True)]
    for k, horizon in enumerate(HORIZONS.tolist()):
        share = allowed[k] / horizon
        for t in range(n):
            expected = label_paths.label(path, t, horizon, max_missing_frac=share, max_exit_gap=0)
            wanted = (np.nan,) * 3 if expected is None else expected
            np.testing.assert_allclose(made[k, :, t], wanted, rtol=0, atol=1e-12)


@pytest.mark.parametrize("n", [0, 1, 2, 9])
def test_paths_shorter_than_the_horizon_are_nan(n: int) -> None:
    made = _run(np.zeros(n), np.ones(n, bool))
    assert made.shape == (3, 3, n)
    assert np.isnan(made[2]).all()


def test_nothing_fresh_gives_nothing() -> None:
    assert np.isnan(_run(np.full(50, np.nan), np.zeros(50, bool))).all()


@pytest.mark.parametrize("delay", [1, 2])
@pytest.mark.parametrize("n", [TILE - 1, TILE, TILE + 1, 2 * TILE + 12])
def test_tiles_join_without_a_seam(n: int, delay: int) -> None:
    log_price = np.cumsum(np.random.default_rng(n).standard_normal(n))
    made = _run(log_price, np.ones(n, bool), delay)
    for k, horizon in enumerate(HORIZONS):
        known = n - delay - horizon
        windows = np.lib.stride_tricks.sliding_window_view(log_price[delay + 1 :], horizon)[:known]
        entry = log_price[delay : delay + known]
        np.testing.assert_array_equal(made[k, 0, :known], windows[:, -1] - entry)
        np.testing.assert_array_equal(
            made[k, 1, :known], np.maximum(0, windows.max(axis=1) - entry)
        )
        np.testing.assert_array_equal(
            made[k, 2, :known], np.minimum(0, windows.min(axis=1) - entry)
        )
        assert np.isnan(made[k, :, known:]).all()
