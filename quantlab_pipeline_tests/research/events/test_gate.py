"""E-1 on worlds that must not pass, one that must, and every threshold from both sides."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from quantlab_pipeline.core.clocks import MINUTE, TS
from quantlab_pipeline.core.errors import SchemaError
from quantlab_pipeline.core.verdicts import Gate, ItemVerdict, Outcome, overall
from quantlab_pipeline.research.events.detect import detect_events
from quantlab_pipeline.research.events.gate import judge_e1
from quantlab_pipeline.research.events.quality import measure_events
from quantlab_pipeline.research.events.schema import EVENT_QUALITY
from quantlab_pipeline.research.events.spec import EventType
from quantlab_pipeline.research.labels.build import build_labels
from quantlab_pipeline.research.labels.spec import LabelSpecs
from quantlab_pipeline.research.market_data.schema import TOB_1M_AGG
from quantlab_pipeline_tests.research.events.builders import (
    document,
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
    quality = _quality(events, frame, frame if labels is None else labels, *types)
    return {v.item: v for v in judge_e1(quality, THRESHOLDS)}


def _quality(
    events: pl.DataFrame, frame: pl.DataFrame, labels: pl.DataFrame, *types: EventType
) -> pl.DataFrame:
    keys = labels.select("symbol", "ts")
    quality = measure_events(events, frame, keys, registry(*types), N_DAYS, SYMBOLS)
    return EVENT_QUALITY.validate(quality)


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
    assert (verdict.outcome, verdict.reasons) == (Outcome.FAIL, ("TOO_FREQUENT",))


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


def test_an_event_without_its_row_fails_the_join_and_is_named() -> None:
    frame = _world(0.002)
    events = detect_events(frame, registry(), DAYS)
    instants = events["ts"].unique().sort()
    two_gone = frame.filter(~pl.col("ts").is_in(instants[3:5].implode()))
    lost = events.filter(pl.col("ts").is_in(instants[3:5].implode())).sort("ts", "symbol")
    named = f"{lost['symbol'][0]} {lost['ts'][0]:%Y-%m-%dT%H:%M}Z: no row in "

    verdict = _judged(events, frame, labels=two_gone)["jump"]
    assert verdict.reasons == ("JOIN_FAILED:labels",)
    assert verdict.measured["join.labels"] == (lost.height, None)
    assert verdict.measured["join.features"] == (0, None)
    assert _quality(events, frame, two_gone)["first_unjoined"][0] == f"{named}labels"

    verdict = _judged(events, two_gone, labels=frame)["jump"]
    assert verdict.reasons == ("JOIN_FAILED:features",)
    assert verdict.measured["join.features"] == (lost.height, None)
    assert _quality(events, two_gone, frame)["first_unjoined"][0] == f"{named}features"

    verdict = _judged(events, two_gone)["jump"]
    assert verdict.reasons == ("JOIN_FAILED:features", "JOIN_FAILED:labels")
    assert _quality(events, two_gone, two_gone)["join_share"][0] == 1 - lost.height / events.height
    both = _quality(events, two_gone, two_gone)["first_unjoined"][0]
    assert both == f"{named}features and labels"


def test_a_total_join_names_nobody() -> None:
    frame = _world(0.002)
    quality = _quality(detect_events(frame, registry(), DAYS), frame, frame)
    row = quality.row(0, named=True)
    assert (row["join_share"], row["n_without_features"], row["n_without_labels"]) == (1.0, 0, 0)
    assert row["first_unjoined"] is None


def test_the_newest_days_join_although_nothing_of_them_has_resolved() -> None:
    frame = _world(0.002)
    end = frame["ts"].max()
    stamps = [pl.col("ts").alias("available_at"), (pl.col("ts") - MINUTE).alias("open_ts")]
    prices = [pl.lit(100.0).alias(name) for name in ("open", "high", "low", "close")]
    bars = frame.select("symbol", "ts", *stamps, *prices)
    specs = LabelSpecs.model_validate(document("label_specs"))
    labels = build_labels(bars, TOB_1M_AGG.empty(), specs, DAYS, SYMBOLS)
    assert labels["fwd_ret_5m"].null_count() > 0
    last = pl.DataFrame({"symbol": SYMBOLS, "ts": [end, end]}, schema_overrides={"ts": TS})
    assert labels.join(last, on=["symbol", "ts"])["fwd_ret_5m"].to_list() == [None, None]
    newest = frame.with_columns(pl.when(pl.col("ts") == end).then(2.0).otherwise("x").alias("x"))
    events = detect_events(newest, registry(), DAYS)
    assert (events["ts"] == end).sum() == len(SYMBOLS)
    assert _judged(events, newest, labels=labels)["jump"].outcome is Outcome.PASS


def test_a_special_case_is_reported_and_passes_unless_it_is_forbidden() -> None:
    frame = _world(0.004).with_columns(pl.col("x") + pl.col("ts").dt.hour() / 24)
    rare = event_type("evening_jump", trigger="x >= 2.8")
    kinds = (rare, event_type(trigger="x >= 2"))
    events = detect_events(frame, registry(*kinds), DAYS)
    quality = _quality(events, frame, frame, *kinds)
    assert quality["contained_in"].to_list() == ["jump", None]
    assert quality["max_containment"][0] >= 0.9
    assert quality["max_jaccard"][1] < 0.5
    assert {v.outcome for v in judge_e1(quality, THRESHOLDS)} == {Outcome.PASS}
    strict = THRESHOLDS.model_copy(update={"max_containment": 0.8})
    verdicts = judge_e1(quality, strict)
    assert [v.reasons for v in verdicts] == [("CONTAINED_IN:jump",), ()]
    assert verdicts[0].measured["max_containment"] == (quality["max_containment"][0], 0.8)


def test_of_two_equals_only_the_later_is_contained() -> None:
    frame = _world(0.002)
    kinds = (event_type(), event_type("leap"))
    quality = _quality(detect_events(frame, registry(*kinds), DAYS), frame, frame, *kinds)
    assert quality["event_type"].to_list() == ["jump", "leap"]
    assert quality["contained_in"].to_list() == [None, "jump"]


@pytest.mark.parametrize("lag", [-5, -1, 0, 1, 5])
def test_a_copy_within_the_window_is_an_alias(lag: int) -> None:
    verdict = _with_copy(lag)
    assert verdict.reasons == ("ALIAS_OF:jump",)
    measured, limit = verdict.measured["max_jaccard"]
    assert measured is not None
    assert limit is not None
    assert measured > 0.99 > limit


@pytest.mark.parametrize("lag", [6, 23, 60, -30])
def test_a_copy_beyond_the_window_is_an_echo_at_its_lag(lag: int) -> None:
    verdict = _with_copy(lag)
    assert verdict.reasons == ("ECHO_OF:jump",)
    assert verdict.measured["echo.lag_min"] == (lag, None)
    assert verdict.measured["max_echo"][0] == pytest.approx(1, abs=0.02)


def _with_copy(lag: int) -> ItemVerdict:
    """The verdict on a copy of the default type, `lag` minutes after it."""
    frame = _world(0.002).with_columns(
        pl.col("x").shift(lag).over("symbol").fill_null(0.0).alias("y")
    )
    late = event_type("late", trigger="y >= 1", severity="y", required_fields=["y"])
    verdicts = _verdicts(frame, event_type(), late)
    assert verdicts["jump"].outcome is Outcome.PASS
    return verdicts["late"]


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
    "join_share": ("min_join_share", "JOIN_FAILED:labels"),
    "trigger_share": ("max_trigger_share", "TOO_FREQUENT"),
    "duplicate_share": ("max_duplicate_share", "MOSTLY_DUPLICATES"),
    "max_jaccard": ("max_jaccard", "ALIAS_OF:elder"),
    "max_echo": ("max_echo", "ECHO_OF:elder"),
    "max_containment": ("max_containment", "CONTAINED_IN:larger"),
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
        "n_without_features": 0,
        "n_without_labels": 1,
        "max_jaccard": 0.1,
        "overlaps_with": "elder",
        "max_echo": 0.1,
        "echo_of": "elder",
        "echo_lag_min": 12,
        "max_containment": 0.3,
        "contained_in": "larger",
        "missing_dataset": None,
    }
    frame = pl.DataFrame([row | changes], schema=EVENT_QUALITY.empty().schema)
    return judge_e1(frame, THRESHOLDS)[0]
