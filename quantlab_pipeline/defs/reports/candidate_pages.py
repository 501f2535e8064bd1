"""The candidates' pages of a study, composed from its lake: one that ranks them, one for each.

Belongs here: what they are made from. What they say is the reports' own matter, when they may stand
`study_page`'s.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from quantlab_pipeline.core.code_hash import ALONE
from quantlab_pipeline.core.verdicts import Gate
from quantlab_pipeline.defs.reports.outcome import StudyOutcome
from quantlab_pipeline.defs.reports.study_page import Render, StudyPage
from quantlab_pipeline.reports import candidate_page
from quantlab_pipeline.reports.candidate_data import CandidateFacts, CandidatePage, candidate_pages

FOLDER = "candidates"
_TABLES = ("phase2_candidates", "candidate_studies")


def pages_of(outcome: StudyOutcome) -> list[CandidatePage]:
    """Every followed candidate by rank, with V1's verdicts where they are current."""
    studies = outcome.table("candidate_studies")
    if studies is None:
        return []
    gates = outcome.project.gates()
    return candidate_pages(
        _facts(outcome),
        outcome.candidates,
        studies,
        {v.item: v for v in outcome.items_of(Gate.V1)},
        gates.v1,
        gates.v1_flags,
        outcome.executed,
    )


def page_path(candidate_id: str) -> str:
    """Where a candidate's page lies, from the study's artifacts."""
    return f"{FOLDER}/{candidate_id}.html"


def _facts(outcome: StudyOutcome) -> CandidateFacts:
    study, costs = outcome.study, outcome.project.costs().at(outcome.market.venue)
    family = outcome.project.family(study.family)
    days = study.evaluation_days
    fees = costs.taker_bps(family.cost_profile, study.symbols)
    return CandidateFacts(
        study=study.name,
        market=outcome.market.name,
        synthetic=outcome.market.synthetic,
        symbols=study.symbols,
        days=(days[0], days[-1]),
        holdout_from=study.holdout_start,
        delta_min=family.delta_min,
        profile=family.cost_profile,
        terms=costs.profiles[family.cost_profile],
        notional_usd=costs.notional_usd,
        made_from=tuple((t, outcome.lake.fingerprint(t, study.name)) for t in _TABLES),
        taker_bps=(float(fees.min()), float(fees.max())),
    )


def _source(outcome: StudyOutcome) -> Any:
    """Both tables, V1's verdicts, the thresholds that the pages quote, and who has a tear sheet."""
    name, gates = outcome.study.name, outcome.project.gates()
    if not outcome.lake.is_current("candidate_studies", name):
        return None
    records = [record.digest for record in outcome.records_of(Gate.V1)]
    tables = [outcome.lake.fingerprint(table, name) for table in _TABLES]
    limits = [gates.v1.spec_hash(), gates.v1_flags.spec_hash()]
    return [tables, records, *limits, sorted(outcome.executed)]


def _list(outcome: StudyOutcome, made_from: str) -> str:
    pages, candidates = pages_of(outcome), outcome.candidates
    asked = candidates.height, candidates.filter(pl.col("p").is_not_null()).height
    links = {page.name: page_path(page.name) for page in pages}
    names = outcome.study.name, outcome.market.name
    return candidate_page.render_candidates_page(*names, pages, asked, links, made_from)


def _parts(outcome: StudyOutcome) -> Mapping[str, Render]:
    return {page_path(page.name): _render(page) for page in pages_of(outcome)}


def _render(page: CandidatePage) -> Render:
    return lambda _, made_from: candidate_page.render_candidate_page(page, made_from)


CANDIDATES = StudyPage(
    "candidates.html",
    "Candidates",
    "candidate_studies",
    Gate.V1,
    (candidate_page.TEMPLATE, candidate_page.LIST_TEMPLATE, candidate_page.STYLE),
    ("quantlab_pipeline.reports.candidate_page", f"{__name__}{ALONE}"),
    _source,
    _list,
    parts=_parts,
    parts_folder=FOLDER,
)
