"""What an asset's or a gate's body is given: the lake, the specs, the days, and nothing of Dagster.

Belongs here: `StageRun` and what bodies return. The bodies themselves stand in `<stage>/assets.py`;
Dagster's contexts stop at `factory.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

import polars as pl

from quantlab_pipeline.core.clocks import Clock, days_between
from quantlab_pipeline.core.instruments import Instrument
from quantlab_pipeline.core.tables import Read, TableSpec
from quantlab_pipeline.core.verdicts import Gate, ItemVerdict, Outcome
from quantlab_pipeline.research.market_data.schema import MARKET_DATA
from quantlab_pipeline.research.market_data.spec import MarketSpec
from quantlab_pipeline.research.study import StudySpec
from quantlab_pipeline.research.tables import BEFORE_HOLDOUT
from quantlab_pipeline.simulation.costs import CostModel
from quantlab_pipeline.simulation.simulator import Simulator
from quantlab_pipeline.storage.lake import Lake
from quantlab_pipeline.storage.manifests import ABSENT, Edge, Lineage, partition_key
from quantlab_pipeline.storage.spec_files import Project
from quantlab_pipeline.storage.waivers import Waiver


@dataclass(frozen=True)
class Made:
    """What a body made: the table's rows (all, or by day), numbers for the UI, facts for manifests.

    `notes` by partition are part of the manifest's fingerprint, `observed` by partition is not.
    """

    frame: pl.DataFrame | Mapping[date, pl.DataFrame]
    metadata: Mapping[str, Any] = field(default_factory=dict)
    notes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    observed: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class Judged:
    """Verdicts by partition, and the trial ledger's head that the gate saw, if it saw one."""

    verdicts: Mapping[str, Sequence[ItemVerdict]]
    ledger_head: str | None = None


Body = Callable[["StageRun"], Made]
GateBody = Callable[["StageRun"], Judged]
Renewed = Callable[["StageRun"], set[date]]
MakeSimulator = Callable[[CostModel, Mapping[str, Instrument]], Simulator]


@dataclass(frozen=True)
class StageRun:
    """One table's (or gate's) work on some partitions: ISO days in order, or one study's name."""

    project: Project
    market: MarketSpec
    lake: Lake
    table: TableSpec
    partitions: tuple[str, ...]
    data_root: Path
    clock: Clock
    make_simulator: MakeSimulator = Simulator

    @cached_property
    def simulator(self) -> Simulator:
        """The simulator under the project's costs, with the run's symbols."""
        assume = self.assumes_instruments
        instruments = self.project.instruments().by_symbol(self.symbols, assume=assume)
        return self.make_simulator(self.costs, instruments)

    @cached_property
    def days(self) -> list[date]:
        """The days to make; for a study table the study's, before its holdout where that is due."""
        if self.table.name in BEFORE_HOLDOUT:
            return self.study.evaluation_days
        if self.table.partition == "study":
            return self.study.days
        return [date.fromisoformat(p) for p in self.partitions]

    @cached_property
    def study(self) -> StudySpec:
        """The study of a study table's partition."""
        (name,) = self.partitions
        return self.project.study(name)

    @cached_property
    def symbols(self) -> tuple[str, ...]:
        """The study's symbols, or all of the market's."""
        if self.table.partition == "study":
            return tuple(self.study.symbols)
        return tuple(self.market.symbols)

    @property
    def assumes_instruments(self) -> bool:
        """Whether an unlisted symbol's tick and lot may be assumed: no venue ever stated them."""
        return self.market.synthetic or self.project.is_adhoc(self.market.name)

    @property
    def costs(self) -> CostModel:
        """What trading costs at the market's venue."""
        return self.project.costs().at(self.market.venue)

    @cached_property
    def seed(self) -> int:
        """The study's seed; days are seeded by their own names."""
        return self.study.seed if self.table.partition == "study" else 0

    def days_read(self, name: str) -> list[date]:
        """The days of an upstream day table that this run reads, inside the market's days."""
        read = self._read(name)
        first = self.days[0] - timedelta(days=read.lookback_days)
        last = self.days[-1] + timedelta(days=read.lookahead_days)
        end = self.market.last_day or date.max
        days = (d for d in days_between(first, last) if self.market.first_day <= d <= end)
        return [d for d in days if d not in self.unusable_ahead]

    @cached_property
    def unusable_ahead(self) -> frozenset[date]:
        """Look-ahead days that are there but stale or not judged: taken for absent until mended."""
        last = self.days[-1]
        found = set()
        for read in self.table.reads:
            gates = self.lake.graph.gates_of_read(self.table.name, read.table)
            for day in (last + timedelta(days=i + 1) for i in range(read.lookahead_days)):
                there = f"day={day}" in self.lake.partitions(read.table)
                current = there and self.lake.is_current(read.table, day)
                if there and not (current and all(self.lake.is_judged(g, day) for g in gates)):
                    found.add(day)
        return frozenset(found)

    def shut(self) -> dict[str, Gate]:
        """Days behind whose gate nothing is left: the venue was down, or is not published yet.

        None where no day is left at all: then the load itself refuses. A day with a failed feature
        is not one of them: that refuses the table.
        """
        if self.table.partition == "study":
            return {}
        gates = dict.fromkeys(g for r in self.table.reads for g in self._relied(r.table))
        with self.lake.one_look():
            found = {p: gate for p in self.partitions for gate in gates if self._is_shut(gate, p)}
        return found if len(found) < len(self.partitions) else {}

    def _is_shut(self, gate: Gate, partition: str) -> bool:
        record = self.lake.verdicts.current(gate, self._key(partition))
        if record is None or not self.lake.is_judged(gate, partition) or record.admitted:
            return False
        return not (gate is Gate.PIT1 and record.outcome is Outcome.FAIL)

    def _relied(self, table: str) -> list[Gate]:
        return self.lake.graph.gates_of_read(self.table.name, table)

    def lineage(self) -> dict[str, Lineage]:
        """What each partition is about to be made from. Taken before anything is read."""
        days = self.days if self.table.partition == "study" else ()
        edges = self.lake.lineage_for(self.table.name, self.partitions, days)
        hidden = {f"day={day}" for day in self.unusable_ahead}
        return {key: _without(lineage, hidden) for key, lineage in edges.items()}

    def load(
        self,
        name: str,
        *,
        columns: Sequence[str] | None = None,
        days: Sequence[date] | None = None,
        gated: bool | None = None,
    ) -> pl.DataFrame:
        """An upstream table as the registry declares that this run may read it; own symbols alone.

        `days` narrows the days of a day table. Gates are in force where this run relies on their
        verdict; what a gate itself will judge is made from ungated reads.
        """
        upstream = self.lake.graph.spec(name)
        if gated is None:
            relied = self.lake.graph.gates_of_read(self.table.name, name)
            gated = upstream.gate is None or bool(relied)
        if upstream.partition == "study":
            return self.lake.read(name, self.partitions, gated=gated, columns=columns)
        wanted = self.days_read(name) if days is None else list(days)
        ahead = [d for d in wanted if d > self.days[-1]]
        frame = self.lake.read(name, wanted, gated=gated, columns=columns, optional=ahead)
        return frame.filter(pl.col("symbol").is_in(self.symbols)) if "symbol" in frame else frame

    def scan(self, name: str) -> pl.LazyFrame:
        """An upstream day table as `load` reads it, lazily; what may be opened is settled now."""
        frame = self.lake.scan(name, self.days_read(name))
        return frame.filter(pl.col("symbol").is_in(self.symbols))

    def own(self) -> pl.DataFrame:
        """The rows of this run's own table, ungated: what a gate judges."""
        return self.lake.read(self.table.name, self.partitions, gated=False)

    def note(self, table: str, partition: str) -> Mapping[str, Any]:
        """What the manifest of another table says beside its rows."""
        manifest = self.lake.manifests.current(table, self._key(partition))
        return {} if manifest is None else manifest.notes

    def observed(self, partition: str) -> Mapping[str, Any]:
        """What this run's own manifest of the partition says outside its fingerprint."""
        manifest = self.lake.manifests.current(self.table.name, self._key(partition))
        return {} if manifest is None else manifest.observed

    def waived_upstream(self) -> bool:
        """Whether a waiver taints anything that this run's own gates admitted so far."""
        relied = (r for r in self.table.reads if r.table not in self.table.regardless)
        taints = (self.lake.plan(r.table, self._keys_of(r)).tainted_by for r in relied)
        return any(t.startswith("waiver:") for found in taints for t in found)

    def stale(self) -> list[str]:
        """Partitions that are not there, or that were made from something that has changed."""
        current = self.lake.current_of(self.table.name, self.partitions)
        return [p for p in self.partitions if self._key(p) not in current]

    def lacks(self) -> str | None:
        """The first table that this run reads regardless of its gate and that is not current."""
        wanted = self.table.regardless
        return next((t for t in wanted if not self._all_current(t)), None)

    def _all_current(self, table: str) -> bool:
        return len(self.lake.current_of(table, self.partitions)) == len(self.partitions)

    def unjudged(self, gate: Gate) -> list[str]:
        """Partitions without a verdict of `gate` that is still true, waivers included."""
        judged = self.lake.judged_of(gate, self.partitions)
        return [
            p
            for p in self.partitions
            if self._key(p) not in judged
            or (self.waiver(gate, p) is not None and not self._waived(gate, p))
        ]

    def waiver(self, gate: Gate, partition: str) -> Waiver | None:
        """The waiver that a person recorded for the gate on the partition, if any."""
        return self.lake.waivers.covering(gate, self._key(partition))

    def verdicts(self, gate: Gate, partition: str) -> tuple[ItemVerdict, ...]:
        """The newest verdicts, none if the gate never ran."""
        record = self.lake.verdicts.current(gate, self._key(partition))
        return () if record is None else record.items

    def _waived(self, gate: Gate, partition: str) -> bool:
        record = self.lake.verdicts.current(gate, self._key(partition))
        return record is not None and record.waiver is not None

    def _key(self, partition: str) -> str:
        return partition_key(self.table.partition, partition)

    def rows_of(self, name: str) -> int:
        """Rows that a day table holds on this run's days, by its manifests."""
        keys = [f"day={d}" for d in self.days]
        manifests = (self.lake.manifests.current(name, key) for key in keys)
        return sum(m.rows for m in manifests if m is not None)

    @cached_property
    def absent_datasets(self) -> tuple[str, ...]:
        """Market tables without a single row on this run's days."""
        return tuple(s.name for s in MARKET_DATA if not self.rows_of(s.name))

    def _keys_of(self, read: Read) -> list[str] | list[date]:
        if self.lake.graph.spec(read.table).partition == "study":
            return list(self.partitions)
        return self.days_read(read.table)

    def _read(self, name: str) -> Read:
        return next(r for r in self.table.reads if r.table == name)


def _without(lineage: Lineage, hidden: set[str]) -> Lineage:
    """`lineage` with the partitions in `hidden` as absent ones."""
    shown = (e for e in lineage if e.partition not in hidden or e.gate is None)
    return tuple(Edge(e.table, e.partition, ABSENT) if e.partition in hidden else e for e in shown)
