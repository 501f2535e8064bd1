"""A study's pages on events, features and PIT-1, composed from its lake.

Belongs here: what each page is made from, and when it may stand. What it says is the reports' own
matter. A page names its inputs by a digest in its head: one that was made from what is current is
left alone, one whose tables are not current is removed.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from quantlab_pipeline.core.code_hash import ALONE, code_hash
from quantlab_pipeline.core.errors import MissingPartitionError, QuantlabError
from quantlab_pipeline.core.fingerprints import digest
from quantlab_pipeline.core.verdicts import Gate
from quantlab_pipeline.defs.reports.outcome import StudyOutcome
from quantlab_pipeline.defs.reports.pit import PAGE as PIT1_FILE
from quantlab_pipeline.defs.reports.pit import verdicts_page
from quantlab_pipeline.reports import event_page, feature_page
from quantlab_pipeline.reports.event_data import EventFacts
from quantlab_pipeline.reports.event_data import event_page as event_content
from quantlab_pipeline.reports.feature_data import FeatureFacts, summarise_features
from quantlab_pipeline.reports.feature_data import feature_page as feature_content
from quantlab_pipeline.reports.pages import template_text
from quantlab_pipeline.reports.pit_page import TEMPLATE as PIT1_TEMPLATE
from quantlab_pipeline.reports.pit_page import render_pit_page
from quantlab_pipeline.research.market_data.schema import BARS_1M_PERP, TOB_1M_AGG
from quantlab_pipeline.research.validation.event_paths import event_paths
from quantlab_pipeline.simulation.prices import reference_price
from quantlab_pipeline.storage.objects import write_atomic

_HEAD_BYTES = 400
_STYLES = ("page.css", "charts.css")
_MADE_FROM = re.compile(r'<meta name="made-from" content="([^"]*)">')


@dataclass(frozen=True, slots=True)
class StudyPage:
    """One page: its file among the artifacts, title, the table that it tells of, and its gate.

    `source` gives the facts that it is made from, None where its tables are not current; `render`
    the page as text, with the digest of those facts in its head. `modules` and `template` are its
    code.
    """

    file: str
    title: str
    table: str
    gate: Gate
    template: str
    modules: tuple[str, ...]
    source: Callable[[StudyOutcome], Any]
    render: Callable[[StudyOutcome, str], str]


def write_page(outcome: StudyOutcome, page: StudyPage, folder: Path) -> Path | None:
    """The page's path, written unless it stands there already; None and no file where it may not.

    The lake is best held still around it (`one_look`).
    """
    path = folder / page.file
    facts = page.source(outcome)
    if facts is None:
        path.unlink(missing_ok=True)
        return None
    looks = template_text(page.template, *_STYLES)
    made_from = digest([facts, outcome.study.spec_hash(), code_hash(*page.modules), looks])
    if _made_from(path) != made_from:
        write_atomic(path, page.render(outcome, made_from).encode())
    return path


def _made_from(path: Path) -> str | None:
    """The digest in the head of a page; None without a page or a digest."""
    if not path.is_file():
        return None
    with path.open(encoding="utf-8") as file:
        found = _MADE_FROM.search(file.read(_HEAD_BYTES))
    return None if found is None else found[1]


def _event_source(outcome: StudyOutcome) -> Any:
    """Event quality, which is made from all else that the page reads, and E-1's verdicts."""
    name = outcome.study.name
    if not outcome.lake.is_current("event_quality", name):
        return None
    records = [record.digest for record in outcome.records_of(Gate.E1)]
    return [outcome.lake.fingerprint("event_quality", name), records]


def _event_text(outcome: StudyOutcome, made_from: str) -> str:
    study, lake = outcome.study, outcome.lake
    days, symbols = study.evaluation_days, study.symbols
    market = outcome.market
    events = lake.read("events", days, gated=False)
    facts = EventFacts(
        study.name, market.name, market.synthetic, symbols, tuple(days), study.holdout_start
    )
    prices, no_path = _prices(outcome)
    content = event_content(
        facts,
        outcome.project.events().only(study.event_types),
        lake.read("event_quality", [study.name], gated=False),
        {v.item: v for v in outcome.items_of(Gate.E1)},
        events,
        lake.read("universe", days, gated=False),
        event_paths(events, prices, days, symbols),
        no_path,
    )
    return event_page.render_event_page(content, made_from)


def _prices(outcome: StudyOutcome) -> tuple[pl.DataFrame, str | None]:
    """Reference prices before the holdout that D0 admits; none and why where it admits none."""
    days = outcome.study.evaluation_days
    try:
        bars = outcome.lake.read("bars_1m_perp", days, columns=["symbol", "ts", "close"])
        columns = ["symbol", "ts", "leg", "mid_last"]
        books = outcome.lake.read("tob_1m_agg", days, columns=columns)
    except QuantlabError as error:
        return reference_price(BARS_1M_PERP.empty(), TOB_1M_AGG.empty()), str(error)
    return reference_price(bars, books), None


def _feature_source(outcome: StudyOutcome) -> Any:
    """Every day's features before the holdout, and PIT-1's verdicts on the study's days."""
    days = outcome.study.evaluation_days
    if len(outcome.lake.current_of("features_pt", days)) < len(days):
        return None
    records = [record.digest for record in outcome.records_of(Gate.PIT1)]
    return [[outcome.lake.fingerprint("features_pt", day) for day in days], records]


def _feature_text(outcome: StudyOutcome, made_from: str) -> str:
    study, specs = outcome.study, outcome.project.features()
    days = study.evaluation_days
    frames = ((day, outcome.lake.read("features_pt", [day], gated=False)) for day in days)
    facts = FeatureFacts(
        study.name, outcome.market.name, outcome.market.synthetic, study.holdout_start
    )
    content = feature_content(
        facts,
        specs,
        summarise_features(frames, specs.names, study.symbols, days),
        {v.item: v for v in outcome.items_of(Gate.PIT1)},
    )
    return feature_page.render_feature_page(content, made_from)


def _pit1_source(outcome: StudyOutcome) -> Any:
    """PIT-1's verdicts on the study's days, and what the features declare."""
    records = [record.digest for record in outcome.records_of(Gate.PIT1)]
    return [records, outcome.project.features().spec_hash()] if records else None


def _pit1_text(outcome: StudyOutcome, made_from: str) -> str:
    page = verdicts_page(outcome)
    if page is None:
        raise MissingPartitionError(
            f"Study {outcome.study.name} has no current verdict of PIT-1.", "Run its days first."
        )
    return render_pit_page(page, made_from)


_REPORTS = "quantlab_pipeline.reports"
_PATHS = "quantlab_pipeline.research.validation.event_paths"
_GLUE = f"{__name__}{ALONE}"
EVENTS = StudyPage(
    "events.html",
    "Events",
    "event_quality",
    Gate.E1,
    event_page.TEMPLATE,
    (f"{_REPORTS}.event_page", _PATHS, _GLUE),
    _event_source,
    _event_text,
)
FEATURES = StudyPage(
    "features.html",
    "Features",
    "features_pt",
    Gate.PIT1,
    feature_page.TEMPLATE,
    (f"{_REPORTS}.feature_page", _GLUE),
    _feature_source,
    _feature_text,
)
PIT1 = StudyPage(
    PIT1_FILE,
    "Point in time",
    "features_pt",
    Gate.PIT1,
    PIT1_TEMPLATE,
    (f"{_REPORTS}.pit_page", f"quantlab_pipeline.defs.reports.pit{ALONE}", _GLUE),
    _pit1_source,
    _pit1_text,
)
PAGES = (EVENTS, FEATURES, PIT1)
"""The pages of a study, in the order in which they are linked."""
