"""Where a folder of captures keeps what: names of files, and which day a file is of.

Belongs here: names alone. A third party's file holds a day, `usdm/btcusdt_20240808.gz` (or
`.dat.gz`); the recorder's holds an hour, `usdm/btcusdt_20240808T23.gz`, and what it writes after a
restart in that hour is a part of its own, `usdm/btcusdt_20240808T23-2.gz`. Days and hours are of
the recorder's own clock, UTC.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from quantlab_pipeline.core.clocks import day_start

USDM, SPOT = "usdm", "spot"
MARKETS = (USDM, SPOT)
LEGS = {USDM: "perp", SPOT: "spot"}
"""Folders, and the leg that each is."""

_DAY, _HOUR = timedelta(days=1), timedelta(hours=1)
_NAME = re.compile(
    r"(?:.*/)?(?P<market>usdm|spot)/(?:.*/)?(?P<symbol>\w+?)_(?P<day>\d{8})"
    r"(?:T(?P<hour>[01]\d|2[0-3])(?:-(?P<part>[1-9]\d*))?)?(?:\.dat)?\.gz"
)


@dataclass(frozen=True, slots=True, order=True)
class CaptureFile:
    """One file: lines stamped from `start` until before `end`; `part` counts restarts."""

    start: datetime
    end: datetime
    part: int
    name: str
    market: str
    symbol: str

    @property
    def day(self) -> date:
        """The calendar day (UTC, the recorder's clock) that the file is of."""
        return self.start.date()

    def bears_on(self, day: date) -> bool:
        """Whether rows of `day` may depend on this file.

        A trade just before midnight arrives after it, and a book stands overnight.
        """
        return abs((self.day - day).days) <= 1


def capture_name(market: str, symbol: str, hour: datetime, part: int = 1) -> str:
    """The recorder's name for the `part`-th file of an hour."""
    suffix = f"-{part}" if part > 1 else ""
    return f"{market}/{symbol.lower()}_{hour:%Y%m%dT%H}{suffix}.gz"


def capture_file(name: str) -> CaptureFile | None:
    """What `name` says of itself, or None if it is no capture."""
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    stamp = match["day"]
    try:
        start = day_start(date(int(stamp[:4]), int(stamp[4:6]), int(stamp[6:])))
    except ValueError:
        return None
    end = start + _DAY
    if match["hour"]:
        start = start.astimezone(UTC) + int(match["hour"]) * _HOUR
        end = start + _HOUR
    part = int(match["part"] or 1)
    return CaptureFile(start, end, part, name, match["market"], match["symbol"].upper())


def bearing_on(files: Iterable[CaptureFile], days: Sequence[date]) -> list[CaptureFile]:
    """Files on which rows of `days` may depend, in the order of time."""
    return sorted(f for f in files if any(f.bears_on(day) for day in days))
