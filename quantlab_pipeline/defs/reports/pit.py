"""The PIT-1 page of a study, composed from its lake or from a fresh attack, under its one name.

Belongs here: which verdicts count and where the page lies. What it says is the reports' own matter.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from quantlab_pipeline.core.verdicts import Gate
from quantlab_pipeline.reports.pit_data import (
    PitFacts,
    PitPage,
    page_of_report,
    page_of_verdicts,
)
from quantlab_pipeline.reports.pit_page import render_pit_page
from quantlab_pipeline.reports.pit_story import declared_of
from quantlab_pipeline.research.features.leaks import Pit1Report
from quantlab_pipeline.research.market_data.spec import MarketSpec
from quantlab_pipeline.research.study import StudySpec
from quantlab_pipeline.storage.manifests import day_of_key
from quantlab_pipeline.storage.objects import write_atomic

if TYPE_CHECKING:
    from quantlab_pipeline.defs.features.attack import AttackPlan
    from quantlab_pipeline.defs.reports.outcome import StudyOutcome

PAGE = "pit1.html"
_KEPT = "Gate PIT-1's own verdicts, as the lake keeps them."
_BY_HAND = "Attacked by hand{how}. This records no verdict: gate PIT-1 in the chain does."


def verdicts_page(outcome: StudyOutcome) -> PitPage | None:
    """What gate PIT-1's current verdicts on the study's days say; None if there are none."""
    records = outcome.records[Gate.PIT1]
    days = {day: r.items for r in records if (day := day_of_key(r.partition)) is not None}
    if not days:
        return None
    facts = _facts(outcome.market, outcome.study, outcome.study.symbols, sorted(days), _KEPT)
    return page_of_verdicts(days, facts, declared_of(outcome.project.features()))


def attack_page(
    market: MarketSpec, study: StudySpec, plan: AttackPlan, report: Pit1Report
) -> PitPage:
    """What an attack by hand found."""
    origin = _BY_HAND.format(how=" in full" if plan.full else "")
    facts = _facts(market, study, plan.symbols, plan.days, origin)
    return page_of_report(report, facts, declared_of(plan.specs))


def write_attack(page: PitPage, folder: Path) -> Path:
    """Write an attack by hand in the place of the gate's page, until the board is made again."""
    folder.mkdir(parents=True, exist_ok=True)
    write_atomic(folder / PAGE, render_pit_page(page).encode())
    return folder / PAGE


def _facts(
    market: MarketSpec,
    study: StudySpec,
    symbols: Sequence[str],
    days: Sequence[date],
    origin: str,
) -> PitFacts:
    return PitFacts(
        study.name, market.name, market.synthetic, tuple(symbols), days[0], days[-1], origin
    )
