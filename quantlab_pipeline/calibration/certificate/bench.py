"""A null market in memory, as far as V1's arrays: the stage functions, and nothing else.

Belongs here: which documents the experiments read, and the order of the calls. The market has bars
alone, so that its events are those that bars show; E-1 is no part of the experiment (every type is
admitted), nor are labels, which V1 does not read. Without funding the null is an effect of zero.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl

from quantlab_pipeline.calibration.in_memory import SpecFolder
from quantlab_pipeline.core.fingerprints import digest
from quantlab_pipeline.research.events.detect import detect_events
from quantlab_pipeline.research.events.spec import EventRegistry
from quantlab_pipeline.research.features.build import build_features
from quantlab_pipeline.research.features.inputs import FeatureInputs
from quantlab_pipeline.research.features.spec import FeatureSpecs
from quantlab_pipeline.research.market_data.schema import FUNDING, TOB_1M_AGG
from quantlab_pipeline.research.validation.bands import CalibrationBands
from quantlab_pipeline.research.validation.evaluate import question_of
from quantlab_pipeline.research.validation.family import (
    Candidate,
    canonical_events,
    expand_family,
)
from quantlab_pipeline.research.validation.inputs import EventArrays, ValidationInputs, prepare
from quantlab_pipeline.research.validation.spec import (
    CandidateFamily,
    FlagThresholds,
    V1Thresholds,
)
from quantlab_pipeline.simulation.costs import CostModel, SpreadTier
from quantlab_pipeline.simulation.fees import FeeSchedule, FeeTier
from quantlab_pipeline.worlds.market import generate
from quantlab_pipeline.worlds.spec import Scenario

SCENARIO = "calibration"
BARS = "bars_1m_perp"
EVENT_TYPES = (
    "absorbed_volume", "compression", "compression_release", "down_shock", "thin_tape",
    "up_shock", "vol_fade", "vol_regime_jump",
)  # fmt: skip
"""The registry's types that bars alone show, but for the wicks: a market of diffusion has none."""

TEMPLATES = ("directional", "mean_reversion")
_NO_FEE = (FeeTier(volume_from_usd=0.0, maker_bps=0.0, taker_bps=0.0),)
_NO_SPREAD = (SpreadTier(volume_from_usd=0.0, half_spread_bps=0.0),)


@dataclass(frozen=True, slots=True)
class Bench:
    """The documents of the experiments: `family` has the templates of bars, `events` their types.

    `free` is the cost model with every cost zero: the null then is an effect of zero.
    """

    scenario: Scenario
    features: FeatureSpecs
    events: EventRegistry
    family: CandidateFamily
    costs: CostModel
    free: CostModel
    thresholds: V1Thresholds
    flags: FlagThresholds
    bands: CalibrationBands

    @property
    def symbols(self) -> tuple[str, ...]:
        """Symbols of the market, in the order of its arrays."""
        return tuple(s.symbol for s in self.scenario.symbols)

    def digest(self) -> str:
        """Tagged digest of every document."""
        return digest([getattr(self, name) for name in self.__slots__])


def bench_of(project: SpecFolder, scenario: Callable[[str, type[Scenario]], Scenario]) -> Bench:
    """The bench of a project; `scenario` reads a scenario by its name. SpecError for a bad one."""
    gates, family, costs = project.gates(), project.family(), project.costs()
    registry = project.events().only(EVENT_TYPES)
    templates = tuple(t for t in family.templates if t.name in TEMPLATES)
    read = {c for regime in registry.regimes.named().values() for c in regime.columns}
    family = family.model_copy(update={"templates": templates})
    return Bench(
        scenario=scenario(SCENARIO, Scenario),
        features=project.features().only({*read, *registry.fields, *family.features()}),
        events=registry,
        family=family,
        costs=costs,
        free=without_costs(costs),
        thresholds=gates.v1,
        flags=gates.v1_flags,
        bands=gates.calibration,
    )


def without_costs(costs: CostModel) -> CostModel:
    """The same model with every fee, spread and impact zero."""
    nothing: dict[str, Any] = {"impact_y": 0.0, "spread_tiers": _NO_SPREAD}
    profiles = {name: p.model_copy(update=nothing) for name, p in costs.profiles.items()}
    fees = {costs.venue: FeeSchedule(tiers=_NO_FEE)}
    return costs.model_copy(update={"profiles": profiles, "fees": fees})


@dataclass(frozen=True, slots=True)
class Market:
    """A market as V1 receives it: its events on arrays, and the family that is asked of it."""

    arrays: EventArrays
    candidates: tuple[Candidate, ...]


def fresh_bars(bench: Bench, seed: int) -> pl.DataFrame:
    """Minute bars of a market without any edge. Same arguments, same bytes."""
    return generate(bench.scenario, seed).frames[BARS]


def market_of(bench: Bench, bars: pl.DataFrame, symbols: tuple[str, ...]) -> Market:
    """From minute bars through features and events to V1's arrays."""
    days = bench.scenario.days
    features = build_features(FeatureInputs(bars_perp=bars), bench.features, days, list(symbols))
    inputs = ValidationInputs(
        events=detect_events(features, bench.events, days),
        features=features,
        bars_perp=bars,
        tob_1m_agg=TOB_1M_AGG.empty(),
        funding=FUNDING.empty(),
        days=days,
        symbols=symbols,
        event_specs=canonical_events(bench.events, bench.features),
        admitted=EVENT_TYPES,
        synthetic=True,
    )
    arrays = prepare(inputs, bench.family, bench.costs)
    return Market(arrays, tuple(expand_family(bench.family, question_of(inputs), bench.costs)))


def made_free(arrays: EventArrays) -> EventArrays:
    """The same events with every cost zero; one that is unknown stays so."""
    costs = arrays.costs
    total = np.where(np.isfinite(costs.total), 0.0, np.nan)
    fixed = np.where(np.isfinite(costs.fixed), 0.0, np.nan)
    return replace(arrays, costs=replace(costs, total=total, fixed=fixed))
