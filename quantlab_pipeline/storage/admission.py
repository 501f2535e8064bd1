"""What a gate lets through: the files, rows and columns of a table that its verdicts admit.

Belongs here: from manifests and current verdicts to a plan of what may be read. Whether verdicts
are current was asked before (`storage.currency`); opening files is `storage.scans`' work.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from quantlab_pipeline.core.errors import GateNotPassedError
from quantlab_pipeline.core.tables import TableSpec
from quantlab_pipeline.core.verdicts import ADMITTED, Gate, ItemVerdict, Outcome
from quantlab_pipeline.storage.currency import Problem
from quantlab_pipeline.storage.manifests import FileEntry, Manifest
from quantlab_pipeline.storage.table_graph import COLUMN_ITEMS
from quantlab_pipeline.storage.verdicts import GateRecord

SHOWN = 5


@dataclass(frozen=True, slots=True)
class Part:
    """What may be read of one partition: files, columns (the others are null), items of rows.

    `items` is None where every row of the files may be read.
    """

    partition: str
    files: tuple[FileEntry, ...]
    columns: tuple[str, ...]
    items: frozenset[str] | None = None


def refusal(table: str, gate: Gate | None, problems: Sequence[Problem]) -> GateNotPassedError:
    """The error for `problems`, with the command that mends them."""
    shown = "; ".join(str(p) for p in problems[:SHOWN])
    more = f" and {len(problems) - SHOWN} more" if len(problems) > SHOWN else ""
    remedy = "Build what is stale or missing again and have it judged: `quantlab run`."
    if gate is not None and all(p.kind == "refused" for p in problems):
        remedy = (
            "Mend what the gate names, or go on with everything below tainted: "
            f'`quantlab run --waive {gate.value} --reason "..."`.'
        )
    return GateNotPassedError(
        f"GATE_NOT_PASSED {gate.value + ' on ' if gate else 'above '}{table}: {shown}{more}.",
        remedy,
        code=GateNotPassedError.code,
        gate=None if gate is None else gate.value,
        table=table,
        problems=[str(p) for p in problems],
    )


def ungated_parts(spec: TableSpec, manifests: Sequence[Manifest]) -> list[Part]:
    """Everything, for gates themselves and for tables without one."""
    names = tuple(spec.schema.names)
    return [Part(m.partition, m.files, names) for m in manifests]


def admitted_parts(
    spec: TableSpec,
    manifests: Sequence[Manifest],
    records: Sequence[GateRecord],
    wanted: Sequence[str] | None,
) -> list[Part]:
    """What current verdicts let through, one part per manifest.

    Raises GateNotPassedError if an item was never judged, if nothing at all is admitted, if PIT-1
    failed a column, or if a column in `wanted` is not admitted.
    """
    if spec.item_column == COLUMN_ITEMS:
        parts = [_columns(spec, m, r, wanted) for m, r in zip(manifests, records, strict=True)]
    else:
        parts = [_rows(spec, m, r) for m, r in zip(manifests, records, strict=True)]
    if records and not any(r.admitted for r in records):
        problems = [_none_left(spec, r) for r in records]
        raise refusal(spec.name, spec.gate, problems)
    return parts


def _rows(spec: TableSpec, manifest: Manifest, record: GateRecord) -> Part:
    names = tuple(spec.schema.names)
    if spec.item_column != "symbol" or any(f.symbol is None for f in manifest.files):
        return Part(manifest.partition, manifest.files, names, record.admitted)
    judged = {v.item for v in record.items}
    unjudged = [f.symbol for f in manifest.files if f.symbol not in judged]
    if unjudged:
        text = f"{record.gate} never judged {', '.join(str(s) for s in unjudged[:SHOWN])}"
        problem = Problem(spec.name, manifest.partition, "unjudged", text)
        raise refusal(spec.name, spec.gate, [problem])
    files = tuple(f for f in manifest.files if f.symbol in record.admitted)
    return Part(manifest.partition, files, names)


def _columns(
    spec: TableSpec, manifest: Manifest, record: GateRecord, wanted: Sequence[str] | None
) -> Part:
    verdicts = {v.item: v for v in record.items}
    always = {*spec.schema.key, "available_at"}
    judged = [n for n in spec.schema.names if n not in always]
    problems = [
        Problem(spec.name, manifest.partition, "unjudged", f"{record.gate} never judged {name}")
        for name in judged
        if name not in verdicts
    ]
    problems += [
        _refused(spec, manifest.partition, verdicts[name], record.gate)
        for name in judged
        if name in verdicts and _stops(verdicts[name], name, wanted)
    ]
    if problems:
        raise refusal(spec.name, spec.gate, problems)
    names = [n for n in spec.schema.names if n in always or n in record.admitted]
    return Part(manifest.partition, manifest.files, tuple(names))


def _stops(verdict: ItemVerdict, name: str, wanted: Sequence[str] | None) -> bool:
    """One failed column refuses the table; any other only those who ask for it by name."""
    if verdict.outcome is Outcome.FAIL:
        return True
    return wanted is not None and name in wanted and verdict.outcome not in ADMITTED


def _refused(spec: TableSpec, partition: str, verdict: ItemVerdict, gate: Gate) -> Problem:
    reasons = f" ({', '.join(verdict.reasons)})" if verdict.reasons else ""
    text = f"{gate} says {verdict.outcome.value} of {verdict.item}{reasons}"
    return Problem(spec.name, partition, "refused", text)


def _none_left(spec: TableSpec, record: GateRecord) -> Problem:
    if not record.items:
        text = f"{record.gate} had nothing to judge"
        return Problem(spec.name, record.partition, "refused", text)
    first = record.items[0]
    problem = _refused(spec, record.partition, first, record.gate)
    if len(record.items) == 1:
        return problem
    return problem._replace(text=f"{problem.text}, and admits none of {len(record.items)} items")
