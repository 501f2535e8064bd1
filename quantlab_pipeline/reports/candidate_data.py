"""What a candidate's page says, as values: one row of each table, its verdict, what follows.

Pure: from `phase2_candidates`, `candidate_studies` and V1's verdicts to a `CandidatePage`. Drawing
it is `candidate_page`'s work.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

import polars as pl

from quantlab_pipeline.core.verdicts import ItemVerdict, Outcome
from quantlab_pipeline.reports.candidate_story import (
    fading,
    naive_against_ours,
    nearly_the_same,
    needed_z,
    what_it_needs,
    what_to_know,
)
from quantlab_pipeline.research.validation.spec import FlagThresholds, V1Thresholds
from quantlab_pipeline.simulation.costs import CostProfile

Row = Mapping[str, Any]
AT_MOST = ("q", "mde80_bps")
"""V1's thresholds that a candidate may not exceed; the others it must reach."""


@dataclass(frozen=True, slots=True)
class CandidateFacts:
    """Whose candidates are shown, and under which assumptions they were measured.

    `days` are the first and last before the holdout. `terms` are those of the family's cost
    profile, `taker_bps` the lowest and highest fee per side among the symbols, `notional_usd` the
    size of a trade. `made_from` names tables with their fingerprints.
    """

    study: str
    market: str
    synthetic: bool
    symbols: tuple[str, ...]
    days: tuple[date, date]
    holdout_from: date
    delta_min: int
    profile: str
    terms: CostProfile
    notional_usd: float
    made_from: tuple[tuple[str, str], ...]
    taker_bps: tuple[float, float]


@dataclass(frozen=True, slots=True)
class CandidatePage:
    """One followed candidate: `row` is V1's figures, `study` everything that explains them.

    `outcome`, `reasons` and `measured` (value and limit by threshold) are the gate's where it has
    judged the table, else the row's own. `known` are its flags in words, `likeness` that a better
    one asks the same. `others` are the names of all that have a page, `executed` says
    that it has a tear sheet too.
    """

    facts: CandidateFacts
    row: Row
    study: Row
    outcome: Outcome
    reasons: tuple[str, ...]
    measured: Mapping[str, tuple[float | None, float | None]]
    z_needed: float
    naive: str
    needs: tuple[str, ...]
    known: tuple[str, ...]
    likeness: str | None
    later: tuple[tuple[int, float, float], ...]
    others: frozenset[str]
    executed: bool = False

    @property
    def name(self) -> str:
        """The candidate's name."""
        return str(self.row["candidate_id"])


def candidate_pages(
    facts: CandidateFacts,
    candidates: pl.DataFrame,
    studies: pl.DataFrame,
    verdicts: Mapping[str, ItemVerdict],
    limits: V1Thresholds,
    flags: FlagThresholds,
    executed: Collection[str] = (),
) -> list[CandidatePage]:
    """A page for every row of `studies`, by rank. `verdicts` are V1's current ones, if any;
    `executed` names the candidates that have a tear sheet.
    """
    rows = {row["candidate_id"]: row for row in candidates.iter_rows(named=True)}
    kept = candidates.filter(pl.col("q_bh") <= limits.q).height
    names = frozenset(studies["candidate_id"].to_list())
    pages = [
        _page(facts, rows[study["candidate_id"]], study, verdicts, limits, flags, kept, names)
        for study in studies.iter_rows(named=True)
    ]
    pages = [replace(page, executed=page.name in executed) for page in pages]
    return sorted(pages, key=lambda page: (page.row["rank"], page.name))


def _page(
    facts: CandidateFacts,
    row: Row,
    study: Row,
    verdicts: Mapping[str, ItemVerdict],
    limits: V1Thresholds,
    flags: FlagThresholds,
    kept: int,
    names: frozenset[str],
) -> CandidatePage:
    verdict = verdicts.get(row["candidate_id"])
    codes = tuple(c for c in (row["reason_codes"] or "").split(";") if c)
    reasons = codes if verdict is None else tuple(verdict.reasons)
    itself = row["q_bh"] is not None and row["q_bh"] <= limits.q
    z_needed = needed_z(limits.q, int(row["m_budget"]), kept - itself)
    return CandidatePage(
        facts=facts,
        row=row,
        study=study,
        outcome=Outcome(row["status"]) if verdict is None else verdict.outcome,
        reasons=reasons,
        measured={} if verdict is None else verdict.measured,
        z_needed=z_needed,
        naive=naive_against_ours(row, z_needed),
        needs=tuple(what_it_needs(row, limits, z_needed, reasons)),
        known=tuple(what_to_know(row, flags)),
        likeness=nearly_the_same(row),
        later=tuple(fading(row)),
        others=names,
    )


def swept(study: Row, axis: str) -> list[Row]:
    """The rows of one axis of `cost_sweep`, rising."""
    return [r for r in study["cost_sweep"] if r["axis"] == axis]


def sized(study: Row, axis: str) -> list[Row]:
    """The rows of one axis of `capacity_sweep`, rising."""
    return [r for r in study["capacity_sweep"] if r["axis"] == axis]


def worst_slices(slices: Sequence[Row]) -> list[Row]:
    """Slices whose gross effect is below zero, the most negative z first."""
    return sorted((s for s in slices if s["z"] < 0.0), key=lambda s: s["z"])
