"""`quantlab record`: quotes, marks and trades of a venue's websockets into files, until stopped.

Belongs here: signals, the clock and the randomness of a recording, and what a person sees of it.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from quantlab_pipeline.core.clocks import MINUTE
from quantlab_pipeline.core.seeds import generator
from quantlab_pipeline.sources.recorder.feed import Feed, RecorderError, feeds
from quantlab_pipeline.sources.recorder.recorder import Recorder, Status

NsClock = Callable[[], int]
_STOPS = (signal.SIGINT, signal.SIGTERM)
_PLAIN_WIDTH = 200


@dataclass(frozen=True, slots=True)
class Recording:
    """What was asked for on the command line."""

    symbols: tuple[str, ...]
    out: Path
    markets: tuple[str, ...]
    seconds: float | None = None
    bases: tuple[str, ...] = ()


def record_command(asked: Recording, clock_ns: NsClock) -> int:
    """Record until SIGINT, SIGTERM or the asked seconds; 0 after each of them, one line of how.

    `clock_ns` reads the local clock in nanoseconds since 1970.
    """
    wanted = feeds(asked.markets, asked.symbols, dict(map(_base, asked.bases)))
    _require_folder(asked.out)
    err = Console(stderr=True, highlight=False)
    with _shown(err, wanted) as show:
        status = asyncio.run(_record(asked, wanted, clock_ns, show))
    sys.stdout.write(f"recorded {_words(status)}, in {asked.out}\n")
    return 0


def _base(text: str) -> tuple[str, str]:
    market, equals, url = text.partition("=")
    if not equals:
        raise RecorderError(
            f"--base-url {text} names no market.", "Give MARKET=URL, such as usdm=ws://host:port."
        )
    return market, url


def _require_folder(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RecorderError(
            f"The folder {out} cannot be made: {error.strerror}.", "Name another with --out."
        ) from error


async def _record(
    asked: Recording, wanted: list[Feed], clock_ns: NsClock, show: Callable[[Status], None]
) -> Status:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for each in _STOPS:
        loop.add_signal_handler(each, stop.set)
    if asked.seconds is not None:
        loop.call_later(asked.seconds, stop.set)
    random = generator(clock_ns(), "record", "waits").random
    recorder = Recorder(wanted, asked.out, clock_ns, lambda: float(random()), show)
    return await recorder.run(stop)


@contextmanager
def _shown(err: Console, wanted: list[Feed]) -> Iterator[Callable[[Status], None]]:
    """A status line that stays in place on a terminal, and a line a minute elsewhere."""
    asked = dict.fromkeys((feed.market, *feed.symbols) for feed in wanted)
    names = ", ".join(" ".join(words) for words in asked)
    title = f"recording {names}; Ctrl-C ends it"
    if err.is_terminal:
        with err.status(escape(title)) as line:
            yield lambda status: line.update(escape(_words(status)))
        return
    plain = Console(stderr=True, highlight=False, width=_PLAIN_WIDTH)
    plain.print(escape(title), soft_wrap=True)
    said = 0.0

    def say(status: Status) -> None:
        nonlocal said
        if status.elapsed_s - said >= MINUTE.total_seconds():
            said = status.elapsed_s
            plain.print(escape(_words(status)), soft_wrap=True)

    yield say


def _words(status: Status) -> str:
    """A status in one line."""
    seen = status.account
    words = [
        f"{seen.messages:,} messages, {seen.bytes_written / 1e6:.1f} MB, {status.elapsed_s:,.0f} s",
        f"{status.reconnects} gaps ({status.gap_ms / 1000:.1f} s)",
        f"{seen.repeats} repeated, {seen.backwards} late, {seen.missing} missing",
    ]
    words += [
        f"{market} clock {abs(ms)} ms {'behind' if ms < 0 else 'after'} the venue"
        for market, ms in sorted(seen.offset_ms.items())
    ]
    if seen.odd_frames:
        words.append(f"{seen.odd_frames} odd frames")
    if status.slow_waits:
        words.append(f"the disk is slow: waited {status.slow_waits} times, {status.slow_s:.1f} s")
    if status.connected < status.feeds and status.last_reason:
        words.append(
            f"{status.connected} of {status.feeds} connections stand ({status.last_reason})"
        )
    return "; ".join(words)
