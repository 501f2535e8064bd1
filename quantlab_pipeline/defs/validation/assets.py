"""Candidates: registered in the trial ledger before any result, tested, judged by gate V1."""

from __future__ import annotations

import polars as pl

from quantlab_pipeline.core.verdicts import ADMITTED, Gate, Outcome
from quantlab_pipeline.defs.events.assets import study_registry
from quantlab_pipeline.defs.stage_run import Body, GateBody, Judged, Made, StageRun
from quantlab_pipeline.research.validation.evaluate import evaluate_family, question_of
from quantlab_pipeline.research.validation.family import (
    expand_family,
    register_family,
    results_of,
)
from quantlab_pipeline.research.validation.gate import judge_v1
from quantlab_pipeline.research.validation.inputs import ValidationInputs
from quantlab_pipeline.storage.project_lake import ledger_of
from quantlab_pipeline.storage.trial_ledger import FileTrialLedger


def phase2_candidates(run: StageRun) -> Made:
    """The whole family: registered first, then measured, then its results put into the ledger."""
    family = run.project.family(run.study.family)
    costs = run.project.costs()
    inputs = validation_inputs(run)
    trials = ledger(run)
    candidates = expand_family(family, question_of(inputs), costs)
    registration = register_family(trials, run.study.name, candidates)
    frame = evaluate_family(
        inputs,
        family,
        costs,
        run.project.gates().v1,
        run.market.trial_budget,
        flags=run.project.gates().v1_flags,
        companions=run.project.gates().v1_companions,
        seed=run.seed,
        n_trials=registration.state.n_trials,
        budget_spent=registration.budget_spent,
    )
    if not registration.budget_spent:
        trials.record(run.study.name, results_of(frame), {})
    passed = frame.filter(pl.col("status") == Outcome.PASS.value)
    spent = trials.state()
    numbers = {"candidates": frame.height, "V1 passes": passed.height, "trials": spent.n_trials}
    return Made(frame, numbers)


def validation_inputs(run: StageRun) -> ValidationInputs:
    """The study's tables before its holdout, and what E-1 said of each event type."""
    registry = study_registry(run)
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
        event_specs={t.name: t for t in registry.event_types},
        admitted=tuple(sorted(n for n, v in verdicts.items() if v.outcome in ADMITTED)),
        synthetic=run.market.synthetic,
        missing=missing,
        absent_datasets=run.absent_datasets,
        waived=run.waived_upstream(),
    )


def v1(run: StageRun) -> Judged:
    """Gate V1 on every candidate, with the ledger's head as it was seen."""
    (study,) = run.partitions
    state = ledger(run).state()
    verdicts = judge_v1(run.own(), run.project.gates().v1, state)
    return Judged({study: verdicts}, state.head)


def ledger(run: StageRun) -> FileTrialLedger:
    """The trial ledger of the study's data lineage."""
    return ledger_of(run.market, run.study, run.data_root, run.clock)


BODIES: dict[str, Body] = {"phase2_candidates": phase2_candidates}
GATES: dict[Gate, GateBody] = {Gate.V1: v1}
