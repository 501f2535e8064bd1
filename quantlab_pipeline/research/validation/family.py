"""The family: every candidate that a study asks about, named before any result exists.

Belongs here: expansion of the grid, a trial's identity, and its entry in the trial ledger. Nothing
here reads a price.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import polars as pl

from quantlab_pipeline.core.errors import LedgerError
from quantlab_pipeline.core.fingerprints import digest, short
from quantlab_pipeline.core.ports import (
    BUDGET_SPENT,
    FAMILY_CHANGED,
    FamilyRecord,
    LedgerState,
    Trial,
    TrialLedger,
    TrialResult,
)
from quantlab_pipeline.core.spec import Spec
from quantlab_pipeline.research.events.spec import EventRegistry
from quantlab_pipeline.research.features.spec import FeatureSpecs
from quantlab_pipeline.research.validation.schema import SIDES
from quantlab_pipeline.research.validation.spec import (
    STATISTIC,
    Bucket,
    CandidateFamily,
    Template,
    horizon_minutes,
)
from quantlab_pipeline.simulation.costs import CostModel

REFUSALS = (BUDGET_SPENT, FAMILY_CHANGED)
"""Reasons for which the ledger takes no family, and nothing of it may be measured."""


@dataclass(frozen=True, slots=True)
class Question:
    """What a study asks the family: event types with their canonical specs, universe, window.

    `event_specs` maps each event type to its canonical document (or the digest of it),
    `definitions` each column that the family names to its own: a regime's feature and edges, a
    feature's making. Days are inclusive and end before the holdout.
    """

    event_specs: Mapping[str, Any]
    symbols: tuple[str, ...]
    first_day: date
    last_day: date
    definitions: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Candidate:
    """One cell of the grid and one side of it. `candidate_hash` is the trial's identity.

    `rule_hash` leaves out of it what the rule is tried on: universe, window, statistic.
    """

    candidate_id: str
    candidate_hash: str
    rule_hash: str
    event_type: str
    bucket: Bucket
    horizon: str
    template: Template
    side: int


@dataclass(frozen=True, slots=True)
class Registration:
    """The ledger after a family was put to it.

    `refused` is the reason why it holds none of it, None where it took it; `told` says that to a
    person, with the remedy, and `missing` names the candidates that the family lost.
    """

    state: LedgerState
    refused: str | None = None
    told: str = ""
    missing: tuple[str, ...] = ()


def canonical_events(registry: EventRegistry, features: FeatureSpecs) -> dict[str, Any]:
    """Each event type as it is asked about: its document, and the making of what it reads.

    Without a word of explanation: a sentence that is put better is no other trial.
    """
    return {
        t.name: {"type": _bare(t), "features": _made(features, t.required_fields)}
        for t in registry.event_types
    }


def definitions(
    registry: EventRegistry, features: FeatureSpecs, family: CandidateFamily, costs: CostModel
) -> dict[str, Any]:
    """What the columns are that the family and the cost model name: regimes and features."""
    regimes: dict[str, Any] = {
        column: {"regime": _bare(regime), "features": _made(features, regime.columns)}
        for column, regime in registry.regimes.named().items()
    }
    read = sorted({*family.features(), *costs.stress})
    return {**regimes, **{name: _made(features, [name]) for name in read}}


def _made(features: FeatureSpecs, names: Collection[str]) -> dict[str, Any]:
    """How features are made, and those that they are made of; an unknown one has no making."""
    known = [name for name in names if name in features.features]
    return {name: _bare(spec) for name, spec in features.only(known).features.items()}


def _bare(spec: Spec) -> dict[str, Any]:
    return spec.model_dump(exclude={"meaning"})


def expand_family(family: CandidateFamily, question: Question, costs: CostModel) -> list[Candidate]:
    """Every candidate, in a fixed order: event type, bucket, horizon, template, side."""
    profile = {
        "profile": family.cost_profile,
        "terms": costs.terms(family.cost_profile),
        "notional_usd": costs.notional_usd,
        "stress": costs.stress,
        "stress_read": {name: question.definitions.get(name) for name in costs.stress},
    }
    traded = {
        "delta_min": family.delta_min,
        "path": {"missing": family.max_missing_frac, "exit_gap_min": family.max_exit_gap_min},
        "cost": digest(profile),
    }
    tried_on: dict[str, Any] = {
        "statistic": STATISTIC,
        "universe": sorted(question.symbols),
        "window": [question.first_day, question.last_day],
    }
    if own := costs.own_fees(family.cost_profile, question.symbols):
        tried_on["own_fees"] = own
    return list(_cells(family, question, digest(traded), digest({**traded, **tried_on})))


def _cells(
    family: CandidateFamily, question: Question, traded: str, common: str
) -> Iterator[Candidate]:
    for event_type in sorted(question.event_specs):
        event = digest({"type": event_type, "spec": question.event_specs[event_type]})
        for bucket in family.buckets:
            context = _context(bucket, question.definitions)
            for horizon in family.horizons:
                for template in family.templates:
                    cell = {
                        **context,
                        "event": event,
                        "horizon_min": horizon_minutes(horizon),
                        "template": template,
                        "read": question.definitions.get(template.feature or ""),
                    }
                    for side in family.sides:
                        identity = digest({**cell, "common": common, "side": side})
                        words = (event_type, bucket.name, horizon, template.name, SIDES[side])
                        yield Candidate(
                            f"{'.'.join(words)}-{short(identity, 8)}",
                            identity,
                            digest({**cell, "traded": traded, "side": side}),
                            event_type,
                            bucket,
                            horizon,
                            template,
                            side,
                        )


def _context(bucket: Bucket, definitions: Mapping[str, Any]) -> dict[str, Any]:
    """The bucket with what its column means. All events together have no regime."""
    if bucket.column is None:
        return {"bucket": bucket}
    return {"bucket": bucket, "regime": digest(definitions.get(bucket.column))}


def event_type_of(candidate_id: str) -> str:
    """The event type in a candidate's name."""
    return candidate_id.partition(".")[0]


def family_hash(candidates: Sequence[Candidate]) -> str:
    """Digest of the whole grid: a deleted, added or changed candidate changes it."""
    return digest(sorted(c.candidate_hash for c in candidates))


def register_family(
    ledger: TrialLedger,
    study: str,
    family: CandidateFamily,
    candidates: Sequence[Candidate],
    dataset_hash: str,
) -> Registration:
    """Put every candidate into the ledger before any result exists.

    A spent budget and a family that lost candidates after their results were seen are values, not
    errors: the family then is not evaluable. Any other LedgerError (a broken chain) goes to the
    caller.
    """
    record = FamilyRecord(
        family.family_id, family.spec_hash(), family_hash(candidates), dataset_hash
    )
    trials = [Trial(c.candidate_hash, c.candidate_id, c.rule_hash) for c in candidates]
    try:
        return Registration(ledger.register(study, record, trials))
    except LedgerError as error:
        reason = error.fields.get("reason")
        if reason not in REFUSALS:
            raise
        missing = tuple(error.fields.get("missing", ()))
        return Registration(ledger.state(), reason, str(error), missing)


def results_of(candidates: pl.DataFrame) -> list[TrialResult]:
    """The results in `phase2_candidates` for `TrialLedger.record`, sorted by id."""
    columns = ("candidate_hash", "candidate_id", "p", "status")
    rows = candidates.sort("candidate_id").select(columns).iter_rows()
    return [TrialResult(*row) for row in rows]
