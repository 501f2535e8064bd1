"""What a run changed: which days were made, which were made again, and what from.

Belongs here: two looks at the same partitions, held against each other by their manifests. Whether
a partition is current now is `storage.currency`'s question.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import NamedTuple

from quantlab_pipeline.storage.manifests import Edge, Manifest, day_of_key
from quantlab_pipeline.storage.reader import LakeReader

Look = Mapping[date, Mapping[str, Manifest | None]]
"""Each day's manifest of each table, in the order of the chain; None for what is not there."""

_NAMED_TABLES = 2


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


class _Pair(NamedTuple):
    """One table's partition of a day, then and now."""

    table: str
    before: Manifest | None
    after: Manifest


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
            pairs = [_Pair(t, was[t], m) for t in changed if (m := after[day][t]) is not None]
            again[day] = _why(day, pairs)
    return Changes(tuple(current), tuple(made), again, tuple(same))


def _alike(before: Manifest | None, after: Manifest) -> bool:
    return before is not None and before.fingerprint == after.fingerprint


def _raw(manifest: Manifest | None) -> set[tuple[str, str, str]]:
    """(symbol, file, checksum) of everything that was parsed."""
    rows = () if manifest is None else manifest.observed.get("raw", ())
    return {(symbol, name, sha) for symbol, name, sha in rows}


def _why(day: date, pairs: Sequence[_Pair]) -> tuple[str, ...]:
    """The day's own reasons; without any, what changed in other days; at last, the verdicts."""
    for reasons in (_own(pairs), _other_days(day, pairs), _verdicts(pairs)):
        told = tuple(dict.fromkeys(reasons))
        if told:
            return told
    return ("its content changed",)


def _own(pairs: Sequence[_Pair]) -> Iterator[str]:
    """Files, code and specs: what lies outside all tables."""
    there = [(p, p.before) for p in pairs if p.before is not None]
    for pair, before in there:
        yield from _files(pair.table, _raw(before), _raw(pair.after))
    code = [p.table for p, before in there if before.code_hash != p.after.code_hash]
    if code:
        yield f"the code of {_named(code)} changed"
    specs = {n for p, before in there for n in _other_specs(before, p.after)}
    if specs:
        yield f"specs changed: {', '.join(sorted(specs))}"
    columns = [p.table for p, before in there if before.schema_hash != p.after.schema_hash]
    if columns:
        yield f"the columns of {_named(columns)} changed"
    for pair in pairs:
        if pair.before is None:
            yield f"{pair.table} was not there"


def _named(tables: Sequence[str]) -> str:
    return " and ".join(tables) if len(tables) <= _NAMED_TABLES else f"{len(tables)} tables"


def _other_specs(before: Manifest, after: Manifest) -> Iterator[str]:
    names = {*before.spec_hashes, *after.spec_hashes}
    yield from (n for n in names if before.spec_hashes.get(n) != after.spec_hashes.get(n))


def _other_days(day: date, pairs: Sequence[_Pair]) -> Iterator[str]:
    for edge in _other_edges(pairs):
        if edge.gate is None and edge.partition != f"day={day}":
            yield f"{edge.table} of {day_of_key(edge.partition)} changed"


def _verdicts(pairs: Sequence[_Pair]) -> Iterator[str]:
    for edge in _other_edges(pairs):
        if edge.gate is not None:
            yield f"the verdict of {edge.gate} on {day_of_key(edge.partition)} changed"


def _files(
    table: str, before: set[tuple[str, str, str]], after: set[tuple[str, str, str]]
) -> Iterator[str]:
    known = {(symbol, name) for symbol, name, _ in before}
    for symbol, name, _ in sorted(after - before):
        how = "came again with other content" if (symbol, name) in known else "arrived"
        yield f"{table}: {name.rpartition('/')[2]} {how}"


def _other_edges(pairs: Sequence[_Pair]) -> Iterator[Edge]:
    """What partitions were made from now and not before."""
    for pair in pairs:
        was = set(pair.before.lineage if pair.before is not None else ())
        yield from (edge for edge in pair.after.lineage if edge not in was)
