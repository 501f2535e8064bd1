"""Candidates: registered in the trial ledger before any result, tested, judged by gate V1."""

from __future__ import annotations

import polars as pl

from quantlab_pipeline.core.fingerprints import digest
from quantlab_pipeline.core.verdicts import ADMITTED, Gate, Outcome
from quantlab_pipeline.defs.events.assets import study_registry
from quantlab_pipeline.defs.stage_run import Body, GateBody, Judged, Made, StageRun
from quantlab_pipeline.research.validation.answers import (
    NOTHING_SERVED,
    Served,
    answers_frame,
    served_from,
)
from quantlab_pipeline.research.validation.candidate_study import (
    candidate_studies as followed_in_full,
)
from quantlab_pipeline.research.validation.companions import Measured
from quantlab_pipeline.research.validation.evaluate import evaluate_family, question_of
from quantlab_pipeline.research.validation.family import (
    Registration,
    canonical_events,
    definitions,
    expand_family,
    register_family,
    results_of,
)
from quantlab_pipeline.research.validation.gate import judge_v1
from quantlab_pipeline.research.validation.inputs import ValidationInputs
from quantlab_pipeline.storage.lineage import dataset_hash
from quantlab_pipeline.storage.manifests import partition_key
from quantlab_pipeline.storage.project_lake import ledger_of, lock_hash
from quantlab_pipeline.storage.trial_answers import AnsweredLedger
from quantlab_pipeline.storage.trial_ledger import FileTrialLedger

SERVED = "FAILs served"
REFUSAL = "refused by the ledger"
"""What the table's manifest says beside its rows, the second inside its fingerprint."""


def phase2_candidates(run: StageRun) -> Made:
    """The whole family: registered first, then measured, then its results put into the ledger.

    What the ledger holds as a FAIL on the same inputs, by the same code, is served from it.
    """
    family, costs, gates = (
        run.project.family(run.study.family),
        run.costs,
        run.project.gates(),
    )
    inputs = validation_inputs(run)
    book = AnsweredLedger(ledger(run))
    candidates = expand_family(family, question_of(inputs), costs)
    data = dataset_hash(run.lineage()[partition_key("study", run.study.name)])
    registration = register_family(book.ledger, run.study.name, family, candidates, data)
    # What a measurement depends on beside its candidate and the code.
    measured_from = digest([data, gates.v1, run.market.trial_budget, lock_hash()])
    falsified = None if registration.refused else book.falsified(measured_from)
    served = NOTHING_SERVED if falsified is None else served_from(falsified)
    kept: list[Measured] = []
    frame = evaluate_family(
        inputs,
        family,
        costs,
        gates.v1,
        run.market.trial_budget,
        flags=gates.v1_flags,
        companions=gates.v1_companions,
        seed=run.seed,
        n_trials=registration.state.n_trials,
        refused=registration.refused,
        served=served,
        keep=kept.append,
    )
    for measured in kept:
        book.record(run.study.name, results_of(frame), measured_from, answers_frame(measured))
    spent = book.ledger.state().n_trials
    return _made(run.study.name, frame, registration, served, spent)


def _made(
    name: str, frame: pl.DataFrame, registration: Registration, served: Served, spent: int
) -> Made:
    """The table with what the ledger said. Why it refused belongs to what the table is."""
    tested = frame.filter(pl.col("p").is_not_null())
    n_served = tested.filter(pl.col("candidate_hash").is_in(list(served))).height
    numbers = {
        "candidates": frame.height,
        "V1 passes": frame.filter(pl.col("status") == Outcome.PASS.value).height,
        "trials": spent,
        "trials counted": registration.state.n_trials,
        "FAILs served from the ledger": n_served,
    }
    observed = {name: {SERVED: n_served}}
    if registration.refused is None:
        return Made(frame, numbers, observed=observed)
    refusal = {
        "reason": registration.refused,
        "told": registration.told,
        "missing": list(registration.missing),
    }
    shown = {
        "refused": registration.told,
        "missing candidates": ", ".join(registration.missing[:20]),
    }
    return Made(frame, {**numbers, **shown}, notes={name: {REFUSAL: refusal}}, observed=observed)


def candidate_studies(run: StageRun) -> Made:
    """Survivors and nearest misses in full, whatever V1 said of them."""
    frame = followed_in_full(
        validation_inputs(run),
        run.project.family(run.study.family),
        run.costs,
        run.project.gates().v1.slice_min_days,
        run.load("phase2_candidates"),
    )
    return Made(frame, {"candidates followed": frame.height})


def validation_inputs(run: StageRun) -> ValidationInputs:
    """The study's tables before its holdout, and what E-1 said of each event type."""
    registry, features = study_registry(run), run.project.features()
    (study,) = run.partitions
    verdicts = {v.item: v for v in run.verdicts(Gate.E1, study)}
    run.load("event_quality")  # refuses unless E-1's verdict is current and admits something
    missing = {
        name: code.split(":", 1)[1]
        for name, v in verdicts.items()
        for code in v.reasons
        if v.outcome is Outcome.NOT_EVALUABLE and code.startswith("DATASET_ABSENT:")
    }
    return ValidationInputs(
        events=run.load("events"),
        features=run.load("features_pt"),
        bars_perp=run.load("bars_1m_perp"),
        tob_1m_agg=run.load("tob_1m_agg"),
        funding=run.load("funding"),
        mark_index=run.load("mark_index"),
        days=run.days,
        symbols=run.symbols,
        event_specs=canonical_events(registry, features),
        admitted=tuple(sorted(n for n, v in verdicts.items() if v.outcome in ADMITTED)),
        synthetic=run.market.synthetic,
        missing=missing,
        absent_datasets=run.absent_datasets,
        waived=run.waived_upstream(),
        definitions=definitions(
            registry, features, run.project.family(run.study.family), run.costs
        ),
    )


def v1(run: StageRun) -> Judged:
    """Gate V1 on every candidate, with the head of the ledger at the study's own results."""
    (study,) = run.partitions
    state = ledger(run).state_of(study)
    verdicts = judge_v1(run.own(), run.project.gates().v1, state)
    return Judged({study: verdicts}, state.head)


def ledger(run: StageRun) -> FileTrialLedger:
    """The trial ledger of the study's data lineage."""
    return ledger_of(run.market, run.study, run.data_root, run.clock)


BODIES: dict[str, Body] = {
    "phase2_candidates": phase2_candidates,
    "candidate_studies": candidate_studies,
}
GATES: dict[Gate, GateBody] = {Gate.V1: v1}
