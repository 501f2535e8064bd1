"""Landed pages of Binance's REST interface: their names, and their JSON as the archive's columns.

Belongs here: the shape of each answer, checked value by value. What a page is asked for, and which
pages make a day, is `binance_rest`'s matter; what a row means is `research`'s.

A page gives the columns that the archive's file of the same series gives, so that one code makes
tables of both. Two differ in what they say: `fundingRate` states no interval, which stays null (the
spacing of the settlements tells it), and an `openInterestHist` row is stamped at the END of its
five minutes, where the archive's `create_time` is their start, so that five minutes are taken off.
The documentation names no side. What tells it: on 2022-01-14 at 20:11:01 the newest row was stamped
20:10 (github.com/ccxt/ccxt/pull/11344), so the stamp opens no bucket; and the archive labels starts
since 2026-06-25, ends before (github.com/binance/binance-public-data/issues/491), which is older
than anything this interface still holds.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

import polars as pl

from quantlab_pipeline.core.clocks import TS
from quantlab_pipeline.core.errors import SourceError
from quantlab_pipeline.research.market_data.open_interest import BUCKET
from quantlab_pipeline.sources.archive import codec
from quantlab_pipeline.sources.archive.layout import FUNDING, METRICS
from quantlab_pipeline.sources.zipped_csv import Format

_NAME = re.compile(
    r"rest/(?P<endpoint>\w+)/(?P<symbol>[^/]+)/"
    r"(?P=symbol)-(?P=endpoint)-(?P<day>\d{4}-\d{2}-\d{2})-(?P<number>\d+)\.json"
)
_NUMBER = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*", re.ASCII)
_WHOLE = re.compile(r"-?\d{1,18}", re.ASCII)
_FIRST_MS, _LAST_MS = 10**12, 5 * 10**12
_ASK_AGAIN = (
    "Land the day again, without the page if it lies in raw/ already; if it comes back so, the "
    "interface has changed."
)


@dataclass(frozen=True, slots=True)
class Page:
    """One landed answer: the endpoint's name, the day it was asked for, its number, from 1."""

    endpoint: str
    symbol: str
    day: date
    number: int

    @property
    def name(self) -> str:
        """Its name in the raw store."""
        file = f"{self.symbol}-{self.endpoint}-{self.day.isoformat()}-{self.number}.json"
        return f"rest/{self.endpoint}/{self.symbol}/{file}"


def page_of(name: str) -> Page | None:
    """What a raw file's name says of itself, or None if it is no page."""
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    try:
        day = date.fromisoformat(match["day"])
    except ValueError:
        return None
    return Page(match["endpoint"], match["symbol"], day, int(match["number"]))


def file_days(name: str) -> tuple[date, date] | None:
    """First and last day whose rows a page was asked for (one day), or None if it is no page."""
    page = page_of(name)
    return None if page is None else (page.day, page.day)


def read_page(data: bytes, name: str, kind: str, symbol: str) -> pl.DataFrame:
    """All rows of a page of the archive's series `kind`, in its order, with the archive's columns.

    SourceError, naming page and element, for what is not JSON, an error of the venue, an element of
    another shape or symbol, a number that is text, a stamp that is no instant in milliseconds.
    """
    form, row = _SHAPES.get(kind, (codec.KLINES, _kline))
    place = _Place(name, symbol)
    rows = []
    for number, element in enumerate(_elements(data, name)):
        place.element = number
        rows.append(row(element, place))
    types = {c: pl.Int64 if c in form.stamps else t for c, t in form.read.items()}
    frame = pl.DataFrame(rows, schema=types, orient="row")
    return frame.with_columns((pl.col(c) * 1000).cast(TS) for c in form.stamps)


def error_of(body: bytes) -> tuple[int, str] | None:
    """Code and message of an answer that is the venue's error object, or None."""
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        return None
    if isinstance(said, dict) and type(said.get("code")) is int:
        return said["code"], str(said.get("msg", ""))
    return None


def _elements(data: bytes, name: str) -> list[Any]:
    try:
        answer = json.loads(data, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise SourceError(f"{name} is no whole JSON: {error}.", _ASK_AGAIN, file=name) from error
    if isinstance(answer, list):
        return answer
    if (said := error_of(data)) is not None:
        code, message = said
        raise SourceError(
            f"{name} holds an error of the venue, {code}: {message}",
            _ASK_AGAIN,
            file=name,
            code=code,
        )
    raise SourceError(
        f"{name} holds a JSON {type(answer).__name__}, not a list of rows.", _ASK_AGAIN, file=name
    )


def _no_number(text: str) -> Any:
    raise ValueError(f"{text} is no number of JSON")


@dataclass(slots=True)
class _Place:
    """Where a value stands, for the errors."""

    name: str
    symbol: str
    element: int = 0

    def error(self, problem: str, **fields: Any) -> SourceError:
        return SourceError(
            f"{self.name}, element {self.element}: {problem}.",
            _ASK_AGAIN,
            file=self.name,
            element=self.element,
            **fields,
        )

    def number(self, value: Any, column: str) -> float:
        text = repr(value) if type(value) in {int, float} else value
        if isinstance(text, str) and _NUMBER.fullmatch(text):
            return float(text)
        raise self.error(f"{column} is {value!r}, not a number", column=column)

    def whole(self, value: Any, column: str) -> int:
        text = str(value) if type(value) is int else value
        if isinstance(text, str) and _WHOLE.fullmatch(text):
            return int(text)
        raise self.error(f"{column} is {value!r}, not a whole number", column=column)

    def stamp(self, value: Any, column: str) -> int:
        at_ms = self.whole(value, column)
        if not _FIRST_MS <= at_ms < _LAST_MS:
            raise self.error(f"{column} is {value!r}, no instant in milliseconds", column=column)
        return at_ms

    def fields(self, element: Any, *names: str) -> Mapping[str, Any]:
        if not isinstance(element, dict):
            raise self.error(f"a {type(element).__name__} where an object is due")
        missing = [n for n in ("symbol", *names) if n not in element]
        if missing:
            raise self.error(f"{missing[0]} is missing", column=missing[0])
        if element["symbol"] != self.symbol:
            raise self.error(f"it is of {element['symbol']!r}, not of {self.symbol}")
        return element


def _kline(element: Any, place: _Place) -> tuple[Any, ...]:
    if not isinstance(element, list) or len(element) < len(codec.KLINE_COLUMNS) - 1:
        raise place.error(f"not a candle of {len(codec.KLINE_COLUMNS)} fields")
    return tuple(
        _READERS[codec.KLINES.read[column], column in codec.KLINES.stamps](place, value, column)
        for column, value in zip(codec.KLINE_COLUMNS, element, strict=False)
        if column in codec.KLINES.read
    )


def _funding(element: Any, place: _Place) -> tuple[Any, ...]:
    said = place.fields(element, "fundingTime", "fundingRate")
    at_ms = place.stamp(said["fundingTime"], "fundingTime")
    return at_ms, None, place.number(said["fundingRate"], "fundingRate")


def _open_interest(element: Any, place: _Place) -> tuple[Any, ...]:
    said = place.fields(element, "timestamp", "sumOpenInterest", "sumOpenInterestValue")
    end_ms = place.stamp(said["timestamp"], "timestamp")
    amounts = (place.number(said[c], c) for c in ("sumOpenInterest", "sumOpenInterestValue"))
    return end_ms - _BUCKET_MS, *amounts


_BUCKET_MS = int(BUCKET.total_seconds() * 1000)
_READERS: dict[tuple[Any, bool], Callable[[_Place, Any, str], Any]] = {
    (pl.Float64, False): _Place.number,
    (pl.Int64, False): _Place.whole,
    (pl.Int64, True): _Place.stamp,
}
_SHAPES: dict[str, tuple[Format, Callable[[Any, _Place], tuple[Any, ...]]]] = {
    FUNDING: (codec.FUNDING_RATE, _funding),
    METRICS: (codec.METRICS, _open_interest),
}
