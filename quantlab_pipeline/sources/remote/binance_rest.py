"""Binance's public REST interface: the last days, which the archive does not have yet.

Belongs here: how a day is asked for page by page, and how landed pages become tables. Which
endpoint gives what is `endpoints`' matter, the pages' JSON `pages`', waiting `limits`' and
`http`'s. Only whole days are asked for, so that a landed page is final until the archive's file
takes its place: it is not asked for again.

`fundingInfo` is not read: it says which interval is in force now, not on the day that is asked for.
Nor is the mark price in `fundingRate`: the archive has none, so both take the mark minute's close.
Hourly totals are the archive's alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from urllib.parse import urlsplit

import polars as pl

from quantlab_pipeline.core.clocks import Clock
from quantlab_pipeline.core.errors import SourceError
from quantlab_pipeline.core.findings import Finding, finding_at
from quantlab_pipeline.core.ports import RawFile, RawSink
from quantlab_pipeline.research.market_data.parsed import Origin, ParsedTable
from quantlab_pipeline.sources.archive.layout import SPOT, UM, ArchiveFile
from quantlab_pipeline.sources.archive.source import SERIES, build_table
from quantlab_pipeline.sources.base import known_dataset
from quantlab_pipeline.sources.remote.endpoints import (
    ENDPOINTS,
    WINDOWS,
    Endpoint,
    Span,
)
from quantlab_pipeline.sources.remote.http import HttpClient, RemoteError, Response
from quantlab_pipeline.sources.remote.limits import Usage, shared_budget
from quantlab_pipeline.sources.remote.pace import Seconds, Sleep
from quantlab_pipeline.sources.remote.pages import Page, error_of, page_of, read_page

DAY = timedelta(days=1)

_UNKNOWN_SYMBOL = frozenset({-1121, -4144})
"""Error codes for a symbol, or a pair, that the endpoint does not know."""


class UnknownSymbolError(RemoteError):
    """The endpoint knows no such symbol: never listed there, or gone."""


@dataclass(frozen=True, slots=True)
class RestSettings:
    """Where to ask, and for what.

    A day is whole `margin` after its end. Open interest is asked for `oi_days` back from now, which
    is all that the venue keeps, the rest `days` back. `page_rows` makes pages smaller than allowed.
    """

    um_url: str = "https://fapi.binance.com"
    spot_url: str = "https://api.binance.com"
    margin: timedelta = timedelta(minutes=15)
    days: int = 35
    oi_days: int = 30
    page_rows: int | None = None


class BinanceRest:
    """Days of a dataset, landed page by page. Budgets are shared by all clients of a process.

    `clock` tells which days are whole; `seconds` and `sleep` keep the budgets.
    """

    def __init__(
        self,
        http: HttpClient,
        *,
        clock: Clock,
        seconds: Seconds,
        sleep: Sleep,
        settings: RestSettings | None = None,
    ) -> None:
        self._http, self._clock = http, clock
        self._settings = settings or RestSettings()
        self._urls = {UM: self._settings.um_url, SPOT: self._settings.spot_url}
        self._budgets = {
            market: shared_budget(urlsplit(url).netloc, WINDOWS[market], clock=seconds, sleep=sleep)
            for market, url in self._urls.items()
        }
        self._nothing: set[tuple[str, str, date]] = set()
        self._unknown: dict[tuple[str, str], UnknownSymbolError] = {}

    def usage(self) -> tuple[Usage, ...]:
        """What was asked of each host so far, by this process."""
        return tuple(budget.usage() for budget in dict.fromkeys(self._budgets.values()))

    def span(self, dataset: str) -> tuple[date, date] | None:
        """First and last day that may be asked for now, or None for a dataset that is not here."""
        if not offers(dataset):
            return None
        reach = self._settings.oi_days if dataset == "open_interest" else self._settings.days
        now = self._clock()
        last = (now - self._settings.margin).date() - DAY
        return (now - timedelta(days=reach)).date() + DAY, last

    def land(
        self, source: str, dataset: str, symbol: str, day: date, sink: RawSink
    ) -> list[RawFile]:
        """Keep every page of `day`, checked; pages that are kept are not asked for again.

        Empty if the venue has no row of it, and for a day that is not whole, or too old to ask for,
        unless its pages are kept. UnknownSymbolError if the dataset's own series has no such
        symbol; RemoteError and SourceError for what cannot be had or read.
        """
        span = self.span(dataset)
        if span is None or day > span[1]:
            return []
        shelf = _Shelf(sink, source, dataset, symbol, day)
        own, *others = SERIES[dataset]
        files = self._pages(own, shelf, ask=day >= span[0])
        if not files:
            return []
        for series in (s for s in others if s in ENDPOINTS):
            try:
                files += self._pages(series, shelf, ask=day >= span[0])
            except UnknownSymbolError:
                continue
        return files

    def _pages(self, series: tuple[str, str], shelf: _Shelf, *, ask: bool) -> list[RawFile]:
        """A series' pages of one day: what a page leaves open is asked for until nothing comes."""
        endpoint = ENDPOINTS[series]
        nothing = (endpoint.name, shelf.symbol, shelf.day)
        if nothing in self._nothing:
            return []
        files: list[RawFile] = []
        todo = [endpoint.span(shelf.day)]
        while todo:
            span = todo.pop()
            page = Page(endpoint.name, shelf.symbol, shelf.day, len(files) + 1)
            url = self._url(series, shelf.symbol, span)
            file = shelf.kept(page, url)
            if file is None and not ask:
                return []
            body = shelf.sink.read(file) if file else self._ask(series, shelf.symbol, url)
            rows = read_page(body, page.name, series[1], shelf.symbol)
            stamps = [s for s in _stamps(rows, endpoint) if span[0] <= s <= span[1]]
            if not stamps and not files:
                self._nothing.add(nothing)
                return []
            files.append(file or shelf.put(page, body, url))
            todo += endpoint.left(span, stamps)
        return files

    def _url(self, series: tuple[str, str], symbol: str, span: Span) -> str:
        endpoint = ENDPOINTS[series]
        return f"{self._urls[series[0]]}{endpoint.path}?" + endpoint.query(
            symbol, span, self._page_rows(endpoint)
        )

    def _page_rows(self, endpoint: Endpoint) -> int:
        return min(endpoint.page_rows, self._settings.page_rows or endpoint.page_rows)

    def _ask(self, series: tuple[str, str], symbol: str, url: str) -> bytes:
        endpoint, budget = ENDPOINTS[series], self._budgets[series[0]]
        if (endpoint.name, symbol) in self._unknown:
            raise self._unknown[endpoint.name, symbol]
        with budget.request(endpoint.costs(self._page_rows(endpoint))):
            response = self._http.get(url)
        budget.hear(response.headers)
        if response.status != 200:
            error = _refusal(response, url, symbol)
            if isinstance(error, UnknownSymbolError):
                self._unknown[endpoint.name, symbol] = error
            raise error
        return response.body


def offers(dataset: str) -> bool:
    """Whether the interface has `dataset` at all: everything but books of the past."""
    known_dataset(dataset)
    return SERIES[dataset][0] in ENDPOINTS


def parse_pages(
    dataset: str,
    symbol: str,
    files: Sequence[RawFile],
    sink: RawSink,
    days: Sequence[date],
    oi_delay_s: int = 60,
) -> ParsedTable:
    """Rows of `days` from landed pages, read from the sink alone, and what was set aside.

    Equal rows give the table that the archive's files give. Each day is made of its own pages, and
    so is the same in whatever range it is parsed. A row stamped outside the span that its page was
    asked for is counted as `outside_file`.
    """
    schema = known_dataset(dataset)
    pages: dict[date, list[tuple[Page, RawFile]]] = {day: [] for day in sorted(days)}
    for file in files:
        if (page := page_of(file.name)) is not None and page.day in pages:
            pages[page.day].append((page, file))
    parsed = [
        build_table(_DayOfPages(kept, sink, Origin(dataset, symbol, (day,))), oi_delay_s)
        for day, kept in pages.items()
        if kept
    ]
    return ParsedTable(
        pl.concat([schema.empty(), *(table.frame for table in parsed)]),
        tuple(finding for table in parsed for finding in table.findings),
    )


@dataclass(frozen=True, slots=True)
class _Shelf:
    """Where one day's pages lie in the raw store."""

    sink: RawSink
    source: str
    dataset: str
    symbol: str
    day: date

    def kept(self, page: Page, url: str) -> RawFile | None:
        """The newest version of `page`, if it answered what `url` asks, of whatever host."""
        versions = self.sink.versions(self.source, self.dataset, self.symbol, page.name)
        same = versions and _question(versions[-1].url) == _question(url)
        return versions[-1] if same else None

    def put(self, page: Page, body: bytes, url: str) -> RawFile:
        """Keep `body` as `page`."""
        return self.sink.put(self.source, self.dataset, self.symbol, page.name, body, url)


class _DayOfPages:
    """Landed pages of one dataset, symbol and day, as series with the archive's columns."""

    def __init__(
        self, pages: Sequence[tuple[Page, RawFile]], sink: RawSink, origin: Origin
    ) -> None:
        self.origin = origin
        self._pages, self._sink = pages, sink
        self._findings: list[Finding] = []

    def with_findings(self, parsed: ParsedTable) -> ParsedTable:
        """`parsed` with what was set aside on the way to it."""
        return ParsedTable(parsed.frame, (*parsed.findings, *self._findings))

    def chosen(self, market: str, kind: str) -> Mapping[date, ArchiveFile]:
        """None: a day's pages hold its settlement at midnight too."""
        del market, kind
        return {}

    def rows(self, market: str, kind: str, stamp: str) -> pl.DataFrame:
        """All rows of a series, pages in the order of their first instants, rows as they came."""
        parts: list[tuple[int, pl.DataFrame]] = []
        for page, file in self._pages:
            if (market, kind) in ENDPOINTS and page.endpoint == ENDPOINTS[market, kind].name:
                rows = read_page(self._sink.read(file), file.name, kind, self.origin.symbol)
                inside = self._inside(rows, page, ENDPOINTS[market, kind])
                first = inside.select(pl.col(stamp).min().dt.epoch("ms")).item()
                parts += [] if first is None else [(first, inside)]
        parts.sort(key=lambda part: part[0])
        return pl.concat([read_page(b"[]", "", kind, ""), *(rows for _, rows in parts)])

    def _inside(self, rows: pl.DataFrame, page: Page, endpoint: Endpoint) -> pl.DataFrame:
        """Rows of the span that was asked for; others are counted on the page's day."""
        asked = pl.col(endpoint.stamp).dt.epoch("ms").is_between(*endpoint.span(page.day))
        outside = rows.filter(~asked)
        if outside.height:
            where = (self.origin.dataset, "outside_file", self.origin.symbol, page.day)
            self._findings.append(finding_at(*where, outside[endpoint.stamp], page.name))
        return rows.filter(asked)


def _stamps(rows: pl.DataFrame, endpoint: Endpoint) -> list[int]:
    stamps: list[int] = rows.select(pl.col(endpoint.stamp).dt.epoch("ms")).to_series().to_list()
    return stamps


def _question(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.path, parts.query


def _refusal(response: Response, url: str, symbol: str) -> SourceError:
    """What an answer that is no page says, and what to do about it."""
    host, status = urlsplit(url).netloc, response.status
    said = error_of(response.body)
    if said is not None and said[0] in _UNKNOWN_SYMBOL:
        return UnknownSymbolError(
            f"{host} knows no symbol {symbol} at {urlsplit(url).path} ({said[0]}: {said[1]}).",
            "Check the symbol's spelling; a delisted one is in the archive alone.",
            url=url,
            status=status,
            symbol=symbol,
            code=said[0],
        )
    words = f", {said[0]}: {said[1]}" if said is not None else ""
    remedy = "Check the address; if it is right, the interface has changed."
    if status in {403, 451}:
        remedy = (
            "The venue does not serve this address: work from the archive alone, with "
            "DATA_REMOTE_PROVIDERS=disabled."
        )
    return RemoteError(
        f"{host} refused {urlsplit(url).path} ({status}{words}).",
        remedy,
        url=url,
        status=status,
        code=said[0] if said else None,
    )
