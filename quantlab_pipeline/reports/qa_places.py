"""Instants at fault as a person reads them: a few ranges of one day in place of many stamps.

Belongs here: the exact folding of instants into evenly spaced ranges and back, and their text.
Which instants are at fault is the QA report's matter.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

MINUTE = timedelta(minutes=1)
WIDEST_STEP = timedelta(hours=1)
FEWEST_IN_STEP = 6
"""Fewer instants some minutes apart are a coincidence; from here on they are a rhythm."""


@dataclass(frozen=True, slots=True)
class PlaceRange:
    """`count` instants from `first`, `step` apart."""

    first: datetime
    step: timedelta
    count: int

    @property
    def last(self) -> datetime:
        """The last instant, included."""
        return self.first + self.step * (self.count - 1)


def fold(places: Sequence[datetime]) -> list[PlaceRange]:
    """Ascending instants as ranges; `expand` of them gives the same instants back.

    A range is at least two instants a minute apart, or FEWEST_IN_STEP some other whole minutes, up
    to an hour; every other instant stands alone.
    """
    ranges: list[PlaceRange] = []
    at = 0
    while at < len(places):
        count = _evenly(places, at)
        step = places[at + 1] - places[at] if count > 1 else MINUTE
        ranges.append(PlaceRange(places[at], step, count))
        at += count
    return ranges


def _evenly(places: Sequence[datetime], at: int) -> int:
    """How many instants from `at` on make one range."""
    if at + 1 == len(places):
        return 1
    step = places[at + 1] - places[at]
    if not MINUTE <= step <= WIDEST_STEP or step % MINUTE:
        return 1
    end = at + 1
    while end < len(places) and places[end] - places[end - 1] == step:
        end += 1
    count = end - at
    return count if step == MINUTE or count >= FEWEST_IN_STEP else 1


def expand(ranges: Iterable[PlaceRange]) -> list[datetime]:
    """The inverse of `fold`."""
    return [r.first + r.step * i for r in ranges for i in range(r.count)]


def places_text(places: Sequence[datetime], day: date, most: int | None = None) -> str:
    """`10:03-10:47 (45), 11:12`; with `most`, so many ranges and how many places are left.

    UTC. Midnight that closes `day` is 24:00; an instant of another day is written with its date.
    """
    ranges = fold(places)
    shown = ranges if most is None else ranges[:most]
    text = ", ".join(_range_text(r, day) for r in shown)
    left = len(places) - sum(r.count for r in shown)
    return f"{text} and {left:,} more" if left else text


def _range_text(places: PlaceRange, day: date) -> str:
    first = instant_text(places.first, day)
    if places.count == 1:
        return first
    rhythm = "" if places.step == MINUTE else f" every {places.step // MINUTE} min"
    return f"{first}-{instant_text(places.last, day)}{rhythm} ({places.count:,})"


def instant_text(at: datetime, day: date) -> str:
    """`10:03`, with seconds where it has some, with its date where it is not of `day`."""
    midnight = datetime.combine(day, time(), UTC)
    if at == midnight + timedelta(days=1):
        return "24:00"
    clock = f"{at:%H:%M}"
    if at.second or at.microsecond:
        clock = f"{at:%H:%M:%S}" + (f".{at:%f}".rstrip("0") if at.microsecond else "")
    return clock if midnight < at <= midnight + timedelta(days=1) else f"{at:%Y-%m-%d} {clock}"
