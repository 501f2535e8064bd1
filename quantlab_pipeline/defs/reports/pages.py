"""A study's pages, composed from its lake: which there are, and what each is made from.

What a page says is the reports' own matter, when it may stand `study_page`'s. The pages of single
candidates stand in `candidate_pages`, the tear sheets of strategies in `strategy_pages`.
"""

from __future__ import annotations

from typing import Any

import polars as pl

from quantlab_pipeline.core.code_hash import ALONE
from quantlab_pipeline.core.errors import MissingPartitionError, QuantlabError
from quantlab_pipeline.core.verdicts import Gate
from quantlab_pipeline.defs.reports.candidate_pages import CANDIDATES
from quantlab_pipeline.defs.reports.outcome import StudyOutcome
from quantlab_pipeline.defs.reports.pit import PAGE as PIT1_FILE
from quantlab_pipeline.defs.reports.pit import verdicts_page
from quantlab_pipeline.defs.reports.strategy_pages import STRATEGIES
from quantlab_pipeline.defs.reports.study_page import StudyPage
from quantlab_pipeline.reports import event_page, feature_page
from quantlab_pipeline.reports.event_data import EventFacts
from quantlab_pipeline.reports.event_data import event_page as event_content
from quantlab_pipeline.reports.feature_data import FeatureFacts, summarise_features
from quantlab_pipeline.reports.feature_data import feature_page as feature_content
from quantlab_pipeline.reports.pit_page import TEMPLATE as PIT1_TEMPLATE
from quantlab_pipeline.reports.pit_page import render_pit_page
from quantlab_pipeline.research.market_data.schema import BARS_1M_PERP, TOB_1M_AGG
from quantlab_pipeline.research.validation.event_paths import event_paths
from quantlab_pipeline.simulation.prices import reference_price


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
    (event_page.TEMPLATE,),
    (f"{_REPORTS}.event_page", _PATHS, _GLUE),
    _event_source,
    _event_text,
)
FEATURES = StudyPage(
    "features.html",
    "Features",
    "features_pt",
    Gate.PIT1,
    (feature_page.TEMPLATE,),
    (f"{_REPORTS}.feature_page", _GLUE),
    _feature_source,
    _feature_text,
)
PIT1 = StudyPage(
    PIT1_FILE,
    "Point in time",
    "features_pt",
    Gate.PIT1,
    (PIT1_TEMPLATE,),
    (f"{_REPORTS}.pit_page", f"quantlab_pipeline.defs.reports.pit{ALONE}", _GLUE),
    _pit1_source,
    _pit1_text,
)
PAGES = (EVENTS, FEATURES, PIT1, CANDIDATES, STRATEGIES)
"""The pages of a study, in the order in which they are linked."""
