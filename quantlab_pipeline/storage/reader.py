"""Reading the lake: the questions that a load must answer before a file is opened.

Belongs here: every look at the lake, gated or not, and what a partition is about to be made from.
Not here: anything that changes it (`storage.lake`). The answers' parts live beside: manifests,
verdicts, currency, admission, lineage, scans.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date
from pathlib import Path

import polars as pl

from quantlab_pipeline.core.clocks import Clock
from quantlab_pipeline.core.errors import MissingPartitionError, SchemaError
from quantlab_pipeline.core.tables import TableSpec
from quantlab_pipeline.core.verdicts import Gate
from quantlab_pipeline.storage.admission import Part, admitted_parts, refusal, ungated_parts
from quantlab_pipeline.storage.currency import CurrencyWalk, KnowsHead, LakeKeys, Problem
from quantlab_pipeline.storage.lineage import LineageReader
from quantlab_pipeline.storage.manifests import (
    Lineage,
    Manifest,
    ManifestStore,
    day_of_key,
    partition_key,
)
from quantlab_pipeline.storage.objects import Objects, open_objects
from quantlab_pipeline.storage.scans import FileChecker, ReadPlan, group_parts, scan
from quantlab_pipeline.storage.table_graph import TableGraph
from quantlab_pipeline.storage.verdicts import VerdictStore
from quantlab_pipeline.storage.waivers import WaiverStore

Partitions = Sequence[date] | Sequence[str] | Sequence[date | str]


class LakeReader:
    """One market's tables under `root`, with the gates in force.

    `tables` is the registry, `judged` names the judged table of each gate that guards several.
    `keys` gives today's hashes. Days before `first_day` and after `last_day` do not exist. `taints`
    are the market's own (a synthetic world: `("synthetic",)`); every row inherits them.
    `knows_head` says whether the trial ledger still holds a head. `clock` is only observed.
    """

    def __init__(
        self,
        root: Objects | Path | str,
        tables: Mapping[str, TableSpec],
        keys: LakeKeys,
        first_day: date,
        last_day: date | None,
        clock: Clock,
        *,
        judged: Mapping[Gate, str] | None = None,
        taints: Sequence[str] = (),
        knows_head: KnowsHead | None = None,
    ) -> None:
        self.objects = open_objects(root)
        self.graph = TableGraph(tables, judged)
        self.manifests = ManifestStore(self.objects)
        self.verdicts = VerdictStore(self.objects)
        self.waivers = WaiverStore(self.objects)
        self.first_day = first_day
        self.last_day = last_day
        self._keys = keys
        self._clock = clock
        self._taints = tuple(taints)
        self._knows_head = knows_head
        self._held: CurrencyWalk | None = None
        self._checker = FileChecker(self.objects)

    # ---- what is there

    def partitions(self, table: str) -> list[str]:
        """Keys of every partition of `table` that was written, sorted."""
        return self.manifests.partitions(self.graph.spec(table).name)

    def days(self, table: str) -> list[date]:
        """Days of a day table that were written, sorted."""
        return [d for d in map(day_of_key, self.partitions(table)) if d is not None]

    def fingerprint(self, table: str, partition: date | str) -> str:
        """Fingerprint of the partition as it is now, `ABSENT` if it was never written."""
        return self._walk().fingerprint(table, self._key(table, partition))

    def is_current(self, table: str, partition: date | str) -> bool:
        """Whether the partition is there and nothing that it was made from has changed.

        A gate that stands on the table itself is not asked; `is_judged` is.
        """
        return bool(self.current_of(table, [partition]))

    def current_of(self, table: str, partitions: Partitions) -> set[str]:
        """Keys of those `partitions` that are current, in one look at the lake."""
        walk = self._walk()
        keys = (self._key(table, p) for p in partitions)
        return {key for key in keys if walk.is_sound(table, key)}

    def is_judged(self, gate: Gate, partition: date | str) -> bool:
        """Whether `gate` has a verdict on the partition that is still true, whatever it says."""
        return bool(self.judged_of(gate, [partition]))

    def judged_of(self, gate: Gate, partitions: Partitions) -> set[str]:
        """Keys of those `partitions` on which the gate's verdict is still true, in one look."""
        walk = self._walk()
        table = self.graph.judged(gate)
        keys = (self._key(table, p) for p in partitions)
        return {k for k in keys if walk.gate_problem(gate, k) is None and walk.is_sound(table, k)}

    def judged_partitions(self, gate: Gate, partition: date | str | None = None) -> list[str]:
        """Keys of the partitions that `gate` has judged, or of `partition` alone."""
        if partition is not None:
            return [self._key(self.graph.judged(gate), partition)]
        return self.verdicts.partitions(gate)

    def verdict_problems(self, gate: Gate, partition: date | str) -> list[Problem]:
        """Why the newest verdict of `gate` on `partition` may not be relied on; empty if it may."""
        walk = self._walk()
        table = self.graph.judged(gate)
        key = self._key(table, partition)
        own = walk.gate_problem(gate, key)
        return sorted({*([] if own is None else [own]), *walk.problems([(table, key)])})

    def verify_files(self, table: str, partition: date | str) -> None:
        """Hash every file that the partition lists; DamagedObjectError names the first bad one."""
        key = self._key(table, partition)
        manifest = self.manifests.current(table, key)
        for entry in manifest.files if manifest is not None else ():
            self._checker.check(table, key, entry, verify=True)

    def problems(self, table: str, partitions: Partitions) -> list[Problem]:
        """Why these partitions are not current, gates included; empty if nothing is to be done.

        Refused items are no problem here: a partition with a current verdict is finished.
        """
        walk = self._walk()
        spec = self.graph.spec(table)
        keys = [self._key(table, p) for p in partitions]
        return self._stale(walk, spec, keys)

    # ---- read

    def read(
        self,
        table: str,
        partitions: Partitions,
        *,
        gated: bool = True,
        columns: Sequence[str] | None = None,
        optional: Partitions = (),
        verify: bool = False,
    ) -> pl.DataFrame:
        """Rows of `partitions`, sorted by the table's key. See `plan` for what is refused."""
        plan = self.plan(
            table, partitions, gated=gated, columns=columns, optional=optional, verify=verify
        )
        return scan(plan, columns).collect()

    def scan(
        self,
        table: str,
        partitions: Partitions,
        *,
        gated: bool = True,
        columns: Sequence[str] | None = None,
        optional: Partitions = (),
        verify: bool = False,
    ) -> pl.LazyFrame:
        """The same as `read`, lazily: what may be opened is settled now, bytes are read later."""
        plan = self.plan(
            table, partitions, gated=gated, columns=columns, optional=optional, verify=verify
        )
        return scan(plan, columns)

    def plan(
        self,
        table: str,
        partitions: Partitions,
        *,
        gated: bool = True,
        columns: Sequence[str] | None = None,
        optional: Partitions = (),
        verify: bool = False,
    ) -> ReadPlan:
        """What a load of `partitions` may open.

        Days outside the market's first and last are clipped; `optional` ones may be absent; any
        other hole raises MissingPartitionError. With `gated`, GateNotPassedError if anything
        upstream is stale or if a gate on the way never ran; then only admitted items come out. A
        column that a gate refuses is gone, or null on the days on which it was refused. With
        `verify` every file is hashed (once, while it stays the same), otherwise its size is
        compared. DamagedObjectError if a file is not what its manifest lists.
        """
        spec = self.graph.spec(table)
        walk = self._walk()
        manifests = self._present(walk, spec, partitions, optional)
        if gated:
            parts = self._admitted(walk, spec, manifests, columns)
        else:
            parts = ungated_parts(spec, manifests)
            self._require_schema(spec, manifests)
        groups, ordered = group_parts(spec, parts, self._checker, verify)
        opened = {name for part in parts for name in part.columns}
        names = [n for n in spec.schema.names if n in opened or not parts]
        taints = {t for m in manifests for t in m.tainted_by}
        if gated and spec.gate is not None:
            records = (walk.record(spec.gate, m.partition) for m in manifests)
            taints |= {t for r in records if r is not None for t in r.tainted_by}
        return ReadPlan(
            spec,
            groups,
            tuple(names),
            ordered,
            tuple(sorted(taints)),
            {m.partition: m.fingerprint for m in manifests},
        )

    def _admitted(
        self,
        walk: CurrencyWalk,
        spec: TableSpec,
        manifests: Sequence[Manifest],
        columns: Sequence[str] | None,
    ) -> list[Part]:
        problems = self._stale(walk, spec, [m.partition for m in manifests])
        if problems:
            raise refusal(spec.name, spec.gate, problems)
        if spec.gate is None:
            return ungated_parts(spec, manifests)
        records = [walk.record(spec.gate, m.partition) for m in manifests]
        return admitted_parts(spec, manifests, [r for r in records if r is not None], columns)

    @contextmanager
    def one_look(self) -> Iterator[None]:
        """Everything read inside sees the lake as it was at the first read; what is made from it is
        then of one state. Nothing may be written or judged inside.
        """
        self._held = self._new_walk()
        try:
            yield
        finally:
            self._held = None

    def _stale(self, walk: CurrencyWalk, spec: TableSpec, keys: Sequence[str]) -> list[Problem]:
        roots = [(spec.name, key) for key in keys]
        found: list[Problem] = []
        if spec.gate is not None:
            asked = [walk.gate_problem(spec.gate, key) for key in keys]
            found = [p for p in asked if p is not None]
            roots += [(self.graph.judged(spec.gate), key) for key in keys]
        if not found and all(walk.is_sound(*root) for root in roots):
            return []
        return sorted({*found, *walk.problems(roots)})

    def _present(
        self,
        walk: CurrencyWalk,
        spec: TableSpec,
        partitions: Partitions,
        optional: Partitions,
    ) -> list[Manifest]:
        may_miss = {self._key(spec.name, p) for p in optional}
        keys = sorted({self._key(spec.name, p) for p in partitions} | may_miss)
        keys = [k for k in keys if self._exists(k)]
        found = {k: walk.manifest(spec.name, k) for k in keys}
        holes = [k for k in keys if found[k] is None and k not in may_miss]
        if holes:
            raise MissingPartitionError(
                f"{spec.name} has no {', '.join(holes[:3])} ({len(holes)} missing in all).",
                f"Build {spec.name} for them: `quantlab run`.",
                table=spec.name,
                partitions=holes,
            )
        return [m for m in found.values() if m is not None]

    def _require_schema(self, spec: TableSpec, manifests: Sequence[Manifest]) -> None:
        today = self.graph.schema_hash(spec.name)
        old = [m.partition for m in manifests if m.schema_hash != today]
        if old:
            raise SchemaError(
                f"{spec.name} of {', '.join(old[:3])} was written with other columns.",
                f"Build {spec.name} for them again: `quantlab run`.",
                table=spec.name,
                partitions=old,
            )

    def lineage_for(
        self,
        table: str,
        partitions: Partitions,
        days: Sequence[date] = (),
    ) -> dict[str, Lineage]:
        """What each partition is about to be made from, by partition key. Call it BEFORE reading.

        Day tables follow `TableSpec.reads` around their own day, clipped to the market's days; an
        absent look-ahead day is an edge `ABSENT`. A study reads `days` of its day tables, and its
        own study of the others. Reads behind a gate carry an edge for the gate's admission.
        """
        reader = LineageReader(self.graph, self._walk(), self._exists)
        keys = [self._key(table, p) for p in partitions]
        return {key: reader.lineage(table, key, days) for key in keys}

    # ---- names

    def _walk(self) -> CurrencyWalk:
        return self._new_walk() if self._held is None else self._held

    def _new_walk(self) -> CurrencyWalk:
        return CurrencyWalk(self.graph, self._keys, self.manifests, self.verdicts, self._knows_head)

    def _key(self, table: str, partition: date | str) -> str:
        return partition_key(self.graph.spec(table).partition, partition)

    def _exists(self, key: str) -> bool:
        day = day_of_key(key)
        if day is None:
            return True
        return self.first_day <= day and (self.last_day is None or day <= self.last_day)
