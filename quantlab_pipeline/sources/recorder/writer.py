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
from quantlab_pipeline.sources.capture.control import CLOCK, control_text
from quantlab_pipeline.sources.capture.lines import AGG_TRADE
from quantlab_pipeline.sources.capture.offsets import Offsets, as_us
from quantlab_pipeline.sources.capture.sequence import Sequence
from quantlab_pipeline.sources.recorder.backlog import Entry
from quantlab_pipeline.sources.recorder.feed import ID_OF, Feed, read_message
from quantlab_pipeline.sources.recorder.hourly import HourlyFiles

_Stream = tuple[str, str, str]


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
        keys = dict.fromkeys((f.market, symbol) for f in feeds for symbol in f.symbols)
        self._files = {key: HourlyFiles(root, *key) for key in keys}
        self._offsets = {feed.market: Offsets() for feed in feeds}
        self._streams = {
            (*key, kind): Sequence(consecutive=kind == AGG_TRADE) for key in keys for kind in ID_OF
        }
        self._minute: int | None = None
        self._messages = self._odd = 0
        self._last_offset: dict[str, int] = {}

    def write(self, entries: Many[Entry], now_ns: int, connected: Many[bool]) -> None:
        """Write a batch and flush it. `now_ns` is no earlier than any entry's stamp.

        At the first batch of each minute a market's files get a line with the clock's offset in the
        minute before; where nothing came that tells, it says that all its connections stand.
        """
        ids: defaultdict[_Stream, list[tuple[int, int]]] = defaultdict(list)
        events: defaultdict[str, list[tuple[int, int]]] = defaultdict(list)
        for entry in entries:
            symbol = entry.symbol
            if symbol is None:
                symbol = self._route(entry, ids, events)
            market = self._feeds[entry.feed].market
            self._files[market, symbol].add(entry.local_ns, entry.payload)
        for stream, seen in ids.items():
            numbers = np.array(seen, np.int64)
            self._streams[stream].take(numbers[:, 0], numbers[:, 1])
        for market, stamps in events.items():
            both = as_us(stamps)
            self._offsets[market].take(both[:, 0], both[:, 1])
        began_ns = entries[0].local_ns if entries else now_ns
        self._close_minute(began_ns, now_ns, connected)
        for file in self._files.values():
            file.flush()

    def _route(
        self,
        entry: Entry,
        ids: defaultdict[_Stream, list[tuple[int, int]]],
        events: defaultdict[str, list[tuple[int, int]]],
    ) -> str:
        """The symbol whose file a frame goes to; what names none goes to the feed's first."""
        market, symbols = self._feeds[entry.feed].market, self._feeds[entry.feed].symbols
        self._messages += 1
        message = None if entry.control else read_message(entry.payload)
        if message is None or message.kind is None or message.symbol not in symbols:
            self._odd += 1
        if message is None or message.symbol not in symbols:
            return symbols[0]
        local_us = entry.local_ns // 1000
        stream = (market, message.symbol, message.kind or "")
        if message.number is not None and stream in self._streams:
            ids[stream].append((message.number, local_us))
            if message.event_ms is not None:
                events[market].append((local_us, message.event_ms * 1000))
        return message.symbol

    def _close_minute(self, began_ns: int, now_ns: int, connected: Many[bool]) -> None:
        minute = now_ns // (MINUTE_US * 1000)
        if self._minute is None:
            self._minute = began_ns // (MINUTE_US * 1000)
        if minute <= self._minute:
            return
        self._minute = minute
        for market, offsets in self._offsets.items():
            ended = offsets.finish_before(minute * MINUTE_US)
            if ended:
                self._last_offset[market] = ended[-1].median_ms
            stands = all(
                up for feed, up in zip(self._feeds, connected, strict=True) if feed.market == market
            )
            said = [{"offset_ms": each.median_ms, "n": each.n} for each in ended]
            for fields in said or ([{"n": 0}] if stands else []):
                self._tell(market, now_ns, control_text(CLOCK, **fields))

    def tell(self, now_ns: int, event: str) -> None:
        """A control line into every file, with the addresses of its market."""
        for market in self._offsets:
            urls = [feed.url for feed in self._feeds if feed.market == market]
            self._tell(market, now_ns, control_text(event, urls=urls))

    def _tell(self, market: str, now_ns: int, payload: str) -> None:
        for (of, _), file in self._files.items():
            if of == market:
                file.add(now_ns, payload)

    def close(self) -> None:
        """End every file; all of it is on the disk then."""
        for file in self._files.values():
            file.close()

    def account(self) -> Account:
        """What was written so far; while no minute has ended, the offset is of the open one."""
        offsets = dict(self._last_offset)
        for market, tally in self._offsets.items():
            now = tally.medians()
            if now and market not in offsets:
                offsets[market] = now[-1].median_ms
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
