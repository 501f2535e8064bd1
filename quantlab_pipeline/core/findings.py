"""Bad data, counted and located. A finding is a value, never an exception and never a repair."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime


@dataclass(frozen=True, slots=True)
class Finding:
    """One check's count on one (dataset, symbol, day); `count` 0 says that it was looked for.

    `places` are the instants at fault, ascending, once each; of a book's messages, their minutes.
    """

    dataset: str
    check: str
    symbol: str
    day: date
    count: int
    first_ts: datetime | None
    detail: str
    places: tuple[datetime, ...] = ()


def finding_at(
    dataset: str,
    check: str,
    symbol: str,
    day: date,
    at: Iterable[datetime],
    detail: str,
    count: int | None = None,
) -> Finding:
    """A finding whose places are the instants `at`, at least one, in any order.

    It counts as many as there are, repeated ones too, or `count`.
    """
    every = list(at)
    places = tuple(sorted(set(every)))
    n = len(every) if count is None else count
    return Finding(dataset, check, symbol, day, n, places[0], detail, places)
