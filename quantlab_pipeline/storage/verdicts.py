"""Verdicts in the lake: immutable objects, and one pointer per gate and partition to the newest.

Belongs here: the record and its place. Who may read what under a verdict is `storage.currency`'s
and `storage.scans`' work; reaching a verdict is a gate's.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Any

from quantlab_pipeline.core.fingerprints import canonical_bytes, digest, short
from quantlab_pipeline.core.verdicts import ADMITTED, Gate, ItemVerdict, Outcome, overall
from quantlab_pipeline.storage.manifests import DamagedObjectError
from quantlab_pipeline.storage.objects import Objects, Stat


@dataclass(frozen=True)
class GateRecord:
    """What `gate` said of a partition's items: of which bytes, by which thresholds and code.

    `table` is the judged table and `input_fingerprint` its manifest's; `ledger_head` is the trial
    ledger's head that a verdict relied on; `tainted_by` holds the judged partition's taints and the
    waiver's id if an item was waived. `observed` is outside the digest.
    """

    gate: Gate
    table: str
    partition: str
    items: tuple[ItemVerdict, ...]
    input_fingerprint: str
    gate_hash: str
    code_hash: str
    ledger_head: str | None = None
    tainted_by: tuple[str, ...] = ()
    waiver: str | None = None
    observed: Mapping[str, Any] = field(default_factory=dict)

    @property
    def admissible(self) -> bool:
        """Whether nothing upstream or here was waived or synthetic. Never changes a verdict."""
        return not self.tainted_by

    @property
    def outcome(self) -> Outcome:
        """The gate as a whole."""
        return overall(self.gate, self.items)

    @cached_property
    def admitted(self) -> frozenset[str]:
        """Items that passed or were waived."""
        return frozenset(v.item for v in self.items if v.outcome in ADMITTED)

    @cached_property
    def admission(self) -> str:
        """Digest of what a reader relies on: every item's outcome, not its measured values."""
        return digest(sorted((v.item, v.outcome.value) for v in self.items))

    @cached_property
    def digest(self) -> str:
        """Digest of everything but `observed`."""
        return digest(self._facts())

    def to_bytes(self) -> bytes:
        """Canonical JSON; `admissible` is written out for readers of the file."""
        return canonical_bytes({**self._facts(), "observed": self.observed})

    def _facts(self) -> dict[str, Any]:
        facts = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "observed"}
        return {
            **facts,
            "items": [_item_facts(v) for v in self.items],
            "admissible": self.admissible,
        }


def record_from(data: bytes) -> GateRecord:
    """Inverse of `GateRecord.to_bytes`."""
    raw = json.loads(data)
    del raw["admissible"]
    raw["gate"] = Gate(raw["gate"])
    raw["tainted_by"] = tuple(raw["tainted_by"])
    raw["items"] = tuple(_item_from(item) for item in raw["items"])
    return GateRecord(**raw)


def _item_facts(verdict: ItemVerdict) -> dict[str, Any]:
    """Every field; evidence only where there is any, so that records without it keep their name."""
    facts = {f.name: getattr(verdict, f.name) for f in fields(verdict)}
    return facts if verdict.evidence else {k: v for k, v in facts.items() if k != "evidence"}


def _item_from(raw: dict[str, Any]) -> ItemVerdict:
    measured = {name: (pair[0], pair[1]) for name, pair in raw["measured"].items()}
    return ItemVerdict(
        raw["item"],
        Outcome(raw["outcome"]),
        tuple(raw["reasons"]),
        measured,
        raw["rank"],
        tuple(raw.get("evidence", ())),
    )


class VerdictStore:
    """Verdicts at `verdicts/<gate>/<partition>/<digest>.json` and `current.json` beside them."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self._pointers: dict[str, tuple[Stat, GateRecord]] = {}

    def put(self, record: GateRecord) -> GateRecord:
        """Keep `record` and make it current. The same verdict again keeps its first object."""
        folder = f"verdicts/{record.gate.value}/{record.partition}"
        key = f"{folder}/{short(record.digest, 32)}.json"
        if self._objects.stat(key) is None:
            self._objects.put(key, record.to_bytes())
        kept = self._load(key)
        pointed = self.current(record.gate, record.partition)
        if pointed is None or pointed.digest != kept.digest:
            pointer = canonical_bytes({"digest": kept.digest})
            self._objects.put(f"{folder}/current.json", pointer)
        return kept

    def current(self, gate: Gate, partition: str) -> GateRecord | None:
        """The newest verdict, None if the gate never ran on `partition`."""
        key = f"verdicts/{gate.value}/{partition}/current.json"
        stat = self._objects.stat(key)
        if stat is None:
            return None
        cached = self._pointers.get(key)
        if cached is None or cached[0] != stat:
            pointer = json.loads(self._objects.get(key))
            folder = key.rsplit("/", 1)[0]
            cached = (stat, self._load(f"{folder}/{short(pointer['digest'], 32)}.json"))
            self._pointers[key] = cached
        return cached[1]

    def history(self, gate: Gate, partition: str) -> list[GateRecord]:
        """Every verdict that `gate` ever gave on `partition`, in the order of their instants."""
        folder = f"verdicts/{gate.value}/{partition}"
        names = [n for n in self._objects.children(folder) if _is_record(n)]
        records = [self._load(f"{folder}/{name}") for name in names]
        return sorted(records, key=lambda r: (str(r.observed.get("at", "")), r.digest))

    def partitions(self, gate: Gate) -> list[str]:
        """Partitions that `gate` has judged, sorted."""
        return self._objects.children(f"verdicts/{gate.value}")

    def _load(self, key: str) -> GateRecord:
        try:
            record = record_from(self._objects.get(key))
            sound = key.endswith(f"/{short(record.digest, 32)}.json")
        except (ValueError, KeyError, TypeError, FileNotFoundError):
            sound = False
        if not sound:
            raise DamagedObjectError(
                f"The verdict {key} is damaged.", "Run its gate again.", key=key
            )
        return record


def _is_record(name: str) -> bool:
    return name.endswith(".json") and name != "current.json" and not name.startswith(".")
