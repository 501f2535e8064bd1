"""Generated worlds taken as far as events, for tests of what was planted in them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import polars as pl

from quantlab_pipeline.calibration.in_memory import market_tables
from quantlab_pipeline.core.clocks import MINUTE_US, to_us
from quantlab_pipeline.research.events.detect import detect_events
from quantlab_pipeline.research.events.spec import EventRegistry
from quantlab_pipeline.research.features.build import build_features
from quantlab_pipeline.research.features.inputs import FeatureInputs
from quantlab_pipeline.worlds.market import World, generate
from quantlab_pipeline.worlds.spec import Scenario
from quantlab_pipeline.worlds.truth import Episode
from quantlab_pipeline_tests.calibration import builders
from quantlab_pipeline_tests.research.events.builders import feature_specs, project_registry


@dataclass(frozen=True)
class Seen:
    """A world, what features are made from, the features, and the events found in them."""

    world: World
    inputs: FeatureInputs
    features: pl.DataFrame
    events: pl.DataFrame

    @property
    def days(self) -> list[date]:
        return self.world.scenario.days

    @property
    def symbols(self) -> list[str]:
        return list(self.world.truth.symbols)

    def instants(self, *event_types: str) -> set[tuple[str, int]]:
        """(symbol, minute of the world) of every event of the types."""
        own = self.events.filter(pl.col("event_type").is_in(event_types))
        origin = self.world.truth.origin_us
        return {
            (row["symbol"], (to_us(row["ts"]) - origin) // MINUTE_US)
            for row in own.iter_rows(named=True)
        }

    def planted(self, kind: str, sign: int, warm_up_min: int, within_min: int) -> list[Episode]:
        """Episodes of a kind and direction (0: either) that could be seen in full."""
        origin = self.world.truth.origin_us
        first = origin + warm_up_min * MINUTE_US
        last = origin + (self.world.scenario.duration_min - within_min) * MINUTE_US
        return [
            e
            for e in self.world.truth.episodes
            if e.kind == kind and e.size * sign >= 0 and first <= e.onset_us <= last
        ]

    def recall(self, episodes: list[Episode], event_types: list[str], within_min: int) -> float:
        """Share of `episodes` with an event of the types up to `within_min` after their begin."""
        return self.share_met(episodes, self.instants(*event_types), within_min)

    def share_met(
        self, episodes: list[Episode], minutes: set[tuple[str, int]], within_min: int
    ) -> float:
        """Share of `episodes` with one of `minutes` up to `within_min` after their begin."""
        origin = self.world.truth.origin_us
        begins = [(e.symbol, (e.onset_us - origin) // MINUTE_US) for e in episodes]
        met = [
            any((symbol, at + m) in minutes for m in range(within_min + 1)) for symbol, at in begins
        ]
        return sum(met) / len(met)


def seen(
    scenario: Scenario, seed: int | None = None, registry: EventRegistry | None = None
) -> Seen:
    """`scenario` through the stage functions, as a market with every dataset."""
    world = generate(scenario, seed)
    days, symbols = scenario.days, list(world.truth.symbols)
    market = builders.market(first_day=days[0], last_day=days[-1])
    inputs = market_tables(world.frames, market, symbols, days[-1])
    features = build_features(inputs, feature_specs(), days, symbols)
    events = detect_events(features, registry or project_registry(), days)
    return Seen(world, inputs, features, events)
