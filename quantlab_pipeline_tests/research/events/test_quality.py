"""What `event_quality` says of prevalence, on events that can be counted by hand."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime, timedelta
from typing import Any

import polars as pl
import pytest

from quantlab_pipeline.core.clocks import MINUTE
from quantlab_pipeline.research.events.detect import detect_events
from quantlab_pipeline.research.events.quality import measure_events
from quantlab_pipeline.research.events.schema import EVENT_QUALITY
from quantlab_pipeline_tests.research.events.builders import event_type, features, registry

START = datetime(2025, 3, 1, tzinfo=UTC)
DAYS = [date(2025, 3, d) for d in (1, 2)]
AT = {"A": {10: 1.0, 100: 2.0, 1440: 3.0, 2000: 4.0}, "B": {10: 10.0}, "C": {}}
"""Minutes after the start, and the severity there."""


def world(hidden_until: int = 0) -> pl.DataFrame:
    """Three symbols and two days; `hidden_until` minutes of each are not known."""
    return pl.concat(
        features(
            symbol,
            START,
            {"x": [None if m <= hidden_until else at.get(m, 0.0) for m in range(1, 2881)]},
        )
        for symbol, at in AT.items()
    )


def measured(frame: pl.DataFrame, symbols: str = "ABC", **kind: Any) -> dict[str, Any]:
    rules = registry(event_type(**kind))
    events = detect_events(frame, rules, DAYS)
    made = measure_events(events, frame, frame, rules, len(DAYS), list(symbols))
    return EVENT_QUALITY.validate(made).row(0, named=True)


def test_prevalence_is_counted_as_stated() -> None:
    row = measured(world())
    assert (row["n_events"], row["n_symbols"], row["active_days"]) == (5, 2, 2)
    assert row["per_symbol_day"] == 5 / 6
    assert (row["first_ts"], row["last_ts"]) == (START + 10 * MINUTE, START + 2000 * MINUTE)
    assert row["busiest_day_share"] == 4 / 5, "minute 1440 closes the first day"
    assert row["top_symbol_share"] == 4 / 5
    assert row["median_severity"] == 3.0
    assert math.isclose(row["p95_severity"], 4.0 + 0.8 * 6.0)
    assert row["evaluable_share"] == 1.0
    assert row["trigger_share"] == 5 / (3 * 2880)
    assert row["duplicate_share"] == 0.0
    assert row["join_share"] == 1.0


def test_minutes_that_are_not_known_leave_both_shares() -> None:
    row = measured(world(hidden_until=720))
    assert row["evaluable_share"] == 0.75
    assert row["n_events"] == 2
    assert row["trigger_share"] == 2 / (3 * 2160)


def test_symbols_outside_the_study_are_not_counted() -> None:
    frame = world()
    rules = registry()
    events = detect_events(frame, rules, DAYS)
    only = frame.filter(pl.col("symbol") == "B")
    row = measure_events(events, only, only, rules, len(DAYS), ["B"]).row(0, named=True)
    assert (row["n_events"], row["n_symbols"], row["n_without_features"]) == (1, 1, 0)
    assert row["per_symbol_day"] == 0.5


def test_without_events_there_is_no_share_and_no_instant() -> None:
    row = measured(world(), trigger="x >= 99")
    nothing = (
        "first_ts", "last_ts", "busiest_day_share", "top_symbol_share", "median_severity",
        "p95_severity", "duplicate_share", "join_share", "first_unjoined", "max_jaccard",
        "max_echo", "echo_of", "echo_lag_min", "max_containment", "contained_in",
    )  # fmt: skip
    assert {row[name] for name in nothing} == {None}
    assert (row["n_events"], row["active_days"], row["n_symbols"]) == (0, 0, 0)
    assert (row["evaluable_share"], row["trigger_share"]) == (1.0, 0.0)


def test_a_type_whose_columns_are_not_there_has_no_evaluable_share() -> None:
    rules = registry(event_type(trigger="y >= 1", severity="y", required_fields=["y"]))
    frame = world()
    row = measure_events(
        detect_events(frame, rules, DAYS), frame, frame, rules, 2, ["A"], ["bars_1m_perp"]
    ).row(0, named=True)
    assert (row["evaluable_share"], row["trigger_share"]) == (None, None)
    assert row["missing_dataset"] == "bars_1m_perp"


@pytest.mark.parametrize("order", [1, 7])
def test_the_order_of_rows_changes_nothing(order: int) -> None:
    frame, rules = world(), registry(event_type(), event_type("leap", trigger="x >= 2"))
    events = detect_events(frame, rules, DAYS)
    lost = frame.filter(pl.col("ts") != START + timedelta(minutes=10))
    made = measure_events(events, lost, frame, rules, 2, list("ABC"))
    shuffled = [t.sample(fraction=1, shuffle=True, seed=order) for t in (events, lost, frame)]
    assert measure_events(*shuffled, rules, 2, list("CBA")).equals(made)
    assert made["first_unjoined"][0] == "A 2025-03-01T00:10Z: no row in features"
