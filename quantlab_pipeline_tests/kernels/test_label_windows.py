"""The kernel on hostile inputs and against its oracle."""

from __future__ import annotations

import numpy as np
import pytest

from quantlab_pipeline.kernels.label_windows import TILE, LogPath, Windows, forward_windows
from quantlab_pipeline_tests.oracles import label_paths

HORIZONS = (1, 3, 8, 40, 70)
"""Windows of one minute, of an odd three, of a power of two, and two that powers overlap in."""

RULES = {"entry_delay_min": 1, "max_entry_gap_min": 0, "max_exit_gap_min": 0}


def _run(
    log_price: np.ndarray,
    fresh: np.ndarray,
    delay: int = 1,
    most_missing: float = 0,
    n_columns: int = 3,
    n_decisions: int | None = None,
) -> np.ndarray:
    horizons = np.array(HORIZONS, np.int64)
    windows = Windows(horizons, np.floor(horizons * most_missing + 1e-9).astype(np.int64), delay)
    n = len(log_price) if n_decisions is None else n_decisions
    out = np.full((len(HORIZONS), n_columns, n), 7.0)
    forward_windows(LogPath(log_price, fresh, fresh, fresh), windows, out)
    return out


@pytest.mark.parametrize(("gap_share", "most_missing"), [(0.0, 0.0), (0.1, 0.25), (0.6, 0.5)])
def test_equals_the_oracle_with_gaps(gap_share: float, most_missing: float) -> None:
    rng = np.random.default_rng(11)
    n = 500
    prices = 50 * np.exp(np.cumsum(rng.standard_normal(n) * 0.01))
    fresh = rng.random(n) >= gap_share
    fresh[0] = True
    carried = prices[np.maximum.accumulate(np.where(fresh, np.arange(n), 0))]
    made = _run(np.log(carried), fresh, most_missing=most_missing)
    path = [float(p) if f else None for p, f in zip(prices, fresh, strict=True)]
    rules = {**RULES, "max_missing_frac": most_missing}
    for k, horizon in enumerate(HORIZONS):
        for t in range(n):
            wanted = label_paths.label(rules, path, t, horizon) or (np.nan,) * 3
            np.testing.assert_allclose(made[k, :, t], wanted, rtol=0, atol=1e-12)
    assert np.isfinite(made[:3]).any(axis=2).all(), "the paths are not all lost"


@pytest.mark.parametrize("n", [0, 1, 2, 3, 9, 71])
def test_paths_shorter_than_the_horizon_are_nan(n: int) -> None:
    made = _run(np.zeros(n), np.ones(n, bool))
    assert made.shape == (len(HORIZONS), 3, n)
    assert np.isnan(made[-1]).all()
    assert np.isfinite(made[0]).sum() == 3 * max(0, n - 2)


def test_nothing_fresh_gives_nothing() -> None:
    assert np.isnan(_run(np.full(50, np.nan), np.zeros(50, bool))).all()


@pytest.mark.parametrize("delay", [1, 2])
@pytest.mark.parametrize("n", [TILE - 1, TILE, TILE + 1, TILE + 2, 2 * TILE + 72, 2 * TILE + 73])
def test_tiles_join_without_a_seam(n: int, delay: int) -> None:
    log_price = np.cumsum(np.random.default_rng(n).standard_normal(n))
    made = _run(log_price, np.ones(n, bool), delay)
    for k, horizon in enumerate(HORIZONS):
        known = n - delay - horizon
        windows = np.lib.stride_tricks.sliding_window_view(log_price[delay + 1 :], horizon)[:known]
        entry = log_price[delay : delay + known]
        best, worst = windows.max(axis=1), windows.min(axis=1)
        np.testing.assert_array_equal(made[k, 0, :known], windows[:, -1] - entry)
        np.testing.assert_array_equal(made[k, 1, :known], np.maximum(0, best - entry))
        np.testing.assert_array_equal(made[k, 2, :known], np.minimum(0, worst - entry))
        assert np.isnan(made[k, :, known:]).all()


@pytest.mark.parametrize("n_decisions", [0, 1, 100, TILE, TILE + 5])
def test_the_first_decisions_and_the_extremes_alone_are_the_same(n_decisions: int) -> None:
    rng = np.random.default_rng(5)
    log_price, fresh = np.cumsum(rng.standard_normal(TILE + 300)), rng.random(TILE + 300) > 0.01
    whole = _run(log_price, fresh, most_missing=0.1)
    fewer = _run(log_price, fresh, most_missing=0.1, n_decisions=n_decisions)
    extremes = _run(log_price, fresh, most_missing=0.1, n_columns=2)
    np.testing.assert_array_equal(fewer, whole[:, :, :n_decisions])
    np.testing.assert_array_equal(extremes, whole[:, 1:])
