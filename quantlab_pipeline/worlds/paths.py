"""The latent market: log prices, deviations, spreads, depths and basis per symbol and minute.

Belongs here: the stochastic processes of a scenario. What is printed from them (bars, quotes,
settlements) is `bars`, `book` and `derivatives`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quantlab_pipeline.core.clocks import DAY_MINUTES
from quantlab_pipeline.core.seeds import generator
from quantlab_pipeline.kernels.world_paths import autoregression, price_walk
from quantlab_pipeline.worlds.effects import Effects
from quantlab_pipeline.worlds.endings import alive
from quantlab_pipeline.worlds.regimes import turbulence, turbulent_share
from quantlab_pipeline.worlds.spec import (
    BookSpec,
    MeanRevert,
    RegimeSwitch,
    Scenario,
    ShockMix,
    SymbolSpec,
    Trend,
    VolCluster,
)
from quantlab_pipeline.worlds.timing import normals, symbols_of

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

SPREAD_VOLATILITY_ELASTICITY = 0.4
DEPTH_VOLATILITY_ELASTICITY = 0.5


@dataclass(frozen=True, slots=True)
class Leg:
    """One instrument kind's book at each minute's close.

    `x` [I, T + 1] latent ln(price / tick); `bid` and `spread` [I, T + 1] of the closing quote, in
    ticks; `depth` [I, T] lots at each best price.
    """

    x: Floats
    bid: Ints
    spread: Ints
    depth: Floats


@dataclass(frozen=True, slots=True)
class Paths:
    """The whole latent market. [I, T]: `shocks` z, `sigma` s, `drift` d; [T] `season`."""

    symbols: tuple[SymbolSpec, ...]
    shocks: Floats
    sigma: Floats
    drift: Floats
    season: Floats
    basis: Floats
    perp: Leg
    spot: Leg


def draw_paths(scenario: Scenario, seed: int, effects: Effects) -> Paths:
    """Draw the latent market of `scenario`. Same arguments, same bytes."""
    order = symbols_of(scenario)
    by_name = {s.symbol: s for s in scenario.symbols}
    symbols = tuple(by_name[name] for name in order)
    season = _season(scenario)
    shocks = _shocks(scenario, seed)
    calm = np.array([1e-4 * s.sigma_bps for s in symbols])[:, None]
    sigma = calm * season * _regime(scenario, seed) * effects.volatility
    drift = effects.drift + _trend_per_minute(scenario)
    alpha, beta, pull = _clustering_and_pull(scenario)
    moves, sigma, drift = price_walk(shocks, sigma, drift, alpha, beta, pull)
    start = np.array([math.log(s.start_price / float(s.tick_size)) for s in symbols])
    perp_x = moves + start[:, None]
    basis = _basis(scenario, seed, effects)
    stress = sigma / calm
    return Paths(
        symbols=symbols,
        shocks=shocks,
        sigma=sigma,
        drift=np.where(alive(scenario), drift, 0.0),
        season=season,
        basis=basis,
        perp=_leg(scenario, seed, "perp", symbols, perp_x, stress, effects),
        spot=_leg(scenario, seed, "spot", symbols, perp_x - basis, stress, None),
    )


def _season(scenario: Scenario) -> Floats:
    hours = (np.arange(scenario.duration_min) % DAY_MINUTES) / 60
    amplitude = scenario.season_amplitude
    wave = 1 + amplitude * np.cos(2 * np.pi * (hours - scenario.season_peak_hour_utc) / 24)
    season: Floats = wave / math.sqrt(1 + amplitude**2 / 2)
    return season


def _shocks(scenario: Scenario, seed: int) -> Floats:
    """Unit-variance draws [I, T]: a Student-t factor, a Student-t part of each symbol, jumps."""
    n, dof, share = scenario.duration_min, scenario.tail_dof, scenario.common_share
    unit = math.sqrt((dof - 2) / dof)
    common = unit * generator(seed, "factor").standard_t(dof, n)
    own = np.stack(
        [unit * generator(seed, "own", s).standard_t(dof, n) for s in symbols_of(scenario)]
    )
    shocks: Floats = math.sqrt(share) * common + math.sqrt(1 - share) * own
    if isinstance(scenario.dynamics, ShockMix):
        shocks = shocks + _jumps(scenario, scenario.dynamics, seed)
    return shocks


def _jumps(scenario: Scenario, dynamics: ShockMix, seed: int) -> Floats:
    rate = dynamics.jumps_per_day / DAY_MINUTES
    n, wide = scenario.duration_min, dynamics.market_wide_share

    def train(name: str, probability: float) -> Floats:
        draw = generator(seed, "jumps", name)
        happens = draw.random(n) < probability
        jumps: Floats = happens * draw.standard_normal(n) * dynamics.jump_sigmas
        return jumps

    common = train("*market", rate * wide)
    return np.stack([common + train(s, rate * (1 - wide)) for s in symbols_of(scenario)])


def _regime(scenario: Scenario, seed: int) -> Floats:
    dynamics = scenario.dynamics
    if not isinstance(dynamics, RegimeSwitch):
        return np.ones(scenario.duration_min)
    share = turbulent_share(dynamics)
    level = math.sqrt(1 - share + share * dynamics.turbulent_over_calm**2)
    return np.where(turbulence(scenario, seed), dynamics.turbulent_over_calm, 1.0) / level


def _trend_per_minute(scenario: Scenario) -> float:
    if isinstance(scenario.dynamics, Trend):
        return math.log1p(1e-4 * scenario.dynamics.drift_bps_per_day) / DAY_MINUTES
    return 0.0


def _clustering_and_pull(scenario: Scenario) -> tuple[float, float, float]:
    dynamics = scenario.dynamics
    if isinstance(dynamics, VolCluster):
        return dynamics.alpha, dynamics.beta, 0.0
    if isinstance(dynamics, MeanRevert):
        return 0.0, 0.0, 1 - 0.5 ** (1 / dynamics.half_life_min)
    return 0.0, 0.0, 0.0


def reverting(
    seed: int, name: str, symbols: tuple[str, ...], steps: int, half_life: float, sigma: float
) -> Floats:
    """A stationary AR(1) [I, steps] of deviation `sigma` that forgets half in `half_life` steps."""
    phi = 0.5 ** (1 / half_life)
    draws = sigma * normals(seed, name, symbols, steps + 1)
    innovations = np.ascontiguousarray(draws[:, 1:]) * math.sqrt(1 - phi * phi)
    series: Floats = autoregression(innovations, phi, np.ascontiguousarray(draws[:, 0]))
    return series


def _basis(scenario: Scenario, seed: int, effects: Effects) -> Floats:
    """ln(perp / spot) at each minute's close [I, T + 1]."""
    spec, order = scenario.basis, symbols_of(scenario)
    steps = scenario.duration_min + 1
    fast = reverting(seed, "basis", order, steps, spec.half_life_min, 1e-4 * spec.sigma_bps)
    slow_steps = 60 * spec.slow_half_life_h
    slow = reverting(seed, "slow_basis", order, steps, slow_steps, 1e-4 * spec.slow_sigma_bps)
    basis = 1e-4 * spec.mean_bps + fast + slow
    basis[:, 1:] += effects.basis
    return basis


def _leg(
    scenario: Scenario,
    seed: int,
    leg: str,
    symbols: tuple[SymbolSpec, ...],
    x: Floats,
    stress: Floats,
    effects: Effects | None,
) -> Leg:
    book = scenario.book or BookSpec(change_mean_s=60)
    order = tuple(s.symbol for s in symbols)
    steps = scenario.duration_min
    wide = reverting(seed, f"{leg}_spread", order, steps, book.half_life_min, book.spread_log_sigma)
    deep = reverting(seed, f"{leg}_depth", order, steps, book.half_life_min, book.depth_log_sigma)
    widening = np.ones_like(stress) if effects is None else effects.spread
    thinning = np.ones_like(stress) if effects is None else effects.depth
    ticks = book.calm_spread_ticks * np.exp(wide) * stress**SPREAD_VOLATILITY_ELASTICITY * widening
    spread = np.maximum(np.rint(ticks), 1).astype(np.int64)
    spread = np.concatenate((spread[:, :1], spread), axis=1)
    lots = np.array([s.depth_usd / (s.start_price * float(s.lot_size)) for s in symbols])[:, None]
    depth = lots * np.exp(deep) * stress**-DEPTH_VOLATILITY_ELASTICITY * thinning
    bid = np.rint(np.exp(x) - 0.5 * spread).astype(np.int64)
    return Leg(x=x, bid=bid, spread=spread, depth=depth)
