"""Size where nothing is: worlds are the unit, and a rule that is right holds its bands."""

from __future__ import annotations

import numpy as np
import pytest

from quantlab_pipeline.calibration.certificate.sizes import (
    ALL,
    World,
    hold_from_below,
    hold_sizes,
    measure_sizes,
    null_world,
)
from quantlab_pipeline_tests.calibration.certificate.builders import bench

BENCH = bench()
LEVELS = BENCH.bands.size_levels
NAMES = ("5m", "24h")


def worlds(k: int, per: int, inflate: float = 1.0, rho: float = 0.5, seed: int = 1) -> list[World]:
    """Null worlds whose candidates share a factor; z is `inflate` times too large at 24h."""
    from scipy.special import ndtr

    rng = np.random.default_rng(seed)
    made = []
    for _ in range(k):
        z = np.sqrt(rho) * rng.standard_normal() + np.sqrt(1 - rho) * rng.standard_normal(2 * per)
        z[per:] *= inflate
        p = ndtr(-z)
        made.append(World(np.repeat(NAMES, per), p, p))
    return made


def by_hand(made: list[World], level: float, horizon: str) -> float:
    each = []
    for world in made:
        hits = [p < level for p, h in zip(world.p, world.horizon, strict=True) if h == horizon]
        each.append(sum(hits) / len(hits))
    return sum(each) / len(each)


def test_size_is_the_mean_over_worlds_of_each_worlds_share() -> None:
    made = worlds(7, 30)
    sizes = measure_sizes(made, LEVELS, NAMES)
    assert [(s.horizon, s.level) for s in sizes] == [(n, v) for n in (*NAMES, ALL) for v in LEVELS]
    for s in sizes[: len(LEVELS)]:
        assert s.final.value == pytest.approx(by_hand(made, s.level, "5m"))
        assert s.hit == sum((w.p[w.horizon == "5m"] < s.level).any() for w in made)
        assert s.cases == 210
    assert sizes[-1].cases == 420


def test_a_right_rule_holds_and_an_inflated_one_breaks_at_its_own_horizon() -> None:
    right = hold_sizes(BENCH, measure_sizes(worlds(60, 40), LEVELS, NAMES), "PT-01")
    assert [h.holds for h in right] == [True] * len(LEVELS)
    wrong = hold_sizes(BENCH, measure_sizes(worlds(60, 40, 1.7), LEVELS, NAMES), "PT-01")
    broken = [h for h in wrong if not h.holds]
    assert len(broken) >= 3
    assert any("24h" in h.name for h in broken)


def test_bands_of_right_rules_are_rarely_broken() -> None:
    """Ninety-six families of 24 worlds: at a false alarm of 1e-3 one broken has odds of 9 %."""
    alarms = 0
    for seed in range(96):
        sizes = measure_sizes(worlds(24, 20, rho=0.7, seed=seed), LEVELS, NAMES)
        alarms += not all(h.holds for h in hold_sizes(BENCH, sizes, "PT-01"))
    assert alarms <= 1


def test_a_rule_that_never_rejects_breaks_the_band_from_below() -> None:
    blind = [World(w.horizon, w.p + 0.5, w.p_raw) for w in worlds(60, 40)]
    sees = hold_from_below(BENCH, measure_sizes(worlds(60, 40), LEVELS, NAMES), "PT-01")
    assert sees.holds
    assert not hold_from_below(BENCH, measure_sizes(blind, LEVELS, NAMES), "PT-01").holds


def test_only_candidates_that_could_pass_are_counted() -> None:
    figures = {
        "active_days": np.array([30.0, 5.0, 30.0, 30.0]),
        "n_eff": np.array([50.0, 50.0, 10.0, 50.0]),
        "p": np.array([0.2, 0.2, 0.2, np.nan]),
        "z_raw": np.array([0.0, 0.0, 0.0, 0.0]),
    }
    world = null_world(BENCH, figures, ["5m", "5m", "24h", "24h"])
    assert world.horizon.tolist() == ["5m"]
    assert world.p.tolist() == [0.2]
    assert world.p_raw.tolist() == [0.5]


def test_no_world_with_candidates_gives_no_size() -> None:
    empty = World(np.array([], dtype=np.str_), np.array([]), np.array([]))
    sizes = measure_sizes([empty, empty], LEVELS, NAMES)
    assert all(np.isnan(s.final.value) and s.final.worlds == 0 for s in sizes)
    assert not any(h.holds for h in hold_sizes(BENCH, sizes, "PT-01")[:2])
