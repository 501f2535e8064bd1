"""Events on generated markets: what was planted is found, as often as it was planted."""

from __future__ import annotations

from itertools import pairwise

import pytest

from quantlab_pipeline.core.clocks import MINUTE_US, to_us
from quantlab_pipeline.core.verdicts import ItemVerdict, Outcome
from quantlab_pipeline.research.events.detect import trigger_of
from quantlab_pipeline.research.events.gate import judge_e1
from quantlab_pipeline.research.events.quality import measure_events
from quantlab_pipeline.worlds.spec import Scenario
from quantlab_pipeline_tests.research.events.builders import (
    document,
    e1_thresholds,
    project_registry,
)
from quantlab_pipeline_tests.research.events.planted import Seen, seen
from quantlab_pipeline_tests.worlds.builders import scenario

N_DAYS = 6
REGISTRY = project_registry()
BAND = e1_thresholds()


@pytest.fixture(scope="module")
def stressed() -> Seen:
    """Six days of the planted edges: bursts, drops, jumps, wicks and dislocations."""
    body = document("scenarios/planted_edges") | {"duration_min": N_DAYS * 1440}
    return seen(Scenario.model_validate(body))


@pytest.fixture(scope="module")
def volatile() -> Seen:
    """An even market, and once a day half an hour that is six times as volatile."""
    return seen(
        scenario(
            4,
            8,
            episodes=[
                {"kind": "vol_burst", "per_symbol_day": 1, "size": 6, "duration_min": 30},
            ],
            min_spacing_min=300,
            season_amplitude=0.0,
            tail_dof=8,
        ),
        21,
    )


@pytest.mark.parametrize(
    ("kind", "sign", "event_type", "within_min"),
    [
        ("spread_burst", 0, "spread_blowout", 5),
        ("depth_drop", 0, "depth_collapse", 5),
        ("oi_jump", 1, "oi_surge", 10),
        ("oi_jump", -1, "oi_flush", 10),
        ("wick", -1, "lower_wick", 2),
        ("wick", 1, "upper_wick", 2),
        ("basis_dislocation", 1, "basis_rich", 3),
        ("basis_dislocation", -1, "basis_cheap", 3),
        ("mark_dislocation", 0, "mark_dislocation", 3),
    ],
)
def test_planted_episodes_are_found(
    stressed: Seen, kind: str, sign: int, event_type: str, within_min: int
) -> None:
    planted = stressed.planted(kind, sign, 12 * 60, within_min)
    assert len(planted) >= 5
    assert stressed.recall(planted, [event_type], within_min) >= 0.95


@pytest.mark.parametrize(
    ("event_types", "within_min"),
    [(["up_shock", "down_shock"], 30), (["compression_release"], 20)],
)
def test_planted_bursts_of_volatility_are_found(
    volatile: Seen, event_types: list[str], within_min: int
) -> None:
    planted = volatile.planted("vol_burst", 0, 12 * 60, within_min)
    assert len(planted) >= 25
    assert volatile.recall(planted, event_types, within_min) >= 0.95


def test_a_rare_burst_is_among_the_weeks_most_volatile_hours() -> None:
    """The top two percent of a week hold three hours: bursts must be as rare to be all in it."""
    rare = seen(
        scenario(
            4, 20, season_amplitude=0.0, min_spacing_min=1440, tail_dof=8,
            episodes=[{"kind": "vol_burst", "per_symbol_day": 0.1, "size": 8, "duration_min": 60}],
        ),
        5,
    )  # fmt: skip
    kind = next(t for t in REGISTRY.event_types if t.name == "vol_regime_jump")
    held = rare.features.filter(trigger_of(kind)).select("symbol", "ts").rows()
    minutes = {
        (symbol, (to_us(ts) - rare.world.truth.origin_us) // MINUTE_US) for symbol, ts in held
    }
    planted = rare.planted("vol_burst", 0, 2 * 1440, 60)
    assert len(planted) >= 8
    assert rare.share_met(planted, minutes, 60) >= 0.95


@pytest.mark.parametrize(
    ("kind", "sign", "event_type"),
    [
        ("spread_burst", 0, "spread_blowout"),
        ("depth_drop", 0, "depth_collapse"),
        ("oi_jump", 1, "oi_surge"),
        ("oi_jump", -1, "oi_flush"),
        ("wick", -1, "lower_wick"),
        ("wick", 1, "upper_wick"),
        ("mark_dislocation", 0, "mark_dislocation"),
    ],
)
def test_they_are_as_frequent_as_they_were_planted_and_inside_the_gates_band(
    stressed: Seen, kind: str, sign: int, event_type: str
) -> None:
    verdict = judged(stressed)[event_type]
    assert verdict.outcome is Outcome.PASS, verdict
    rate, most = verdict.measured["max_per_symbol_day"]
    assert rate is not None
    assert most is not None
    assert BAND.min_per_symbol_day <= rate <= most
    n_planted = len(stressed.planted(kind, sign, 0, 0))
    found = stressed.instants(event_type)
    assert 0.85 * n_planted <= len(found) <= 1.7 * n_planted


def judged(market: Seen) -> dict[str, ItemVerdict]:
    quality = measure_events(
        market.events,
        market.features,
        market.features,
        REGISTRY,
        len(market.days),
        market.symbols,
    )
    return {v.item: v for v in judge_e1(quality, BAND)}


@pytest.mark.parametrize("event_type", ["compression_release", "up_shock", "down_shock"])
def test_shocks_and_transitions_are_inside_the_gates_band(volatile: Seen, event_type: str) -> None:
    verdict = judged(volatile)[event_type]
    assert verdict.outcome is Outcome.PASS, verdict


@pytest.mark.parametrize("market", ["stressed", "volatile"])
def test_no_two_events_of_a_type_are_closer_than_its_cooldown(
    request: pytest.FixtureRequest, market: str
) -> None:
    found: Seen = request.getfixturevalue(market)
    for kind in REGISTRY.event_types:
        times = sorted(found.instants(kind.name))
        gaps = [b - a for (one, a), (other, b) in pairwise(times) if one == other]
        assert min(gaps, default=1 << 20) > kind.cooldown_min, kind.name


def test_no_two_types_are_one(stressed: Seen) -> None:
    for name, verdict in judged(stressed).items():
        told = [r for r in verdict.reasons if r.startswith(("ALIAS_OF", "ECHO_OF"))]
        assert told == [], (name, verdict.measured)
