"""What is printed when the seal is broken."""

from __future__ import annotations

import polars as pl
import pytest

from quantlab_pipeline.calibration.planted import SHOWN_BY, planted_types
from quantlab_pipeline.calibration.reveal import naive_discoveries, reveal
from quantlab_pipeline.worlds.market import generate
from quantlab_pipeline.worlds.spec import EpisodeSpec
from quantlab_pipeline_tests.calibration import builders


def _revealed(truth, candidates):
    documents = builders.documents()
    return reveal(
        truth.to_json(), candidates, builders.small_run().inputs, documents.family, documents.costs
    )


def test_the_planted_edges_are_told_as_they_were_planted():
    world = builders.small_world()
    told = _revealed(world.truth, builders.small_run().candidates)
    assert told.planted.to_dicts() == [
        {
            "event_type": name,
            "kind": kind,
            "side": side,
            "drift_bps": bps,
            "over_min": 60,
            "horizon": "1h",
            "n_episodes": 2 * 3 * builders.SMALL_DAYS,
        }
        for name, kind, side, bps in (
            ("oi_surge", "oi_jump", -1, -29.5),
            ("spread_blowout", "spread_burst", 1, 35.0),
        )
    ]
    assert (told.scenario, told.seed) == ("planted_edges", 11)
    assert told.seal == world.truth.digest()


def test_opposite_jumps_are_two_edges():
    drift = {"bps": 20, "over_min": 240, "sign": "against"}
    jumps = EpisodeSpec(kind="oi_jump", per_symbol_day=4, size=300, drift=drift)
    scenario = builders.small_scenario(4).model_copy(update={"episodes": (jumps,)})
    found = planted_types(generate(scenario, 3).truth)
    assert [(p.event_type, p.side, p.drift_bps, p.horizon) for p in found] == [
        ("oi_flush", 1, 20.0, "4h"),
        ("oi_surge", -1, -20.0, "4h"),
    ]
    assert sum(p.n_episodes for p in found) == 2 * 4 * 4


def test_each_survivor_is_called_what_it_is():
    """Statuses as a gate that lets everything of two types through would give them."""
    lenient = builders.small_run().candidates.with_columns(
        pl.when(
            pl.col("event_type").is_in(["oi_surge", "funding_window"]),
            pl.col("bucket") == "all",
            pl.col("horizon") == "1h",
            pl.col("template") == "directional",
        )
        .then(pl.lit("PASS"))
        .otherwise(pl.lit("FAIL"))
        .alias("status")
    )
    told = _revealed(builders.small_world().truth, lenient)
    real = {(r["event_type"], r["side"]): r["truly_null"] for r in told.survivors.to_dicts()}
    assert real == {
        ("oi_surge", -1): False,
        ("oi_surge", 1): True,
        ("funding_window", -1): True,
        ("funding_window", 1): True,
    }
    assert told.false_discoveries == 3


def test_a_null_world_planted_nothing():
    twin = generate(builders.small_scenario().without_drift("null"), 11)
    told = _revealed(twin.truth, builders.small_run().candidates)
    assert told.planted.is_empty()
    assert planted_types(twin.truth) == []
    assert told.false_discoveries == told.survivors.height


def test_naive_discoveries_are_those_of_a_one_sided_test():
    z = pl.DataFrame({"z_naive": [None, -3.0, 1.6448, 1.6449, 5.0]})
    assert naive_discoveries(z)["z_naive"].to_list() == [1.6449, 5.0]


@pytest.mark.parametrize("shown", sorted(set(SHOWN_BY.values())))
def test_every_kind_is_seen_by_a_type_of_the_registry(shown):
    assert shown in builders.documents().events.names
