"""Bartlett's sum from a sorted list: all pairs, statsmodels on the laid-out series, a hand case."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quantlab_pipeline.kernels.event_bartlett import sparse_bartlett
from quantlab_pipeline_tests.oracles import clustering as oracle


@settings(max_examples=80, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 60), st.floats(-9, 9)), max_size=25), st.integers(0, 90))
def test_it_equals_the_sum_over_all_pairs(rows, lags):
    rows = sorted(rows)
    minute = np.array([t for t, _ in rows], dtype=np.int64)
    value = np.array([v for _, v in rows], dtype=np.float64)
    found = sparse_bartlett(minute, value, lags)
    expected = oracle.sparse_bartlett(minute.tolist(), value.tolist(), lags)
    assert math.isclose(found, expected, rel_tol=1e-9, abs_tol=1e-9)
    assert found >= 0.0


@pytest.mark.parametrize("lags", [0, 7, 90, 600])
def test_it_equals_statsmodels_on_the_series_with_its_zeros(lags):
    from statsmodels.stats.sandwich_covariance import S_hac_simple

    rng = np.random.default_rng(lags)
    minute = np.sort(rng.integers(0, 2000, 300))
    value = rng.standard_t(4, 300)
    series = np.bincount(minute, weights=value, minlength=2000)
    expected = float(np.squeeze(S_hac_simple(series[:, None], nlags=lags)))
    assert sparse_bartlett(minute, value, lags) == pytest.approx(expected, rel=1e-10)


def test_golden_hand_case():
    """Minutes 3, 3, 5, 9 with 1, 2, -1, 4 and two lags: (1 + 2)^2 + 1 + 16 + 2 x 1/3 x 3 x -1."""
    minute, value = np.array([3, 3, 5, 9]), np.array([1.0, 2.0, -1.0, 4.0])
    assert sparse_bartlett(minute, value, 2) == pytest.approx(24.0, abs=1e-12)
    assert sparse_bartlett(minute[:0], value[:0], 2) == 0.0
