"""Percentiles, histograms and distances agree with numpy and scipy, on ties and tails too."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantlab_pipeline.reports.distribution import histogram, ks_distance, percentiles

SAMPLES = st.lists(st.sampled_from([-3.0, -0.5, 0.0, 0.0, 1.0, 2.5, 100.0]), min_size=1)


def ordered(values) -> np.ndarray:
    return np.sort(np.asarray(values, dtype=np.float64))


@given(SAMPLES)
def test_percentiles_are_numpys(values: list[float]) -> None:
    wanted = (0, 1, 5, 50, 95, 99, 100)
    np.testing.assert_allclose(
        percentiles(ordered(values), wanted), np.percentile(values, wanted), rtol=1e-12, atol=1e-12
    )


@given(SAMPLES)
def test_a_histogram_holds_every_value_once(values: list[float]) -> None:
    found = histogram(ordered(values))
    assert found is not None
    assert sum(found.counts) + found.below + found.above == len(values)


def test_a_histogram_counts_its_tails_and_does_not_draw_them() -> None:
    values = ordered([-1e9, *np.linspace(0.0, 1.0, 998), 1e9])
    found = histogram(values)
    assert found is not None
    assert 0.0 <= found.low < found.high <= 1.0
    assert (found.below, found.above) == (10, 10)
    inside = values[10:-10]
    assert found.counts == tuple(np.histogram(inside, 40, (found.low, found.high))[0])


def test_a_rare_flag_is_drawn_from_its_smallest_to_its_largest_value() -> None:
    found = histogram(ordered([0.0] * 999 + [1.0]))
    assert found is not None
    assert (found.low, found.high) == (0.0, 1.0)
    assert (found.counts[0], found.counts[-1]) == (999, 1)


def test_one_value_is_one_bin_and_no_value_is_none() -> None:
    found = histogram(ordered([4.0, 4.0]))
    assert found is not None
    assert (found.low, found.high, found.counts) == (4.0, 4.0, (2,))
    assert histogram(ordered([])) is None
    assert all(math.isnan(v) for v in percentiles(ordered([])))


@pytest.mark.filterwarnings("ignore:divide by zero:RuntimeWarning")
@given(SAMPLES, SAMPLES)
def test_the_distance_is_scipys(one: list[float], other: list[float]) -> None:
    from scipy.stats import ks_2samp

    expected = ks_2samp(one, other, method="asymp").statistic
    assert ks_distance(ordered(one), ordered(other)) == pytest.approx(expected, abs=1e-12)


def test_the_distance_is_the_share_that_moved() -> None:
    before, after = ordered([0.0] * 90 + [1.0] * 10), ordered([0.0] * 60 + [1.0] * 40)
    assert ks_distance(before, after) == pytest.approx(0.3)
    assert ks_distance(before, before) == 0.0
    assert ks_distance(before, before + 10) == 1.0
    assert ks_distance(before, ordered([])) is None
