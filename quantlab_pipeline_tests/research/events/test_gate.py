"""E-1 on worlds that must not pass, one that must, and every threshold from both sides."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quantlab_pipeline.core.errors import SchemaError
from quantlab_pipeline.core.verdicts import Gate, ItemVerdict, Outcome, overall
from quantlab_pipeline.research.events.detect import detect_events
from quantlab_pipeline.research.events.gate import judge_e1
from quantlab_pipeline.research.events.quality import jaccard, measure_events, occurrences
from quantlab_pipeline.research.events.schema import EVENT_QUALITY
from quantlab_pipeline.research.events.spec import EventType
from quantlab_pipeline_tests.oracles.event_onsets import shared
from quantlab_pipeline_tests.research.events.builders import (
    e1_thresholds,
    event_type,
    features,
    registry,
)

START = datetime(2025, 3, 1, tzinfo=UTC)
N_DAYS = 10
DAYS = [date(2025, 3, 1) + timedelta(days=i) for i in range(N_DAYS)]
THRESHOLDS = e1_thresholds()
SYMBOLS = ["A", "B"]


def _world(held_share: float, seed: int = 1) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    n = N_DAYS * 1440
    return pl.concat(
        features(s, START, {"x": np.where(rng.random(n) < held_share, 2.0, 0.0)}) for s in SYMBOLS
    )


def _verdicts(frame: pl.DataFrame, *types: EventType) -> dict[str, ItemVerdict]:
    rules = registry(*types)
    events = detect_events(frame, rules, DAYS)
    return _judged(events, frame, *types)


def _judged(
    events: pl.DataFrame, frame: pl.DataFrame, *types: EventType, labels: pl.DataFrame | None = None
) -> dict[str, ItemVerdict]:
    keys = (frame if labels is None else labels).select("symbol", "ts")
    quality = measure_events(events, frame, keys, registry(*types), N_DAYS, SYMBOLS)
    EVENT_QUALITY.validate(quality)
    return {v.item: v for v in judge_e1(quality, THRESHOLDS)}


def test_an_honest_world_passes() -> None:
    verdict = _verdicts(_world(0.002))["jump"]
    assert verdict.outcome is Outcome.PASS
    assert verdict.reasons == ()
    n_events, least = verdict.measured["min_events"]
    assert n_events is not None
    assert n_events > least


def test_never_is_too_rare() -> None:
    verdict = _verdicts(_world(0.0))["jump"]
    assert (verdict.outcome, verdict.reasons) == (Outcome.FAIL, ("TOO_RARE",))


def test_always_is_too_frequent() -> None:
    verdict = _verdicts(_world(1.0))["jump"]
    assert verdict.outcome is Outcome.FAIL
    assert "TOO_FREQUENT" in verdict.reasons


def test_often_is_too_frequent() -> None:
    verdict = _verdicts(_world(0.2), event_type(cooldown_min=1))["jump"]
    assert verdict.reasons == ("TOO_FREQUENT",)


def test_all_duplicated_is_red() -> None:
    frame = _world(0.002)
    events = detect_events(frame, registry(), DAYS)
    doubled = _judged(pl.concat([events, events]), frame)["jump"]
    assert doubled.reasons == ("MOSTLY_DUPLICATES",)
    jittered = events.with_columns(pl.col("ts") + timedelta(minutes=2))
    shaken = _judged(pl.concat([events, jittered]).filter(pl.col("ts") <= frame["ts"].max()), frame)
    assert shaken["jump"].reasons == ("MOSTLY_DUPLICATES",)


def test_an_event_without_its_label_row_fails_the_join() -> None:
    frame = _world(0.002)
    events = detect_events(frame, registry(), DAYS)
    one_gone = frame.filter(pl.col("ts") != events["ts"][0])
    assert _judged(events, frame, labels=one_gone)["jump"].reasons == ("JOIN_FAILED",)
    assert _judged(events, one_gone)["jump"].reasons == ("JOIN_FAILED",)


def test_the_later_of_two_aliases_falls() -> None:
    verdicts = _verdicts(_world(0.002), event_type(), event_type("leap", trigger="x >= 1.5"))
    assert verdicts["jump"].outcome is Outcome.PASS
    assert verdicts["leap"].reasons == ("ALIAS_OF:jump",)


def test_an_absent_dataset_cannot_be_judged() -> None:
    types = [
        event_type(),
        event_type(
            "other",
            trigger="y >= 1",
            severity="y",
            required_fields=["y"],
            requires=["funding", "open_interest", "bars_1m_perp"],
        ),
    ]
    frame = _world(0.002)
    events = detect_events(frame, registry(*types), DAYS)
    quality = measure_events(
        events, frame, frame, registry(*types), N_DAYS, SYMBOLS, {"open_interest", "funding"}
    )
    verdicts = {v.item: v for v in judge_e1(quality, THRESHOLDS)}
    assert verdicts["other"].outcome is Outcome.NOT_EVALUABLE
    assert verdicts["other"].reasons == ("DATASET_ABSENT:funding", "DATASET_ABSENT:open_interest")
    assert overall(Gate.E1, verdicts.values()) is Outcome.PASS


def test_null_features_cannot_be_judged() -> None:
    frame = _world(0.002).with_columns(x=pl.lit(None, pl.Float64))
    verdict = _verdicts(frame)["jump"]
    assert (verdict.outcome, verdict.reasons) == (Outcome.NOT_EVALUABLE, ("NO_EVALUABLE_MINUTE",))


def test_events_without_the_columns_they_came_from_are_a_mistake() -> None:
    frame = _world(0.002)
    events = detect_events(frame, registry(), DAYS)
    with pytest.raises(SchemaError, match=r"registry\.fields"):
        measure_events(events, frame.drop("x"), frame, registry(), N_DAYS, SYMBOLS)


LIMITS = {
    "n_events": ("min_events", "TOO_RARE"),
    "active_days": ("min_active_days", "TOO_RARE"),
    "per_symbol_day": ("min_per_symbol_day", "TOO_RARE"),
    "join_share": ("min_join_share", "JOIN_FAILED"),
    "trigger_share": ("max_trigger_share", "TOO_FREQUENT"),
    "duplicate_share": ("max_duplicate_share", "MOSTLY_DUPLICATES"),
    "max_jaccard": ("max_jaccard", "ALIAS_OF:elder"),
}


@pytest.mark.parametrize("column", [*LIMITS, "max_per_symbol_day"])
def test_thresholds_from_both_sides(column: str) -> None:
    threshold, reason = LIMITS.get(column, (column, "TOO_FREQUENT"))
    column = column if column in LIMITS else "per_symbol_day"
    limit = getattr(THRESHOLDS, threshold)
    beyond = limit + (1 if threshold.startswith("max") else -1) * max(1e-9, int(limit > 2))
    assert _of_row(**{column: limit}).outcome is Outcome.PASS
    assert _of_row(**{column: beyond}).reasons == (reason,)


def _of_row(**changes: float) -> ItemVerdict:
    row = {
        "event_type": "jump",
        "n_events": 100,
        "per_symbol_day": 1.0,
        "active_days": 10,
        "trigger_share": 0.01,
        "duplicate_share": 0.0,
        "join_share": 1.0,
        "max_jaccard": 0.1,
        "overlaps_with": "elder",
        "missing_dataset": None,
    }
    frame = pl.DataFrame([row | changes], schema=EVENT_QUALITY.empty().schema)
    return judge_e1(frame, THRESHOLDS)[0]


@given(
    st.lists(st.integers(0, 200), max_size=15),
    st.lists(st.integers(0, 200), max_size=15),
    st.integers(0, 10),
)
@settings(max_examples=80, deadline=None)
def test_jaccard_equals_the_loop(one: list[int], other: list[int], window: int) -> None:
    first = {"A": np.array(sorted(one), np.int64)} if one else {}
    second = {"A": np.array(sorted(other), np.int64)} if other else {}
    both = min(shared(one, other, window), shared(other, one, window))
    total = len(one) + len(other) - both
    made = jaccard(first, second, window)
    assert made == (both / total if total else 0.0)
    assert made == jaccard(second, first, window)
    assert 0 <= made <= 1


def test_symbols_do_not_overlap_each_other() -> None:
    frame = pl.DataFrame({"symbol": ["A", "B"], "ts": [START, START]}).with_columns(
        pl.col("ts").dt.cast_time_unit("us")
    )
    apart = [occurrences(frame.filter(pl.col("symbol") == s)) for s in SYMBOLS]
    assert jaccard(apart[0], apart[1], 5) == 0.0
    assert jaccard(apart[0], apart[0], 5) == 1.0
