"""What the event page says, as values: how often, how strong, when, in which regime, what followed.

Pure: from event tables, gate E-1's verdicts and measured paths to an `EventPage`. Drawing it is
`event_page`'s work; the paths are `research.validation.event_paths`'.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import polars as pl

from quantlab_pipeline.core.clocks import day_of
from quantlab_pipeline.core.verdicts import ADMITTED, ItemVerdict, Outcome
from quantlab_pipeline.reports.distribution import Histogram, histogram
from quantlab_pipeline.research.events.overlap import jaccard, occurrences
from quantlab_pipeline.research.events.schema import REGIMES
from quantlab_pipeline.research.events.spec import EventRegistry, EventType

HOURS = 24
REGIME_COLUMNS = ("vol_regime", "liq_regime")


@dataclass(frozen=True, slots=True)
class EventFacts:
    """Whose events are shown: symbols in their order, and every day before the holdout."""

    study: str
    market: str
    synthetic: bool
    symbols: tuple[str, ...]
    days: tuple[date, ...]
    holdout_from: date


@dataclass(frozen=True, slots=True)
class PathPoint:
    """The mean price at `minute` from t0, relative to that at t0, with its 95 % band, in bps."""

    minute: int
    mean: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class EventStory:
    """One event type. `quality` is its row of `event_quality`, None where it has none.

    `counts` are its events by (symbol, day), `hours` by hour of the day, `regimes` by column and
    regime. `n_in_path` of them could be followed over the whole of `path`.
    """

    event_type: EventType
    verdict: ItemVerdict | None
    quality: Mapping[str, Any] | None
    counts: Mapping[tuple[str, date], int]
    hours: tuple[int, ...]
    regimes: Mapping[str, Mapping[str, int]]
    severity: Histogram | None
    severity_max: float | None
    path: tuple[PathPoint, ...]
    n_in_path: int

    @property
    def n_events(self) -> int:
        """Its events on the days shown."""
        return sum(self.counts.values())


@dataclass(frozen=True, slots=True)
class EventPage:
    """Everything on the page. `members` are each day's symbols of the universe.

    `overlap` is the share of occurrences that two types have in common, float[n, n] in the order of
    the stories, by the window that E-1 uses. `no_path` says why no path could be measured.
    """

    facts: EventFacts
    stories: tuple[EventStory, ...]
    members: Mapping[date, frozenset[str]]
    overlap: np.ndarray[Any, np.dtype[np.float64]]
    overlap_window_min: int
    no_path: str | None

    @property
    def outcomes(self) -> Counter[Outcome]:
        """Event types by E-1's outcome."""
        return Counter(s.verdict.outcome for s in self.stories if s.verdict is not None)

    @property
    def admitted(self) -> int:
        """Event types that E-1 admits."""
        return sum(self.outcomes[o] for o in ADMITTED)


def event_page(
    facts: EventFacts,
    registry: EventRegistry,
    quality: pl.DataFrame,
    verdicts: Mapping[str, ItemVerdict],
    events: pl.DataFrame,
    universe: pl.DataFrame,
    paths: pl.DataFrame,
    no_path: str | None = None,
) -> EventPage:
    """The page's content. Events outside of the facts' symbols and days are left out.

    `registry` holds the study's types, `quality` and `verdicts` are E-1's table and its items,
    `universe` says who was a member, `paths` are `event_paths` (without rows: `no_path` says why).
    """
    shown = (
        events.with_columns(day_of().alias("day"))
        .filter(pl.col("symbol").is_in(facts.symbols) & pl.col("day").is_in(facts.days))
        .sort("symbol", "ts")
    )
    rows = {row["event_type"]: row for row in quality.iter_rows(named=True)}
    of_type = {t.name: shown.filter(event_type=t.name) for t in registry.event_types}
    stories = tuple(
        _story(
            t,
            verdicts.get(t.name),
            rows.get(t.name),
            of_type[t.name],
            paths.filter(event_type=t.name),
        )
        for t in registry.event_types
    )
    return EventPage(
        facts,
        stories,
        _members(universe, facts),
        _overlap([of_type[t.name] for t in registry.event_types], registry.overlap_window_min),
        registry.overlap_window_min,
        no_path,
    )


def _story(
    event_type: EventType,
    verdict: ItemVerdict | None,
    quality: Mapping[str, Any] | None,
    mine: pl.DataFrame,
    path: pl.DataFrame,
) -> EventStory:
    by_day = mine.group_by("symbol", "day").len().sort("symbol", "day").iter_rows()
    # The minute of a close belongs to the hour that it ends.
    hour = (pl.col("ts") - pl.duration(microseconds=1)).dt.hour()
    by_hour = Counter(mine.select(hour).to_series().to_list())
    severity = np.sort(mine["severity"].drop_nulls().to_numpy())
    return EventStory(
        event_type,
        verdict,
        quality,
        {(symbol, day): n for symbol, day, n in by_day},
        tuple(by_hour[h] for h in range(HOURS)),
        {c: _by_regime(mine, c) for c in REGIME_COLUMNS if c in mine.columns},
        histogram(severity),
        float(severity[-1]) if severity.size else None,
        tuple(
            PathPoint(*point)
            for point in path.select("minute", "mean_bps", "low_bps", "high_bps").iter_rows()
        ),
        int(path["n_events"][0]) if path.height else 0,
    )


def _by_regime(mine: pl.DataFrame, column: str) -> dict[str, int]:
    found = Counter(mine[column].to_list())
    return {regime: found[regime] for regime in REGIMES}


def _members(universe: pl.DataFrame, facts: EventFacts) -> dict[date, frozenset[str]]:
    found: dict[date, set[str]] = {day: set() for day in facts.days}
    for symbol, day in universe.select("symbol", day_of()).iter_rows():
        if day in found and symbol in facts.symbols:
            found[day].add(symbol)
    return {day: frozenset(symbols) for day, symbols in found.items()}


def _overlap(
    frames: Sequence[pl.DataFrame], window_min: int
) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Shared occurrences over all of each pair; NaN for a type without any."""
    at = [occurrences(frame) for frame in frames]
    out = np.full((len(at), len(at)), np.nan)
    for i, one in enumerate(at):
        for j, other in enumerate(at[: i + 1]):
            if one and other:
                out[i, j] = out[j, i] = jaccard(one, other, window_min)
    return out
