"""From a study's tables to `phase2_candidates`: every candidate of the family, tested or counted.

Belongs here: the order of the work. The statistic lives in `cells` and the kernel, multiplicity in
`multiplicity`, the verdict in `gate`.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np
import polars as pl

from quantlab_pipeline.core.clocks import DAY_MINUTES
from quantlab_pipeline.core.errors import SpecError
from quantlab_pipeline.core.verdicts import Outcome
from quantlab_pipeline.research.validation import gate
from quantlab_pipeline.research.validation.answers import NOTHING_SERVED, Served
from quantlab_pipeline.research.validation.cells import (
    Workspace,
    choose,
    measure_cell,
    side_of,
)
from quantlab_pipeline.research.validation.companions import Measured, ranks, with_companions
from quantlab_pipeline.research.validation.family import Candidate, Question, expand_family
from quantlab_pipeline.research.validation.flags import flags_of
from quantlab_pipeline.research.validation.inputs import EventArrays, ValidationInputs, prepare
from quantlab_pipeline.research.validation.multiplicity import (
    benjamini_hochberg,
    benjamini_yekutieli,
    first_step_z,
)
from quantlab_pipeline.research.validation.schema import PHASE2_CANDIDATES
from quantlab_pipeline.research.validation.spec import (
    CandidateFamily,
    CompanionSpec,
    FlagThresholds,
    Template,
    V1Thresholds,
    horizon_minutes,
)
from quantlab_pipeline.research.validation.time_shift import time_shift
from quantlab_pipeline.simulation.costs import CostModel

DEFAULT_FLAGS = FlagThresholds()
DEFAULT_COMPANIONS = CompanionSpec()
Item = TypeVar("Item")
MANY_MINUTES = 20_000_000
"""Cells times minutes from which threads are worth their start."""
FOLLOWED_REJECTS = 25
"""How many of the nearest misses are followed through later entries, as every survivor is."""

Reasons = Mapping[tuple[str, str], str | None]
"""Why an (event type, template) cannot be tested; None where it can."""

UNTESTED: dict[str, Any] = {"n_events": 0, "n_dropped": 0, "active_days": 0, "n_slices": 0}


def question_of(inputs: ValidationInputs) -> Question:
    """What the study asks, for `expand_family` and the ledger."""
    first, last = inputs.days[0], inputs.days[-1]
    return Question(inputs.event_specs, inputs.symbols, first, last, inputs.definitions)


def evaluate_family(
    inputs: ValidationInputs,
    family: CandidateFamily,
    costs: CostModel,
    thresholds: V1Thresholds,
    budget: int,
    *,
    flags: FlagThresholds = DEFAULT_FLAGS,
    companions: CompanionSpec = DEFAULT_COMPANIONS,
    seed: int = 0,
    n_trials: int | None = None,
    refused: str | None = None,
    served: Served = NOTHING_SERVED,
    keep: Callable[[Measured], None] | None = None,
) -> pl.DataFrame:
    """`phase2_candidates` of the study: one row per candidate of the whole family.

    `budget` is the number of tests that the lineage may make, and all that multiplicity counts.
    `flags` and `companions` change no verdict; `seed` is that of the bootstrap's draws,
    `n_trials` the ledger's (the family's size where there is none).
    `refused` is the reason for which the ledger did not take the family: nothing is measured then,
    for a result that is not counted may not be seen. Candidates that are `served` are not measured
    again. `keep` is given what was measured, the served ones among it. SpecError if the gate's q is
    looser than the family's, under which its trials are registered.
    """
    _require_tight(thresholds, family)
    candidates = expand_family(family, question_of(inputs), costs)
    clean = not inputs.synthetic and not inputs.waived
    if refused is not None:
        measured = not_measured(candidates, refused)
        return judge_family(measured, thresholds, budget, clean, flags)
    arrays = prepare(inputs, family, costs)
    reasons = reasons_of(inputs, family)
    measured = measure_family(
        arrays, candidates, reasons, family, costs, thresholds, budget, served
    )
    if keep is not None:
        keep(measured)
    counted = len(candidates) if n_trials is None else n_trials
    measured = with_companions(measured, candidates, arrays, family, counted, companions, seed)
    judged = judge_rows(measured.rows, thresholds, budget, clean)
    for k in followed(judged):
        later = time_shift(arrays, family, candidates[k], flags.half_life_min)
        judged[k].update({} if later is None else later.columns())
    return to_table(judged, flags)


def _require_tight(thresholds: V1Thresholds, family: CandidateFamily) -> None:
    if thresholds.q > family.q:
        raise SpecError(
            f"Gate V1's q ({thresholds.q}) is looser than the family's ({family.q}).",
            "Set `q` of section `v1` in gates.yaml to at most that of the candidate family.",
            gate_q=thresholds.q,
            family_q=family.q,
        )


def reasons_of(inputs: ValidationInputs, family: CandidateFamily) -> Reasons:
    """Why candidates of each (event type, template) cannot be tested; None where they can."""
    return {
        (event_type, template.name): why_not_evaluable(inputs, event_type, template)
        for event_type in inputs.event_specs
        for template in family.templates
    }


def not_measured(candidates: Sequence[Candidate], reason: str) -> Measured:
    """The whole family untested, for one reason."""
    return Measured([_untested(c, reason) for c in candidates], np.empty((len(candidates), 0)))


def judge_family(
    measured: Measured,
    thresholds: V1Thresholds,
    budget: int,
    clean: bool,
    flags: FlagThresholds = DEFAULT_FLAGS,
) -> pl.DataFrame:
    """`phase2_candidates` from what was measured, without a look at later entries."""
    return to_table(judge_rows(measured.rows, thresholds, budget, clean), flags)


def followed(rows: Sequence[Mapping[str, Any]]) -> list[int]:
    """Which judged rows are followed through later entries: survivors, and the nearest misses.

    A miss with enough data comes before one without, then the smaller p, then the name.
    """
    tested = [k for k, row in enumerate(rows) if row.get("p") is not None]
    passed = [k for k in tested if rows[k]["status"] == Outcome.PASS.value]
    blind = Outcome.UNDERPOWERED.value
    missed = sorted(
        (k for k in tested if rows[k]["status"] != Outcome.PASS.value),
        key=lambda k: (rows[k]["status"] == blind, rows[k]["p"], rows[k]["candidate_id"]),
    )
    return passed + missed[:FOLLOWED_REJECTS]


def why_not_evaluable(inputs: ValidationInputs, event_type: str, template: Template) -> str | None:
    """Reason why no candidate of this type and template can be tested, or None.

    An absent dataset outranks the event gate: it explains it.
    """
    if event_type in inputs.missing:
        return f"{gate.DATASET_ABSENT}:{inputs.missing[event_type]}"
    if template.dataset in inputs.absent_datasets:
        return f"{gate.DATASET_ABSENT}:{template.dataset}"
    if template.feature is not None and template.feature not in inputs.features.columns:
        return f"{gate.DATASET_ABSENT}:{template.dataset or template.feature}"
    return None if event_type in inputs.admitted else gate.E1_NOT_PASSED


def measure_family(
    arrays: EventArrays,
    candidates: Sequence[Candidate],
    reasons: Reasons,
    family: CandidateFamily,
    costs: CostModel,
    thresholds: V1Thresholds,
    budget: int,
    served: Served = NOTHING_SERVED,
    *,
    n_threads: int | None = None,
) -> Measured:
    """Everything about every candidate that does not depend on the others, in their order.

    A cell is measured unless all of its sides that are asked for are `served`. Cells share nothing
    but what they read, so that no byte depends on `n_threads` (one per processor where it is None
    and the work is worth it).
    """
    z_first = first_step_z(thresholds.q, budget)
    n_minutes = arrays.paths.world.prices.shape[1]
    impact_y = costs.profiles[family.cost_profile].impact_y
    rows: list[dict[str, Any]] = [
        {} if reason is None else _untested(candidate, reason)
        for candidate, reason in ((c, reasons[c.event_type, c.template.name]) for c in candidates)
    ]
    daily = np.full((len(candidates), n_minutes // DAY_MINUTES), np.nan)
    for k, c in enumerate(candidates):
        if not rows[k] and c.candidate_hash in served:
            row, daily[k] = served[c.candidate_hash]
            rows[k] = dict(row)
    cells = _cells([k for k, row in enumerate(rows) if not row], candidates)
    rooms = threading.local()

    def measure(members: Sequence[int]) -> None:
        if not hasattr(rooms, "space"):
            rooms.space = Workspace(n_minutes)
        first = candidates[members[0]]
        h, template = family.horizons.index(first.horizon), first.template.name
        chosen, n_dropped = choose(arrays, first.event_type, first.bucket.name, h, template)
        minutes, min_days = horizon_minutes(first.horizon), thresholds.slice_min_days
        cell = measure_cell(arrays, chosen, n_dropped, h, minutes, template, min_days, rooms.space)
        for k in members:
            side = candidates[k].side
            figures = side_of(cell, side, impact_y, z_first)
            rows[k] = {**_identity(candidates[k]), "not_evaluable": None, **figures}
            daily[k] = side * cell.day_sums - cell.day_costs

    if n_threads is None:
        n_threads = (os.cpu_count() or 1) if len(cells) * n_minutes >= MANY_MINUTES else 1
    _side_by_side(measure, cells, n_threads)
    return Measured(rows, daily)


def _cells(tested: Sequence[int], candidates: Sequence[Candidate]) -> list[list[int]]:
    """The places of `tested` candidates by cell: those that differ in their side alone."""
    cells: dict[tuple[str, ...], list[int]] = {}
    for k in tested:
        c = candidates[k]
        key = (c.event_type, c.bucket.name, c.horizon, c.template.name)
        cells.setdefault(key, []).append(k)
    return list(cells.values())


def _side_by_side(work: Callable[[Item], None], items: Sequence[Item], n_threads: int) -> None:
    """`work` on every item, by `n_threads` threads; the first error is raised."""
    if n_threads < 2:
        for item in items:
            work(item)
        return
    with ThreadPoolExecutor(n_threads) as pool:
        for _ in pool.map(work, items):
            pass


def _identity(candidate: Candidate) -> dict[str, Any]:
    return {
        "candidate_id": candidate.candidate_id,
        "candidate_hash": candidate.candidate_hash,
        "event_type": candidate.event_type,
        "bucket": candidate.bucket.name,
        "horizon": candidate.horizon,
        "template": candidate.template.name,
        "side": candidate.side,
    }


def _untested(candidate: Candidate, reason: str) -> dict[str, Any]:
    return {**_identity(candidate), **UNTESTED, "not_evaluable": reason}


def judge_rows(
    rows: Sequence[Mapping[str, Any]], thresholds: V1Thresholds, budget: int, clean: bool
) -> list[dict[str, Any]]:
    """The rows with q-values over the budget, status, reasons and admissibility.

    `clean`: real data, and no waiver upstream.
    """
    p = np.array([_nan(row.get("p")) for row in rows])
    q_bh, q_by = benjamini_hochberg(p, budget), benjamini_yekutieli(p, budget)
    judged = []
    for measured, bh, by in zip(rows, q_bh, q_by, strict=True):
        row = {
            **dict.fromkeys(PHASE2_CANDIDATES.names),
            **measured,
            "q_bh": float(bh) if np.isfinite(bh) else None,
            "q_by": float(by) if np.isfinite(by) else None,
            "m_budget": budget,
        }
        outcome, reasons = gate.judge_row(row, thresholds)
        row["status"] = outcome.value
        row["reason_codes"] = ";".join(reasons)
        row["admissible"] = clean and outcome is Outcome.PASS
        judged.append(row)
    return judged


def to_table(judged: Sequence[dict[str, Any]], flags: FlagThresholds) -> pl.DataFrame:
    """Judged rows as `phase2_candidates`, flagged and ranked."""
    places = ranks(judged)
    rows = [
        {**row, "flags": ";".join(flags_of(row, flags)), "rank": place}
        for row, place in zip(judged, places, strict=True)
    ]
    schema = {column.name: column.dtype for column in PHASE2_CANDIDATES.columns}
    return PHASE2_CANDIDATES.conform(pl.DataFrame(rows, schema=schema, orient="row"))


def _nan(value: float | None) -> float:
    return float("nan") if value is None else value
