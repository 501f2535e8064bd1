"""BH and BY at a budget: equal to statsmodels on the padded family, and their laws."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quantlab_pipeline.research.validation.multiplicity import (
    benjamini_hochberg,
    benjamini_yekutieli,
    first_step_z,
)

PROBABILITIES = st.lists(st.floats(0.0, 1.0, allow_nan=False), min_size=1, max_size=40)


@pytest.mark.parametrize("n_tests", [60, 1000])
@pytest.mark.parametrize(
    ("ours", "method"), [(benjamini_hochberg, "fdr_bh"), (benjamini_yekutieli, "fdr_by")]
)
def test_equals_statsmodels_on_the_padded_family(ours, method, n_tests):
    from statsmodels.stats.multitest import multipletests

    rng = np.random.default_rng(1)
    p = np.concatenate([rng.random(50) ** 4, [0.02, 0.02]])
    padded = np.concatenate([p, np.ones(n_tests - p.size)])
    expected = multipletests(padded, method=method)[1][: p.size]
    np.testing.assert_allclose(ours(p, n_tests), expected, rtol=1e-12, atol=0)


@settings(max_examples=50, deadline=None)
@given(PROBABILITIES, st.integers(0, 10**6))
def test_order_of_rows_and_untested_rows_change_nothing(values, seed):
    p = np.array(values)
    shuffle = np.random.default_rng(seed).permutation(p.size)
    q = benjamini_hochberg(p, 100)
    np.testing.assert_array_equal(benjamini_hochberg(p[shuffle], 100), q[shuffle])
    with_untested = np.concatenate([p, np.full(5, np.nan)])
    np.testing.assert_array_equal(benjamini_hochberg(with_untested, 100)[: p.size], q)


@settings(max_examples=50, deadline=None)
@given(PROBABILITIES)
def test_a_larger_budget_and_dependence_only_raise_q(values):
    p = np.array(values)
    assert (benjamini_hochberg(p, 200) >= benjamini_hochberg(p, 50)).all()
    assert (benjamini_yekutieli(p, 50) >= benjamini_hochberg(p, 50)).all()


def test_a_family_cannot_exceed_its_budget():
    with pytest.raises(ValueError, match="cannot hold"):
        benjamini_hochberg(np.full(11, 0.5), 10)


def test_golden_thresholds():
    for n_tests, z in ((450, 3.51), (900, 3.69), (10_000, 4.26)):
        assert math.isclose(first_step_z(0.1, n_tests), z, abs_tol=6e-3)


def test_counting_only_the_filtered_family_is_visible():
    """Mutant: m after filtering would call this significant; the budget does not."""
    p = np.array([2e-4, 0.3, 0.6])
    assert benjamini_hochberg(p, 3)[0] < 0.1
    assert benjamini_hochberg(p, 10_000)[0] == 1.0
