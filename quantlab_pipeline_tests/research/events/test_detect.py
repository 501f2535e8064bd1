"""Onsets, cooldown, identity, regimes, and the way a range was cut."""

from __future__ import annotations

import time
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quantlab_pipeline.core.clocks import MINUTE, day_of
from quantlab_pipeline.research.events.detect import detect_events, event_id
from quantlab_pipeline.research.events.schema import EVENTS
from quantlab_pipeline_tests.oracles.event_onsets import onsets
from quantlab_pipeline_tests.research.events.builders import (
    event_type,
    features,
    minutes_of,
    project_registry,
    registry,
)

START = datetime(2025, 3, 1, tzinfo=UTC)
DAYS = [date(2025, 3, d) for d in (1, 2, 3)]


@given(st.lists(st.booleans(), min_size=1, max_size=120), st.integers(1, 20))
@settings(max_examples=80, deadline=None)
def test_onsets_equal_the_loop_and_keep_the_cooldown(held: list[bool], cooldown: int) -> None:
    frame = features("A", START, {"x": [float(h) for h in held]})
    rules = registry(event_type(cooldown_min=cooldown))
    found = minutes_of(detect_events(frame, rules, DAYS[:1]), START)
    assert found == onsets(held, range(1, len(held) + 1), cooldown)
    assert all(later - earlier > cooldown for earlier, later in pairwise(found))


def test_the_quiet_gap_is_exact() -> None:
    held = [1.0] + [0.0] * 30 + [1.0] + [0.0] * 29 + [1.0]
    events = detect_events(features("A", START, {"x": held}), registry(), DAYS[:1])
    assert minutes_of(events, START) == [1, 32]
    assert events["n_triggers_1d"].to_list() == [1, 2]


def test_triggers_of_the_day_are_those_of_the_last_1440_minutes() -> None:
    held = [1.0, 1.0] + [0.0] * 1439 + [1.0] + [0.0] * 18
    events = detect_events(features("A", START, {"x": held}), registry(), DAYS[:2])
    assert minutes_of(events, START) == [1, 1442]
    assert events["n_triggers_1d"].to_list() == [1, 1]
    one_less = [1.0, 1.0] + [0.0] * 1438 + [1.0]
    near = detect_events(features("A", START, {"x": one_less}), registry(), DAYS[:2])
    assert near["n_triggers_1d"].to_list() == [1, 2]


def test_a_missing_minute_counts_as_time_not_as_a_row() -> None:
    frame = features("A", START, {"x": [1.0] + [0.0] * 30 + [1.0]})
    without = frame.filter(pl.col("x") > 0)
    assert minutes_of(detect_events(without, registry(), DAYS[:1]), START) == [1, 32]


def _three_days(seed: int) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    parts = []
    for symbol in ("A", "B"):
        columns = {
            "x": np.where(rng.random(4320) < 0.004, 2.0, 0.0).tolist(),
            "rv_1h_rank_7d": rng.random(4320).tolist(),
            "amihud_rank_1d": rng.random(4320).tolist(),
        }
        columns["x"][1430:1450] = [2.0] * 20
        parts.append(features(symbol, START, columns))
    return pl.concat(parts)


@pytest.mark.parametrize("cooldown", [5, 300, 1440])
def test_a_day_alone_equals_the_range(cooldown: int) -> None:
    frame = _three_days(cooldown)
    rules = registry(event_type(cooldown_min=cooldown))
    whole = detect_events(frame, rules, DAYS)
    for i, day in enumerate(DAYS):
        begin = START + timedelta(days=i - 1)
        visible = frame.filter((pl.col("ts") > begin) & (pl.col("ts") <= begin + timedelta(days=2)))
        alone = detect_events(visible.sample(fraction=1, shuffle=True, seed=3), rules, [day])
        assert alone.equals(whole.filter(day_of() == day))
    EVENTS.validate(whole)
    assert not whole.filter(pl.col("symbol") == "A").is_empty()


def test_an_episode_across_midnight_is_one_event() -> None:
    frame = _three_days(1).with_columns(x=pl.lit(0.0))
    late = pl.col("ts").is_between(START + 1430 * MINUTE, START + 1450 * MINUTE)
    frame = frame.with_columns(pl.when(late).then(2.0).otherwise(0.0).alias("x"))
    found = detect_events(frame, registry(), DAYS)
    assert minutes_of(found, START) == [1430, 1430]


def test_regimes_follow_their_ranks_and_null_is_unknown() -> None:
    columns = {
        "x": [2.0] * 5,
        "rv_1h_rank_7d": [0.0, 1 / 3, 2 / 3, 1.0, None],
        "amihud_rank_1d": [0.0, 1 / 3, 2 / 3, 1.0, None],
    }
    frame = pl.concat(
        features(s, START, {k: [v[i]] for k, v in columns.items()}) for i, s in enumerate("ABCDE")
    )
    events = detect_events(frame, registry(), DAYS[:1])
    assert events["vol_regime"].to_list() == ["low", "mid", "high", "high", "unknown"]
    assert events["liq_regime"].to_list() == ["high", "mid", "low", "low", "unknown"]
    bare = detect_events(frame.select("symbol", "ts", "x"), registry(), DAYS[:1])
    assert set(bare["vol_regime"]) == {"unknown"}


def test_ids_are_pinned_and_distinct() -> None:
    frame = pl.concat([features(s, START, {"x": [2.0]}) for s in ("A", "B")])
    kinds = [event_type(), event_type("leap"), event_type("hop", version=2)]
    ids = detect_events(frame, registry(*kinds), DAYS[:1])["event_id"].to_list()
    assert len(set(ids)) == 6
    assert event_id(event_type(), "A", START + MINUTE) in ids
    assert event_id(event_type(), "A", START) == "21f504f4cdade39b"


def test_types_without_their_columns_give_no_rows() -> None:
    frame = features("A", START, {"x": [2.0]})
    lacking = event_type("other", trigger="y >= 1", severity="y", required_fields=["y"])
    assert detect_events(frame, registry(event_type(), lacking), DAYS)["event_type"].to_list() == [
        "jump"
    ]
    assert detect_events(frame, registry(lacking), DAYS).is_empty()
    assert detect_events(frame.clear(), registry(), DAYS).is_empty()


def test_four_symbols_and_44_days_take_under_a_second() -> None:
    rng = np.random.default_rng(5)
    rules = project_registry()
    n = 44 * 1440
    columns = {name: rng.standard_normal(n) for name in rules.fields}
    frame = pl.concat([features(s, START, columns) for s in "ABCD"])
    days = [START.date() + timedelta(days=i) for i in range(44)]
    began = time.perf_counter()
    events = detect_events(frame, rules, days)
    # A quiet machine needs half a second; the bound leaves room for a busy one.
    assert time.perf_counter() - began < 3.0
    assert events.height > 1000
