"""`quantlab fetch`: files of the official archive into a folder, for a study or as they are named.

Belongs here: what the words of the command line come to, and what a person is told. The choice of
files, the network and the folder are `sources.remote`'s.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from itertools import groupby
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from quantlab_pipeline.commands.session import Progress, Session, UsageError
from quantlab_pipeline.core.clocks import days_between
from quantlab_pipeline.core.seeds import generator
from quantlab_pipeline.sources.remote.fetch import FetchRequest, Summary, Tick, run_fetch
from quantlab_pipeline.sources.remote.http import HttpClient, HttpSettings
from quantlab_pipeline.sources.remote.mirror import Mirror
from quantlab_pipeline.sources.remote.plan import FETCHABLE, Absence, FetchPlan, plan_fetch
from quantlab_pipeline.storage.objects import write_atomic

ARCHIVES = ("binance_archive", "binance")
"""Kinds of sources whose folder is a mirror of the archive."""

UNASKED = ("tob_snapshots", "agg_trades_perp", "agg_trades_spot")
"""Not fetched unless asked for by name: gigabytes a month and symbol."""

FAILED = 2
_LINES_OFF_TERMINAL = 20
_ABSENCES_SHOWN = 20


@dataclass(frozen=True, slots=True)
class FetchOptions:
    """What the command line says; None is for the study, or nobody, to decide."""

    study: str | None
    symbols: tuple[str, ...] | None
    first_day: date | None
    last_day: date | None
    datasets: tuple[str, ...] | None
    out: Path | None
    request: FetchRequest
    dry_run: bool
    as_json: bool


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What to fetch into which folder, and what can be done with it afterwards."""

    folder: Path
    datasets: tuple[str, ...]
    symbols: tuple[str, ...]
    days: list[date]
    then: str


def fetch_command(session: Session, options: FetchOptions) -> int:
    """Fetch, say what came of it; 0, or 2 if a file that is published could not be had."""
    wanted = _wanted(session, options)
    mirror = Mirror(wanted.folder, write=write_atomic, clock=session.clock)
    today = session.clock().date()
    plan = plan_fetch(wanted.datasets, wanted.symbols, wanted.days, today, mirror.has)
    _require_files(plan, wanted, today)
    if options.dry_run:
        _show_plan(session, options, wanted, plan, mirror)
        return 0
    with session.progress("fetch") as progress:
        shown = _shown(progress, every=session.err.is_terminal)
        summary = _fetch(session, options.request, plan, mirror, shown)
    code = FAILED if summary.failed else 0
    if options.as_json:
        body = {**_head(options, wanted, plan), "exit_code": code, **_body(summary)}
        session.out.file.write(json.dumps(body) + "\n")
    else:
        _show(session, wanted, summary)
    return code


def _fetch(
    session: Session,
    request: FetchRequest,
    plan: FetchPlan,
    mirror: Mirror,
    progress: Callable[[Tick], None],
) -> Summary:
    stop = threading.Event()
    # Each process waits its own random while, or many would come back at once.
    jitter = generator(os.getpid(), "fetch", session.clock().isoformat()).random
    client = HttpClient(
        HttpSettings(connections=request.workers),
        sleep=stop.wait,
        clock=time.monotonic,
        jitter=jitter,
        environment=os.environ,
    )
    with client:
        return run_fetch(
            plan, mirror, client, request, time.monotonic, stop=stop, progress=progress
        )


# --- what is wanted ----------------------------------------------------------------------------


def _wanted(session: Session, options: FetchOptions) -> _Wanted:
    named = (options.symbols, options.first_day, options.last_day, options.out)
    if options.study is not None and any(n is not None for n in named):
        raise UsageError(
            "A study says itself which symbols and days it needs, and its market where they go.",
            "Leave out --study, or --symbols, --from, --to and --out.",
        )
    if options.study is not None:
        return _of_study(session, options.study, options.datasets)
    symbols, first, last, out = named
    if not symbols or first is None or last is None or out is None:
        raise UsageError(
            "Name a study, or symbols, days and a folder.",
            "Examples: quantlab fetch --study STUDY; quantlab fetch --symbols BTCUSDT "
            "--from 2024-01-01 --to 2024-03-31 --out DIR.",
        )
    if last < first:
        raise UsageError(f"--to {last} is before --from {first}.", "Swap them.")
    datasets = options.datasets or tuple(d for d in FETCHABLE if d not in UNASKED)
    then = f"quantlab run --source binance_archive --path {out}"
    return _Wanted(out, datasets, symbols, days_between(first, last), then)


def _of_study(session: Session, name: str, datasets: tuple[str, ...] | None) -> _Wanted:
    study = session.project.study(name)
    market = session.project.market(study.market)
    study.require_within(market)
    kind = market.source.kind
    if kind not in ARCHIVES:
        raise UsageError(
            f"Study {name} reads a source of kind {kind}, which is no folder of the archive.",
            "Name symbols, days and a folder instead: --symbols, --from, --to, --out.",
            study=name,
        )
    folder = market.source.folder(session.project.root, os.environ)
    asked = datasets or tuple(sorted(market.datasets))
    return _Wanted(folder, asked, study.symbols, study.days, f"quantlab run {name}")


def _require_files(plan: FetchPlan, wanted: _Wanted, today: date) -> None:
    if plan.files:
        return
    span = f"{wanted.days[0]} .. {wanted.days[-1]}"
    if wanted.days[0] >= today:
        raise UsageError(
            f"{span} is not over yet: the archive publishes a day after it has ended.",
            f"The last day that may be there is {today - timedelta(days=1)}.",
        )
    reasons = "; ".join(sorted({f"{a.market} {a.kind}: {a.reason}" for a in plan.absent}))
    raise UsageError(f"There is no file to fetch for {span}: {reasons}.", "Choose other days.")


# --- what a person is told ---------------------------------------------------------------------


def _shown(progress: Progress, *, every: bool) -> Callable[[Tick], None]:
    """Ticks as steps of a bar; where each is a line, only some of them."""
    said = -1

    def show(tick: Tick) -> None:
        nonlocal said
        step = tick.files * _LINES_OFF_TERMINAL // max(tick.of_files, 1)
        if every or step > said:
            said = step
            progress(_pace(tick), tick.files, tick.of_files)

    return show


def _pace(tick: Tick) -> str:
    left = "" if tick.left_s is None else f", {_time(tick.left_s)} left"
    return f"files, {_mb(tick.received)}, {_mb(tick.bytes_per_s)}/s{left}"


def _mb(size: float) -> str:
    return f"{size / 1e6:.1f} MB"


def _time(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes}:{rest:02d}"


def _show(session: Session, wanted: _Wanted, summary: Summary) -> None:
    came = [
        (len(summary.fetched), "fetched"),
        (len(summary.present), "there already"),
        (len(summary.mended), "damaged and fetched again"),
        (len(summary.replaced), "replaced by the archive"),
        (len(summary.failed), "failed"),
    ]
    counts = ", ".join(f"{n} {what}" for n, what in came if n) or "nothing"
    rate = summary.received / summary.seconds if summary.seconds > 0 else 0.0
    took = f"; {_mb(summary.received)} in {_time(summary.seconds)} ({_mb(rate)}/s)"
    session.say(f"{escape(str(wanted.folder))}: {counts}{took if summary.received else ''}")
    for entry in summary.replaced:
        kept = f"; the old one is kept as {Path(entry.kept_as).name}" if entry.kept_as else ""
        session.say(f"[yellow]replaced[/] {escape(entry.name)}{escape(kept)}")
    _show_absent(session, summary.absent)
    for failure in summary.failed:
        session.err.print(f"[red]failed[/] {escape(failure.problem)}", soft_wrap=True)
    again = "run it again for what failed; then " if summary.failed else ""
    session.say(f"Next        {again}{escape(wanted.then)}")


def _show_absent(session: Session, absent: Sequence[Absence]) -> None:
    for one in absent[:_ABSENCES_SHOWN]:
        where = f"{one.market} {one.kind} {one.symbol} {_ranges(one.days)}"
        session.say(f"[dim]absent[/]   {escape(where)}: {escape(one.reason)}")
    if len(absent) > _ABSENCES_SHOWN:
        session.say(f"[dim]absent[/]   and {len(absent) - _ABSENCES_SHOWN} more; --json has all")


def _ranges(days: Sequence[date]) -> str:
    """Days as spans: `2024-03-01 .. 2024-03-04, 2024-03-09`; the first three of many."""
    runs = []
    for _, run in groupby(enumerate(days), key=lambda item: item[1].toordinal() - item[0]):
        span = [day for _, day in run]
        runs.append(str(span[0]) if len(span) == 1 else f"{span[0]} .. {span[-1]}")
    more = f" and {len(runs) - 3} spans more" if len(runs) > 3 else ""
    return ", ".join(runs[:3]) + more


def _show_plan(
    session: Session, options: FetchOptions, wanted: _Wanted, plan: FetchPlan, mirror: Mirror
) -> None:
    there = Counter((f.file.market, f.file.kind) for f in plan.files if mirror.has(f.name))
    if options.as_json:
        body = {
            **_head(options, wanted, plan),
            "present": sum(there.values()),
            "files": [f.name for f in plan.files],
            "absent": [_absence(a) for a in plan.absent],
        }
        session.out.file.write(json.dumps(body) + "\n")
        return
    days = f"{wanted.days[0]} .. {wanted.days[-1]}"
    table = Table(
        title=f"{', '.join(wanted.symbols)}, {days}", title_justify="left", box=SIMPLE_HEAD
    )
    table.add_column("series", no_wrap=True)
    for name in ("months", "days", "there already"):
        table.add_column(name, justify="right")
    kinds = {(f.file.market, f.file.kind) for f in plan.files}
    for market, kind in sorted(kinds):
        files = [f.file for f in plan.files if (f.file.market, f.file.kind) == (market, kind)]
        daily = sum(f.daily for f in files)
        counts = (len(files) - daily, daily, there[market, kind])
        table.add_row(f"{market} {kind}", *map(str, counts))
    session.out.print(table)
    _show_absent(session, plan.absent)
    n_there = sum(there.values())
    session.say(
        f"{len(plan.files)} files from {escape(options.request.base_url)} to "
        f"{escape(str(wanted.folder))}: {n_there} are there, {len(plan.files) - n_there} to fetch"
    )
    session.say("Next        the same without --dry-run")


def _head(options: FetchOptions, wanted: _Wanted, plan: FetchPlan) -> dict[str, Any]:
    return {
        "study": options.study,
        "folder": str(wanted.folder),
        "base_url": options.request.base_url,
        "planned": len(plan.files),
    }


def _body(summary: Summary) -> dict[str, Any]:
    return {
        "fetched": [e.name for e in summary.fetched],
        "mended": [e.name for e in summary.mended],
        "replaced": [asdict(e) for e in summary.replaced],
        "present": len(summary.present),
        "failed": [asdict(f) for f in summary.failed],
        "absent": [_absence(a) for a in summary.absent],
        "bytes": summary.received,
        "seconds": round(summary.seconds, 3),
    }


def _absence(absence: Absence) -> dict[str, Any]:
    return {**asdict(absence), "days": [day.isoformat() for day in absence.days]}
