"""The research chain in memory: a generated world through the stage functions, up to gate V1.

Belongs here: the order of the calls, which is that of the lake's assets, on the days before the
holdout. Not here: any number of our own. A world without damage is whole, so gate D0 and the
universe have no part; nothing is stored and no trial is counted beside the budget.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Protocol

import polars as pl

from quantlab_pipeline.core.clocks import day_end, day_of, days_between
from quantlab_pipeline.core.errors import GateNotPassedError
from quantlab_pipeline.core.verdicts import ADMITTED, Gate, ItemVerdict, Outcome, overall
from quantlab_pipeline.research.events.detect import detect_events
from quantlab_pipeline.research.events.gate import DATASET_ABSENT, judge_e1
from quantlab_pipeline.research.events.quality import measure_events
from quantlab_pipeline.research.events.spec import EventRegistry
from quantlab_pipeline.research.features.build import build_features
from quantlab_pipeline.research.features.gate import judge_pit1
from quantlab_pipeline.research.features.inputs import FeatureInputs
from quantlab_pipeline.research.features.leaks import Pit1Report
from quantlab_pipeline.research.features.spec import FeatureSpecs
from quantlab_pipeline.research.gates import GatesSpec
from quantlab_pipeline.research.labels.build import build_labels
from quantlab_pipeline.research.labels.spec import LabelSpecs
from quantlab_pipeline.research.market_data import schema
from quantlab_pipeline.research.market_data.basis import basis_state
from quantlab_pipeline.research.market_data.book import aggregate_book, snapshot_book
from quantlab_pipeline.research.market_data.funding_state import funding_state
from quantlab_pipeline.research.market_data.spec import MarketSpec
from quantlab_pipeline.research.study import StudySpec
from quantlab_pipeline.research.tables import COOLDOWN_LOOKBACK_DAYS
from quantlab_pipeline.research.validation.evaluate import evaluate_family
from quantlab_pipeline.research.validation.family import canonical_events, definitions
from quantlab_pipeline.research.validation.gate import judge_v1
from quantlab_pipeline.research.validation.inputs import ValidationInputs
from quantlab_pipeline.research.validation.spec import CandidateFamily
from quantlab_pipeline.simulation.costs import CostModel
from quantlab_pipeline.worlds.market import World

Progress = Callable[[str, int, int], None]
"""Told the name of what was just finished, how many are done, and of how many."""

STAGES = ("market data", "features", "labels", "events", "validation")


def silent(_name: str, _done: int, _total: int) -> None:
    """A `Progress` that tells nobody."""


class SpecFolder(Protocol):
    """Where a project's documents are read, as `storage.spec_files.Project` does."""

    def features(self) -> FeatureSpecs:
        """Every feature column."""
        ...

    def events(self) -> EventRegistry:
        """Every event type."""
        ...

    def labels(self) -> LabelSpecs:
        """Every label and horizon."""
        ...

    def family(self, name: str = ...) -> CandidateFamily:
        """The candidate family of the document `name`."""
        ...

    def costs(self) -> CostModel:
        """What trading costs, by profile."""
        ...

    def gates(self) -> GatesSpec:
        """Every threshold of the seven gates."""
        ...


@dataclass(frozen=True, slots=True)
class Documents:
    """What a project says of features, events, labels, the family, costs and gates."""

    features: FeatureSpecs
    events: EventRegistry
    labels: LabelSpecs
    family: CandidateFamily
    costs: CostModel
    gates: GatesSpec


def documents_of(project: SpecFolder, study: StudySpec) -> Documents:
    """The documents that `study` is run under. SpecError for a bad one."""
    return Documents(
        features=project.features(),
        events=project.events(),
        labels=project.labels(),
        family=project.family(study.family),
        costs=project.costs(),
        gates=project.gates(),
    )


@dataclass(frozen=True, slots=True)
class InMemoryResult:
    """Tables and verdicts of one study on one world, none of them stored.

    `inputs` are the tables that validation received, events and features among them. `pit1` is null
    where features were not attacked.
    """

    inputs: ValidationInputs
    event_quality: pl.DataFrame
    pit1: Pit1Report | None
    e1: list[ItemVerdict]
    candidates: pl.DataFrame
    v1: list[ItemVerdict]

    def passed(self) -> pl.DataFrame:
        """The candidates that gate V1 lets through."""
        return self.candidates.filter(pl.col("status") == Outcome.PASS.value)


def run_in_memory(
    world: World,
    documents: Documents,
    study: StudySpec,
    market: MarketSpec,
    *,
    budget: int | None = None,
    attack: bool = False,
    progress: Progress = silent,
) -> InMemoryResult:
    """`study` on `world` as if it were `market`, from quotes to V1's verdicts.

    `budget` of trials is the market's where not given. With `attack`, gate PIT-1 judges the
    features first, and GateNotPassedError says which one leaks. Same arguments, same result.
    """
    days, symbols = study.evaluation_days, list(study.symbols)
    inputs = market_tables(world.frames, market, symbols, days[-1])
    progress(STAGES[0], 1, len(STAGES))
    before = _days_before(days[0], world.scenario.first_day)
    features = build_features(inputs, documents.features, [*before, *days], symbols)
    report = _attacked(inputs, documents, features, study) if attack else None
    progress(STAGES[1], 2, len(STAGES))
    labels = build_labels(
        inputs.bars_perp, inputs.tob_1m_agg, documents.labels, days, study.symbols
    )
    progress(STAGES[2], 3, len(STAGES))
    events = detect_events(features, documents.events, days)
    features = features.filter(day_of() >= days[0])
    absent = _absent(inputs)
    registry = documents.events.only(study.event_types)
    read = [c for c in features.columns if c in {"symbol", "ts", *registry.fields}]
    quality = measure_events(
        events, features.select(read), labels.select("symbol", "ts"), registry, len(days), symbols,
        absent,
    )  # fmt: skip
    e1 = judge_e1(quality, documents.gates.e1)
    progress(STAGES[3], 4, len(STAGES))
    received = _received(inputs, events, features, documents, e1, study, absent)
    candidates = evaluate_family(
        received,
        documents.family,
        documents.costs,
        documents.gates.v1,
        market.trial_budget if budget is None else budget,
        flags=documents.gates.v1_flags,
        companions=documents.gates.v1_companions,
        seed=study.seed,
    )
    v1 = judge_v1(candidates, documents.gates.v1)
    progress(STAGES[4], 5, len(STAGES))
    return InMemoryResult(received, quality, report, e1, candidates, v1)


def market_tables(
    frames: Mapping[str, pl.DataFrame], market: MarketSpec, symbols: list[str], last_day: date
) -> FeatureInputs:
    """A world's frames as the tables that features read, up to the end of `last_day`.

    Only what `market` declares is there; the book is sampled on the market's grid, and a quote
    stamped at the last midnight belongs to the day after.
    """
    known = pl.col("symbol").is_in(symbols)
    tables = {
        name: frames[name].filter(known & (day_of() <= last_day))
        if name in market.datasets
        else none
        for name, none in FeatureInputs().tables().items()
        if name in frames
    }
    quotes = frames["book"].filter(known & (pl.col("ts") < day_end(last_day)))
    if "tob_snapshots" not in market.datasets:
        quotes = quotes.clear()
    grid_s = market.tob_grid_s
    snapshots = snapshot_book(quotes, days_between(market.first_day, last_day), grid_s).frame
    tables["tob_1m_agg"] = aggregate_book(snapshots, grid_s=grid_s)
    tables["basis_state"] = basis_state(
        snapshots, tables["bars_1m_perp"], tables["bars_1m_spot"], grid_s
    )
    tables["funding_state"] = funding_state(tables["funding"], tables["mark_index"])
    return FeatureInputs().with_tables(tables)


def _days_before(first: date, world_from: date) -> list[date]:
    """Days whose features an event on `first` may still read for its cooldown."""
    start = max(world_from, first - timedelta(days=COOLDOWN_LOOKBACK_DAYS))
    return days_between(start, first - timedelta(days=1))


def _attacked(
    inputs: FeatureInputs, documents: Documents, features: pl.DataFrame, study: StudySpec
) -> Pit1Report:
    report = judge_pit1(
        inputs,
        documents.features,
        features,
        study.evaluation_days,
        list(study.symbols),
        documents.gates.pit1,
        study.seed,
    )
    verdicts = report.by_feature()
    if overall(Gate.PIT1, verdicts) is Outcome.FAIL:
        leaks = [v.item for v in verdicts if v.outcome is Outcome.FAIL]
        raise GateNotPassedError(
            f"Gate PIT-1 refuses {', '.join(leaks)}.", "Mend the features.", features=leaks
        )
    return report


def _absent(inputs: FeatureInputs) -> tuple[str, ...]:
    """Market tables without a row; there is an aggregate exactly where there are samples."""
    empty = {name for name, frame in inputs.tables().items() if frame.is_empty()}
    if "tob_1m_agg" in empty:
        empty.add("tob_snapshots")
    return tuple(s.name for s in schema.MARKET_DATA if s.name in empty)


def _received(
    inputs: FeatureInputs,
    events: pl.DataFrame,
    features: pl.DataFrame,
    documents: Documents,
    e1: list[ItemVerdict],
    study: StudySpec,
    absent: tuple[str, ...],
) -> ValidationInputs:
    """What validation receives: the tables, and what E-1 said of each event type."""
    registry = documents.events.only(study.event_types)
    missing = {
        verdict.item: code.split(":", 1)[1]
        for verdict in e1
        for code in verdict.reasons
        if verdict.outcome is Outcome.NOT_EVALUABLE and code.startswith(f"{DATASET_ABSENT}:")
    }
    return ValidationInputs(
        events=events,
        features=features,
        bars_perp=inputs.bars_perp,
        tob_1m_agg=inputs.tob_1m_agg,
        funding=inputs.funding,
        mark_index=inputs.mark_index,
        days=study.evaluation_days,
        symbols=study.symbols,
        event_specs=canonical_events(registry, documents.features),
        definitions=definitions(registry, documents.features, documents.family, documents.costs),
        admitted=tuple(sorted(v.item for v in e1 if v.outcome in ADMITTED)),
        synthetic=True,
        missing=missing,
        absent_datasets=absent,
    )
