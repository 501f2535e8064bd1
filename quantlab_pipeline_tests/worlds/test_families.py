"""Each family has the moments that it promises, at fixed seeds, with bands from its own theory."""

from __future__ import annotations

import numpy as np
import pytest

from quantlab_pipeline.worlds.effects import lay_out
from quantlab_pipeline.worlds.guards import WorldGuardError, check_paths
from quantlab_pipeline.worlds.paths import draw_paths
from quantlab_pipeline.worlds.placement import describe, place_episodes
from quantlab_pipeline_tests.worlds.builders import FAMILIES, scenario

QUIET = {"season_amplitude": 0.0, "common_share": 0.0}
NORMAL = {**QUIET, "tail_dof": 200}


def paths_of(world, seed=5):
    onsets = place_episodes(world, seed)
    return draw_paths(world, seed, lay_out(world, onsets, describe(world, onsets, seed)))


def simple_returns(paths):
    return np.expm1(np.diff(paths.perp.x, axis=1))


def z_of_mean(returns, expected=0.0):
    excess = returns - expected
    return float(excess.mean() / (excess.std() / np.sqrt(excess.size)))


def kurtosis(x):
    centred = x - x.mean()
    return float((centred**4).mean() / (centred**2).mean() ** 2)


def correlation_at(x, lag):
    return float(np.corrcoef(x[lag:], x[:-lag])[0, 1])


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("family", ["vol_cluster", "shock_mix", "regime_switch"])
def test_simple_returns_are_a_martingale_difference(family, seed):
    world = scenario(4, 30, dynamics=FAMILIES[family], common_share=0.0)
    returns = simple_returns(paths_of(world, seed))
    assert abs(z_of_mean(returns)) < 3.3


def test_log_returns_pay_half_the_variance():
    """A martingale of log returns would give longs half the variance: seen at 1 % a minute."""
    world = scenario(8, 30, **NORMAL)
    loud = world.model_copy(
        update={"symbols": tuple(s.model_copy(update={"sigma_bps": 100.0}) for s in world.symbols)}
    )
    moves = np.diff(paths_of(loud).perp.x, axis=1)
    assert z_of_mean(moves, -0.5e-4) == pytest.approx(0, abs=3.3)
    assert z_of_mean(moves) < -2


def test_trend_drifts_by_what_it_says():
    world = scenario(8, 30, dynamics=FAMILIES["trend"], **QUIET)
    paths = paths_of(world)
    per_minute = np.expm1(np.log1p(0.05) / 1440)
    returns = simple_returns(paths)
    assert abs(z_of_mean(returns, per_minute)) < 3.3
    assert z_of_mean(returns) > 5
    np.testing.assert_allclose(np.expm1(paths.drift[:, :1440].sum(axis=1)), 0.05, rtol=1e-9)


def test_mean_revert_has_its_half_life():
    world = scenario(8, 20, dynamics=FAMILIES["mean_revert"], **NORMAL)
    x = paths_of(world).perp.x
    away = x - x[:, :1]
    phi = float((away[:, 1:] * away[:, :-1]).sum() / (away[:, :-1] ** 2).sum())
    assert np.log(0.5) / np.log(phi) == pytest.approx(120, rel=0.12)


def test_vol_cluster_clusters_and_keeps_its_mean_variance():
    clustered = simple_returns(
        paths_of(scenario(4, 30, dynamics=FAMILIES["vol_cluster"], **NORMAL))
    )
    plain = simple_returns(paths_of(scenario(4, 30, **NORMAL)))
    for lag in (1, 10, 50):
        assert np.mean([correlation_at(np.abs(r), lag) for r in clustered]) > 0.05
        assert abs(np.mean([correlation_at(np.abs(r), lag) for r in plain])) < 0.01
    assert clustered.std() == pytest.approx(4e-4, rel=0.1)
    assert plain.std() == pytest.approx(4e-4, rel=0.01)


def test_shock_mix_adds_kurtosis_and_shared_jumps():
    jumpy = simple_returns(paths_of(scenario(2, 30, dynamics=FAMILIES["shock_mix"], **NORMAL)))
    plain = simple_returns(paths_of(scenario(2, 30, **NORMAL)))
    assert kurtosis(plain[0]) == pytest.approx(3, abs=0.2)
    assert kurtosis(jumpy[0]) > 20
    big = np.abs(jumpy) > 6 * 4e-4
    assert (big[0] & big[1]).sum() > 0.1 * big[0].sum() > 5


def test_regime_switch_alternates_between_two_levels():
    world = scenario(1, 60, dynamics=FAMILIES["regime_switch"], **NORMAL)
    sigma = paths_of(world).sigma[0]
    levels = np.unique(sigma)
    assert levels.size == 2
    assert levels[1] / levels[0] == pytest.approx(3)
    turbulent = sigma == levels[1]
    assert turbulent.mean() == pytest.approx(1 / 6, abs=0.04)
    visits = (np.diff(turbulent.astype(int)) == 1).sum()
    assert turbulent.sum() / visits == pytest.approx(60, rel=0.25)
    assert np.mean(sigma**2) == pytest.approx(16e-8, rel=0.2)


def test_symbols_share_a_common_factor_with_heavy_tails():
    world = scenario(2, 30, common_share=0.5, season_amplitude=0.0)
    returns = simple_returns(paths_of(world))
    assert np.corrcoef(returns)[0, 1] == pytest.approx(0.5, abs=0.05)
    assert kurtosis(returns[0]) > 5


def test_the_season_peaks_at_its_hour():
    sigma = paths_of(scenario(1, 1, season_amplitude=0.5, season_peak_hour_utc=15)).sigma[0]
    assert sigma.argmax() == 15 * 60
    assert sigma.max() / sigma.min() == pytest.approx(3)
    assert np.mean(sigma**2) == pytest.approx(16e-8)


def test_the_basis_has_its_half_life_and_deviation():
    world = scenario(
        8, 20, basis={"mean_bps": 2, "sigma_bps": 3, "half_life_min": 30, "slow_sigma_bps": 0}
    )
    basis = 1e4 * paths_of(world).basis
    assert basis.mean() == pytest.approx(2, abs=0.2)
    assert basis.std() == pytest.approx(3, rel=0.05)
    phi = np.mean([correlation_at(b, 1) for b in basis])
    assert np.log(0.5) / np.log(phi) == pytest.approx(30, rel=0.15)


def test_five_hundred_cells_pass_the_guards():
    cells = [
        (family, sigma, dof, share)
        for family in FAMILIES
        for sigma in (0.5, 4.0, 20.0, 50.0, 100.0)
        for dof in (2.1, 4.0, 8.0, 200.0)
        for share in (0.0, 0.3, 0.6, 0.8, 0.95)
    ]
    assert len(cells) == 500
    for k, (family, sigma, dof, share) in enumerate(cells):
        world = scenario(
            1, duration_min=100, dynamics=FAMILIES[family], tail_dof=dof, common_share=share
        )
        loud = world.symbols[0].model_copy(update={"sigma_bps": sigma})
        world = world.model_copy(update={"symbols": (loud,)})
        paths = paths_of(world, seed=k)
        check_paths(world, paths)
        assert paths.perp.x.shape == (1, 101)


@pytest.mark.parametrize(
    ("spoil", "failure"),
    [
        (lambda p: p.perp.x.__setitem__((0, 7), np.nan), "not finite"),
        (lambda p: p.perp.bid.__setitem__((0, 7), 0), "not above 0"),
        (
            lambda p: p.perp.x.__setitem__((0, slice(7, None)), p.perp.x[0, 7] + 0.02),
            "25 deviations",
        ),
    ],
)
def test_the_guards_stop_an_impossible_path(spoil, failure):
    world = scenario(1, duration_min=100)
    paths = paths_of(world)
    check_paths(world, paths)
    spoil(paths)
    with pytest.raises(WorldGuardError, match=failure):
        check_paths(world, paths)


def test_the_guards_count_the_bars():
    world = scenario(1, duration_min=100)
    with pytest.raises(WorldGuardError, match="number of bars"):
        check_paths(world.model_copy(update={"duration_min": 101}), paths_of(world))
