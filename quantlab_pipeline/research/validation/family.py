"""The family: every candidate that a study asks about, named before any result exists.

Belongs here: expansion of the grid, a trial's identity, and its entry in the trial ledger. Nothing
here reads a price.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import polars as pl

from quantlab_pipeline.core.errors import LedgerError
from quantlab_pipeline.core.fingerprints import digest, short
from quantlab_pipeline.core.ports import LedgerState, Trial, TrialLedger
from quantlab_pipeline.research.validation.schema import SIDES
from quantlab_pipeline.research.validation.spec import (
    STATISTIC,
    Bucket,
    CandidateFamily,
    Template,
    horizon_minutes,
)
from quantlab_pipeline.simulation.costs import CostModel

BUDGET_SPENT = "BUDGET_SPENT"


@dataclass(frozen=True, slots=True)
class Question:
    """What a study asks the family: event types with their canonical specs, universe, window.

    `event_specs` maps each event type to its canonical document (or the digest of it). Days are
    inclusive and end before the holdout.
    """

    event_specs: Mapping[str, Any]
    symbols: tuple[str, ...]
    first_day: date
    last_day: date


@dataclass(frozen=True, slots=True)
class Candidate:
    """One cell of the grid and one side of it. `candidate_hash` is the trial's identity."""

    candidate_id: str
    candidate_hash: str
    event_type: str
    bucket: Bucket
    horizon: str
    template: Template
    side: int


@dataclass(frozen=True, slots=True)
class Registration:
    """The ledger after a family was put to it; `budget_spent`: refused, and none of it is held."""

    state: LedgerState
    budget_spent: bool


def expand_family(family: CandidateFamily, question: Question, costs: CostModel) -> list[Candidate]:
    """Every candidate, in a fixed order: event type, bucket, horizon, template, side."""
    profile = {
        "profile": family.cost_profile,
        "terms": costs.profiles[family.cost_profile],
        "notional_usd": costs.notional_usd,
        "stress": costs.stress,
    }
    common = {
        "statistic": STATISTIC,
        "delta_min": family.delta_min,
        "path": {"missing": family.max_missing_frac, "exit_gap_min": family.max_exit_gap_min},
        "universe": sorted(question.symbols),
        "window": [question.first_day, question.last_day],
        "cost": digest(profile),
    }
    return list(_cells(family, question, digest(common)))


def _cells(family: CandidateFamily, question: Question, common: str) -> Iterator[Candidate]:
    for event_type in sorted(question.event_specs):
        event = digest({"type": event_type, "spec": question.event_specs[event_type]})
        for bucket in family.buckets:
            for horizon in family.horizons:
                for template in family.templates:
                    cell = {
                        "common": common,
                        "event": event,
                        "bucket": bucket,
                        "horizon_min": horizon_minutes(horizon),
                        "template": template,
                    }
                    for side in family.sides:
                        identity = digest({**cell, "side": side})
                        words = (event_type, bucket.name, horizon, template.name, SIDES[side])
                        yield Candidate(
                            f"{'.'.join(words)}-{short(identity, 8)}",
                            identity,
                            event_type,
                            bucket,
                            horizon,
                            template,
                            side,
                        )


def family_hash(candidates: Sequence[Candidate]) -> str:
    """Digest of the whole family: a deleted, added or changed candidate changes it."""
    return digest(sorted(c.candidate_hash for c in candidates))


def register_family(
    ledger: TrialLedger, study: str, candidates: Sequence[Candidate]
) -> Registration:
    """Put every candidate into the ledger before any result exists.

    A spent budget is a value, not an error: the family then is not evaluable. Any other LedgerError
    (a changed family, a broken chain) goes to the caller.
    """
    trials = [Trial(c.candidate_hash, c.candidate_id, None, None) for c in candidates]
    try:
        return Registration(ledger.register(study, family_hash(candidates), trials), False)
    except LedgerError as error:
        if error.fields.get("reason") != BUDGET_SPENT:
            raise
        return Registration(ledger.state(), True)


def results_of(candidates: pl.DataFrame) -> list[Trial]:
    """The results in `phase2_candidates` as trials for `TrialLedger.record`, sorted by id."""
    columns = ("candidate_hash", "candidate_id", "p", "status")
    return [Trial(*row) for row in candidates.sort("candidate_id").select(columns).iter_rows()]
