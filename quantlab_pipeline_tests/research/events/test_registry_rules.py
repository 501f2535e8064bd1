"""Every rule of the registry: where it fires, where it does not, and exactly where it begins to."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime

import numpy as np
import pytest

from quantlab_pipeline.research.events.detect import detect_events
from quantlab_pipeline.research.events.spec import EventType
from quantlab_pipeline_tests.oracles.event_onsets import evaluate
from quantlab_pipeline_tests.research.events.builders import (
    features,
    minutes_of,
    project_registry,
    registry,
)

START = datetime(2025, 3, 1, tzinfo=UTC)
DAY = [date(2025, 3, 1)]
REGISTRY = project_registry()
SCALE = [0.0, *(s * v for v in (0.2, 0.5, 0.75, 0.999, 2, 8, 30, 120, 500) for s in (1, -1))]
Point = dict[str, float]


def _holds(event_type: EventType, point: Point) -> bool:
    return bool(evaluate(event_type.trigger, point))


def _search(event_type: EventType, wanted: bool) -> Point:
    rng = np.random.default_rng(7)
    for _ in range(20_000):
        values = rng.choice(SCALE, len(event_type.required_fields))
        point = dict(zip(event_type.required_fields, map(float, values), strict=True))
        if _holds(event_type, point) == wanted:
            return point
    pytest.fail(f"{event_type.name} is never {wanted}")


def _boundary(event_type: EventType) -> tuple[Point, Point]:
    """Two points that differ in one feature by one float: the rule holds on the first only."""
    inside = _search(event_type, wanted=True)
    for name in event_type.required_fields:
        for value in SCALE:
            outside = inside | {name: value}
            if not _holds(event_type, outside):
                return _narrowed(event_type, inside, outside, name)
    pytest.fail(f"{event_type.name} depends on no single feature")


def _narrowed(
    event_type: EventType, inside: Point, outside: Point, name: str
) -> tuple[Point, Point]:
    while np.nextafter(inside[name], outside[name]) != outside[name]:
        middle = inside | {name: (inside[name] + outside[name]) / 2}
        if middle[name] in (inside[name], outside[name]):
            break
        if _holds(event_type, middle):
            inside = middle
        else:
            outside = middle
    return inside, outside


def _found(event_type: EventType, points: list[Point | None]) -> list[int]:
    columns = {
        name: [None if p is None else p[name] for p in points]
        for name in event_type.required_fields
    }
    events = detect_events(features("A", START, columns), registry(event_type), DAY)
    return minutes_of(events, START)


@pytest.mark.parametrize("event_type", REGISTRY.event_types, ids=REGISTRY.names)
def test_positive(event_type: EventType) -> None:
    on, off = _search(event_type, wanted=True), _search(event_type, wanted=False)
    columns = {name: [off[name], on[name], on[name], off[name]] for name in on}
    events = detect_events(features("A", START, columns), registry(event_type), DAY)
    assert minutes_of(events, START) == [2]
    assert events["event_type"].to_list() == [event_type.name]
    expected = evaluate(event_type.severity, on)
    assert math.isclose(events["severity"][0], expected, rel_tol=1e-12)
    assert events["severity"][0] > 0


@pytest.mark.parametrize("event_type", REGISTRY.event_types, ids=REGISTRY.names)
def test_negative(event_type: EventType) -> None:
    off = _search(event_type, wanted=False)
    assert _found(event_type, [off] * 5) == []
    on = _search(event_type, wanted=True)
    for name in event_type.required_fields:
        assert _found(event_type, [on | {name: None}] * 3) == []
        assert _found(event_type, [on | {name: math.nan}] * 3) == []


@pytest.mark.parametrize("event_type", REGISTRY.event_types, ids=REGISTRY.names)
def test_boundary(event_type: EventType) -> None:
    inside, outside = _boundary(event_type)
    assert _found(event_type, [outside, outside, inside]) == [3]
    assert _found(event_type, [outside]) == []
