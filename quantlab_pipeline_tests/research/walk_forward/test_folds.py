"""Purge and embargo: no train span touches a test segment, and none is dropped without cause."""

from __future__ import annotations

from datetime import date
from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from quantlab_pipeline.core.clocks import MINUTE_US, days_between
from quantlab_pipeline.research.walk_forward.folds import (
    Segment,
    holdout_segments,
    inside,
    overlaps,
    trainable,
)

SPANS = st.lists(st.tuples(st.integers(0, 500), st.integers(0, 60)), max_size=40).map(
    lambda pairs: np.array([[a, a + n] for a, n in pairs], dtype=np.int64).reshape(-1, 2)
)
SEGMENTS = st.lists(st.tuples(st.integers(0, 500), st.integers(1, 80)), min_size=1, max_size=3).map(
    lambda pairs: [Segment(a, a + n) for a, n in pairs]
)


def test_hand_case() -> None:
    spans = np.array([[0, 10], [0, 11], [11, 12], [20, 25], [21, 25], [90, 95]])
    assert np.flatnonzero(trainable(spans, [Segment(10, 20)], 0)).tolist() == [0, 4, 5]


def test_embargo_comes_after_the_segment_only() -> None:
    late = 20 + MINUTE_US
    spans = np.array([[0, 5], [21, 25], [late, late + 1], [late + 1, late + 10]])
    assert trainable(spans, [Segment(10, 20)], 1).tolist() == [True, False, False, True]


@given(SPANS, SEGMENTS)
def test_purged_spans_are_exactly_those_that_touch(spans: np.ndarray, tests: list[Segment]) -> None:
    kept = trainable(spans, tests, 0)
    touching = np.zeros(len(spans), dtype=bool)
    for test in tests:
        touching |= overlaps(spans, test)
    assert np.array_equal(kept, ~touching)


@given(SPANS, SEGMENTS)
def test_segments_purge_one_by_one_not_as_their_hull(
    spans: np.ndarray, tests: list[Segment]
) -> None:
    together = trainable(spans, tests, 0)
    apart = np.logical_and.reduce([trainable(spans, [t], 0) for t in tests])
    assert np.array_equal(together, apart)


@given(SPANS, SEGMENTS)
def test_a_test_trade_never_trains(spans: np.ndarray, tests: list[Segment]) -> None:
    for test in tests:
        assert not (trainable(spans, [test], 0) & inside(spans, test)).any()


def test_the_holdout_is_cut_whole() -> None:
    days = days_between(date(2025, 1, 1), date(2025, 1, 11))
    segments = holdout_segments(days, 3)
    assert [round((s.end_us - s.start_us) / 86_400e6) for s in segments] == [4, 3, 4]
    assert all(a.end_us == b.start_us for a, b in pairwise(segments))
    assert holdout_segments([], 3) == []
    assert len(holdout_segments(days[:2], 3)) == 2
