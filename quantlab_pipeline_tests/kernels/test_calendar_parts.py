"""Parts of a set of events: every sum against the naive loop, whatever lay in the room before."""

from __future__ import annotations

import math

import numpy as np
import pytest

from quantlab_pipeline.kernels import calendar_time as ct
from quantlab_pipeline.kernels.calendar_moments import PartSums
from quantlab_pipeline.kernels.calendar_parts import part_sums
from quantlab_pipeline_tests.kernels.test_calendar_time import events_of, market_with_events
from quantlab_pipeline_tests.oracles import calendar_time as oracle


def _expected(prices, funding, part, whole, horizon):
    x, _ = oracle.calendar_time(prices, funding, part, horizon)
    return (
        math.fsum(x), math.fsum(v * v for v in x), oracle.bartlett(x),
        math.fsum(a * b for a, b in zip(x, whole, strict=True)),
        oracle.cross_bartlett(x, whole),
    )  # fmt: skip


@pytest.mark.parametrize("seed", range(6))
def test_part_sums_equal_the_oracle(seed):
    """By symbol, by a random class that leaves events out, and one of a single event."""
    prices, funding, rows = market_with_events(seed, n=150, horizon=9, gaps=seed % 2 == 1)
    rows = sorted(rows)
    world, events = ct.market(prices, funding), events_of(rows)
    whole, y = np.empty(150), np.random.default_rng(seed).standard_normal(150)
    ct.raw_sums(events, 9, world, whole)
    code = np.random.default_rng(seed).integers(0, 3, len(rows))
    masks = [
        events.symbol == 0,
        events.symbol == 1,
        code == 0,
        code == 1,
        np.arange(len(rows)) == 7,
    ]
    parts = [np.flatnonzero(mask) for mask in masks]
    bounds = np.cumsum([0, *map(len, parts)])
    sums = part_sums(events, np.concatenate(parts), bounds, 9, world, whole, y)
    for found, members in zip(sums, [*parts, np.arange(len(rows))], strict=True):
        part = [rows[k] for k in members]
        expected = _expected(prices, funding, part, whole, 9)
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-15)


def test_without_parts_there_is_the_whole_alone():
    prices, funding, rows = market_with_events(3)
    events, world, whole = events_of(rows), ct.market(prices, funding), np.empty(200)
    total, variance = ct.raw_sums(events, 12, world, whole)
    none = np.empty(0, np.int64)
    sums = part_sums(events, none, np.zeros(1, np.int64), 12, world, whole, np.empty(200))
    own = PartSums(*sums[0])
    assert sums.shape == (1, 5)
    assert (own.total, max(own.squares, own.bartlett)) == (total, variance)
