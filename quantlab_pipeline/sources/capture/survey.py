"""What is wrong with one leg's capture: counted and placed, before any row is made of it.

Belongs here: the counts of the walk over the files, and the findings they become. A finding counts
for the day of the local stamp, and its places are the closes of the minutes it lies in. What the
clock's offset does to a row's stamp is `known`'s matter.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from datetime import date, datetime, timedelta

import numpy as np
import polars as pl

from quantlab_pipeline.core.clocks import DAY_US, MINUTE_US, from_us, to_us
from quantlab_pipeline.core.findings import Finding, finding_at
from quantlab_pipeline.research.market_data.parsed import Origin
from quantlab_pipeline.sources.capture.control import RECONNECTED, STARTED, ControlLine
from quantlab_pipeline.sources.capture.layout import CaptureFile
from quantlab_pipeline.sources.capture.lines import AGG_TRADE, BOOK, TRADE, Piece
from quantlab_pipeline.sources.capture.offsets import Instants, Offsets, as_us
from quantlab_pipeline.sources.capture.sequence import Sequence

CLOCK_OFFSET, NO_EVENT_TIME = "clock_offset", "no_event_time"
SEQUENCE_GAPS, GARBAGE_LINES, TRUNCATED_FILE = "sequence_gaps", "garbage_lines", "truncated_file"
NON_MARKET_TRADES = "non_market_trades"
OUTSIDE_FILE = "outside_file"
CAPTURE_CHECKS = (
    CLOCK_OFFSET,
    NO_EVENT_TIME,
    SEQUENCE_GAPS,
    GARBAGE_LINES,
    TRUNCATED_FILE,
    NON_MARKET_TRADES,
)
"""What is looked for in a capture alone."""

AHEAD_LIMIT_MS, BEHIND_LIMIT_MS = 500, -100
"""A minute whose median of (local - venue) is above the one or below the other is a finding."""
_NAMED = 5
_SEEN_BEFORE = timedelta(days=1)
"""A recorder that rested longer begins anew: a day is read with the day before, not further."""


class Survey:
    """The account of one leg, filled by a walk over its files in order."""

    def __init__(self) -> None:
        self.offsets = Offsets()
        self.breaks: list[tuple[datetime, datetime]] = []
        """Stretches in which trades may have been lost with a connection."""
        self._book = Sequence()
        self._at: defaultdict[str, Counter[int]] = defaultdict(Counter)
        self._notes: defaultdict[tuple[str, date], list[str]] = defaultdict(list)
        self._quotes: Counter[date] = Counter()
        self._broken: Counter[date] = Counter()
        self._last: datetime | None = None

    def take(self, file: CaptureFile, piece: Piece) -> None:
        """Count one piece."""
        book = piece.messages[BOOK]
        for kind in (BOOK, TRADE, AGG_TRADE):
            timed = piece.messages[kind].drop_nulls("event")
            self.offsets.take(_us(timed["local"]), _us(timed["event"]))
        self._count(NO_EVENT_TIME, _us(book.filter(pl.col("event").is_null())["local"]))
        arrived = _us(book["local"])
        self._quotes.update(_days(arrived))
        self._count(SEQUENCE_GAPS, arrived[self._book.take(book["u"].to_numpy(), arrived)])
        self._garbage(file, piece)
        for line in piece.control:
            self._break_at(line)
        if piece.heard.len():
            self._last = piece.heard[-1]

    def outside(self, file: CaptureFile, local: pl.Series) -> None:
        """Count messages that are stamped outside their file's hour or day."""
        first = file.start + timedelta(microseconds=1)
        self._count(OUTSIDE_FILE, _us(local.clip(first, file.end)))
        self._note(OUTSIDE_FILE, file.day, f"set aside from {file.name}")

    def damaged(self, file: CaptureFile, damage: str) -> None:
        """Note that a file could not be read to its end."""
        first = file.start + timedelta(microseconds=1)
        at = max(first, self._last or first)
        self._count_one(TRUNCATED_FILE, at, f"{file.name}: {damage}")

    def _count(self, check: str, local_us: Instants) -> None:
        closes, counts = np.unique(_closes(local_us), return_counts=True)
        self._at[check].update(dict(zip(closes.tolist(), counts.tolist(), strict=True)))

    def _count_one(self, check: str, at: datetime, note: str) -> None:
        close = _close(at)
        self._at[check][close] += 1
        self._note(check, _day(close), note)

    def _note(self, check: str, day: date, note: str) -> None:
        notes = self._notes[check, day]
        if len(notes) < _NAMED and note not in notes:
            notes.append(note)

    def _garbage(self, file: CaptureFile, piece: Piece) -> None:
        before = self._last if self._last is not None else file.start
        # An instant of the file's own day, so that it is counted with no other file than this.
        first = file.start + timedelta(microseconds=1)
        stamp = pl.col("local").fill_null(before).clip(first, file.end)
        bad = piece.garbage.with_columns(stamp)
        self._count(GARBAGE_LINES, _us(bad["local"]))
        for line, local in bad.head(_NAMED).iter_rows():
            self._note(GARBAGE_LINES, _day(_close(local)), f"{file.name}:{line}")

    def _break_at(self, line: ControlLine) -> None:
        gap_ms = line.fields.get("gap_ms")
        if line.event == RECONNECTED and isinstance(gap_ms, int | float):
            since = from_us(to_us(line.local) - int(gap_ms * 1000))
            note = f"the connection was lost for {gap_ms / 1000:.1f} s"
        elif line.event == STARTED and self._last and line.local - self._last < _SEEN_BEFORE:
            since, note = self._last, "the recorder was started again"
        else:
            return
        kinds = line.fields.get("kinds", [BOOK, TRADE])
        if {TRADE, AGG_TRADE}.intersection(kinds):
            self.breaks.append((since, line.local))
        if BOOK in kinds:
            self._broken[_day(_close(line.local))] += 1
            self._count_one(SEQUENCE_GAPS, line.local, note)

    def findings(self, origin: Origin, dataset: str, checks: Iterable[str]) -> list[Finding]:
        """Those of `checks` that were found on `origin`'s days, one a day, under `dataset`."""
        found: list[Finding] = []
        for check in checks:
            for day in origin.days:
                at = self._clock(day) if check == CLOCK_OFFSET else self._counts(check, day)
                if at:
                    total = sum(at.values())
                    detail = self._detail(check, day, total)
                    places = map(from_us, at)
                    found.append(
                        finding_at(dataset, check, origin.symbol, day, places, detail, total)
                    )
        return found

    def _counts(self, check: str, day: date) -> dict[int, int]:
        return {us: n for us, n in self._at[check].items() if _day(us) == day}

    def _clock(self, day: date) -> dict[int, int]:
        return {
            minute.minute_us + MINUTE_US: 1
            for minute in self.offsets.medians()
            if not BEHIND_LIMIT_MS <= minute.median_ms <= AHEAD_LIMIT_MS
            and _day(minute.minute_us + MINUTE_US) == day
        }

    def _detail(self, check: str, day: date, total: int) -> str:
        if check == CLOCK_OFFSET:
            return self._clock_detail(day)
        if check == NO_EVENT_TIME:
            return f"{total} of {self._quotes[day]} quotes carry no time of the venue"
        notes = list(self._notes[check, day])
        if check == SEQUENCE_GAPS and (ids := total - self._broken[day]):
            notes.append(f"{ids} update ids repeat or go back")
        return "; ".join(notes)

    def _clock_detail(self, day: date) -> str:
        closing = {m.minute_us + MINUTE_US: m.median_ms for m in self.offsets.medians()}
        off = sorted(closing[us] for us in self._clock(day))
        median = off[len(off) // 2]
        side = "behind" if median < 0 else "ahead of"
        return (
            f"local clock {abs(median) / 1000:.2f} s {side} the venue "
            f"({abs(off[0]) / 1000:.2f} to {abs(off[-1]) / 1000:.2f} s)"
        )


def _us(stamps: pl.Series) -> Instants:
    return as_us(stamps.dt.epoch("us").to_numpy())


def _closes(local_us: Instants) -> Instants:
    return as_us(((local_us - 1) // MINUTE_US + 1) * MINUTE_US)


def _close(local: datetime) -> int:
    return int(_closes(as_us([to_us(local)]))[0])


def _day(close_us: int) -> date:
    return from_us(close_us - 1).date()


def _days(local_us: Instants) -> dict[date, int]:
    days, counts = np.unique((local_us - 1) // DAY_US, return_counts=True)
    pairs = zip(days.tolist(), counts.tolist(), strict=True)
    return {from_us(day * DAY_US).date(): count for day, count in pairs}
