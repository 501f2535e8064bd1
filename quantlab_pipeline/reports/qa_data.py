"""What the QA page says, as values: findings beside their thresholds, the state of each day, sums.

Pure: from the QA report and gate D0's verdicts to a `QaPage`. Each finding is weighed by the gate
itself, alone; no check or threshold is named here. Drawing the page is `qa_page`'s work.
"""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import polars as pl

from quantlab_pipeline.core.clocks import day_of, days_between
from quantlab_pipeline.core.verdicts import ADMITTED, ItemVerdict, Outcome
from quantlab_pipeline.reports.qa_findings import Judge, Weighed, weigh
from quantlab_pipeline.research.market_data.checks import ABSENT, HINDSIGHT


class State(enum.StrEnum):
    """What a day is, of one dataset or under D0 as a whole."""

    CLEAN = "clean"
    FOUND = "found"
    FAIL = "fail"
    MISSING = "missing"
    ABSENT = "absent"
    WAIVED = "waived"
    VOID = "void"


SHORT = {
    State.CLEAN: "clean",
    State.FOUND: "minor",
    State.FAIL: "failed",
    State.MISSING: "not evaluable",
    State.ABSENT: "absent",
    State.WAIVED: "waived",
    State.VOID: "not examined",
}
MEANING = {
    State.CLEAN: "nothing found",
    State.FOUND: "findings, none above its threshold",
    State.FAIL: "above a threshold",
    State.MISSING: "a required dataset is absent",
    State.ABSENT: "optional, and not there",
    State.WAIVED: "refused, but admitted by a person",
    State.VOID: "no current report",
}

PRESENT = (State.CLEAN, State.FOUND, State.FAIL)
"""States of a dataset that has rows on a day."""


@dataclass(frozen=True, slots=True)
class QaFacts:
    """Whose data is shown: market, symbols in their order, and every day from first to last."""

    market: str
    venue: str
    synthetic: bool
    symbols: tuple[str, ...]
    first_day: date
    last_day: date

    @property
    def days(self) -> list[date]:
        """Every day shown, examined or not."""
        return days_between(self.first_day, self.last_day)


@dataclass(frozen=True, slots=True)
class Calendar:
    """One dataset of one symbol, or (`dataset` None) D0 on the symbol: a state a day, in order.

    `found` maps a day to its findings, those that stop the day first.
    """

    symbol: str
    dataset: str | None
    states: Mapping[date, State]
    found: Mapping[date, tuple[Weighed, ...]]

    @property
    def counts(self) -> Counter[State]:
        """Days by state."""
        return Counter(self.states.values())

    @property
    def never(self) -> bool:
        """Whether this is an optional dataset that is absent on every day."""
        return set(self.states.values()) == {State.ABSENT}

    @property
    def reasons(self) -> list[tuple[str, int]]:
        """Checks that stop days, and how many days each, the most frequent first."""
        stopping = (
            check
            for found in self.found.values()
            for check in {w.finding.check for w in found if w.stops}
        )
        return sorted(Counter(stopping).items(), key=lambda pair: (-pair[1], pair[0]))


@dataclass(frozen=True, slots=True)
class CheckSum:
    """One check of one dataset over all symbol-days shown."""

    check: str
    dataset: str
    looked: int
    found: int
    stopped: int
    total: int


@dataclass(frozen=True, slots=True)
class Coverage:
    """One dataset over all symbol-days shown: how many have it, from which day to which."""

    dataset: str
    counts: Mapping[State, int]
    present: int
    asked: int
    first_day: date | None
    last_day: date | None


@dataclass(frozen=True)
class QaPage:
    """Everything on the page. `verdicts` are D0's by day and symbol, of judged days alone.

    `left_out` are findings of hindsight, about symbols that the market does not have.
    """

    facts: QaFacts
    verdicts: Mapping[date, Mapping[str, ItemVerdict]]
    weighed: tuple[Weighed, ...]
    overall: tuple[Calendar, ...]
    calendars: tuple[Calendar, ...]
    checks: tuple[CheckSum, ...]
    coverage: tuple[Coverage, ...]
    left_out: tuple[Weighed, ...] = ()

    @property
    def outcomes(self) -> Counter[Outcome]:
        """D0's verdicts on symbol-days."""
        return Counter(v.outcome for day in self.verdicts.values() for v in day.values())

    @property
    def admitted(self) -> int:
        """Symbol-days that D0 admits."""
        return sum(n for outcome, n in self.outcomes.items() if outcome in ADMITTED)

    @property
    def symbol_days(self) -> int:
        """Symbol-days shown, judged or not."""
        return len(self.facts.symbols) * len(self.facts.days)


def qa_page(
    report: pl.DataFrame,
    verdicts: Mapping[date, Sequence[ItemVerdict]],
    facts: QaFacts,
    judge: Judge,
) -> QaPage:
    """The page of `report` (schema QA_REPORT), of which only the symbols and days in `facts` count.

    `verdicts` are D0's on each judged day; a day without is not examined. `judge` weighs findings.
    """
    shown = _shown(report, facts)
    by_day = {
        day: {v.item: v for v in items if v.item in facts.symbols}
        for day, items in verdicts.items()
        if facts.first_day <= day <= facts.last_day
    }
    weighed = weigh(shown, judge)
    calendars = _calendars(shown, weighed, facts)
    return QaPage(
        facts,
        by_day,
        weighed,
        tuple(_overall(symbol, by_day, weighed, facts) for symbol in facts.symbols),
        calendars,
        _checks(shown, weighed),
        _coverage(calendars, facts),
        weigh(_on_its_days(report.filter(pl.col("check").is_in(HINDSIGHT)), facts), judge),
    )


def _shown(report: pl.DataFrame, facts: QaFacts) -> pl.DataFrame:
    own = pl.col("symbol").is_in(facts.symbols) & ~pl.col("check").is_in(HINDSIGHT)
    return _on_its_days(report.filter(own), facts)


def _on_its_days(report: pl.DataFrame, facts: QaFacts) -> pl.DataFrame:
    return (
        report.with_columns(day_of("ts").alias("day"))
        .filter(pl.col("day").is_between(facts.first_day, facts.last_day))
        .sort("day", "symbol", "dataset", "check")
    )


def _calendars(
    shown: pl.DataFrame, weighed: Sequence[Weighed], facts: QaFacts
) -> tuple[Calendar, ...]:
    """One a (symbol, dataset), symbols in their order, datasets by name."""
    found = _grouped(weighed)
    looked = shown.group_by("symbol", "dataset", "day").agg(
        (pl.col("check") == ABSENT).all().alias("nothing")
    )
    states: dict[tuple[str, str], dict[date, State]] = {}
    for symbol, dataset, day, nothing in looked.iter_rows():
        state = _state(found.get((symbol, dataset, day), ()), nothing=nothing)
        states.setdefault((symbol, dataset), {})[day] = state
    order = sorted(states, key=lambda key: (facts.symbols.index(key[0]), key[1]))
    return tuple(
        Calendar(
            symbol,
            dataset,
            {day: states[symbol, dataset].get(day, State.VOID) for day in facts.days},
            {d: w for d in facts.days if (w := found.get((symbol, dataset, d)))},
        )
        for symbol, dataset in order
    )


def _grouped(weighed: Sequence[Weighed]) -> dict[tuple[str, str, date], tuple[Weighed, ...]]:
    groups: dict[tuple[str, str, date], list[Weighed]] = {}
    for each in weighed:
        f = each.finding
        groups.setdefault((f.symbol, f.dataset, f.day), []).append(each)
    return {key: tuple(sorted(g, key=lambda w: not w.stops)) for key, g in groups.items()}


def _state(found: Sequence[Weighed], *, nothing: bool) -> State:
    """The worst that was found; `nothing`: there was no row to look at."""
    if any(w.outcome is Outcome.NOT_EVALUABLE for w in found):
        return State.MISSING
    if any(w.stops for w in found):
        return State.FAIL
    if nothing:
        return State.ABSENT
    return State.FOUND if found else State.CLEAN


def _overall(
    symbol: str,
    verdicts: Mapping[date, Mapping[str, ItemVerdict]],
    weighed: Sequence[Weighed],
    facts: QaFacts,
) -> Calendar:
    found: dict[date, list[Weighed]] = {}
    for each in weighed:
        if each.finding.symbol == symbol:
            found.setdefault(each.finding.day, []).append(each)
    states = {}
    for day in facts.days:
        verdict = verdicts.get(day, {}).get(symbol)
        states[day] = _verdict_state(verdict, any_found=day in found)
    ordered = {day: tuple(sorted(f, key=lambda w: not w.stops)) for day, f in found.items()}
    return Calendar(symbol, None, states, ordered)


def _verdict_state(verdict: ItemVerdict | None, *, any_found: bool) -> State:
    if verdict is None:
        return State.VOID
    if verdict.outcome is Outcome.PASS:
        return State.FOUND if any_found else State.CLEAN
    named = {Outcome.WAIVED: State.WAIVED, Outcome.NOT_EVALUABLE: State.MISSING}
    return named.get(verdict.outcome, State.FAIL)


def _checks(shown: pl.DataFrame, weighed: Sequence[Weighed]) -> tuple[CheckSum, ...]:
    """One a (check, dataset) that was looked for; what stopped most days first."""
    stopped = Counter((w.finding.check, w.finding.dataset) for w in weighed if w.stops)
    sums = (
        shown.group_by("check", "dataset")
        .agg(pl.len(), (pl.col("count") > 0).sum().alias("found"), pl.col("count").sum())
        .iter_rows()
    )
    rows = [CheckSum(c, d, n, f, stopped[c, d], total) for c, d, n, f, total in sums]
    return tuple(sorted(rows, key=lambda r: (-r.stopped, -r.found, -r.total, r.check, r.dataset)))


def _coverage(calendars: Sequence[Calendar], facts: QaFacts) -> tuple[Coverage, ...]:
    rows = []
    for dataset in sorted({c.dataset for c in calendars if c.dataset is not None}):
        mine = [c for c in calendars if c.dataset == dataset]
        counts = sum((c.counts for c in mine), Counter[State]())
        days = sorted(d for c in mine for d, state in c.states.items() if state in PRESENT)
        ends = (days[0], days[-1]) if days else (None, None)
        asked = len(facts.symbols) * len(facts.days)
        rows.append(Coverage(dataset, counts, len(days), asked, *ends))
    return tuple(rows)
