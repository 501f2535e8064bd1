"""A scenario that cannot be generated is refused before any number is drawn."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from quantlab_pipeline.worlds.spec import MAX_PACKING, Scenario
from quantlab_pipeline_tests.worlds.builders import FAMILIES, SHIPPED, document, scenario, shipped

BURST = {"kind": "spread_burst", "per_symbol_day": 3, "size": 5}


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_validates(family):
    assert scenario(dynamics=FAMILIES[family]).dynamics.family == family


@pytest.mark.parametrize(
    "changes",
    [
        {"timeframe": "5m"},
        {"duration_min": 99},
        {"seed": -1},
        {"symbols": []},
        {"dynamics": {"family": "fractal"}},
        {"dynamics": {"family": "vol_cluster", "alpha": 0.3, "beta": 0.7}},
        {"common_shares": 0.3},
        {"tail_dof": 2},
        {"volume": {"model": "uniform"}},
        {"episodes": [{**BURST, "size": 1}]},
        {"episodes": [{**BURST, "kind": "wick", "size": 5000}]},
        {"episodes": [{**BURST, "drift": {"bps": 28, "over_min": 60, "sign": "sideways"}}]},
        {"episodes": [{**BURST, "per_symbol_day": 12}]},
        {"book": {"change_mean_s": 90}},
        {"book": {"change_mean_s": 5, "last_day": date(2026, 1, 1)}},
        {"damage": [{"kind": "missing_funding", "symbol": "ZZZUSDT", "day": date(2025, 1, 6)}]},
        {"damage": [{"kind": "missing_funding", "symbol": "AAAUSDT", "day": date(2025, 1, 9)}]},
        {"damage": [2 * [{"kind": "missing_funding", "symbol": "AAAUSDT"}]]},
        {
            "damage": [
                {
                    "kind": "crossed_quotes",
                    "symbol": "AAAUSDT",
                    "day": date(2025, 1, 6),
                    "share": 0.1,
                }
            ]
        },
    ],
)
def test_an_impossible_scenario_is_refused(changes):
    with pytest.raises(ValidationError):
        Scenario.model_validate(document(**changes))


def test_two_damages_at_one_place_are_refused():
    item = {"dataset": "bars_1m_perp", "symbol": "AAAUSDT", "day": date(2025, 1, 6)}
    both = [
        {"kind": "gap", "length_min": 5, **item},
        {"kind": "duplicate_rows", "n_rows": 2, **item},
    ]
    assert scenario(damage=both[:1]).damage
    with pytest.raises(ValidationError, match="no count would be exact"):
        scenario(damage=both)


@given(
    rates=st.lists(st.floats(0.1, 8), min_size=1, max_size=4),
    spacing=st.integers(0, 400),
)
def test_a_lane_is_refused_exactly_when_it_would_be_too_full(rates, spacing):
    episodes = [{**BURST, "per_symbol_day": r} for r in rates]
    too_full = sum(rates) * (spacing + 1) / 1440 > MAX_PACKING
    changes = {"episodes": episodes, "min_spacing_min": spacing}
    if too_full:
        with pytest.raises(ValidationError, match="full"):
            scenario(**changes)
    else:
        assert len(scenario(**changes).episodes) == len(rates)


@given(duration=st.integers(100, 20_000))
def test_the_days_cover_the_duration(duration):
    world = scenario(duration_min=duration)
    assert len(world.days) == -(-duration // 1440)
    assert world.days[-1] == world.last_day


@given(st.floats(0.06, 60))
def test_every_minute_has_a_quote(mean_s):
    book = scenario(book={"change_mean_s": mean_s}).book
    assert book.quotes_per_minute == max(1, round(60 / mean_s))


def test_the_hash_is_that_of_the_content():
    world = scenario()
    assert world.spec_hash() == Scenario.model_validate(world.model_dump()).spec_hash()
    assert world.spec_hash() != scenario(seed=4).spec_hash()


@pytest.mark.parametrize("path", sorted(SHIPPED.glob("*.yaml")), ids=lambda p: p.stem)
def test_a_shipped_scenario_is_valid_and_named_like_its_file(path):
    assert shipped(path.stem).name == path.stem


def test_null_is_planted_edges_without_drift():
    assert shipped("planted_edges").without_drift("null") == shipped("null")


def test_damaged_clean_is_damaged_without_damage():
    assert shipped("damaged").without_damage("damaged_clean") == shipped("damaged_clean")
