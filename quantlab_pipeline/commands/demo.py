"""`quantlab demo`: two generated markets through every gate, their truth revealed, a leak caught.

Belongs here: the order of the show and whether it went as it should. A gate that stops the null
world is what should happen.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import polars as pl
from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from quantlab_pipeline.calibration.in_memory import documents_of
from quantlab_pipeline.calibration.leak_demo import LEAKED, LeakDemo, run_leak_demo
from quantlab_pipeline.calibration.reveal import Revealed, naive_discoveries
from quantlab_pipeline.commands.session import Progress, Session
from quantlab_pipeline.commands.world import revealed, show
from quantlab_pipeline.core.errors import QuantlabError
from quantlab_pipeline.core.verdicts import ADMITTED, Gate
from quantlab_pipeline.defs.reports.outcome import StudyOutcome

PLANTED, NULL = "planted_edges", "null"
UNEXPECTED = 3
_STOPPED_BY_A_GATE = (0, 3)


class ChildError(QuantlabError):
    """A world's run ended with an error of its own; its message is passed on."""


def demo_command(session: Session) -> int:
    """Run both worlds side by side, open their truth, plant a leak; 0 if all went as it should."""
    session.say("Two generated markets with the same events. In one, two of them move the price.")
    _prepare(session)
    with session.bars(PLANTED, NULL) as bars, ThreadPoolExecutor(2) as pool:
        for done in [
            pool.submit(_run, session, s, b) for s, b in zip((PLANTED, NULL), bars, strict=True)
        ]:
            done.result()
    outcomes = [session.outcome(session.project.study(name)) for name in (PLANTED, NULL)]
    truths = [revealed(session, outcome) for outcome in outcomes]
    session.out.print(_table(outcomes, truths))
    session.say("The truth was sealed before the run and is opened only now:")
    show(session, truths[0])
    leak = _leak(session, outcomes[0])
    _show_leak(session, leak)
    wrong = _surprises(outcomes, truths, leak)
    for sentence in wrong:
        session.err.print(f"[red]Not as it should be:[/] {sentence}", soft_wrap=True)
    _close(session)
    return UNEXPECTED if wrong else 0


def _prepare(session: Session) -> None:
    """Dagster's databases are made once, before two processes use them."""
    from quantlab_pipeline.defs.instance import open_instance, sync_studies

    with open_instance(session.data) as instance:
        sync_studies(instance, session.project)


def _run(session: Session, study: str, progress: Progress) -> None:
    """One study in a process of its own, so that two worlds use two cores."""
    place = ("--project", str(session.project.root), "--data", str(session.data))
    command = [sys.executable, "-m", "quantlab_pipeline.cli", "run", study, "--json", *place]
    with subprocess.Popen(  # noqa: S603 (our own interpreter, no shell)
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as child:
        assert child.stderr is not None
        said = [line for line in child.stderr if not _passed_on(line, study, progress)]
    if child.returncode not in _STOPPED_BY_A_GATE:
        raise ChildError(
            f"The run of {study} ended with code {child.returncode}: {' '.join(said)[-2000:]}",
            f"See it alone: quantlab run {study}.",
            study=study,
        )


def _passed_on(line: str, study: str, progress: Progress) -> bool:
    """Whether `line` was the child's progress, which is then told."""
    start, _, rest = line.strip().partition(": ")
    counts, _, name = rest.partition(" ")
    done, _, total = counts.partition("/")
    if start != study or not (done.isdigit() and total.isdigit()):
        return False
    progress(name, int(done), int(total))
    return True


def _table(outcomes: Sequence[StudyOutcome], truths: Sequence[Revealed]) -> Table:
    table = Table(box=SIMPLE_HEAD)
    table.add_column("world")
    for column in (
        "candidates",
        "a naive t-test keeps",
        "quantlab keeps (V1)",
        "of these truly null",
        "reach the book",
    ):
        table.add_column(column, justify="right")
    for outcome, truth in zip(outcomes, truths, strict=True):
        table.add_row(
            outcome.study.name,
            f"{outcome.candidates.height:,}",
            str(naive_discoveries(outcome.candidates).height),
            f"[bold]{truth.survivors.height}[/]",
            str(truth.false_discoveries),
            str(_in_book(outcome)),
        )
    return table


def _in_book(outcome: StudyOutcome) -> int:
    """Strategies with a weight in a book that gate P admits."""
    verdict = next(g.outcome for g in outcome.gates if g.gate is Gate.P)
    frame = outcome.table("portfolio")
    if frame is None or verdict not in ADMITTED:
        return 0
    return frame.filter(pl.col("weight") > 0).height


def _leak(session: Session, outcome: StudyOutcome) -> LeakDemo:
    market, study = outcome.market, outcome.study
    load = partial(session.project.scenario, str(market.source.scenario))
    documents = documents_of(session.project, study)
    with session.progress("a leak on purpose") as progress:
        return run_leak_demo(load, documents, market, study.seed, progress)


def _show_leak(session: Session, demo: LeakDemo) -> None:
    session.say(
        f"Now one leaked column, [bold]{LEAKED}[/], goes in among {demo.n_honest} honest ones."
    )
    for leak in demo.leaks:
        ahead = "" if leak.reach_s is None else f", {leak.reach_s:g} s ahead"
        session.say(
            f"  PIT-1 FAIL ({leak.attack}): {leak.feature}, first row {leak.symbol} "
            f"{leak.ts:%Y-%m-%d %H:%M} UTC, saw {leak.source or 'several tables'}{ahead}"
        )
    session.say(f"  PIT-1 PASS: {demo.n_green} of {demo.n_honest} honest columns")


def _surprises(
    outcomes: Sequence[StudyOutcome], truths: Sequence[Revealed], demo: LeakDemo
) -> list[str]:
    """What did not go as it should, a sentence each."""
    planted, null = truths
    found = set(planted.survivors["event_type"])
    missed = sorted(set(planted.planted["event_type"]) - found)
    leaked = {leak.feature for leak in demo.leaks}
    checks = (
        (bool(missed), f"planted but not found: {', '.join(missed)}."),
        (
            null.survivors.height > 0,
            f"{null.survivors.height} candidates passed in the null world.",
        ),
        (_in_book(outcomes[0]) == 0, "nothing of the planted world reached the book."),
        (leaked != {LEAKED}, f"PIT-1 named {', '.join(sorted(leaked)) or 'nothing'}."),
        (demo.n_green != demo.n_honest, "PIT-1 refused honest columns."),
    )
    return [sentence for wrong, sentence in checks if wrong]


def _close(session: Session) -> None:
    data = escape(str(session.data))
    session.say(f"Everything lies in {data}. What to type next:")
    for command, what in (
        (f"quantlab why --study {PLANTED}", "the best candidate that was refused, and why"),
        ("quantlab ui", "the same in Dagster's UI"),
        ("quantlab run --source freqtrade --path user_data/data/binance", "your own data"),
    ):
        session.say(f"  {command:<64}{what}")
