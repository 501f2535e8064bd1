"""What a partition is made from: edges to upstream partitions and to the verdicts relied upon.

Belongs here: which edges a partition must have, and the taints that travel along them. Whether the
edges are still true is `storage.currency`'s question.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import date, timedelta

from quantlab_pipeline.core.clocks import days_between
from quantlab_pipeline.core.errors import QuantlabError
from quantlab_pipeline.core.fingerprints import digest
from quantlab_pipeline.core.tables import Read, TableSpec
from quantlab_pipeline.storage.currency import CurrencyWalk
from quantlab_pipeline.storage.manifests import (
    ABSENT,
    Edge,
    Lineage,
    day_of_key,
    gate_edge,
    partition_key,
)
from quantlab_pipeline.storage.table_graph import TableGraph


class LineageError(QuantlabError):
    """A partition was to be written without saying from what it was made."""


class LineageReader:
    """Edges of partitions about to be made, from one look at the lake.

    `exists` says whether a partition key lies within the market's days.
    """

    def __init__(
        self, graph: TableGraph, walk: CurrencyWalk, exists: Callable[[str], bool]
    ) -> None:
        self._graph = graph
        self._walk = walk
        self._exists = exists

    def lineage(self, table: str, partition: str, days: Sequence[date] = ()) -> Lineage:
        """Every edge of `partition`, sorted. `days` are those that a study reads."""
        edges: set[Edge] = set()
        for read in self._graph.spec(table).reads:
            for key in filter(self._exists, self._upstream_keys(read, partition, days)):
                edges.update(self._edges(table, read.table, key))
        return tuple(sorted(edges))

    def _upstream_keys(self, read: Read, partition: str, days: Sequence[date]) -> list[str]:
        own_day = day_of_key(partition)
        if self._graph.spec(read.table).partition == "study":
            return [partition]
        if own_day is None and not days:
            return []
        first = own_day or min(days)
        last = own_day or max(days)
        first -= timedelta(days=read.lookback_days)
        last += timedelta(days=read.lookahead_days)
        return [partition_key("day", day) for day in days_between(first, last)]

    def _edges(self, reader: str, upstream: str, key: str) -> list[Edge]:
        now = self._walk.fingerprint(upstream, key)
        edges = [Edge(upstream, key, now)]
        if now != ABSENT:
            gates = self._graph.gates_of_read(reader, upstream)
            edges += [gate_edge(g, key, self._walk.admission(g, key)) for g in gates]
        return edges


def require_lineage(
    graph: TableGraph, spec: TableSpec, partitions: Sequence[str], reads: Mapping[str, Lineage]
) -> None:
    """LineageError unless every partition has an edge to every table that `spec` reads."""
    for partition in partitions:
        told = {edge.table for edge in reads.get(partition, ())}
        due = {r.table for r in spec.reads}
        due |= {
            f"gate:{g.value}" for r in spec.reads for g in graph.gates_of_read(spec.name, r.table)
        }
        missing = sorted(due - told)
        if missing:
            raise LineageError(
                f"{spec.name} {partition} does not say which {', '.join(missing)} it read.",
                "Take lake.lineage_for before reading (with the days that a study reads), "
                "and give it to write.",
                table=spec.name,
                partition=partition,
                missing=missing,
            )


def dataset_hash(lineage: Lineage) -> str:
    """Digest of the days of data in `lineage`, and of what gates admitted of them.

    What a study made of its own is left out, so that two studies of the same days have the same.
    """
    return digest(sorted(edge for edge in lineage if day_of_key(edge.partition) is not None))


def taints_of(walk: CurrencyWalk, lineage: Lineage) -> set[str]:
    """Taints that come along the edges: the upstream partitions' own and the verdicts'."""
    taints: set[str] = set()
    for edge in lineage:
        if edge.gate is not None:
            record = walk.record(edge.gate, edge.partition)
            taints.update(record.tainted_by if record is not None else ())
        else:
            manifest = walk.manifest(edge.table, edge.partition)
            taints.update(manifest.tainted_by if manifest is not None else ())
    return taints
