"""What the PIT-1 page says, as values: leaks in words, a cell a feature and attack, the coverage.

Pure: from a fresh report, or from the verdicts that a lake keeps, to a `PitPage`. Words for a leak
are `pit_story`'s, drawing is `pit_page`'s work.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from quantlab_pipeline.core.verdicts import ItemVerdict, Outcome, worst_by_item
from quantlab_pipeline.reports.pit_story import (
    Declared,
    attack_of,
    leak_of,
    reason_text,
    remedy,
    saw_text,
    source_text,
    values_text,
)
from quantlab_pipeline.research.features.leaks import (
    ATTACKS,
    Attack,
    Coverage,
    Kind,
    Leak,
    Pit1Report,
)

INSTANTS = "instants"
VALUES = "compared_values"
"""What a verdict measured of its coverage, by name."""

_RED = (Outcome.FAIL, Outcome.WAIVED)

Verdicts = Mapping[date, Sequence[ItemVerdict]]


class Cell(enum.StrEnum):
    """What an attack did to a feature."""

    GREEN = "green"
    RED = "red"
    GREY = "grey"


@dataclass(frozen=True, slots=True)
class PitFacts:
    """Whose features were attacked, on which days of which symbols, and by whom (`origin`)."""

    study: str
    market: str
    synthetic: bool
    symbols: tuple[str, ...]
    first_day: date
    last_day: date
    origin: str


@dataclass(frozen=True, slots=True)
class ToldLeak:
    """A leak in words; `n_days` are the days on which its attack changed the feature."""

    leak: Leak
    declared: Declared | None
    saw: str
    source: str
    before: str
    after: str
    remedy: str
    n_days: int

    @property
    def anchor(self) -> str:
        """Id of its place on the page."""
        return f"{self.leak.feature}-{self.leak.attack}"


@dataclass(frozen=True, slots=True)
class FeatureLine:
    """One feature over all days: its worst verdict, a cell an attack (in the order of `ATTACKS`).

    `reasons` are the codes of its worst days; `instants` and `values` sum over days.
    """

    feature: str
    outcome: Outcome
    cells: tuple[Cell, ...]
    reasons: tuple[str, ...]
    instants: int
    values: int
    red_days: int

    @property
    def others(self) -> tuple[str, ...]:
        """Reasons that are no leak, in words."""
        return tuple(reason_text(code) for code in self.reasons if attack_of(code) is None)


@dataclass(frozen=True, slots=True)
class DayLine:
    """One day: instants, values compared, features by what came of them, the red ones by name."""

    day: date
    instants: int
    values: int
    n_green: int
    n_unjudged: int
    red: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PitPage:
    """Everything on the page. `kinds` and `rebuilds` are null where only verdicts were at hand."""

    facts: PitFacts
    features: tuple[FeatureLine, ...]
    leaks: tuple[ToldLeak, ...]
    days: tuple[DayLine, ...]
    n_instants: int
    n_values: int
    kinds: Mapping[Kind, int] | None
    rebuilds: Mapping[Attack, int] | None

    @property
    def judged(self) -> tuple[FeatureLine, ...]:
        """Features that could be attacked, or that should have been there."""
        return tuple(f for f in self.features if f.outcome is not Outcome.NOT_EVALUABLE)

    @property
    def red(self) -> tuple[FeatureLine, ...]:
        """Features that something speaks against, waived ones too."""
        return tuple(f for f in self.features if f.outcome in _RED)

    @property
    def unjudged(self) -> tuple[FeatureLine, ...]:
        """Features that could not be judged, each with its reasons in words."""
        return tuple(f for f in self.features if f.outcome is Outcome.NOT_EVALUABLE)


def page_of_report(
    report: Pit1Report, facts: PitFacts, declared: Mapping[str, Declared]
) -> PitPage:
    """The page of a report that was just made; `declared` by feature."""
    return _page(report.verdicts, report.leaks, facts, declared, report.coverage)


def page_of_verdicts(
    verdicts: Verdicts, facts: PitFacts, declared: Mapping[str, Declared]
) -> PitPage:
    """The page of verdicts that a lake keeps, by day; their evidence holds the leaks."""
    return _page(verdicts, first_leaks(verdicts), facts, declared, None)


def first_leaks(verdicts: Verdicts) -> tuple[Leak, ...]:
    """The earliest leak of each (feature, attack) in the evidence, by feature and attack."""
    found: dict[tuple[str, int], Leak] = {}
    every = (leak_of(e) for items in verdicts.values() for v in items for e in v.evidence)
    for leak in sorted(every, key=lambda leak: (leak.ts, leak.symbol, leak.tau)):
        found.setdefault((leak.feature, ATTACKS.index(leak.attack)), leak)
    return tuple(found[key] for key in sorted(found))


def told_leaks(
    leaks: Sequence[Leak], verdicts: Verdicts, declared: Mapping[str, Declared]
) -> tuple[ToldLeak, ...]:
    """`leaks` in words, in their order."""
    days = _days_of_reasons(verdicts)
    red: dict[str, set[Attack]] = {}
    for leak in leaks:
        red.setdefault(leak.feature, set()).add(leak.attack)
    return tuple(
        ToldLeak(
            leak,
            declared.get(leak.feature),
            saw_text(leak, declared.get(leak.feature)),
            source_text(leak),
            *values_text(leak.honest, leak.harmed),
            remedy(leak, red[leak.feature]),
            len(days.get((leak.feature, leak.attack), ())),
        )
        for leak in leaks
    )


def _days_of_reasons(verdicts: Verdicts) -> dict[tuple[str, Attack], set[date]]:
    days: dict[tuple[str, Attack], set[date]] = {}
    for day, items in verdicts.items():
        for verdict in items:
            for attack in map(attack_of, verdict.reasons):
                if attack is not None:
                    days.setdefault((verdict.item, attack), set()).add(day)
    return days


def _page(
    verdicts: Verdicts,
    leaks: Sequence[Leak],
    facts: PitFacts,
    declared: Mapping[str, Declared],
    coverage: Coverage | None,
) -> PitPage:
    by_feature: dict[str, list[ItemVerdict]] = {}
    for day in sorted(verdicts):
        for verdict in verdicts[day]:
            by_feature.setdefault(verdict.item, []).append(verdict)
    rebuilds = coverage.rebuilds if coverage else None
    features = tuple(
        _feature_line(name, found, declared.get(name), rebuilds)
        for name, found in by_feature.items()
    )
    days = tuple(_day_line(day, verdicts[day]) for day in sorted(verdicts))
    place = {name: i for i, name in enumerate(by_feature)}
    told = sorted(leaks, key=lambda k: (place.get(k.feature, -1), ATTACKS.index(k.attack)))
    return PitPage(
        facts,
        features,
        told_leaks(told, verdicts, declared),
        days,
        sum(coverage.instants.values()) if coverage else sum(d.instants for d in days),
        coverage.n_values if coverage else sum(d.values for d in days),
        coverage.instants if coverage else None,
        rebuilds,
    )


def _feature_line(
    name: str,
    found: Sequence[ItemVerdict],
    declared: Declared | None,
    rebuilds: Mapping[Attack, int] | None,
) -> FeatureLine:
    worst = worst_by_item(found)[0].outcome
    counted = [v for v in found if v.outcome is worst] if worst in _RED else found
    reasons = dict.fromkeys(code for v in counted for code in v.reasons)
    values = _measured(found, VALUES)
    changed = {attack_of(code) for code in reasons}
    tried = [attack for attack in ATTACKS if values and (rebuilds is None or rebuilds.get(attack))]
    if declared and not declared.recursive:
        tried = [attack for attack in tried if attack != "warmup"]
    cells = tuple(
        Cell.RED if attack in changed else Cell.GREEN if attack in tried else Cell.GREY
        for attack in ATTACKS
    )
    red_days = sum(v.outcome in _RED for v in found)
    instants = _measured(found, INSTANTS)
    return FeatureLine(name, worst, cells, tuple(reasons), instants, values, red_days)


def _day_line(day: date, items: Sequence[ItemVerdict]) -> DayLine:
    red = tuple(v.item for v in items if v.outcome in _RED)
    unjudged = sum(v.outcome is Outcome.NOT_EVALUABLE for v in items)
    instants = max((_measured([v], INSTANTS) for v in items), default=0)
    values = _measured(items, VALUES)
    return DayLine(day, instants, values, len(items) - len(red) - unjudged, unjudged, red)


def _measured(found: Iterable[ItemVerdict], name: str) -> int:
    return sum(int(v.measured.get(name, (0.0, None))[0] or 0) for v in found)
