"""BH and BY at a budget: equal to statsmodels on the padded family, and their laws.

And BH in a hierarchy: equal to the procedure itself at every level, and the rate that it controls.
"""

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
    hierarchical,
)
from quantlab_pipeline_tests.oracles import resampling as oracle

PROBABILITIES = st.lists(st.floats(0.0, 1.0, allow_nan=False), min_size=1, max_size=40)


@pytest.mark.parametrize("n_tests", [52, 60, 1000])
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


@settings(max_examples=50, deadline=None)
@given(PROBABILITIES, st.integers(1, 30))
def test_worthless_rows_raise_q_at_their_own_number_and_not_at_the_budget(values, n_added):
    p = np.array(values)
    padded = np.concatenate([p, np.ones(n_added)])
    for rule in (benjamini_hochberg, benjamini_yekutieli):
        at_own_number = rule(padded, padded.size)[: p.size]
        assert (at_own_number >= rule(p, p.size)).all()
        np.testing.assert_array_equal(rule(padded, 100)[: p.size], rule(p, 100))


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


# --- hierarchy -----------------------------------------------------------------------------------

GROUPED = st.lists(
    st.tuples(st.floats(0.0, 1.0) | st.just(math.nan), st.integers(0, 4)), min_size=1, max_size=30
)


def _numbered(rows):
    p = np.array([v for v, _ in rows])
    _, group = np.unique([g for _, g in rows], return_inverse=True)
    return p, group


@settings(max_examples=60, deadline=None)
@given(GROUPED)
def test_the_least_level_is_where_the_procedure_first_takes_a_candidate(rows):
    """On either side of every candidate's own level, and on a grid."""
    p, group = _numbered(rows)
    least = hierarchical(p, group)
    tested = np.isfinite(p)
    np.testing.assert_array_equal(np.isfinite(least), tested)
    assert (least[tested] <= 1.0).all()
    edges = np.concatenate([least[tested] * (1 - 1e-9), least[tested] * (1 + 1e-9)])
    for q in (*np.linspace(0.01, 1.0, 25), *edges):
        near = np.abs(least - q) <= 1e-12
        taken = np.array(oracle.taken_by_hierarchy(p.tolist(), group.tolist(), float(q)))
        decided = tested & ~near
        np.testing.assert_array_equal(least[decided] <= q, taken[decided])


def test_one_group_is_plain_bh_and_groups_of_one_are_bh_of_a_stricter_level():
    p = np.array([1e-4, 0.01, 0.02, 0.4, 0.9])
    alone = hierarchical(p, np.zeros(5, dtype=np.int64))
    np.testing.assert_allclose(alone, benjamini_hochberg(p, 5), rtol=1e-12)
    singles = hierarchical(p, np.arange(5))
    assert (singles >= benjamini_hochberg(p, 5)).all()
    assert hierarchical(np.empty(0), np.empty(0, dtype=np.int64)).size == 0


def test_the_order_of_candidates_and_the_names_of_groups_change_nothing():
    rng = np.random.default_rng(2)
    p, group = rng.random(60) ** 3, rng.integers(0, 6, 60)
    found = hierarchical(p, group)
    shuffle = rng.permutation(60)
    np.testing.assert_array_equal(hierarchical(p[shuffle], group[shuffle]), found[shuffle])
    np.testing.assert_array_equal(hierarchical(p, 5 - group), found)


def test_the_rate_averaged_over_selected_types_is_at_most_q():
    """METHOD 2.3: one true type of 15, a common factor in each; plain BH per type breaks it."""
    from scipy.special import ndtr

    rng, worlds, q, n_true = np.random.default_rng(3), 600, 0.1, 12
    group = np.repeat(np.arange(15), 30)
    true = np.zeros(450, dtype=bool)
    true[:n_true] = True
    rates, per_type, power = [], [], []
    for _ in range(worlds):
        factor = rng.standard_normal(15)[group]
        z = np.sqrt(0.5) * factor + np.sqrt(0.5) * rng.standard_normal(450) + 4.0 * true
        p = ndtr(-z)
        taken = hierarchical(p, group) <= q
        alone = np.concatenate([benjamini_hochberg(p[group == g], 30) for g in range(15)]) <= q
        for found, kept in ((taken, rates), (alone, per_type)):
            of = [(~true[group == g] & found[group == g]).sum() for g in range(15)]
            some = [found[group == g].sum() for g in range(15)]
            shares = [f / s for f, s in zip(of, some, strict=True) if s]
            kept.append(np.mean(shares) if shares else 0.0)
        power.append(taken[:n_true].mean())
    error = np.std(rates) / np.sqrt(worlds)
    assert np.mean(rates) <= q + 3 * error
    assert np.mean(per_type) > 2 * q
    assert np.mean(power) > 0.6
