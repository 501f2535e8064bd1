"""Manifests: which files a partition consists of, what it was made from, and by which code.

Belongs here: the record, its canonical bytes, its place and its cache. A file counts only when a
manifest lists it, and the manifest is replaced last. Whether a manifest is still current is
`storage.currency`'s question.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import date
from functools import cached_property
from typing import Any, NamedTuple
from urllib.parse import quote

from quantlab_pipeline.core.errors import QuantlabError
from quantlab_pipeline.core.fingerprints import canonical_bytes, digest
from quantlab_pipeline.core.tables import PartitionKind
from quantlab_pipeline.core.verdicts import Gate
from quantlab_pipeline.storage.objects import Objects, Stat

ABSENT = "ABSENT"
"""Fingerprint of a partition that was not there when it was looked for."""

_GATE_PREFIX = "gate:"


class DamagedObjectError(QuantlabError):
    """A manifest, verdict or data file does not hold what its name or its manifest says."""


class BadPartitionError(QuantlabError):
    """A partition's name is neither a day nor a study as its table needs."""


class Edge(NamedTuple):
    """One thing that a partition was made from, as it was then.

    `table` is a table's name, or `gate:<GATE>` for the admission (item and outcome) that a gated
    read relied on.
    """

    table: str
    partition: str
    fingerprint: str

    @property
    def gate(self) -> Gate | None:
        """The gate of an admission edge, None for a table's."""
        return (
            Gate(self.table[len(_GATE_PREFIX) :]) if self.table.startswith(_GATE_PREFIX) else None
        )


Lineage = tuple[Edge, ...]


def gate_edge(gate: Gate, partition: str, admission: str) -> Edge:
    """Edge that says which admission of `gate` a read relied on."""
    return Edge(f"{_GATE_PREFIX}{gate.value}", partition, admission)


@dataclass(frozen=True, slots=True)
class FileEntry:
    """One parquet file of a partition; `symbol` is None where a table is not split by symbol."""

    symbol: str | None
    name: str
    sha256: str
    rows: int
    bytes: int


@dataclass(frozen=True)
class Manifest:
    """One partition of one table. `observed` is outside the fingerprint, everything else inside.

    `absent_reason` says why a partition has no rows; `tainted_by` lists the waivers (and the
    market's own taints) that stand anywhere upstream; `notes` are the maker's own facts about the
    rows (raw files, what was set aside), as plain JSON.
    """

    table: str
    partition: str
    files: tuple[FileEntry, ...]
    lineage: Lineage
    code_hash: str
    spec_hashes: Mapping[str, str]
    lock_hash: str
    schema_hash: str
    absent_reason: str | None = None
    tainted_by: tuple[str, ...] = ()
    notes: Mapping[str, Any] = field(default_factory=dict)
    observed: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def fingerprint(self) -> str:
        """Digest of everything but `observed`."""
        return digest(self._facts())

    @property
    def rows(self) -> int:
        """Rows in all files."""
        return sum(f.rows for f in self.files)

    def to_bytes(self) -> bytes:
        """Canonical JSON, with the fingerprint beside the content."""
        body = {**self._facts(), "observed": self.observed, "fingerprint": self.fingerprint}
        return canonical_bytes(body)

    def _facts(self) -> dict[str, Any]:
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name != "observed"}


def manifest_from(data: bytes, key: str) -> Manifest:
    """Inverse of `to_bytes`; DamagedObjectError if the content does not match its fingerprint."""
    try:
        raw = json.loads(data)
        told = raw.pop("fingerprint")
        raw["files"] = tuple(FileEntry(**f) for f in raw["files"])
        raw["lineage"] = tuple(Edge(*e) for e in raw["lineage"])
        raw["tainted_by"] = tuple(raw["tainted_by"])
        manifest = Manifest(**raw)
        sound = manifest.fingerprint == told
    except (ValueError, KeyError, TypeError):
        sound = False
    if not sound:
        raise DamagedObjectError(
            f"The manifest {key} is damaged.",
            "Delete it and build the partition again.",
            key=key,
        )
    return manifest


def partition_key(kind: PartitionKind, value: date | str) -> str:
    """`day=YYYY-MM-DD` or `study=<id>` of a day, a Dagster key, a study id or a key itself."""
    text = value.isoformat() if isinstance(value, date) else value.removeprefix(f"{kind}=")
    if kind == "day":
        try:
            return f"day={date.fromisoformat(text).isoformat()}"
        except ValueError as error:
            raise BadPartitionError(
                f"{value} is not a day.", "Write days as YYYY-MM-DD.", partition=str(value)
            ) from error
    if isinstance(value, date) or not text or "=" in text:
        raise BadPartitionError(
            f"{value} is not the id of a study.",
            "Give the study's file name without its ending.",
            partition=str(value),
        )
    return f"study={safe_name(text)}"


def safe_name(text: str) -> str:
    """`text` as one path segment: everything but letters, digits and `_.-` percent-encoded."""
    quoted = quote(text, safe="")
    return quoted.replace(".", "%2E") if set(quoted) == {"."} else quoted


def day_of_key(key: str) -> date | None:
    """The day of a day partition, None for a study."""
    return date.fromisoformat(key[4:]) if key.startswith("day=") else None


class ManifestStore:
    """Manifests at `manifests/<table>/<partition>.json`, cached while the file stays the same."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self._cache: dict[str, tuple[Stat, Manifest]] = {}

    def key(self, table: str, partition: str) -> str:
        """Where the manifest of a partition lies."""
        return f"manifests/{table}/{partition}.json"

    def current(self, table: str, partition: str) -> Manifest | None:
        """The manifest now in force, None if the partition was never written."""
        key = self.key(table, partition)
        stat = self._objects.stat(key)
        if stat is None:
            self._cache.pop(key, None)
            return None
        cached = self._cache.get(key)
        if cached is None or cached[0] != stat:
            # Stat before get: a manifest replaced in between is read again at the next call.
            cached = (stat, manifest_from(self._objects.get(key), key))
            self._cache[key] = cached
        return cached[1]

    def put(self, manifest: Manifest) -> None:
        """Replace the partition's manifest atomically: the moment at which its files count."""
        self._objects.put(self.key(manifest.table, manifest.partition), manifest.to_bytes())

    def partitions(self, table: str) -> list[str]:
        """Keys of all partitions of `table` that were ever written, sorted."""
        names = self._objects.children(f"manifests/{table}")
        return [n.removesuffix(".json") for n in names if n.endswith(".json") and n[0] != "."]

    def tables(self) -> list[str]:
        """Names of all tables that have manifests, sorted."""
        return self._objects.children("manifests")


def data_folder(table: str, partition: str) -> str:
    """Folder of a partition's files."""
    return f"tables/{table}/{partition}"


def data_key(table: str, partition: str, entry: FileEntry) -> str:
    """Where a listed file lies: under its symbol's folder if it has one."""
    folder = data_folder(table, partition)
    if entry.symbol is None:
        return f"{folder}/{entry.name}"
    return f"{folder}/symbol={safe_name(entry.symbol)}/{entry.name}"
