"""Where the official archive keeps what: names of files, and which file holds which day.

Belongs here: the folder layout alone. Daily files win over monthly ones, day by day; a row belongs
to the file of the calendar day of its own stamp.
"""

from __future__ import annotations

import calendar
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date

UM, SPOT = "futures/um", "spot"
KLINES, HOURLY = "klines", "klines:1h"
MARK, INDEX, PREMIUM = "markPriceKlines", "indexPriceKlines", "premiumIndexKlines"
FUNDING, METRICS, BOOK, AGG_TRADES = "fundingRate", "metrics", "bookTicker", "aggTrades"
"""The series of a market. Klines are of one minute but for the hourly ones, which are totals."""

_INTERVALS = {KLINES: "1m", HOURLY: "1h", MARK: "1m", INDEX: "1m", PREMIUM: "1m"}
_NAME = re.compile(
    r"(?:data/)?(?P<market>futures/um|spot)/(?P<period>daily|monthly)/(?P<folder>\w+)/(?P<symbol>\w+)/"
    r"(?:(?P<interval>1m|1h)/)?(?P=symbol)-(?P<label>1m|1h|\w+)-"
    r"(?P<date>\d{4}-\d{2}(?:-\d{2})?)\.zip"
)


@dataclass(frozen=True, slots=True, order=True)
class ArchiveFile:
    """One zip of the archive: `first` and `last` are the calendar days (UTC) it covers."""

    first: date
    last: date
    name: str
    market: str
    kind: str
    symbol: str

    @property
    def daily(self) -> bool:
        """True for a file of one day."""
        return "/daily/" in self.name


def archive_name(market: str, kind: str, symbol: str, period: date, *, daily: bool) -> str:
    """The official name of a file, below the folder that holds `data/`."""
    folder, interval = kind.partition(":")[0], _INTERVALS.get(kind)
    label, place = (interval, f"{symbol}/{interval}") if interval else (kind, symbol)
    stamp = period.isoformat() if daily else period.strftime("%Y-%m")
    span = "daily" if daily else "monthly"
    return f"data/{market}/{span}/{folder}/{place}/{symbol}-{label}-{stamp}.zip"


def archive_file(name: str) -> ArchiveFile | None:
    """What `name` says of itself, or None if it is no file that we read."""
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    folder, interval, stamp = match["folder"], match["interval"], match["date"]
    kind = f"{folder}:{interval}" if f"{folder}:{interval}" in _INTERVALS else folder
    daily = match["period"] == "daily"
    if interval != _INTERVALS.get(kind) or match["label"] != (interval or folder):
        return None
    if (len(stamp) == 10) != daily:
        return None
    year, month = int(stamp[:4]), int(stamp[5:7])
    if not 1 <= month <= 12:
        return None
    day = int(stamp[8:]) if daily else 1
    last = day if daily else calendar.monthrange(year, month)[1]
    first_day, last_day = date(year, month, day), date(year, month, last)
    return ArchiveFile(first_day, last_day, name, match["market"], kind, match["symbol"])


def choose(files: Iterable[ArchiveFile], days: Sequence[date]) -> dict[date, ArchiveFile]:
    """The file that holds each of `days`: its daily file, else its month's; absent without one."""
    chosen: dict[date, ArchiveFile] = {}
    ordered = sorted(files)
    for day in days:
        holders = [f for f in ordered if f.first <= day <= f.last]
        if holders:
            chosen[day] = next((f for f in holders if f.daily), holders[0])
    return chosen
