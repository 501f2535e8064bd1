"""Signed entries: the bridge trades exactly the events, with exactly the signs, that V1 tested."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest

from quantlab_pipeline.core.clocks import TS, minute_grid
from quantlab_pipeline.research.bridge.entries import signed_entries
from quantlab_pipeline.research.bridge.schema import ENTRY_COLUMNS
from quantlab_pipeline.research.validation.inputs import EventArrays, ValidationInputs, prepare
from quantlab_pipeline.research.validation.spec import Bucket, Template
from quantlab_pipeline.simulation.costs import CostModel
from quantlab_pipeline_tests.research.validation.builders import (
    ALL,
    DIRECTIONAL,
    cost_model,
    family,
    inputs_of,
    world,
)

HIGH = Bucket(name="high_vol", column="vol_regime", value="high")
FADE = Template(name="fade", rule="against", feature="ret_1h_bps")
EDGE = Template(name="edge", rule="outside", feature="range_pos_1d", low=0.2, high=0.8)
ABSENT = Template(name="absent", rule="against", feature="oi_z_1d")
FAMILY = family(
    horizons=("15m", "1h"), buckets=(ALL, HIGH), templates=(DIRECTIONAL, FADE, EDGE, ABSENT)
)
COSTS = cost_model()
NOON = datetime(2025, 1, 2, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def inputs() -> ValidationInputs:
    """A small world: a third of its events known late, and holes of two minutes in its features."""
    made = inputs_of(world(3, n_symbols=3, n_days=8, shocks_per_day=6.0))
    late = pl.int_range(pl.len()) % 3 * pl.duration(seconds=61)
    return replace(
        made,
        events=made.events.with_columns(available_at=pl.col("available_at") + late),
        features=made.features.filter(~pl.col("ts").dt.minute().is_in([20, 21, 40, 41])),
    )


@pytest.fixture(scope="module")
def arrays(inputs: ValidationInputs) -> EventArrays:
    """The same events as validation sees them."""
    return prepare(inputs, FAMILY, COSTS)


def candidate(**changes: Any) -> pl.DataFrame:
    row = {
        "candidate_id": "c",
        "event_type": "calm_drop",
        "bucket": "all",
        "horizon": "1h",
        "template": "directional",
        "side": 1,
    }
    return pl.DataFrame([{**row, **changes}])


def one_event(known_after: timedelta = timedelta(), **features: float | None) -> pl.DataFrame:
    """The entries of one event at noon whose features at noon are those given, null two later."""
    event = pl.DataFrame(
        {
            "symbol": ["AAA"],
            "ts": [NOON],
            "available_at": [NOON + known_after],
            "event_id": ["e"],
            "event_type": ["calm_drop"],
            "severity": [2.5],
            "vol_regime": ["low"],
            "liq_regime": ["mid"],
        },
        schema_overrides={"ts": TS, "available_at": TS},
    )
    stamps = pl.Series([NOON, NOON + timedelta(minutes=2)], dtype=TS)
    frame = pl.DataFrame({"symbol": ["AAA"] * 2, "ts": stamps, "available_at": stamps})
    frame = frame.with_columns(
        pl.Series(name, [value, None], dtype=pl.Float64) for name, value in features.items()
    )
    return signed_entries(candidate(template="fade"), event, frame, FAMILY, stressed_costs())


def stressed_costs() -> CostModel:
    return COSTS.model_copy(update={"stress": {"liquidity_stress": 0.8}})


@pytest.mark.parametrize("event_type", ["calm_drop", "wide_spread"])
@pytest.mark.parametrize("bucket", ["all", "high_vol"])
@pytest.mark.parametrize("template", ["directional", "fade", "edge"])
@pytest.mark.parametrize("side", [1, -1])
def test_signs_are_those_that_validation_tested(
    inputs: ValidationInputs,
    arrays: EventArrays,
    event_type: str,
    bucket: str,
    template: str,
    side: int,
) -> None:
    asked = candidate(event_type=event_type, bucket=bucket, template=template, side=side)
    entries = signed_entries(asked, inputs.events, inputs.features, FAMILY, COSTS)
    where, grid = arrays.where[event_type], minute_grid(inputs.days)
    signs = arrays.signs[template][where] * side
    traded = (arrays.buckets[bucket][where] & (signs != 0)).nonzero()[0]
    decided = grid.gather(arrays.entry[where][traded] - FAMILY.delta_min)
    symbols = [arrays.symbols[i] for i in arrays.symbol[where][traded]]
    tested = sorted(zip(symbols, decided, signs[traded].astype(int), strict=True))
    assert entries.select("symbol", "ts", "side").rows() == tested
    assert len(tested) > 20


def test_the_small_world_has_what_the_rules_turn_on(
    inputs: ValidationInputs, arrays: EventArrays
) -> None:
    """Without these the equality above would be idle."""
    assert set(arrays.signs["edge"]) == {-1.0, 0.0, 1.0}
    assert set(arrays.signs["fade"]) == {-1.0, 0.0, 1.0}, "holes in the features give no sign"
    assert 0 < arrays.buckets["high_vol"].sum() < arrays.buckets["all"].sum()
    seconds = inputs.events["available_at"].dt.second().unique().sort().to_list()
    assert seconds == [0, 1, 2]


@pytest.mark.parametrize(
    ("known_after", "decided"),
    [(0, 0), (1, 1), (59, 1), (60, 1), (61, 2)],
)
def test_an_entry_is_decided_at_the_first_whole_minute_that_knew(
    known_after: int, decided: int
) -> None:
    entries = one_event(timedelta(seconds=known_after), ret_1h_bps=-30.0, oi_z_1d=1.0)
    # The row of two minutes later is null: whoever decides then has no sign.
    assert entries["ts"].to_list() == [NOON + timedelta(minutes=decided)] * (decided < 2)


@pytest.mark.parametrize(
    ("value", "sides"), [(-30.0, [1]), (30.0, [-1]), (0.0, []), (None, []), (float("nan"), [])]
)
def test_no_sign_is_no_entry(value: float | None, sides: list[int]) -> None:
    assert one_event(ret_1h_bps=value)["side"].to_list() == sides


def test_a_feature_that_the_market_lacks_gives_no_entry(inputs: ValidationInputs) -> None:
    asked = candidate(template="absent")
    assert signed_entries(asked, inputs.events, inputs.features, FAMILY, COSTS).is_empty()


@pytest.mark.parametrize(("level", "told"), [(0.79, False), (0.8, True), (None, False)])
def test_stress_is_what_was_known_at_the_decision(level: float | None, told: bool) -> None:
    entries = one_event(ret_1h_bps=-1.0, liquidity_stress=level)
    assert entries["stress"].to_list() == [told]


def test_entries_carry_horizon_and_severity_and_their_order(inputs: ValidationInputs) -> None:
    asked = pl.concat([candidate(candidate_id="z", horizon="15m"), candidate(candidate_id="a")])
    entries = signed_entries(asked, inputs.events, inputs.features, FAMILY, COSTS)
    assert entries.columns == [*ENTRY_COLUMNS, "severity", "stress"]
    keys = entries.select("candidate_id", "symbol", "ts", "event_id").rows()
    assert keys == sorted(keys)
    horizons = entries.select("candidate_id", "horizon_min").unique().sort("candidate_id").rows()
    assert horizons == [("a", 60), ("z", 15)]
    shuffled = inputs.events.sample(fraction=1.0, shuffle=True, seed=1)
    assert signed_entries(asked, shuffled, inputs.features, FAMILY, COSTS).equals(entries)


def test_no_candidates_give_an_empty_table_of_the_same_columns(inputs: ValidationInputs) -> None:
    none = candidate().clear()
    entries = signed_entries(none, inputs.events, inputs.features, FAMILY, COSTS)
    assert entries.is_empty()
    assert entries.columns == [*ENTRY_COLUMNS, "severity", "stress"]
