"""A recording from its start to its end: listeners, one writer, and what is said meanwhile.

Belongs here: how the parts run together and end together. What a listener or the writer does stands
in their own modules; where the clock, the randomness and the wish to stop come from is the rim's.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from quantlab_pipeline.sources.capture.control import STARTED, STOPPED
from quantlab_pipeline.sources.recorder.backlog import Backlog
from quantlab_pipeline.sources.recorder.feed import Feed, RecorderError
from quantlab_pipeline.sources.recorder.listener import Holes, Listener, NsClock, Patience
from quantlab_pipeline.sources.recorder.writer import Account, Writer

_END_S = 5.0
"""How long connections may take to say goodbye; what they still send then is not waited for."""


@dataclass(frozen=True, slots=True)
class Pace:
    """`flush_s`: how often lines are made safe; `backlog_bytes`: what may wait for the disk."""

    flush_s: float = 0.5
    backlog_bytes: int = 32 * 1024 * 1024
    report_s: float = 1.0


@dataclass(frozen=True, slots=True)
class Status:
    """How a recording stands."""

    elapsed_s: float
    account: Account
    connected: int
    feeds: int
    reconnects: int
    gap_ms: float
    slow_waits: int
    slow_s: float
    last_reason: str


@dataclass(slots=True)
class Recorder:
    """Records `feeds` below `root`.

    `random` gives numbers from 0 to 1, for the waits between tries; `report` is called about every
    `pace.report_s` seconds, in the event loop.
    """

    feeds: Sequence[Feed]
    root: Path
    clock_ns: NsClock
    random: Callable[[], float]
    report: Callable[[Status], None] = lambda _: None
    patience: Patience = field(default_factory=Patience)
    pace: Pace = field(default_factory=Pace)

    async def run(self, stop: asyncio.Event) -> Status:
        """Record until `stop` is set, then make all lines safe and say how it went.

        Connections that fail are tried again for ever. RecorderError if the disk fails.
        """
        try:
            return await self._record(stop)
        except OSError as error:
            raise RecorderError(
                f"{self.root} cannot be written: {error.strerror}. What came before is kept.",
                "Mend the disk or free some of it, and record again: nothing is overwritten.",
            ) from error

    async def _record(self, stop: asyncio.Event) -> Status:
        began = asyncio.get_running_loop().time()
        backlog = Backlog(self.pace.backlog_bytes)
        writer = Writer(self.feeds, self.root)
        writer.tell(self.clock_ns(), STARTED)
        listeners = [
            Listener(at, feed, backlog, self.clock_ns, self.random, self.patience)
            for at, feed in enumerate(self.feeds)
        ]
        holes = [listener.holes for listener in listeners]
        listening = [asyncio.create_task(listener.run()) for listener in listeners]
        ending = asyncio.Event()
        writing = asyncio.create_task(self._write(writer, backlog, holes, ending, began))
        asked = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait([asked, writing, *listening], return_when=asyncio.FIRST_COMPLETED)
        finally:
            await _end([asked, *listening])
            ending.set()
            backlog.due.set()
        await writing
        for task in listening:
            _raise_from(task)
        await asyncio.to_thread(self._finish, writer)
        return self._status(writer, holes, began)

    async def _write(
        self,
        writer: Writer,
        backlog: Backlog,
        holes: Sequence[Holes],
        ending: asyncio.Event,
        began: float,
    ) -> None:
        """Write what has come about every `flush_s`, and the rest at the end."""
        loop = asyncio.get_running_loop()
        reported = began
        while True:
            last = ending.is_set()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(backlog.due.wait(), 0 if last else self.pace.flush_s)
            entries, now_ns = backlog.drain(), self.clock_ns()
            connected = [h.connected for h in holes]
            await asyncio.to_thread(writer.write, entries, now_ns, connected)
            if loop.time() - reported >= self.pace.report_s:
                reported = loop.time()
                self.report(self._status(writer, holes, began))
            if last:
                return

    def _finish(self, writer: Writer) -> None:
        writer.tell(self.clock_ns(), STOPPED)
        writer.close()

    def _status(self, writer: Writer, holes: Sequence[Holes], began: float) -> Status:
        reasons = [h.last_reason for h in holes if h.last_reason and not h.connected]
        return Status(
            asyncio.get_running_loop().time() - began,
            writer.account(),
            sum(h.connected for h in holes),
            len(holes),
            sum(h.reconnects for h in holes),
            sum(h.gap_ms for h in holes),
            sum(h.slow_waits for h in holes),
            sum(h.slow_s for h in holes),
            reasons[0] if reasons else "",
        )


async def _end(tasks: Sequence[asyncio.Task[object]]) -> None:
    """Cancel tasks and wait for them, but not for ever."""
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks, timeout=_END_S)


def _raise_from(task: asyncio.Task[None]) -> None:
    """What ended a task that should have gone on, if anything but our own wish did."""
    if task.done() and not task.cancelled() and (error := task.exception()) is not None:
        raise error
