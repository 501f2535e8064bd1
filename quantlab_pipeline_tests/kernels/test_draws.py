"""The kernels over bootstrap draws and over sets: their slow twins on hostile inputs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quantlab_pipeline.kernels.draw_tails import ratio_tails
from quantlab_pipeline.kernels.set_overlap import likest_earlier
from quantlab_pipeline.kernels.step_down import exceedances
from quantlab_pipeline_tests.oracles import resampling as oracle

SMALL = st.integers(1, 9)


@settings(max_examples=40, deadline=None)
@given(SMALL, st.integers(4, 40), SMALL, st.integers(0, 10**6))
def test_tails_equal_a_sort(n_rows, n_draws, n_below, seed):
    """Many ties, a ratio of zero, huge and tiny rows."""
    rng = np.random.default_rng(seed)
    above = rng.integers(-3, 4, (n_rows, n_draws)) * 10.0 ** rng.integers(-9, 9, (n_rows, 1))
    below = rng.integers(0, 3, (n_below, n_draws)).astype(np.float64)
    of = rng.integers(0, n_below, n_rows)
    ratio = rng.choice([0.0, 0.5, -2.0], n_rows)
    found = ratio_tails(above, below, of, ratio, 4)
    expected = oracle.ratio_tails(above, below, of, ratio, 4)
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-12)
    np.testing.assert_array_equal(found[1], expected[1])
    np.testing.assert_array_equal(found[2], expected[2])


def test_a_missing_draw_is_in_no_tail_and_shows_in_the_squares():
    above = np.array([[3.0, np.nan, 1.0, 2.0]])
    squares, low, high = ratio_tails(above, np.zeros((1, 4)), np.zeros(1, np.int64), np.ones(1), 2)
    assert np.isnan(squares[0])
    assert (low[0].tolist(), high[0].tolist()) == ([1.0, 2.0], [3.0, 2.0])


@settings(max_examples=40, deadline=None)
@given(SMALL, st.integers(1, 20), st.integers(0, 10**6))
def test_exceedances_equal_a_loop(n_rows, n_draws, seed):
    """Ties, missing draws, and candidates that `order` leaves out."""
    rng = np.random.default_rng(seed)
    draws = rng.integers(-4, 5, (n_rows, n_draws)).astype(np.float64)
    draws[rng.random(draws.shape) < 0.1] = np.nan
    centre, scale = rng.integers(-1, 2, n_rows).astype(float), rng.choice([0.5, 1.0, 4.0], n_rows)
    observed = rng.integers(0, 5, n_rows).astype(float)
    order = rng.permutation(n_rows)[: rng.integers(1, n_rows + 1)]
    np.testing.assert_array_equal(
        exceedances(draws, centre, scale, observed, order),
        oracle.step_down(draws, centre, scale, observed, order),
    )


@pytest.mark.parametrize("n_words", [1, 3])
def test_overlap_counts_every_bit_of_a_word(n_words):
    full = np.full((1, n_words), 2**64 - 1, dtype=np.uint64)
    words = np.vstack([full, full, np.zeros_like(full), full])
    words[3, 0] = 1 << 63
    likeness, likest = likest_earlier(words, np.array([0, 1, 2, 3]))
    share = (1 + 64 * (n_words - 1)) / (64 * n_words)
    assert likeness.tolist() == [0.0, 1.0, 0.0, share]
    assert likest.tolist() == [-1, 0, -1, 0]
