"""Bad data, counted and located. A finding is a value, never an exception and never a repair."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import date, datetime


class Severity(enum.StrEnum):
    """How a gate treats a finding: FATAL stops its item, WARN is shown, INFO is counted."""

    FATAL = "FATAL"
    WARN = "WARN"
    INFO = "INFO"


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
