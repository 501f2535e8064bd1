"""What was received and is not written yet, bounded: a slow disk slows receiving, and fills no
memory. What is done with it is `listener`'s and `writer`'s matter.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

OVERHEAD_BYTES = 200
"""What an entry weighs beside its text."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One line to write: for `symbol`, or (None) for whichever its text names."""

    feed: int
    local_ns: int
    payload: str
    symbol: str | None = None
    control: bool = False


class Backlog:
    """Entries in the order of arrival. One event loop puts and drains; nothing is ever dropped."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit = limit_bytes
        self._entries: list[Entry] = []
        self._bytes = 0
        self._room, self.due = asyncio.Event(), asyncio.Event()

    async def put(self, entry: Entry) -> float:
        """Add an entry once there is room; the seconds that it had to wait.

        Cancelled while it waits, it is added at once: what was received is written.
        """
        loop = asyncio.get_running_loop()
        since = loop.time() if self._bytes >= self._limit else None
        while self._bytes >= self._limit:
            self.due.set()
            self._room.clear()
            try:
                await self._room.wait()
            except asyncio.CancelledError:
                self.add(entry)
                raise
        self.add(entry)
        return 0.0 if since is None else loop.time() - since

    def add(self, entry: Entry) -> None:
        """Add an entry whether or not there is room: for the few that must not wait."""
        self._entries.append(entry)
        self._bytes += len(entry.payload) + OVERHEAD_BYTES
        if 2 * self._bytes >= self._limit:
            self.due.set()

    def drain(self) -> list[Entry]:
        """Everything that waits, which makes room."""
        entries, self._entries, self._bytes = self._entries, [], 0
        self.due.clear()
        self._room.set()
        return entries
