"""What a run changed: which days were made, which were made again, and what from.

Belongs here: two looks at the same partitions, held against each other by their manifests. Whether
a partition is current now is `storage.currency`'s question.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date

from quantlab_pipeline.storage.manifests import Edge, Manifest, day_of_key
from quantlab_pipeline.storage.reader import LakeReader

Look = Mapping[date, Mapping[str, Manifest | None]]
"""Each day's manifest of each table, in the order of the chain; None for what is not there."""


@dataclass(frozen=True, slots=True)
class Changes:
    """Days between two looks.

    `current` were not touched; `made` have their last table for the first time; `again` maps days
    that were made again to the reasons. `same` are those of `current` for which the source sent
    other files with the same rows.
    """

    current: tuple[date, ...] = ()
    made: tuple[date, ...] = ()
    again: Mapping[date, tuple[str, ...]] = field(default_factory=dict)
    same: tuple[date, ...] = ()


def look(lake: LakeReader, tables: Sequence[str], days: Sequence[date]) -> Look:
    """The manifests now in force."""
    return {d: {t: lake.manifests.current(t, f"day={d}") for t in tables} for d in days}


def changes(before: Look, after: Look, last_table: str) -> Changes:
    """What happened to each day of `before` between the two looks.

    A day counts as made for the first time if `last_table` was not there.
    """
    current, made, again, same = [], [], {}, []
    for day, was in before.items():
        changed = [t for t, m in after[day].items() if m is not None and not _alike(was[t], m)]
        if not changed:
            current.append(day)
            if any(_raw(was[t]) != _raw(m) for t, m in after[day].items()):
                same.append(day)
        elif was[last_table] is None:
            made.append(day)
        else:
            pairs = [(t, was[t], m) for t in changed if (m := after[day][t]) is not None]
            causes = dict.fromkeys(r for pair in pairs for r in _causes(day, *pair))
            told = causes or dict.fromkeys(_verdicts(pairs))
            again[day] = tuple(told) or ("its content changed",)
    return Changes(tuple(current), tuple(made), again, tuple(same))


def _alike(before: Manifest | None, after: Manifest) -> bool:
    return before is not None and before.fingerprint == after.fingerprint


def _raw(manifest: Manifest | None) -> set[tuple[str, str, str]]:
    """(symbol, file, checksum) of everything that was parsed."""
    rows = () if manifest is None else manifest.observed.get("raw", ())
    return {(symbol, name, sha) for symbol, name, sha in rows}


def _causes(day: date, table: str, before: Manifest | None, after: Manifest) -> Iterator[str]:
    """Reasons that lie outside this day's other tables, which give their own."""
    if before is None:
        yield f"{table} was not there"
        return
    if before.code_hash != after.code_hash:
        yield f"the code of {table} changed"
    names = {*before.spec_hashes, *after.spec_hashes}
    other = sorted(n for n in names if before.spec_hashes.get(n) != after.spec_hashes.get(n))
    if other:
        yield f"the specs of {table} changed: {', '.join(other)}"
    if before.schema_hash != after.schema_hash:
        yield f"the columns of {table} changed"
    yield from _files(table, _raw(before), _raw(after))
    for edge in _other_edges(before, after):
        if edge.gate is None and edge.partition != f"day={day}":
            yield f"{edge.table} of {day_of_key(edge.partition)} changed"


def _verdicts(pairs: Iterable[tuple[str, Manifest | None, Manifest]]) -> Iterator[str]:
    """Verdicts that are no longer what they were: a reason where there is no other."""
    for _, before, after in pairs:
        for edge in () if before is None else _other_edges(before, after):
            if edge.gate is not None:
                yield f"the verdict of {edge.gate} on {day_of_key(edge.partition)} changed"


def _files(
    table: str, before: set[tuple[str, str, str]], after: set[tuple[str, str, str]]
) -> Iterator[str]:
    known = {(symbol, name) for symbol, name, _ in before}
    for symbol, name, _ in sorted(after - before):
        how = "came again with other content" if (symbol, name) in known else "arrived"
        yield f"{table}: {name.rpartition('/')[2]} {how}"


def _other_edges(before: Manifest, after: Manifest) -> Iterator[Edge]:
    """What `after` was made from and `before` was not."""
    was = set(before.lineage)
    yield from (edge for edge in after.lineage if edge not in was)
