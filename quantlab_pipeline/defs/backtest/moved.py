"""Signed entries under moved definitions of events: the events' verbs, for the backtest.

Belongs here: finding the events of a moved definition as the `events` asset finds its own, and
signing them as the bridge signs. Not here: which definitions are tried, and what they earned.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import polars as pl

from quantlab_pipeline.defs.stage_run import StageRun
from quantlab_pipeline.research.backtest.blueprint import Blueprint
from quantlab_pipeline.research.backtest.neighbourhood import MovedEntries
from quantlab_pipeline.research.backtest.spec import NeighbourSpec
from quantlab_pipeline.research.backtest.thresholds import moved_definitions
from quantlab_pipeline.research.bridge.entries import signed_entries
from quantlab_pipeline.research.events.detect import detect_events
from quantlab_pipeline.research.events.spec import EventRegistry, EventType


def moved_entries(
    run: StageRun, plans: Sequence[Blueprint], spec: NeighbourSpec
) -> dict[str, list[MovedEntries]]:
    """By event type of `plans`: the entries of its candidates under each moved definition."""
    registry = run.project.events()
    names = sorted({plan.event_type for plan in plans})
    if not names:
        return {}
    features, candidates = run.load("features_pt"), run.load("phase2_candidates")
    found = {}
    for event_type in registry.only(names).event_types:
        own = {plan.candidate_id for plan in plans if plan.event_type == event_type.name}
        traded = candidates.filter(pl.col("candidate_id").is_in(own))
        found[event_type.name] = list(_moved(run, registry, event_type, traded, features, spec))
    return found


def _moved(
    run: StageRun,
    registry: EventRegistry,
    event_type: EventType,
    candidates: pl.DataFrame,
    features: pl.DataFrame,
    spec: NeighbourSpec,
) -> Iterator[MovedEntries]:
    family, costs = run.project.family(run.study.family), run.costs
    specs = run.project.features().features
    ranks = [name for name, spec in specs.items() if spec.normalisation == "rank"]
    lacking = [f for f in event_type.required_fields if f not in features.columns]
    for moved in moved_definitions(event_type, spec.threshold_multiples, ranks):
        if lacking:
            yield MovedEntries(moved, None, f"no {', '.join(lacking)} in features_pt")
            continue
        only = registry.model_copy(update={"event_types": (moved.event_type,)})
        events = detect_events(features, only, run.days)
        yield MovedEntries(moved, signed_entries(candidates, events, features, family, costs))
