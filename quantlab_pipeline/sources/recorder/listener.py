"""One connection, kept alive for ever: every frame into the backlog, every hole told in a line.

Belongs here: connecting, noticing that a connection is dead, waiting before the next try. What is
written where is `writer`'s matter.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from quantlab_pipeline.sources.capture.control import (
    DISCONNECTED,
    RECONNECTED,
    SLOW_DISK,
    TEXT,
    binary_text,
    control_text,
)
from quantlab_pipeline.sources.recorder.backlog import Backlog, Entry
from quantlab_pipeline.sources.recorder.feed import Feed, is_one_line

if TYPE_CHECKING:
    from websockets.asyncio.client import ClientConnection

NsClock = Callable[[], int]
"""Nanoseconds since 1970 by the local clock. Passed in; only the rim reads the wall clock."""

_PLANNED, _SILENT = "planned", "silent"
_REASON_LENGTH = 120


@dataclass(frozen=True, slots=True)
class Patience:
    """How long things may take, in seconds.

    A connection is renewed after `lifetime_s` (the venue cuts it after 24 h), and given up if it
    answers no ping for `ping_s`, or has a pulse and says nothing for `silence_s`. Tries are
    `first_wait_s` apart, then twice as long each time up to `longest_wait_s`, and soon again after
    a connection that lasted `steady_s`. `open_s` and `close_s` bound the handshakes.
    """

    lifetime_s: float = 23 * 3600
    silence_s: float = 30
    ping_s: float = 20
    first_wait_s: float = 0.5
    longest_wait_s: float = 30
    steady_s: float = 60
    open_s: float = 10
    close_s: float = 2


@dataclass(slots=True)
class Holes:
    """What a connection missed and how it fares."""

    connected: bool = False
    reconnects: int = 0
    gap_ms: float = 0.0
    failures: int = 0
    slow_waits: int = 0
    slow_s: float = 0.0
    last_reason: str = ""


@dataclass(slots=True)
class Listener:
    """Listens to one feed until it is cancelled. `random` gives numbers from 0 to 1 for jitter."""

    at: int
    feed: Feed
    backlog: Backlog
    clock_ns: NsClock
    random: Callable[[], float]
    patience: Patience
    holes: Holes = field(default_factory=Holes)
    _last_ns: int | None = None
    _waiting_since: float | None = None
    _ended_by: str = ""
    _told_slow: float = float("-inf")

    async def run(self) -> None:
        """Connect, receive, and connect again, for ever."""
        loop = asyncio.get_running_loop()
        tries = 0
        while True:
            began = loop.time()
            reason = await self._once()
            lasted_s = loop.time() - began
            planned = reason == _PLANNED
            tries = 0 if planned or lasted_s >= self.patience.steady_s else tries + 1
            if tries:
                await asyncio.sleep(self._wait_s(tries))

    def _wait_s(self, tries: int) -> float:
        """Twice as long with each try, a random half of it: many recorders do not come at once."""
        longest = self.patience.longest_wait_s
        full = min(longest, self.patience.first_wait_s * 2.0 ** min(tries - 1, 30))
        return full * (0.5 + 0.5 * self.random())

    async def _once(self) -> str:
        """One connection from its opening to its end; why it ended."""
        from websockets.asyncio.client import connect
        from websockets.exceptions import WebSocketException

        patience = self.patience
        opening = connect(
            self.feed.url,
            compression=None,
            open_timeout=patience.open_s,
            close_timeout=patience.close_s,
            ping_interval=patience.ping_s,
            ping_timeout=patience.ping_s,
        )
        self._ended_by = ""
        try:
            async with opening as socket:
                self._opened()
                watch = asyncio.create_task(self._watch(socket))
                try:
                    await self._receive(socket)
                finally:
                    watch.cancel()
        except (OSError, TimeoutError, WebSocketException) as error:
            reason = self._ended_by or _words(error)
        else:
            reason = self._ended_by or "closed"
        self._closed(reason)
        return reason

    async def _receive(self, socket: ClientConnection) -> None:
        loop = asyncio.get_running_loop()
        while True:
            self._waiting_since = loop.time()
            frame = await socket.recv()
            self._last_ns = self.clock_ns()
            self._waiting_since = None
            waited_s = await self.backlog.put(Entry(self.at, self._last_ns, *_payload(frame)))
            if waited_s:
                self._tell_slow(waited_s, loop.time())

    async def _watch(self, socket: ClientConnection) -> None:
        """End a connection that has said nothing for too long, or has lived long enough."""
        loop = asyncio.get_running_loop()
        ends = loop.time() + self.patience.lifetime_s
        step = min(1.0, self.patience.silence_s / 4, self.patience.lifetime_s / 4)
        while True:
            await asyncio.sleep(step)
            now, since = loop.time(), self._waiting_since
            if now >= ends:
                self._ended_by = _PLANNED
                await socket.close()
            elif self.feed.has_pulse and since and now - since > self.patience.silence_s:
                self._ended_by = _SILENT
                socket.transport.abort()

    def _opened(self) -> None:
        if self._last_ns is not None:
            gap_ms = max(0, self.clock_ns() - self._last_ns) / 1e6
            self.holes.reconnects += 1
            self.holes.gap_ms += gap_ms
            self._tell(RECONNECTED, gap_ms=round(gap_ms, 3), tries=self.holes.failures + 1)
        self.holes.connected = True
        self.holes.failures = 0
        self._last_ns = self._last_ns or self.clock_ns()

    def _closed(self, reason: str) -> None:
        if self.holes.connected:
            self._tell(DISCONNECTED, reason=reason)
        else:
            self.holes.failures += 1
        self.holes.connected = False
        self.holes.last_reason = reason

    def _tell_slow(self, waited_s: float, now: float) -> None:
        """Count a wait for the disk; a line tells of it once a second at most."""
        self.holes.slow_waits += 1
        self.holes.slow_s += waited_s
        if now - self._told_slow >= 1:
            self._told_slow = now
            self._tell(SLOW_DISK, waits=self.holes.slow_waits, waited_s=round(self.holes.slow_s, 3))

    def _tell(self, event: str, **fields: object) -> None:
        """A control line into the file of each symbol of the feed."""
        now, text = self.clock_ns(), control_text(event, kinds=self.feed.kinds, **fields)
        for symbol in self.feed.symbols:
            self.backlog.add(Entry(self.at, now, text, symbol, control=True))


def _payload(frame: str | bytes) -> tuple[str, None, bool]:
    if isinstance(frame, bytes):
        return binary_text(frame), None, True
    if is_one_line(frame):
        return frame, None, False
    return control_text(TEXT, text=frame), None, True


def _words(error: BaseException) -> str:
    with contextlib.suppress(Exception):
        return (str(error) or type(error).__name__)[:_REASON_LENGTH]
    return type(error).__name__
