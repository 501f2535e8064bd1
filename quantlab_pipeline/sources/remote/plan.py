"""Which files of the official archive to ask for: the fewest that hold the wanted days.

Belongs here: what the archive publishes by month, by day, or not at all, and the choice between
them. Pure: no file, no network. What is on disk is told by name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import groupby

from quantlab_pipeline.core.errors import SourceError
from quantlab_pipeline.sources.archive.layout import (
    AGG_TRADES,
    BOOK,
    FUNDING,
    KLINES,
    METRICS,
    SPOT,
    UM,
    ArchiveFile,
    archive_file,
    archive_name,
)
from quantlab_pipeline.sources.archive.rows import reached
from quantlab_pipeline.sources.archive.source import SERIES
from quantlab_pipeline.sources.base import DATASETS

Series = tuple[str, str]
"""A market and a kind of file, as `layout` names them."""

_TRADES: dict[str, tuple[Series, ...]] = {
    "agg_trades_perp": ((UM, AGG_TRADES),),
    "agg_trades_spot": ((SPOT, AGG_TRADES),),
}
FETCHABLE: tuple[str, ...] = (*DATASETS, *_TRADES)
"""What may be asked for by name: the datasets, and trades that no dataset needs yet."""

_UNPUBLISHED = {(SPOT, BOOK)}
_MONTHLY_ONLY, _DAILY_ONLY = {FUNDING}, {METRICS, BOOK}
_SPANS = {BOOK: (date(2023, 5, 16), date(2024, 3, 30)), METRICS: (date(2020, 9, 1), date.max)}
_WHOLE_ENOUGH = 0.75
"""The share of a month's days from which its one file is worth more than a file a day."""

NOT_OVER = "not over yet"
NEVER = "never published for these days"
MONTH_NOT_OVER = "published by the month, which is not over yet"


@dataclass(frozen=True, slots=True, order=True)
class WantedFile:
    """One file of the archive, and the wanted days that it is to give (ascending, at least one)."""

    file: ArchiveFile
    days: tuple[date, ...]

    @property
    def name(self) -> str:
        """The official name."""
        return self.file.name

    def by_day(self) -> list[WantedFile]:
        """The daily files that give the same days; empty if this is one, or there are none."""
        if self.file.daily or self.file.kind in _MONTHLY_ONLY:
            return []
        of = _Of(self.file.market, self.file.kind, self.file.symbol)
        return [of.wanted((day,), daily=True) for day in self.days]


@dataclass(frozen=True, slots=True, order=True)
class Absence:
    """Days of a series that are not to be had, and why."""

    market: str
    kind: str
    symbol: str
    days: tuple[date, ...]
    reason: str


@dataclass(frozen=True, slots=True)
class _Of:
    """A series of one symbol."""

    market: str
    kind: str
    symbol: str

    def wanted(self, days: tuple[date, ...], *, daily: bool) -> WantedFile:
        name = archive_name(self.market, self.kind, self.symbol, days[0], daily=daily)
        file = archive_file(name)
        if file is None:
            raise SourceError(
                f"{self.symbol} is no symbol of the archive.",
                "Symbols are letters and digits, such as BTCUSDT.",
                symbol=self.symbol,
            )
        return WantedFile(file, days)

    def absence(self, days: tuple[date, ...], reason: str) -> Absence:
        return Absence(self.market, self.kind, self.symbol, days, reason)


@dataclass(frozen=True, slots=True)
class FetchPlan:
    """Files to have, minute bars of perpetuals first, and days for which there is none to ask."""

    files: tuple[WantedFile, ...]
    absent: tuple[Absence, ...]


def series_of(dataset: str) -> tuple[Series, ...]:
    """The published series behind what may be asked for by name; SourceError for other names."""
    if dataset not in FETCHABLE:
        raise SourceError(
            f"{dataset} is nothing that can be fetched.",
            f"Use {', '.join(FETCHABLE)}.",
            dataset=dataset,
        )
    read = (*SERIES.get(dataset, ()), *_TRADES.get(dataset, ()))
    return tuple(s for s in dict.fromkeys(read) if s not in _UNPUBLISHED)


def plan_fetch(
    datasets: Iterable[str],
    symbols: Sequence[str],
    days: Sequence[date],
    today: date,
    has: Callable[[str], bool] = lambda _: False,
) -> FetchPlan:
    """The files that hold `days` of `datasets`, with the margins that their tables read.

    Each wanted day of a series is given by one file: one that `has` says is there, else its
    month's, where the month is over before `today` and most of it is wanted, else its own.
    """
    wanted: dict[Series, set[date]] = {}
    for dataset in datasets:
        for series in series_of(dataset):
            wanted.setdefault(series, set()).update(reached(series[1], days))
    planned = [
        each
        for (market, kind), asked in sorted(wanted.items(), key=_bars_first)
        for symbol in sorted(set(symbols))
        for each in _plan_series(_Of(market, kind, symbol), sorted(asked), today, has)
    ]
    return FetchPlan(
        tuple(p for p in planned if isinstance(p, WantedFile)),
        tuple(p for p in planned if isinstance(p, Absence)),
    )


def _bars_first(item: tuple[Series, set[date]]) -> tuple[bool, Series]:
    series, _ = item
    return series != (UM, KLINES), series


def _plan_series(
    of: _Of, days: Sequence[date], today: date, has: Callable[[str], bool]
) -> Iterator[WantedFile | Absence]:
    first, last = _SPANS.get(of.kind, (date.min, date.max))
    never = tuple(d for d in days if not first <= d <= last)
    early = tuple(d for d in days if d not in never and d >= today)
    if never:
        yield of.absence(never, NEVER)
    asked = [d for d in days if d not in never and d < today]
    for _, month in groupby(asked, key=lambda d: (d.year, d.month)):
        yield from _plan_month(of, tuple(month), today, has)
    if early:
        yield of.absence(early, NOT_OVER)


def _plan_month(
    of: _Of, days: tuple[date, ...], today: date, has: Callable[[str], bool]
) -> Iterator[WantedFile | Absence]:
    whole, each = of.wanted(days, daily=False), [of.wanted((d,), daily=True) for d in days]
    over = whole.file.last < today
    if of.kind in _MONTHLY_ONLY:
        yield whole if over else of.absence(days, MONTH_NOT_OVER)
    elif of.kind in _DAILY_ONLY:
        yield from each
    else:
        lacking = sum(not has(file.name) for file in each)
        worth = lacking >= _WHOLE_ENOUGH * whole.file.last.day
        if has(whole.name) or (over and worth):
            yield whole
        else:
            yield from each
