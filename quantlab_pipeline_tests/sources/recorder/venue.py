"""A websocket server on this machine that says what a test wrote down, and misbehaves as told."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from websockets.asyncio.server import ServerConnection, serve

from quantlab_pipeline.sources.recorder.feed import ROUTES, Feed
from quantlab_pipeline.sources.recorder.recorder import Pace, Patience, Recorder, Status

SYMBOL = "BTCUSDT"
DROP, CLOSE, HANG = object(), object(), object()
"""End the connection without a word, end it in order, or say and hear nothing any more."""

HASTE = Patience(first_wait_s=0.01, longest_wait_s=0.05, open_s=5, close_s=0.5)
SOON = Pace(flush_s=0.02, report_s=0)

Script = Iterable[object]


@dataclass
class Venue:
    """What each connection is told, in the order in which they come; later ones hear nothing."""

    scripts: list[Script]
    url: str = ""
    asked: list[str] = field(default_factory=list)
    sent: int = 0
    over: asyncio.Event = field(default_factory=asyncio.Event)
    marks: dict[int, asyncio.Event] = field(default_factory=dict)

    async def until_sent(self, n: int, limit_s: float = 60) -> None:
        """Wait until `n` frames were sent, over all connections."""
        if self.sent < n:
            await asyncio.wait_for(self.marks.setdefault(n, asyncio.Event()).wait(), limit_s)

    async def serve(self, socket: ServerConnection) -> None:
        self.asked.append(socket.request.path)
        script = self.scripts[len(self.asked) - 1] if len(self.asked) <= len(self.scripts) else ()
        for step in script:
            if step is DROP:
                socket.transport.close()
                return
            if step is CLOSE:
                return
            if step is HANG:
                socket.transport.pause_reading()
                await self.over.wait()
                return
            if isinstance(step, float):
                await asyncio.sleep(step)
                continue
            await socket.send(step)
            self.sent += 1
            if self.sent in self.marks:
                self.marks[self.sent].set()
        await socket.wait_closed()


@contextlib.asynccontextmanager
async def venue(*scripts: Script) -> AsyncIterator[Venue]:
    """A server whose n-th connection plays the n-th script: frames, pauses in seconds, and ends."""
    made = Venue(list(scripts))
    async with serve(made.serve, "127.0.0.1", 0, compression=None, ping_interval=None) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        made.url = f"ws://127.0.0.1:{port}"
        yield made
        # A hung connection does not close itself.
        made.over.set()
        for socket in list(server.connections):
            socket.transport.abort()


class Ticking:
    """A clock that goes on by a step each time it is read."""

    def __init__(self, start_ns: int, step_ns: int = 1_000_000) -> None:
        self.now_ns, self.step_ns = start_ns, step_ns

    def __call__(self) -> int:
        self.now_ns += self.step_ns
        return self.now_ns


def recorder(
    out: Path, venues: dict[str, Venue], clock: Callable[[], int], symbols=(SYMBOL,), **options
) -> Recorder:
    feeds = [
        Feed(m, tuple(symbols), f"{v.url}/stream?streams=x", sum(ROUTES[m].values(), ()))
        for m, v in venues.items()
    ]
    options = {"patience": HASTE, "pace": SOON, "random": lambda: 0.5, **options}
    return Recorder(feeds, out, clock, **options)


async def record_until(made: Recorder, enough: Callable[[Status], bool], limit_s=20.0) -> Status:
    """Record until a status is `enough`."""
    stop = asyncio.Event()

    def report(status: Status) -> None:
        if enough(status):
            stop.set()

    made.report = report
    return await asyncio.wait_for(made.run(stop), limit_s)


def record(out, scripts: Sequence[Script], clock, enough, market="usdm", **options) -> Status:
    """Record one market's scripts until `enough`."""

    async def go() -> Status:
        async with venue(*scripts) as served:
            made = recorder(out, {market: served}, clock, **options)
            return await record_until(made, enough)

    return asyncio.run(go())


def lines_in(out: Path, pattern: str = "**/*.gz") -> list[tuple[int, str]]:
    """(stamp, payload) of every line, file by file."""
    found = []
    for path in sorted(out.glob(pattern), key=lambda p: (p.parent, _order(p))):
        for raw in gzip.decompress(path.read_bytes()).decode().splitlines():
            stamp, _, payload = raw.partition(" ")
            found.append((int(stamp), payload))
    return found


def _order(path: Path) -> tuple[str, int]:
    head, _, part = path.name.removesuffix(".gz").partition("-")
    return head, int(part or 1)


def sent_in(out: Path, pattern: str = "**/*.gz") -> list[str]:
    """What the venue sent, without the recorder's own lines."""
    return [payload for _, payload in lines_in(out, pattern) if "!quantlab" not in payload]


def own_in(out: Path, event: str, pattern: str = "**/*.gz") -> list[dict]:
    """The recorder's own lines of one kind."""
    said = [json.loads(p)["data"] for _, p in lines_in(out, pattern) if "!quantlab" in p]
    return [data for data in said if data["e"] == event]


def quote(u: int, symbol: str = SYMBOL, event_ms: int | None = None) -> str:
    data: dict[str, object] = {"u": u, "s": symbol, "b": "99", "B": "1", "a": "101", "A": "1"}
    if event_ms is not None:
        data |= {"E": event_ms, "T": event_ms}
    return _message(f"{symbol.lower()}@bookTicker", data)


def trade(number: int, symbol: str = SYMBOL, event_ms: int = 0) -> str:
    numbers = {"E": event_ms, "T": event_ms, "a": number, "f": number, "l": number}
    amounts = {"s": symbol, "p": "100", "q": "1", "m": False}
    return _message(f"{symbol.lower()}@aggTrade", {"e": "aggTrade", **numbers, **amounts})


def _message(stream: str, data: dict[str, object]) -> str:
    return json.dumps({"stream": stream, "data": data}, separators=(",", ":"))
