"""The lake, the one door: every table is written here, and read through what it inherits.

Belongs here: what a write records about itself, and keeping what a gate said. Reading is
`storage.reader`; the bytes of a partition are `storage.writing`'s.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from functools import cached_property
from typing import Any

from quantlab_pipeline.core.errors import QuantlabError
from quantlab_pipeline.core.tables import TableSpec
from quantlab_pipeline.core.verdicts import Gate, ItemVerdict, Outcome
from quantlab_pipeline.storage.lineage import require_lineage, taints_of
from quantlab_pipeline.storage.manifests import BadPartitionError, Lineage, Manifest
from quantlab_pipeline.storage.reader import LakeReader, Partitions
from quantlab_pipeline.storage.verdicts import GateRecord
from quantlab_pipeline.storage.waivers import Waiver, WaiverError, apply_waiver
from quantlab_pipeline.storage.writing import (
    Frames,
    PartitionWriter,
    WriteReport,
    require_rows,
    split,
)

Facts = Mapping[str, Mapping[str, Any]] | Mapping[date, Mapping[str, Any]]
"""Plain JSON facts by partition."""


class StaleInputError(QuantlabError):
    """What a gate judged was replaced while it was judging."""


class Lake(LakeReader):
    """One market's tables, with the gates in force: read, write, judge. See `LakeReader`."""

    @cached_property
    def _writer(self) -> PartitionWriter:
        return PartitionWriter(self.objects, self.manifests)

    # ---- write

    def write(
        self,
        table: str,
        frame: Frames,
        partitions: Partitions,
        *,
        reads: Mapping[str, Lineage] | None = None,
        run_id: str = "",
        absent_reason: str | None = None,
        notes: Facts | None = None,
        observed: Facts | None = None,
    ) -> WriteReport:
        """Replace `partitions` of `table` by the rows of `frame`, each one atomically, in order.

        `frame` holds the rows of all partitions (or a frame each, by partition); None for none.
        `reads` is `lineage_for`, taken before the upstream tables were read; without it the lineage
        is taken now, which is right only for tables that read nothing. `notes` by partition belong
        to what the partition is, `observed` ones do not. Raises SchemaError, PartitionRowsError,
        LineageError, BadPartitionError, NoSpaceError. Bytes that are there already are kept; a
        symbol that is no longer produced leaves the manifest.
        """
        spec = self.graph.spec(table)
        keys = [self._writable(table, p) for p in partitions]
        parts = split(spec, frame, keys)
        require_rows(spec, parts, absent_reason)
        lineage = self.lineage_for(table, keys) if reads is None else reads
        require_lineage(self.graph, spec, keys, lineage)
        noted = {self._key(table, p): facts for p, facts in (notes or {}).items()}
        seen = {self._key(table, p): facts for p, facts in (observed or {}).items()}
        walk = self._walk()
        total = WriteReport(0, 0, 0, {}, ())
        for key, part in parts.items():
            entries, written = self._writer.put_files(spec, key, part)
            edges = lineage.get(key, ())
            manifest = Manifest(
                table=spec.name,
                partition=key,
                files=entries,
                lineage=edges,
                **self._made_by(spec, key),
                absent_reason=None if part.height else absent_reason,
                tainted_by=tuple(sorted({*self._taints, *taints_of(walk, edges)})),
                notes=noted.get(key, {}),
                observed={**seen.get(key, {}), **self._observed(run_id)},
            )
            replaced = self._writer.put_manifest(manifest)
            total = total.and_one(manifest, written, replaced)
        return total

    def _made_by(self, spec: TableSpec, key: str) -> dict[str, Any]:
        """Today's hashes, as a manifest keeps them."""
        return {
            "code_hash": self._keys.code_hash(spec.name),
            "spec_hashes": dict(self._keys.spec_hashes(spec.name, key)),
            "lock_hash": self._keys.lock_hash(),
            "schema_hash": self.graph.schema_hash(spec.name),
        }

    # ---- judge

    def record_verdicts(
        self,
        gate: Gate,
        partition: date | str,
        items: Sequence[ItemVerdict],
        *,
        input_fingerprint: str | None = None,
        waiver: Waiver | None = None,
        waiver_top_n: int = 0,
        ledger_head: str | None = None,
        run_id: str = "",
    ) -> GateRecord:
        """Keep what `gate` says of `partition` of its judged table, and make it current.

        `input_fingerprint` is `fingerprint(judged table, partition)` taken before the gate read;
        StaleInputError if the partition changed since. A `waiver` must cover the partition; it is
        recorded, and the items that it admits become WAIVED. `ledger_head` is the trial ledger's
        head that the gate saw.
        """
        table = self.graph.judged(gate)
        key = self._key(table, partition)
        manifest = self._present(self._walk(), self.graph.spec(table), [key], ())[0]
        if input_fingerprint not in (None, manifest.fingerprint):
            raise StaleInputError(
                f"{table} {key} changed while {gate} was judging it.",
                "Run the gate again.",
                table=table,
                partition=key,
            )
        if waiver is not None and not waiver.covers(gate, key):
            raise WaiverError(
                f"The waiver {waiver.id} is not for {gate} on {key}.",
                "Record one that is.",
                gate=gate.value,
                partition=key,
            )
        judged = apply_waiver(sorted(items, key=lambda v: v.item), waiver, waiver_top_n)
        taints = set(manifest.tainted_by)
        if waiver is not None:
            self.waivers.put(waiver)
            taints |= {waiver.id for v in judged if v.outcome is Outcome.WAIVED}
        return self.verdicts.put(
            GateRecord(
                gate=gate,
                table=table,
                partition=key,
                items=tuple(judged),
                input_fingerprint=manifest.fingerprint,
                gate_hash=self._keys.gate_hash(gate),
                code_hash=self._keys.gate_code_hash(gate),
                ledger_head=ledger_head,
                tainted_by=tuple(sorted(taints)),
                waiver=None if waiver is None else waiver.id,
                observed=self._observed(run_id),
            )
        )

    # ---- names

    def _observed(self, run_id: str) -> dict[str, str]:
        return {"at": self._clock().isoformat(), "run_id": run_id}

    def _writable(self, table: str, partition: date | str) -> str:
        key = self._key(table, partition)
        if not self._exists(key):
            raise BadPartitionError(
                f"{key} is outside the market's days ({self.first_day} to {self.last_day}).",
                "Write days of the market only, or change its first_day or last_day.",
                table=table,
                partition=key,
            )
        return key
