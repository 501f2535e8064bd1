"""Onset and refractory: against loops, across midnight, and never closer than the cooldown."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from quantlab_pipeline.core.clocks import day_of
from quantlab_pipeline.research.events.detect import detect_events
from quantlab_pipeline.research.events.spec import EventType
from quantlab_pipeline_tests.oracles.event_onsets import onsets, refractory
from quantlab_pipeline_tests.research.events.builders import (
    event_type,
    features,
    minutes_of,
    registry,
)

START = datetime(2025, 3, 1, tzinfo=UTC)
DAYS = [date(2025, 3, d) for d in (1, 2, 3)]


def again(cooldown: int, longest: int, **changes: Any) -> EventType:
    merge = {"mode": "refractory", "max_episode_min": longest}
    return event_type(cooldown_min=cooldown, merge=merge, **changes)


def found(kind: EventType, held: list[bool]) -> list[int]:
    frame = features("A", START, {"x": [float(h) for h in held]})
    return minutes_of(detect_events(frame, registry(kind), DAYS), START)


@given(st.lists(st.booleans(), min_size=1, max_size=150), st.integers(1, 15), st.integers(1, 60))
@settings(max_examples=120, deadline=None)
def test_refractory_equals_the_loop_and_keeps_the_cooldown(
    held: list[bool], cooldown: int, longest: int
) -> None:
    made = found(again(cooldown, longest), held)
    minutes = range(1, len(held) + 1)
    assert made == refractory(held, minutes, cooldown, longest)
    assert all(later - earlier > cooldown for earlier, later in pairwise(made))
    assert set(onsets(held, minutes, cooldown)) <= set(made)


def test_a_long_condition_occurs_again_after_each_cooldown_until_the_bound() -> None:
    assert found(again(30, 100), [True] * 400) == [1, 32, 63, 94]
    assert found(again(30, 93), [True] * 400) == [1, 32, 63, 94]
    assert found(again(30, 92), [True] * 400) == [1, 32, 63]
    assert found(event_type(cooldown_min=30), [True] * 400) == [1]


def test_after_the_bound_only_quiet_brings_it_back() -> None:
    quiet = [True] * 200 + [False] * 30 + [True] * 40
    assert found(again(30, 60), quiet) == [1, 32, 231, 262]
    restless = [True] * 200 + [False] * 29 + [True] * 40
    assert found(again(30, 60), restless) == [1, 32]


def test_the_trigger_on_the_cooldown_is_too_early_and_the_next_is_not() -> None:
    on = {1, 31, 32}
    assert found(again(30, 600), [m in on for m in range(1, 40)]) == [1, 32]
    # 31 quiet minutes lie between 1 and 33: an onset, and so the begin of another episode.
    on = {1, 33, 63, 64}
    assert found(again(30, 31), [m in on for m in range(1, 70)]) == [1, 33, 64]


@pytest.mark.parametrize(("cooldown", "longest"), [(1, 1439), (700, 740), (1339, 100), (30, 600)])
@pytest.mark.parametrize("period", [0, 13, 701, 1400])
def test_a_day_alone_equals_the_range_at_the_longest_reach(
    cooldown: int, longest: int, period: int
) -> None:
    """Conditions that last through midnight, that recur, and that never end."""
    held = [
        float(period == 0 or m % period < max(1, period // 3) or 1300 < m < 1900)
        for m in range(1, 4321)
    ]
    frame = features("A", START, {"x": held})
    for kind in (again(cooldown, longest), event_type(cooldown_min=cooldown)):
        whole = detect_events(frame, registry(kind), DAYS)
        assert whole.height > 0
        for i, day in enumerate(DAYS):
            begin = START + timedelta(days=i - 1)
            seen = pl.col("ts").is_between(begin, begin + timedelta(days=2), closed="right")
            alone = detect_events(frame.filter(seen), registry(kind), [day])
            assert alone.equals(whole.filter(day_of() == day))


@given(st.integers(0, 2**32), st.integers(1, 700), st.integers(1, 740), st.integers(1, 400))
@settings(max_examples=40, deadline=None)
def test_a_day_alone_equals_the_range_on_random_conditions(
    seed: int, cooldown: int, longest: int, runs: int
) -> None:
    flips = np.sort(np.random.default_rng(seed).integers(0, 4320, runs))
    held = (np.searchsorted(flips, np.arange(4320), side="right") % 2).astype(float)
    frame = features("A", START, {"x": held.tolist()})
    kind = registry(again(cooldown, longest))
    whole = detect_events(frame, kind, DAYS)
    seen = pl.col("ts").is_between(START, START + timedelta(days=2), closed="right")
    alone = detect_events(frame.filter(seen), kind, [DAYS[1]])
    assert alone.equals(whole.filter(day_of() == DAYS[1]))


@pytest.mark.parametrize(
    "change",
    [
        {"cooldown_min": 700, "merge": {"mode": "refractory", "max_episode_min": 741}},
        {"merge": {"mode": "refractory"}},
        {"merge": {"mode": "refractory", "max_episode_min": 0}},
        {"merge": {"mode": "onset", "max_episode_min": 60}},
        {"merge": "refractory"},
        {"merge": "first"},
    ],
)
def test_a_merge_that_cannot_be_local_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        event_type(**change)


def test_the_default_is_onset_and_says_so_in_the_document() -> None:
    assert event_type().merge == "onset"
    assert event_type().model_dump()["merge"] == "onset"
