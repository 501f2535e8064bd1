"""What every command starts from: the project, its data, two consoles, progress, gate tables.

Belongs here: what more than one command needs. Results go to stdout, everything else to stderr.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar
from rich.table import Table

from quantlab_pipeline.core.clocks import Clock
from quantlab_pipeline.core.errors import QuantlabError
from quantlab_pipeline.core.verdicts import Outcome
from quantlab_pipeline.defs.reports.outcome import StudyOutcome, study_outcome
from quantlab_pipeline.reports.board_data import GateSummary
from quantlab_pipeline.research.study import StudySpec
from quantlab_pipeline.storage.project_lake import market_root, open_market_lake, project_of
from quantlab_pipeline.storage.spec_files import Project

Progress = Callable[[str, int, int], None]

COLOURS = {
    Outcome.PASS: "green",
    Outcome.WAIVED: "yellow",
    Outcome.FAIL: "red",
    Outcome.UNDERPOWERED: "yellow",
    Outcome.NOT_EVALUABLE: "dim",
}
_PLAIN_WIDTH = 120
_REASONS_SHOWN = 3


class UsageError(QuantlabError):
    """The command line asks for something that cannot be."""


class NothingRunError(QuantlabError):
    """A question about a study that has not been run, or not since its specs or code changed."""


def console(*, stderr: bool = False) -> Console:
    """A console; off a terminal it is wide and plain, so that lines stay whole."""
    made = Console(stderr=stderr, highlight=False)
    return made if made.is_terminal else Console(stderr=stderr, highlight=False, width=_PLAIN_WIDTH)


@dataclass(frozen=True)
class Session:
    """One command's surroundings."""

    project: Project
    data: Path
    clock: Clock
    out: Console = field(default_factory=console)
    err: Console = field(default_factory=lambda: console(stderr=True))

    def say(self, text: str) -> None:
        """One line on stdout, never broken."""
        self.out.print(text, soft_wrap=True)

    def outcome(self, study: StudySpec) -> StudyOutcome:
        """What the lake now says of `study`."""
        market = self.project.market(study.market)
        lake = open_market_lake(self.project, market, self.data, self.clock)
        return study_outcome(self.project, market, study, lake, self.data, self.clock)

    def artifacts(self, study: StudySpec) -> Path:
        """Folder of a study's artifacts."""
        return market_root(self.data, study.market) / "artifacts" / study.name

    def study(self, name: str | None) -> StudySpec:
        """The study `name`, or the one that ran last. NothingRunError if none did."""
        if name is not None:
            return self.project.study(name)
        found = sorted(
            (path.stat().st_mtime_ns, path.parent.name)
            for path in self.data.glob("lake/*/artifacts/*/run_manifest.json")
        )
        known = set(self.project.names("studies"))
        last = next((study for _, study in reversed(found) if study in known), None)
        if last is None:
            raise NothingRunError(
                f"No study has been run in {self.data}.",
                "Run one first: quantlab run STUDY, or quantlab demo.",
                data=str(self.data),
            )
        return self.project.study(last)

    @contextmanager
    def progress(self, title: str) -> Iterator[Progress]:
        """A bar on stderr as long as the work goes; a line a step where it is no terminal."""
        with self.bars(title) as (one,):
            yield one

    @contextmanager
    def bars(self, *titles: str) -> Iterator[list[Progress]]:
        """A bar for each of `titles`, for work that goes side by side."""
        if not self.err.is_terminal:
            yield [partial(_line, self.err, title) for title in titles]
            return
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("[dim]{task.fields[step]}"),
        )
        with Bar(*columns, console=self.err, transient=True) as bar:
            tasks = [bar.add_task(title, total=None, step="") for title in titles]
            yield [partial(_advance, bar, task) for task in tasks]


def _line(to: Console, title: str, name: str, done: int, total: int) -> None:
    to.print(escape(f"{title}: {done}/{total} {name}"), soft_wrap=True)


def _advance(bar: Bar, task: TaskID, name: str, done: int, total: int) -> None:
    bar.update(task, completed=done, total=total, step=name)


def open_session(root: Path | None, data: Path | None, clock: Clock) -> Session:
    """The project at `root` and its data (`<root>/data` where not given). SpecError if none."""
    project = Project(root)
    project.require_specs()
    place = (data or project.root / "data").absolute()
    return Session(project_of(root, place), place, clock)


def short_path(path: Path) -> str:
    """Relative to the working directory where it lies below it."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


def gate_table(title: str, gates: list[GateSummary]) -> Table:
    """One line a gate: verdict, how many items it admitted of those it judged, main reasons."""
    table = Table(title=title, title_justify="left", title_style="bold", box=SIMPLE_HEAD)
    table.add_column("gate", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    table.add_column("passed", justify="right")
    table.add_column("judged", justify="right")
    table.add_column("main reasons", overflow="fold")
    for gate in gates:
        colour = COLOURS[gate.outcome]
        reasons = ", ".join(f"{code} x{n}" for code, n in gate.reasons[:_REASONS_SHOWN])
        waived = f"waived: {gate.waiver}" if gate.waiver else ""
        table.add_row(
            gate.gate.value,
            f"[{colour}]{gate.outcome.value}[/]",
            str(gate.admitted),
            str(gate.judged),
            escape("; ".join(filter(None, (waived, reasons)))),
        )
    return table
