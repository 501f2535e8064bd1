"""Opening listed files: one scan for any number of partitions, sorted by the table's key.

The only place of the project, with `storage.catalog` and `storage.trial_answers`, that opens
parquet. It opens what a plan lists and nothing else.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from quantlab_pipeline.core.tables import TableSpec
from quantlab_pipeline.storage.admission import Part
from quantlab_pipeline.storage.manifests import DamagedObjectError, FileEntry, data_key
from quantlab_pipeline.storage.objects import Objects, Stat


@dataclass(frozen=True, slots=True)
class ScanGroup:
    """Files that are read alike. Columns of the plan that are not in `columns` are null here."""

    uris: tuple[str, ...]
    columns: tuple[str, ...]
    items: frozenset[str] | None


@dataclass(frozen=True, slots=True)
class ReadPlan:
    """What one load opens: groups of files, the columns that come out, the taints that come along.

    `ordered` says that the files, one after the other, are in the order of the table's key.
    `fingerprints` are the manifests' of the partitions that were opened.
    """

    spec: TableSpec
    groups: tuple[ScanGroup, ...]
    columns: tuple[str, ...]
    ordered: bool
    tainted_by: tuple[str, ...]
    fingerprints: Mapping[str, str]

    @property
    def admissible(self) -> bool:
        """Whether nothing that these rows were made from was waived or synthetic."""
        return not self.tainted_by


class FileChecker:
    """Says whether a listed file is there and whole: by size always, by digest when asked.

    Digests are remembered while a file's stat stays the same.
    """

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self._hashed: dict[str, tuple[Stat, str]] = {}

    def check(self, table: str, partition: str, entry: FileEntry, verify: bool) -> str:
        """The file's URI. DamagedObjectError if it is gone or is not what the manifest lists."""
        key = data_key(table, partition, entry)
        stat = self._objects.stat(key)
        if stat is None:
            raise _damaged(key, "is gone")
        if stat.size != entry.bytes:
            raise _damaged(key, f"has {stat.size} bytes instead of {entry.bytes}")
        if verify and self._digest(key, stat) != entry.sha256:
            raise _damaged(key, "does not have the digest that its manifest lists")
        return self._objects.uri(key)

    def _digest(self, key: str, stat: Stat) -> str:
        known = self._hashed.get(key)
        if known is None or known[0] != stat:
            sha = hashlib.sha256(self._objects.get(key)).hexdigest()
            known = (stat, f"sha256:{sha}")
            self._hashed[key] = known
        return known[1]


def _damaged(key: str, what: str) -> DamagedObjectError:
    return DamagedObjectError(
        f"The file {key} {what}.", "Build its partition again: `quantlab run`.", key=key
    )


def group_parts(
    spec: TableSpec, parts: Sequence[Part], checker: FileChecker, verify: bool
) -> tuple[tuple[ScanGroup, ...], bool]:
    """Scan groups of `parts`, and whether their files in turn are in the order of the key."""
    grouped: dict[tuple[tuple[str, ...], frozenset[str] | None], list[tuple[str, str, str]]] = {}
    for part in parts:
        for entry in part.files:
            uri = checker.check(spec.name, part.partition, entry, verify)
            place = (entry.symbol or "", part.partition, uri)
            grouped.setdefault((part.columns, part.items), []).append(place)
    groups = tuple(
        ScanGroup(tuple(uri for *_, uri in sorted(places)), columns, items)
        for (columns, items), places in grouped.items()
    )
    n_files = sum(len(g.uris) for g in groups)
    by_symbol = all(e.symbol is not None for p in parts for e in p.files)
    in_turn = len(groups) == 1 and by_symbol and spec.schema.key[:2] == ("symbol", "ts")
    return groups, n_files <= 1 or in_turn


def scan(plan: ReadPlan, columns: Sequence[str] | None = None) -> pl.LazyFrame:
    """The plan's rows, sorted by the table's key; `columns` chooses and orders columns."""
    names = list(plan.columns if columns is None else columns)
    if not plan.groups:
        return plan.spec.schema.empty().lazy().select(names)
    frames = [_scan_group(plan, group) for group in plan.groups]
    whole = frames[0] if len(frames) == 1 else pl.concat(frames)
    if not plan.ordered:
        whole = whole.sort(*plan.spec.schema.key, maintain_order=True)
    return whole.select(names)


def _scan_group(plan: ReadPlan, group: ScanGroup) -> pl.LazyFrame:
    frame = pl.scan_parquet(list(group.uris), hive_partitioning=False, glob=False)
    if group.items is not None and plan.spec.item_column is not None:
        frame = frame.filter(pl.col(plan.spec.item_column).is_in(sorted(group.items)))
    dtypes = {c.name: c.dtype for c in plan.spec.schema.columns}
    return frame.select(
        pl.col(name) if name in group.columns else pl.lit(None, dtypes[name]).alias(name)
        for name in plan.columns
    )
