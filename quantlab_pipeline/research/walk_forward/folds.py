"""Test segments, and which spans may train for them: purge, then embargo, per contiguous segment.

A span [a, b] is everything that a trade's outcome touches, from its decision to its exit. It may
train for test segments T if, for each contiguous segment of T on its own, it ends before the
segment begins or begins after its end plus the embargo (Lopez de Prado 2018, chapter 7).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from quantlab_pipeline.core.clocks import MINUTE_US, day_end, day_start, to_us

Spans = NDArray[np.int64]
"""Shape (n, 2): first and last microsecond of each span, both included."""


@dataclass(frozen=True, slots=True)
class Segment:
    """A contiguous stretch of test time, (start_us, end_us], as days own their instants."""

    start_us: int
    end_us: int


def holdout_segments(holdout_days: list[date], n_folds: int) -> list[Segment]:
    """The holdout in `n_folds` contiguous pieces of whole days, as equal as days allow.

    Fewer days than folds: one fold a day. No days: no folds.
    """
    n = min(n_folds, len(holdout_days))
    edges = [round(i * len(holdout_days) / n) for i in range(n + 1)] if n else []
    return [
        Segment(to_us(day_start(holdout_days[a])), to_us(day_end(holdout_days[b - 1])))
        for a, b in pairwise(edges)
    ]


def trainable(spans: Spans, tests: list[Segment], embargo_min: int) -> NDArray[np.bool_]:
    """Which spans may train for `tests`, shape (n,). The embargo is counted after the purge."""
    keep = np.ones(len(spans), dtype=bool)
    for test in tests:
        before = spans[:, 1] <= test.start_us
        after = spans[:, 0] > test.end_us + embargo_min * MINUTE_US
        keep &= before | after
    return keep


def inside(spans: Spans, test: Segment) -> NDArray[np.bool_]:
    """Which spans are decided within `test`, shape (n,). Their exits may lie behind it."""
    return (spans[:, 0] > test.start_us) & (spans[:, 0] <= test.end_us)


def overlaps(spans: Spans, test: Segment) -> NDArray[np.bool_]:
    """Which spans touch `test` at all, shape (n,)."""
    return (spans[:, 0] <= test.end_us) & (spans[:, 1] > test.start_us)
