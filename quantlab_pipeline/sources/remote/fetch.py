"""A plan carried out: many files at once, each verified, what is there already left alone.

Belongs here: the order of work, its threads, and the account of what came of it. How a server is
asked is `http`'s matter, how a file is kept `mirror`'s.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date
from queue import Empty, SimpleQueue
from urllib.parse import quote

from quantlab_pipeline.sources.archive.layout import KLINES, UM
from quantlab_pipeline.sources.remote.http import HttpClient, RemoteError
from quantlab_pipeline.sources.remote.journal import FETCHED, MENDED, REPLACED, Entry
from quantlab_pipeline.sources.remote.mirror import Held, Mirror, stated_sha256
from quantlab_pipeline.sources.remote.pace import Seconds
from quantlab_pipeline.sources.remote.plan import Absence, FetchPlan, WantedFile

ARCHIVE_URL = "https://data.binance.vision"
NOT_THERE = "not in the archive (404)"
_MOST_FAILURES = 5
_TICK_S = 0.2
_JOIN_S = 2.0


class UnknownSymbolError(RemoteError):
    """The archive has no file at all of a symbol for the days that were asked for."""


@dataclass(frozen=True, slots=True)
class Tick:
    """How far a fetch is: files of the plan, bytes over the wire, seconds since it began.

    `present` counts the files that were there already, which say nothing about the time to come.
    """

    files: int
    of_files: int
    present: int
    received: int
    seconds: float

    @property
    def bytes_per_s(self) -> float:
        """Mean rate so far; 0 at the start."""
        return self.received / self.seconds if self.seconds > 0 else 0.0

    @property
    def left_s(self) -> float | None:
        """Seconds left at the rate of files so far; None before the first came."""
        asked = self.files - self.present
        return self.seconds / asked * (self.of_files - self.files) if asked else None


@dataclass(frozen=True, slots=True)
class Failure:
    """A file that could not be had although the archive lists it."""

    name: str
    problem: str


@dataclass(frozen=True, slots=True)
class Summary:
    """What came of a plan. Every planned file is in one of the first five.

    `fetched` came new, `mended` in place of damaged bytes, `replaced` as a later version of what
    was there; `absent` has days, `received` bytes over the wire, `seconds` the time it took.
    """

    fetched: tuple[Entry, ...]
    mended: tuple[Entry, ...]
    replaced: tuple[Entry, ...]
    present: tuple[str, ...]
    failed: tuple[Failure, ...]
    absent: tuple[Absence, ...]
    received: int
    seconds: float


@dataclass(frozen=True, slots=True)
class FetchRequest:
    """Where from, how many files at once, and whether files that are there are asked for anew."""

    base_url: str = ARCHIVE_URL
    workers: int = 6
    recheck: bool = False

    def url(self, name: str) -> str:
        """The address of a file."""
        return f"{self.base_url.rstrip('/')}/{quote(name)}"


@dataclass(frozen=True, slots=True)
class _Outcome:
    """One file's end: an entry of the journal (new unless `present`), or a problem."""

    wanted: WantedFile
    entry: Entry | None = None
    present: bool = False
    problem: str = ""

    @property
    def absent(self) -> bool:
        return self.entry is None and not self.problem


@dataclass(frozen=True, slots=True)
class _Done:
    """What a worker hands back: outcomes, files that now need to be tried, or its own end."""

    outcomes: list[_Outcome] = field(default_factory=list)
    more: list[WantedFile] = field(default_factory=list)
    error: BaseException | None = None


class _StoppedError(Exception):
    """The fetch ended while this worker was busy."""


def run_fetch(
    plan: FetchPlan,
    mirror: Mirror,
    client: HttpClient,
    request: FetchRequest,
    clock: Seconds,
    *,
    stop: threading.Event,
    progress: Callable[[Tick], None] = lambda _: None,
) -> Summary:
    """Fetch what `plan` names and `mirror` lacks. Stops and starts leave nothing half-written.

    `stop` is set when the fetch ends, however it ends; a client whose `sleep` waits for it wakes.
    RemoteError if the server cannot be reached, bans, or fails too often; UnknownSymbolError, after
    the minute bars, for a symbol of which there is nothing. `progress` is called in this thread.
    """
    with mirror.locked():
        run = _Run(mirror, client, request, clock, stop, progress, len(plan.files))
        try:
            run.start()
            bars = [f for f in plan.files if (f.file.market, f.file.kind) == (UM, KLINES)]
            run.drain(bars)
            _require_known(bars, run.outcomes, request)
            run.drain([f for f in plan.files if f not in set(bars)])
            _require_known(plan.files, run.outcomes, request)
        finally:
            run.end()
        return run.summary(plan)


class _Run:
    """Workers, their queues, and what they brought so far."""

    def __init__(
        self,
        mirror: Mirror,
        client: HttpClient,
        request: FetchRequest,
        clock: Seconds,
        stop: threading.Event,
        progress: Callable[[Tick], None],
        total: int,
    ) -> None:
        self._mirror, self._client, self._request = mirror, client, request
        self._clock, self._stop, self._progress = clock, stop, progress
        self._jobs: SimpleQueue[WantedFile | None] = SimpleQueue()
        self._results: SimpleQueue[_Done] = SimpleQueue()
        self._lock = threading.Lock()
        self._received, self._began_s, self._total = 0, clock(), total
        self.outcomes: list[_Outcome] = []
        self._failed: list[_Outcome] = []
        self._present = 0
        # Daemons: a stalled read must not keep an interrupted command alive.
        self._threads = [
            threading.Thread(target=self._work, name=f"fetch-{i}", daemon=True)
            for i in range(request.workers)
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        self._stop.set()
        for _ in self._threads:
            self._jobs.put(None)
        until_s = self._clock() + _JOIN_S
        for thread in self._threads:
            thread.join(max(0.0, until_s - self._clock()))

    def drain(self, files: Sequence[WantedFile]) -> None:
        """Work until each of `files`, and what they bring up, has an outcome."""
        outstanding = len(files)
        for file in files:
            self._jobs.put(file)
        while outstanding:
            try:
                done = self._results.get(timeout=_TICK_S)
            except Empty:
                self._progress(self._tick())
                continue
            if done.error is not None:
                raise done.error
            self._account(done.outcomes)
            outstanding += len(done.more) - 1
            self._total += len(done.outcomes) + len(done.more) - 1
            for more in done.more:
                self._jobs.put(more)
            self._progress(self._tick())

    def _account(self, outcomes: list[_Outcome]) -> None:
        self.outcomes += outcomes
        self._present += sum(o.present for o in outcomes)
        self._failed += [o for o in outcomes if o.problem]
        if len(self._failed) >= _MOST_FAILURES:
            raise RemoteError(
                f"{len(self._failed)} files could not be fetched, the last because "
                f"{self._failed[-1].problem}",
                "Run again later: what was fetched stays.",
                files=[o.wanted.name for o in self._failed],
            )

    def _tick(self) -> Tick:
        elapsed_s = self._clock() - self._began_s
        return Tick(len(self.outcomes), self._total, self._present, self._received, elapsed_s)

    def summary(self, plan: FetchPlan) -> Summary:
        new = [o.entry for o in self.outcomes if o.entry is not None and not o.present]
        new.sort(key=lambda entry: entry.name)
        return Summary(
            fetched=tuple(e for e in new if e.event == FETCHED),
            mended=tuple(e for e in new if e.event == MENDED),
            replaced=tuple(e for e in new if e.event == REPLACED),
            present=tuple(sorted(o.wanted.name for o in self.outcomes if o.present)),
            failed=tuple(Failure(o.wanted.name, o.problem) for o in self._failed),
            absent=_merged((*plan.absent, *(_absence(o) for o in self.outcomes if o.absent))),
            received=self._received,
            seconds=self._clock() - self._began_s,
        )

    # --- in the workers -----------------------------------------------------------------------

    def _work(self) -> None:
        while (wanted := self._jobs.get()) is not None and not self._stop.is_set():
            try:
                self._results.put(self._file_or_days(wanted))
            except _StoppedError:
                return
            except BaseException as error:  # noqa: BLE001 (raised again in the thread that waits)
                self._results.put(_Done(error=error))
                return

    def _file_or_days(self, wanted: WantedFile) -> _Done:
        """One file; for a month that is not there its days, if any of three of them is."""
        outcome, days = self._one(wanted), wanted.by_day()
        if not outcome.absent or not days:
            return _Done([outcome])
        tried = sorted({0, len(days) // 2, len(days) - 1})
        probes = [self._one(days[i]) for i in tried]
        if all(p.absent for p in probes):
            return _Done([outcome])
        return _Done(probes, [d for i, d in enumerate(days) if i not in tried])

    def _one(self, wanted: WantedFile) -> _Outcome:
        try:
            return self._bring(wanted)
        except RemoteError as error:
            if error.fields.get("status") in {None, 418}:
                raise
            return _Outcome(wanted, problem=error.problem)

    def _bring(self, wanted: WantedFile) -> _Outcome:
        name, url = wanted.name, self._request.url(wanted.name)
        held = self._mirror.whole(name)
        if held is not None and not self._request.recheck:
            return _of_held(wanted, held)
        for _ in range(2):
            checksum = self._checksum(name, url)
            if checksum is None:
                return self._not_there(wanted, url, held)
            if held is not None and held.entry.sha256 == stated_sha256(name, checksum):
                return _of_held(wanted, held)
            entry = self._download(name, url, checksum)
            if entry is not None:
                return _Outcome(wanted, entry)
        return _Outcome(wanted, problem=f"{url} does not match its CHECKSUM file.")

    def _not_there(self, wanted: WantedFile, url: str, held: Held | None) -> _Outcome:
        """What is here stays, although the archive no longer has it."""
        if held is not None:
            return _of_held(wanted, held)
        self._mirror.note_absent(wanted.name, url)
        return _Outcome(wanted)

    def _checksum(self, name: str, url: str) -> bytes | None:
        """The CHECKSUM file, None where there is none."""
        self._heed_stop()
        answer = self._client.get(f"{url}.CHECKSUM")
        if answer.status == 404:
            return None
        if answer.status != 200:
            raise _answered(f"{url}.CHECKSUM", answer.status)
        if stated_sha256(name, answer.body) is None:
            raise RemoteError(
                f"{url}.CHECKSUM is not the CHECKSUM file of its zip.",
                "Check the address and the network between.",
                url=url,
                status=answer.status,
            )
        return answer.body

    def _download(self, name: str, url: str, checksum: bytes) -> Entry | None:
        """The entry of the file now in its place; None if its bytes were not those stated."""
        part = self._mirror.part(name, checksum)
        got = self._client.download(url, part, self._count)
        if got.status != 200:
            raise _answered(url, got.status)
        self._heed_stop()
        entry = self._mirror.place(name, checksum, part, url, got.headers)
        if entry is None:
            part.unlink()
        return entry

    def _count(self, received: int) -> None:
        with self._lock:
            self._received += max(received, 0)
        self._heed_stop()

    def _heed_stop(self) -> None:
        if self._stop.is_set():
            raise _StoppedError


def _of_held(wanted: WantedFile, held: Held) -> _Outcome:
    """There already; but a replacement that a kill kept out of the journal is told now."""
    return _Outcome(wanted, held.entry, present=not (held.news and held.entry.event == REPLACED))


def _answered(url: str, status: int) -> RemoteError:
    return RemoteError(
        f"{url} was refused ({status}).",
        "Check the address, and whether this network may read it.",
        url=url,
        status=status,
    )


def _require_known(
    files: Iterable[WantedFile], outcomes: Iterable[_Outcome], request: FetchRequest
) -> None:
    had = {o.wanted.file.symbol for o in outcomes if not o.absent}
    unknown = sorted({f.file.symbol for f in files} - had)
    if unknown:
        days = sorted(d for f in files for d in f.days if f.file.symbol in unknown)
        raise UnknownSymbolError(
            f"The archive has nothing of {', '.join(unknown)} for {days[0]} .. {days[-1]}.",
            f"Check the symbol and the days: {request.base_url} lists what there is.",
            symbols=unknown,
        )


def _absence(outcome: _Outcome) -> Absence:
    file = outcome.wanted.file
    return Absence(file.market, file.kind, file.symbol, outcome.wanted.days, NOT_THERE)


def _merged(absences: Iterable[Absence]) -> tuple[Absence, ...]:
    """One absence for each series and reason, its days in order."""
    days: dict[tuple[str, str, str, str], set[date]] = {}
    for a in absences:
        days.setdefault((a.market, a.kind, a.symbol, a.reason), set()).update(a.days)
    return tuple(
        Absence(market, kind, symbol, tuple(sorted(found)), reason)
        for (market, kind, symbol, reason), found in sorted(days.items())
    )
