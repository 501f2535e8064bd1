"""Likeness of candidates: Python's own sets, and what it does to a score."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quantlab_pipeline.research.validation.likeness import likest_better, penalised
from quantlab_pipeline_tests.oracles import resampling as oracle


def _signed(rows):
    return np.array(rows, dtype=np.int8)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 12), st.integers(1, 150), st.floats(0.0, 1.0), st.integers(0, 10**6))
def test_equals_the_jaccard_index_of_sets(n_rows, n_events, share, seed):
    rng = np.random.default_rng(seed)
    base = rng.integers(-1, 2, n_events)
    kept = rng.random((n_rows, n_events)) < share
    signed = _signed(np.where(kept, base, 0) * rng.choice([1, -1], (n_rows, 1)))
    order = rng.permutation(n_rows)
    index, likest = likest_better(signed, order)
    expected = oracle.likeness(signed, order)
    np.testing.assert_array_equal(index, expected[0])
    np.testing.assert_array_equal(likest, expected[1])


def test_the_same_events_on_the_other_side_share_nothing():
    signed = _signed([[1, -1, 1], [-1, 1, -1], [1, -1, 0]])
    index, likest = likest_better(signed, np.array([0, 1, 2]))
    assert index.tolist() == [0.0, 0.0, 2 / 3]
    assert likest.tolist() == [-1, -1, 0]


def test_the_best_is_like_nobody_and_of_equals_the_better_is_named():
    signed = _signed([[1, 1, 0], [1, 1, 0], [1, 1, 0]])
    index, likest = likest_better(signed, np.array([2, 0, 1]))
    assert index.tolist() == [1.0, 1.0, 0.0]
    assert likest.tolist() == [2, 2, -1]


def test_candidates_without_events_are_like_nobody():
    index, likest = likest_better(_signed([[0, 0], [0, 0], [1, 0]]), np.arange(3))
    assert index.tolist() == [0.0, 0.0, 0.0]
    assert likest.tolist() == [-1, -1, -1]


def test_only_the_similar_lose_and_never_gain_by_a_negative_z():
    z = np.array([4.0, 4.0, -2.0, 3.0])
    likeness = np.array([0.0, 0.59, 0.8, 1.0])
    found = penalised(z, likeness, similar_from=0.6, share=0.5)
    assert found.tolist() == pytest.approx([4.0, 4.0, -2.8, 1.5])
