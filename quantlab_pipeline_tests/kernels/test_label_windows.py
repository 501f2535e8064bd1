"""The kernel on hostile inputs; its values meet the oracle in the label tests."""

from __future__ import annotations

import numpy as np
import pytest

from quantlab_pipeline.kernels.label_windows import TILE, forward_windows

HORIZONS = np.array([1, 3, 8], np.int64)


def _run(log_price: np.ndarray, fresh: np.ndarray, delay: int = 1) -> np.ndarray:
    none_missing = np.zeros(len(HORIZONS), np.int64)
    return forward_windows(log_price, fresh, fresh, fresh, HORIZONS, none_missing, delay)


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
