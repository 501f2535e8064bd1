"""The QA page: what is wrong with a market's data, day by day, as one self-contained HTML page.

Drawing only; what it says comes as a `QaPage`. No script, no network: it opens from a file. Every
finding that stops a day comes first; where all findings would make the page too heavy to open, the
rest is counted and left to the table beside it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import groupby

from quantlab_pipeline.core.verdicts import ADMITTED, ItemVerdict, Outcome
from quantlab_pipeline.reports.pages import render
from quantlab_pipeline.reports.qa_calendar import MOST_WEEKS, NUMBERED_DAYS, Strip, strips
from quantlab_pipeline.reports.qa_data import (
    MEANING,
    SHORT,
    Calendar,
    CheckSum,
    QaPage,
    State,
)
from quantlab_pipeline.reports.qa_findings import Weighed
from quantlab_pipeline.reports.qa_places import instant_text, places_text

MOST_ROWS = 3000
"""Findings on the page: with a year of five symbols it stays below 100,000 elements and 3 MB."""
MOST_RANGES = 8
MOST_REASONS = 4
MOST_NAMED = 4

Key = tuple[str, str, date]


@dataclass(frozen=True, slots=True)
class Line:
    """One finding as text."""

    check: str
    count: int
    threshold: str
    measured: float | None
    limit: float | None
    first: str
    places: str
    detail: str


@dataclass(frozen=True, slots=True)
class Group:
    """Findings of one (day, symbol, dataset), shown together; their cell leads to `anchor`."""

    anchor: str
    day: date
    symbol: str
    dataset: str
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class Card:
    """One calendar as it is drawn."""

    title: str
    summary: str
    strips: tuple[Strip, ...]


@dataclass(frozen=True, slots=True)
class Section:
    """One symbol: its calendars, and apart from them those of datasets that it never has."""

    symbol: str
    cards: tuple[Card, ...]
    never: tuple[Card, ...]


@dataclass(frozen=True, slots=True)
class DayRow:
    """D0's word on each symbol of one day: state and reasons, in the order of the symbols."""

    anchor: str
    day: date
    told: tuple[tuple[State, str], ...]


def render_qa_page(page: QaPage, table: str = "qa_report.csv") -> str:
    """The page as text; the same page gives the same bytes. `table` lies beside it, with it all."""
    shown = sorted(page.weighed, key=lambda w: not w.stops)[:MOST_ROWS]
    stopping = _groups([w for w in shown if w.stops], "f")
    others = _groups([w for w in shown if not w.stops], "g")
    anchors = {(g.symbol, g.dataset, g.day): g.anchor for g in (*others, *stopping)}
    sections = [_section(c, page.calendars, anchors) for c in page.overall]
    used = {state for card in (*page.overall, *page.calendars) for state in card.counts}
    return render(
        "qa_page.html.j2",
        page=page,
        facts=page.facts,
        sentence=verdict_sentence(page),
        hindsight=hindsight_sentence(page),
        legend=[(s, f"{SHORT[s]}: {MEANING[s]}") for s in State if s in used],
        sections=sections,
        weeks=min(len(page.facts.days) // 7 + 2, MOST_WEEKS),
        numbered=len(page.facts.days) <= NUMBERED_DAYS,
        stopping=stopping,
        others=others,
        n_stopping=sum(w.stops for w in page.weighed),
        n_others=sum(not w.stops for w in page.weighed),
        left_out=len(page.weighed) - len(shown),
        table=table,
        sums=[c for c in page.checks if c.found],
        quiet=_quiet(page.checks),
        days=_days(page),
        State=State,
        SHORT=SHORT,
    )


def verdict_sentence(page: QaPage) -> str:
    """Symbols, days and what D0 says of them, in one sentence."""
    facts, outcomes = page.facts, page.outcomes
    refused, waived, judged = outcomes[Outcome.FAIL], outcomes[Outcome.WAIVED], outcomes.total()
    left = page.symbol_days - judged
    n_days = len(facts.days)
    return (
        f"{_who(facts.symbols)}, {n_days:,} day{'s' if n_days > 1 else ''} "
        f"({facts.first_day} .. {facts.last_day}): of {page.symbol_days:,} symbol-days D0 "
        f"admits {page.admitted:,}{f' ({waived:,} by a waiver)' if waived else ''}, "
        f"refuses {refused:,} and cannot judge {judged - page.admitted - refused:,}"
        f"{f'; not examined: {left:,}' if left else ''}."
    )


def hindsight_sentence(page: QaPage) -> str:
    """Who ended and is left out, in one sentence; empty if nobody is."""
    ended = [f"{w.finding.symbol} ({w.finding.day})" for w in page.left_out]
    if not ended:
        return ""
    more = f" and {len(ended) - MOST_NAMED} more" if len(ended) > MOST_NAMED else ""
    return (
        f"Chosen with hindsight: the source also has {', '.join(ended[:MOST_NAMED])}{more}, which "
        "ended inside these days and are left out. What the others earned flatters."
    )


def _who(symbols: Sequence[str]) -> str:
    if len(symbols) > MOST_NAMED:
        return f"{len(symbols)} symbols"
    return " and ".join(filter(None, (", ".join(symbols[:-1]), symbols[-1])))


def _groups(weighed: Sequence[Weighed], prefix: str) -> list[Group]:
    def key(w: Weighed) -> tuple[date, str, str]:
        return w.finding.day, w.finding.symbol, w.finding.dataset

    groups = groupby(sorted(weighed, key=key), key=key)
    return [
        Group(f"{prefix}{i}", day, symbol, dataset, tuple(_line(w) for w in members))
        for i, ((day, symbol, dataset), members) in enumerate(groups)
    ]


def _line(w: Weighed) -> Line:
    f = w.finding
    return Line(
        f.check,
        f.count,
        w.threshold or ("required" if w.stops else "only counted"),
        w.measured,
        w.limit,
        "" if f.first_ts is None else instant_text(f.first_ts, f.day),
        places_text(f.places, f.day, MOST_RANGES),
        f.detail,
    )


def _section(
    overall: Calendar, calendars: Iterable[Calendar], anchors: Mapping[Key, str]
) -> Section:
    mine = [c for c in calendars if c.symbol == overall.symbol]
    return Section(
        overall.symbol,
        tuple(_card(c, anchors) for c in (overall, *(c for c in mine if not c.never))),
        tuple(_card(c, anchors) for c in mine if c.never),
    )


def _card(calendar: Calendar, anchors: Mapping[Key, str]) -> Card:
    def target(day: date) -> str:
        if calendar.dataset is None:
            return f"d{day}"
        return anchors.get((calendar.symbol, calendar.dataset, day), f"d{day}")

    counts = calendar.counts
    summary = ", ".join(f"{counts[s]:,} {SHORT[s]}" for s in State if counts[s])
    title = "D0, all datasets" if calendar.dataset is None else calendar.dataset
    return Card(title, summary, tuple(strips(calendar, target)))


def _quiet(checks: Iterable[CheckSum]) -> list[tuple[str, list[str]]]:
    """Checks that found nothing, by dataset."""
    silent = sorted((c.dataset, c.check) for c in checks if not c.found)
    return [(d, [check for _, check in g]) for d, g in groupby(silent, key=lambda pair: pair[0])]


def _days(page: QaPage) -> list[DayRow]:
    return [
        DayRow(
            f"d{day}",
            day,
            tuple(
                (calendar.states[day], _reasons(page.verdicts.get(day, {}).get(calendar.symbol)))
                for calendar in page.overall
            ),
        )
        for day in page.facts.days
    ]


def _reasons(verdict: ItemVerdict | None) -> str:
    if verdict is None or verdict.outcome in ADMITTED:
        return ""
    left = len(verdict.reasons) - MOST_REASONS
    shown = ", ".join(verdict.reasons[:MOST_REASONS])
    return f"{shown} and {left} more" if left > 0 else shown
