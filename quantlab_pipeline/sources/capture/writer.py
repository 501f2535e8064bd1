"""The backlog onto the disk, and the account of it: which file a line goes to, what is amiss in it.

Belongs here: routing by symbol, sequences and clock offsets of what is written. It runs beside the
event loop, one batch at a time. How a file is kept is `hourly`'s matter.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence as Many
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from quantlab_pipeline.core.clocks import MINUTE_US
from quantlab_pipeline.sources.capture.backlog import Entry
from quantlab_pipeline.sources.capture.control import CLOCK, control_text
from quantlab_pipeline.sources.capture.feed import ID_OF, Feed, read_message
from quantlab_pipeline.sources.capture.hourly import HourlyFiles
from quantlab_pipeline.sources.capture.lines import AGG_TRADE
from quantlab_pipeline.sources.capture.offsets import Offsets, as_us
from quantlab_pipeline.sources.capture.sequence import Sequence

_Stream = tuple[int, str, str]


@dataclass(frozen=True, slots=True)
class Account:
    """What was written so far. `offset_ms` is each market's last median of (local - venue)."""

    messages: int
    bytes_written: int
    repeats: int
    backwards: int
    missing: int
    odd_frames: int
    offset_ms: dict[str, int]


class Writer:
    """Writes the lines of `feeds` below `root`."""

    def __init__(self, feeds: Many[Feed], root: Path) -> None:
        self._feeds = feeds
        self._files = {
            (at, symbol): HourlyFiles(root, feed.market, symbol)
            for at, feed in enumerate(feeds)
            for symbol in feed.symbols
        }
        self._offsets = [Offsets() for _ in feeds]
        self._streams = {
            (at, symbol, kind): Sequence(consecutive=kind == AGG_TRADE)
            for at, symbol in self._files
            for kind in ID_OF
        }
        self._minute: int | None = None
        self._messages = self._odd = 0
        self._last_offset: dict[str, int] = {}

    def write(self, entries: Many[Entry], now_ns: int, connected: Many[bool]) -> None:
        """Write a batch and flush it. `now_ns` is no earlier than any entry's stamp.

        At the first batch of each minute a feed's files get a line with the clock's offset in the
        minute before; where nothing came that tells, it says that the connection stands.
        """
        ids: defaultdict[_Stream, list[tuple[int, int]]] = defaultdict(list)
        events: defaultdict[int, list[tuple[int, int]]] = defaultdict(list)
        for entry in entries:
            symbol = entry.symbol
            if symbol is None:
                symbol = self._route(entry, ids, events)
            self._files[entry.feed, symbol].add(entry.local_ns, entry.payload)
        for stream, seen in ids.items():
            numbers = np.array(seen, np.int64)
            self._streams[stream].take(numbers[:, 0], numbers[:, 1])
        for feed, stamps in events.items():
            both = as_us(stamps)
            self._offsets[feed].take(both[:, 0], both[:, 1])
        began_ns = entries[0].local_ns if entries else now_ns
        self._close_minute(began_ns, now_ns, connected)
        for file in self._files.values():
            file.flush()

    def _route(
        self,
        entry: Entry,
        ids: defaultdict[_Stream, list[tuple[int, int]]],
        events: defaultdict[int, list[tuple[int, int]]],
    ) -> str:
        """The symbol whose file a frame goes to; what names none goes to the feed's first."""
        symbols = self._feeds[entry.feed].symbols
        self._messages += 1
        message = None if entry.control else read_message(entry.payload)
        if message is None or message.kind is None or message.symbol not in symbols:
            self._odd += 1
        if message is None or message.symbol not in symbols:
            return symbols[0]
        local_us = entry.local_ns // 1000
        stream = (entry.feed, message.symbol, message.kind or "")
        if message.number is not None and stream in self._streams:
            ids[stream].append((message.number, local_us))
            if message.event_ms is not None:
                events[entry.feed].append((local_us, message.event_ms * 1000))
        return message.symbol

    def _close_minute(self, began_ns: int, now_ns: int, connected: Many[bool]) -> None:
        minute = now_ns // (MINUTE_US * 1000)
        if self._minute is None:
            self._minute = began_ns // (MINUTE_US * 1000)
        if minute <= self._minute:
            return
        self._minute = minute
        for at, feed in enumerate(self._feeds):
            ended = self._offsets[at].finish_before(minute * MINUTE_US)
            if ended:
                self._last_offset[feed.market] = ended[-1].median_ms
            said = [{"offset_ms": each.median_ms, "n": each.n} for each in ended]
            for fields in said or ([{"n": 0}] if connected[at] else []):
                self.tell(at, now_ns, control_text(CLOCK, **fields))

    def tell(self, feed: int, now_ns: int, payload: str) -> None:
        """A control line into each file of a feed."""
        for symbol in self._feeds[feed].symbols:
            self._files[feed, symbol].add(now_ns, payload)

    def close(self) -> None:
        """End every file; all of it is on the disk then."""
        for file in self._files.values():
            file.close()

    def account(self) -> Account:
        """What was written so far; while no minute has ended, the offset is of the open one."""
        offsets = dict(self._last_offset)
        for feed, tally in zip(self._feeds, self._offsets, strict=True):
            now = tally.medians()
            if now and feed.market not in offsets:
                offsets[feed.market] = now[-1].median_ms
        streams = self._streams.values()
        return Account(
            self._messages,
            sum(f.bytes_written for f in self._files.values()),
            sum(s.repeats for s in streams),
            sum(s.backwards for s in streams),
            sum(s.missing for s in streams),
            self._odd,
            offsets,
        )
