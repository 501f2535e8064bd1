"""The project's documents, and a small world with its study, run once."""

from __future__ import annotations

from datetime import timedelta
from functools import cache, partial

from quantlab_pipeline.calibration.in_memory import (
    Documents,
    InMemoryResult,
    documents_of,
    run_in_memory,
)
from quantlab_pipeline.research.market_data.spec import MarketSpec
from quantlab_pipeline.research.study import StudySpec
from quantlab_pipeline.storage.spec_files import Project
from quantlab_pipeline.worlds.market import World, generate
from quantlab_pipeline.worlds.spec import Scenario

PROJECT = Project()
FEW_TYPES = (
    "spread_blowout",
    "depth_collapse",
    "funding_window",
    "oi_surge",
    "oi_flush",
    "compression",
)
SMALL_DAYS = 6
load_planted = partial(PROJECT.scenario, "planted_edges")


def documents() -> Documents:
    """The shipped documents."""
    return documents_of(PROJECT, study())


def study(**changes: object) -> StudySpec:
    """The shipped study of the planted edges, with `changes`."""
    return PROJECT.study("planted_edges").model_copy(update=changes)


def market(**changes: object) -> MarketSpec:
    """Its market, with `changes`."""
    return PROJECT.market("world_planted_edges").model_copy(update=changes)


def small_scenario(n_days: int = SMALL_DAYS) -> Scenario:
    """Two symbols and few days of the planted edges."""
    scenario = load_planted(Scenario)
    return scenario.model_copy(
        update={"duration_min": n_days * 1440, "symbols": scenario.symbols[:2]}
    )


def small_study(**changes: object) -> StudySpec:
    """A study of the small world: four days, and two of holdout."""
    first = study().first_day
    whole = {
        "symbols": ("AAAUSDT", "BBBUSDT"),
        "last_day": first + timedelta(days=SMALL_DAYS - 1),
        "event_types": FEW_TYPES,
    }
    return study(**(whole | changes))


@cache
def small_world() -> World:
    """The small world under a fixed seed."""
    return generate(small_scenario(), 11)


@cache
def small_run() -> InMemoryResult:
    """The small study on the small world."""
    return run_in_memory(small_world(), documents(), small_study(), market())
