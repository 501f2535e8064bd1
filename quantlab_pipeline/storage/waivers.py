"""Waivers: a person's recorded decision to go on past a gate, and what it does to verdicts.

A waiver never turns a verdict into PASS: items become WAIVED with their reasons kept, and
everything made from them is tainted for good.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any

from quantlab_pipeline.core.errors import QuantlabError
from quantlab_pipeline.core.fingerprints import canonical_bytes, digest, short
from quantlab_pipeline.core.verdicts import Gate, ItemVerdict, Outcome
from quantlab_pipeline.storage.manifests import DamagedObjectError, day_of_key, partition_key
from quantlab_pipeline.storage.objects import Objects

RANKED_GATES = (Gate.V1, Gate.B, Gate.S)
"""Gates whose waiver admits only the best-ranked items."""


class WaiverError(QuantlabError):
    """A waiver that does not say why, who, or for what."""


@dataclass(frozen=True, slots=True)
class Waiver:
    """Who waives which gate, why and for what: one study, a range of days (inclusive), or all.

    `at` is the wall-clock instant as ISO text; it is observed, and no part of the identity.
    """

    gate: Gate
    reason: str
    who: str
    study: str | None = None
    first_day: date | None = None
    last_day: date | None = None
    at: str | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        if not self.reason.strip() or not self.who.strip():
            raise WaiverError(
                f"A waiver of {self.gate} needs a reason and a name.",
                f'Give both: --waive {self.gate} --reason "...".',
                gate=self.gate.value,
            )
        if self.study is not None and (self.first_day or self.last_day):
            raise WaiverError(
                f"A waiver of {self.gate} is for a study or for days, not both.",
                "Record two waivers.",
                gate=self.gate.value,
            )

    @property
    def id(self) -> str:
        """`waiver:<gate>:<12 hex>`, the name under which it taints."""
        return f"waiver:{self.gate.value}:{short(digest(self._facts()))}"

    def covers(self, gate: Gate, partition: str) -> bool:
        """Whether this waiver is for `gate` on `partition` (a partition key)."""
        if gate is not self.gate:
            return False
        day = day_of_key(partition)
        if self.study is not None:
            return partition == partition_key("study", self.study)
        if self.first_day is None and self.last_day is None:
            return True
        if day is None:
            return False
        return (self.first_day or day) <= day <= (self.last_day or day)

    def to_bytes(self) -> bytes:
        """Canonical JSON; the instant under `observed`."""
        return canonical_bytes({**self._facts(), "observed": {"at": self.at}})

    def _facts(self) -> dict[str, Any]:
        names = ("gate", "reason", "who", "study", "first_day", "last_day")
        return {name: getattr(self, name) for name in names}


def waiver_from(data: bytes) -> Waiver:
    """Inverse of `Waiver.to_bytes`."""
    raw = json.loads(data)
    first, last = raw["first_day"], raw["last_day"]
    return Waiver(
        Gate(raw["gate"]),
        raw["reason"],
        raw["who"],
        raw["study"],
        date.fromisoformat(first) if first else None,
        date.fromisoformat(last) if last else None,
        raw["observed"]["at"],
    )


def apply_waiver(
    items: Sequence[ItemVerdict], waiver: Waiver | None, top_n: int
) -> list[ItemVerdict]:
    """`items` with those that did not pass WAIVED, reasons and measured values kept.

    For V1, B and S only the `top_n` best of them (lowest `rank`, then name). Order stays.
    """
    if waiver is None:
        return list(items)
    failing = [v for v in items if v.outcome is not Outcome.PASS]
    if waiver.gate in RANKED_GATES:
        failing = sorted(failing, key=lambda v: (v.rank, v.item))[:top_n]
    waived = {v.item for v in failing}
    return [replace(v, outcome=Outcome.WAIVED) if v.item in waived else v for v in items]


class WaiverStore:
    """Waivers at `waivers/<gate>/<hash>.json`; they are added, never changed or removed."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects

    def put(self, waiver: Waiver) -> Waiver:
        """Record `waiver`. The same decision again keeps the first one's instant."""
        key = f"waivers/{waiver.gate.value}/{waiver.id.rsplit(':', 1)[1]}.json"
        if self._objects.stat(key) is None:
            self._objects.put(key, waiver.to_bytes())
        return waiver_from(self._objects.get(key))

    def all(self, gate: Gate) -> list[Waiver]:
        """Every waiver of `gate`, in the order of their names."""
        folder = f"waivers/{gate.value}"
        names = [n for n in self._objects.children(folder) if n.endswith(".json")]
        return [self._load(f"{folder}/{name}") for name in names]

    def covering(self, gate: Gate, partition: str) -> Waiver | None:
        """A waiver of `gate` for `partition`, None if there is none."""
        return next((w for w in self.all(gate) if w.covers(gate, partition)), None)

    def find(self, waiver_id: str) -> Waiver | None:
        """The waiver that a `tainted_by` entry names, None for other taints."""
        kind, _, rest = waiver_id.partition(":")
        gate, _, name = rest.partition(":")
        key = f"waivers/{gate}/{name}.json"
        if kind != "waiver" or self._objects.stat(key) is None:
            return None
        return self._load(key)

    def _load(self, key: str) -> Waiver:
        waiver = waiver_from(self._objects.get(key))
        if not key.endswith(waiver.id.rsplit(":", 1)[1] + ".json"):
            raise DamagedObjectError(
                f"The waiver {key} was changed.", "Delete it and record it again.", key=key
            )
        return waiver
