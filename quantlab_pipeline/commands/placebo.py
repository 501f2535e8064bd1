"""`quantlab calibrate --placebo`: a study's count of passes among those of its moved events."""

from __future__ import annotations

import json
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

from quantlab_pipeline.commands.session import Session, UsageError, short_path
from quantlab_pipeline.defs.stage_run import StageRun
from quantlab_pipeline.defs.validation.placebo import (
    CANDIDATES,
    placebo_summary,
    study_placebo,
    write_placebo,
)
from quantlab_pipeline.storage.project_lake import open_market_lake

_LINES = {
    "n_tested": "candidates tested",
    "n_naive": "a plain t-test takes at 5 %",
    "n_nominal": "V1's own p takes at 5 %",
    "n_significant": "Benjamini-Hochberg takes at the budget",
    "n_passed": "V1 passes",
    "best_z": "best z",
}


def placebo_command(session: Session, name: str, *, alone: bool, as_json: bool) -> int:
    """Move the events of study `name`; tell, keep, and end 0.

    UsageError unless `alone`: what is said of generated markets has no meaning here.
    """
    if not alone:
        raise UsageError(
            "--placebo uses a study's own data; --quick, --worlds and --nonce are for markets "
            "that are generated.",
            f"Say only: quantlab calibrate --placebo {name}.",
        )
    study = session.project.study(name)
    market = session.project.market(study.market)
    lake = open_market_lake(session.project, market, session.data, session.clock)
    table = lake.graph.spec(CANDIDATES)
    run = StageRun(session.project, market, lake, table, (study.name,), session.data, session.clock)
    with session.progress(f"placebo {study.name}") as progress:
        placebo = study_placebo(run, progress)
    summary = placebo_summary(run, placebo)
    path = write_placebo(summary, session.artifacts(study))
    if as_json:
        session.out.file.write(json.dumps(summary) + "\n")
        return 0
    session.out.print(_table(summary))
    session.say(_sentence(summary))
    session.say(f"[dim]Every rotation: {short_path(path)}[/]")
    return 0


def _table(summary: dict[str, Any]) -> Table:
    """One line a count: the study, the placebos' mean and range, the rank."""
    title = (
        f"{summary['study']} against {summary['rotations']} rotations of its events by "
        f"{summary['apart_days']} days and more"
    )
    table = Table(title=title, title_justify="left", title_style="bold", box=SIMPLE_HEAD)
    table.add_column("")
    for name in ("study", "placebo mean", "placebo range", "rank"):
        table.add_column(name, justify="right")
    for name, told in _LINES.items():
        values = [row[name] for row in summary["rows"][1:] if row[name] is not None]
        span = f"{_number(min(values))} .. {_number(max(values))}" if values else "-"
        table.add_row(
            told,
            _number(summary["actual"][name]),
            _number(summary["placebo_mean"][name]),
            span,
            f"{summary['rank'][name]:.2f}",
        )
    return table


def _sentence(summary: dict[str, Any]) -> str:
    passed, best = summary["actual"]["n_passed"], 1 / (summary["rotations"] + 1)
    if not passed:
        return "The study passes nothing, and so has nothing that a placebo could explain."
    return (
        f"The study's {passed} passes rank {summary['rank']['n_passed']:.2f} among its placebos "
        f"({best:.2f} is the best there can be). Rotations of one data set depend on each other: "
        "the rank is no p-value."
    )


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.2f}" if isinstance(value, float) else f"{value:,}"
