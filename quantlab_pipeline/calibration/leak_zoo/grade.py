"""What gate PIT-1 said of each animal, beside what it should have said.

Belongs here: reading a report, without any hint to the gate. The report is `zoo`'s.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import polars as pl

from quantlab_pipeline.calibration.leak_zoo.animals import ANIMALS, Animal
from quantlab_pipeline.calibration.leak_zoo.pair import Sin
from quantlab_pipeline.core.clocks import TS
from quantlab_pipeline.core.verdicts import ItemVerdict, Outcome
from quantlab_pipeline.research.features.leaks import Attack, Leak, Pit1Report

ATTACKS_OF: Mapping[Sin, tuple[Attack, ...]] = {
    "future": ("prefix", "poison"),
    "lookback": ("lookback",),
    "warmup": ("warmup",),
}
"""The attacks that must find each sin."""


GRADES: dict[str, pl.DataType | type[pl.DataType]] = {
    "name": pl.String,
    "kind": pl.String,
    "story": pl.String,
    "expected": pl.String,
    "verdict": pl.String,
    "reasons": pl.String,
    "symbol": pl.String,
    "ts": TS,
    "source": pl.String,
    "planted": pl.String,
    "reach_min": pl.Float64,
    "open_ended": pl.Boolean,
    "n_compared": pl.Int64,
    "right": pl.Boolean,
}
"""The columns of `grade_zoo`."""


def grade_zoo(report: Pit1Report) -> pl.DataFrame:
    """One row an animal: `name`, `kind` (leak or twin), `story`; what was `expected` and the
    `verdict`, with its `reasons`; of the first row that the sin's attacks changed `symbol` and
    `ts`, the `source` found there beside the `planted` one, and how far it saw, `reach_min`
    (`open_ended`: at least so far); `n_compared` values that were compared; and whether all this is
    `right`.

    A leak is right where an attack for its sin found it and names its input: every such finding the
    table, one at least the column (of a row that came or went, the table is all that there is to
    name). A twin is right where it passes on values that were compared.
    """
    said: dict[str, list[ItemVerdict]] = {}
    for verdicts in report.verdicts.values():
        for verdict in verdicts:
            said.setdefault(verdict.item, []).append(verdict)
    rows = [
        _graded(ANIMALS[name], verdicts, [k for k in report.leaks if k.feature == name])
        for name, verdicts in said.items()
    ]
    return pl.DataFrame(rows, GRADES, orient="row")


def _graded(animal: Animal, verdicts: list[ItemVerdict], leaks: list[Leak]) -> dict[str, Any]:
    outcomes = {v.outcome for v in verdicts}
    verdict = Outcome.FAIL if Outcome.FAIL in outcomes else min(outcomes)
    reasons = sorted({reason for v in verdicts for reason in v.reasons})
    compared = sum(int(v.measured["compared_values"][0] or 0) for v in verdicts if v.measured)
    own = [leak for leak in leaks if leak.attack in ATTACKS_OF[animal.sin]]
    found = own or leaks
    first = min(found, key=lambda leak: (leak.ts, leak.symbol), default=None)
    furthest = max((k for k in found if k.reach_s is not None), key=_reach, default=None)
    sources = sorted({leak.source for leak in found if leak.source is not None})
    if animal.kind == "leak":
        right = verdict is Outcome.FAIL and bool(own) and _named(animal.sees, sources)
    else:
        right = verdict is Outcome.PASS and compared > 0 and not leaks
    return {
        "name": animal.name,
        "kind": animal.kind,
        "story": animal.story,
        "expected": (Outcome.FAIL if animal.kind == "leak" else Outcome.PASS).value,
        "verdict": verdict.value,
        "reasons": ", ".join(reasons),
        "symbol": first and first.symbol,
        "ts": first and first.ts,
        "source": ", ".join(sources) or None,
        "planted": animal.sees,
        "reach_min": furthest and _reach(furthest) / 60,
        "open_ended": furthest and furthest.open_ended,
        "n_compared": compared,
        "right": right,
    }


def _named(sees: str | None, sources: list[str]) -> bool:
    """Whether the findings name `sees`: all of them its table, and one its column if it has one."""
    if sees is None:
        return not sources
    table, _, column = sees.partition(".")
    one_table = {source.partition(".")[0] for source in sources} == {table}
    return one_table and (not column or sees in sources)


def _reach(leak: Leak) -> float:
    return leak.reach_s or 0.0


def confusion(graded: pl.DataFrame) -> dict[tuple[str, str], int]:
    """How many animals of each kind got each verdict, by (kind, verdict)."""
    counted = graded.group_by("kind", "verdict").len().sort("kind", "verdict")
    return {(kind, verdict): n for kind, verdict, n in counted.iter_rows()}


COLUMNS: Mapping[str, Callable[[dict[str, Any]], str]] = {
    "animal": lambda row: row["name"],
    "kind": lambda row: row["kind"],
    "verdict": lambda row: row["verdict"] if row["right"] else f"{row['verdict']} (wrong)",
    "reasons": lambda row: row["reasons"],
    "through": lambda row: row["source"] or "",
    "first row": lambda row: f"{row['symbol']} {row['ts']:%m-%d %H:%M}" if row["ts"] else "",
    "reach": lambda row: _told_reach(row["reach_min"], row["open_ended"]),
    "compared": lambda row: f"{row['n_compared']:,}",
    "what it does": lambda row: row["story"],
}


def zoo_table(graded: pl.DataFrame) -> tuple[list[str], list[list[str]]]:
    """The grades for a person: the headings, and the cells of each animal."""
    rows = graded.iter_rows(named=True)
    return list(COLUMNS), [[cell(row) for cell in COLUMNS.values()] for row in rows]


def _told_reach(minutes: float | None, open_ended: bool | None) -> str:
    if minutes is None:
        return ""
    return f"{minutes:.3g} min{' or more' if open_ended else ''}"
