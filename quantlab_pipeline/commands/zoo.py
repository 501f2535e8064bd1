"""`quantlab zoo`: fifty leaks as people write them, each with an honest twin, before gate PIT-1."""

from __future__ import annotations

import json

from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from quantlab_pipeline.calibration.leak_zoo.grade import confusion, zoo_table
from quantlab_pipeline.calibration.leak_zoo.zoo import ZooRun, run_zoo
from quantlab_pipeline.commands.session import Session
from quantlab_pipeline.core.verdicts import Outcome

WRONG = 3
_SHOWN = ("animal", "verdict", "reasons", "through", "reach")


def zoo_command(session: Session, seed: int, *, as_json: bool) -> int:
    """Show what the gate says of each leak and twin on a market of `seed`; 3 if any is wrong."""
    with session.progress("zoo") as progress:
        run = run_zoo(session.project.gates().pit1, seed, progress=progress)
    if as_json:
        rows = [{**row, "ts": row["ts"] and row["ts"].isoformat()} for row in run.graded.to_dicts()]
        session.out.out(json.dumps({"seed": seed, "animals": rows}), highlight=False)
    else:
        session.out.print(_table(run))
        session.say(_sentence(run))
    return WRONG if run.wrong.height else 0


def _table(run: ZooRun) -> Table:
    """One line a leak; a twin only where it was accused."""
    table = Table(title="Leaks before PIT-1", title_justify="left", box=SIMPLE_HEAD)
    for name in _SHOWN:
        table.add_column(name, overflow="fold")
    headings, rows = zoo_table(run.graded)
    for row in rows:
        told = dict(zip(headings, row, strict=True))
        if told["kind"] == "leak" or told["verdict"] != Outcome.PASS.value:
            table.add_row(*(escape(told[name]) for name in _SHOWN))
    return table


def _sentence(run: ZooRun) -> str:
    found = confusion(run.graded)
    n_leaks = sum(n for (kind, _), n in found.items() if kind == "leak")
    n_twins = sum(n for (kind, _), n in found.items() if kind == "twin")
    red, green = found.get(("leak", "FAIL"), 0), found.get(("twin", "PASS"), 0)
    return (
        f"{red} of {n_leaks} leaks are red and {green} of {n_twins} honest twins are green; "
        f"{run.wrong.height} wrong. Seed {run.seed}."
    )
