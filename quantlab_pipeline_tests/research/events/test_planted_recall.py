"""Events on a generated market: planted episodes are found, and every type stays its own."""

from __future__ import annotations

from datetime import timedelta

import polars as pl
import pytest

from quantlab_pipeline.core.clocks import MINUTE_US, days_between, to_us
from quantlab_pipeline.research.events.detect import detect_events
from quantlab_pipeline.research.events.quality import measure_events
from quantlab_pipeline.research.features.build import build_features
from quantlab_pipeline.research.features.inputs import FeatureInputs
from quantlab_pipeline.research.features.spec import FeatureSpecs
from quantlab_pipeline.research.market_data.book import aggregate_book, snapshot_book
from quantlab_pipeline.worlds.market import World, generate
from quantlab_pipeline.worlds.spec import Scenario
from quantlab_pipeline_tests.research.events.builders import document, project_registry

N_DAYS = 4
WARM_UP_US = 12 * 60 * MINUTE_US
REGISTRY = project_registry()


@pytest.fixture(scope="module")
def world() -> World:
    scenario = document("scenarios/planted_edges") | {"duration_min": N_DAYS * 1440}
    return generate(Scenario.model_validate(scenario))


@pytest.fixture(scope="module")
def features(world: World) -> pl.DataFrame:
    first = world.scenario.first_day
    days = days_between(first, first + timedelta(days=N_DAYS - 1))
    frames = world.frames
    inputs = FeatureInputs(
        bars_perp=frames["bars_1m_perp"],
        open_interest=frames["open_interest"],
        mark_index=frames["mark_index"],
        tob_1m_agg=aggregate_book(
            snapshot_book(frames["book"], days, grid_s=5).frame, max_age_s=120, grid_s=5
        ),
    )
    specs = FeatureSpecs.model_validate(document("feature_specs"))
    symbols = sorted(frames["bars_1m_perp"]["symbol"].unique().to_list())
    return build_features(inputs, specs, days, symbols)


@pytest.fixture(scope="module")
def events(features: pl.DataFrame, world: World) -> pl.DataFrame:
    first = world.scenario.first_day
    return detect_events(features, REGISTRY, days_between(first, first + timedelta(days=N_DAYS)))


@pytest.mark.parametrize(
    ("kind", "sign", "event_type", "within_min"),
    [
        ("spread_burst", 0, "spread_blowout", 5),
        ("depth_drop", 0, "depth_collapse", 5),
        ("oi_jump", 1, "oi_surge", 10),
        ("oi_jump", -1, "oi_flush", 10),
        ("wick", -1, "lower_wick", 2),
        ("wick", 1, "upper_wick", 2),
        ("mark_dislocation", 0, "mark_dislocation", 3),
    ],
)
def test_planted_episodes_are_found(
    world: World, events: pl.DataFrame, kind: str, sign: int, event_type: str, within_min: int
) -> None:
    begin = world.truth.origin_us + WARM_UP_US
    end = world.truth.origin_us + (N_DAYS * 1440 - within_min) * MINUTE_US
    planted = [
        e
        for e in world.truth.episodes
        if e.kind == kind and e.size * sign >= 0 and begin <= e.onset_us <= end
    ]
    found = {
        (row["symbol"], to_us(row["ts"]))
        for row in events.filter(pl.col("event_type") == event_type).iter_rows(named=True)
    }
    hits = sum(
        any((e.symbol, e.onset_us + m * MINUTE_US) in found for m in range(within_min + 1))
        for e in planted
    )
    assert len(planted) >= 5
    assert hits / len(planted) >= 0.95


def test_no_two_types_are_one(features: pl.DataFrame, events: pl.DataFrame, world: World) -> None:
    symbols = list(world.truth.symbols)
    quality = measure_events(events, features, features, REGISTRY, N_DAYS, symbols)
    assert quality["max_jaccard"].max() <= 0.5
