"""Is this still true? Walks verdicts and lineage back to the sources and names what went stale.

A partition is current when its code and specs are today's and when everything that it was made
from, admissions of gates included, is unchanged and itself current. Nothing is cached beyond one
walk, so that an edit is seen by the next call.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple, Protocol

from quantlab_pipeline.core.verdicts import Gate
from quantlab_pipeline.storage.manifests import ABSENT, Edge, Manifest, ManifestStore
from quantlab_pipeline.storage.table_graph import TableGraph
from quantlab_pipeline.storage.verdicts import GateRecord, VerdictStore


class LakeKeys(Protocol):
    """Today's hashes of code, specs, thresholds and dependencies, as tagged digests."""

    def code_hash(self, table: str) -> str:
        """Of the code that makes `table`."""
        ...

    def spec_hashes(self, table: str, partition: str) -> Mapping[str, str]:
        """Of the spec documents that shape `table` in `partition` (its key), by name."""
        ...

    def gate_hash(self, gate: Gate) -> str:
        """Of the gate's thresholds."""
        ...

    def gate_code_hash(self, gate: Gate) -> str:
        """Of the gate's code."""
        ...

    def lock_hash(self) -> str:
        """Of the pinned dependencies."""
        ...


KnowsHead = Callable[[str], bool]
"""Whether the trial ledger still holds a head that a verdict has seen."""


class Problem(NamedTuple):
    """Why a partition may not be read: `kind` is missing, unjudged, stale or refused."""

    table: str
    partition: str
    kind: str
    text: str

    def __str__(self) -> str:
        return f"{self.table} {self.partition}: {self.text}"


class CurrencyWalk:
    """One look at the lake. Every manifest and verdict is looked up once; make one per call."""

    def __init__(
        self,
        graph: TableGraph,
        keys: LakeKeys,
        manifests: ManifestStore,
        verdicts: VerdictStore,
        knows_head: KnowsHead | None = None,
    ) -> None:
        self._graph = graph
        self._keys = keys
        self._manifest_store = manifests
        self._verdict_store = verdicts
        self._knows_head = knows_head
        self._manifests: dict[tuple[str, str], Manifest | None] = {}
        self._records: dict[tuple[Gate, str], GateRecord | None] = {}
        self._gate_problems: dict[tuple[Gate, str], Problem | None] = {}
        self._today: dict[str, tuple[str, str]] = {}
        self._gate_today: dict[Gate, tuple[str, str]] = {}
        self._sound: dict[tuple[str, str], bool] = {}

    def manifest(self, table: str, partition: str) -> Manifest | None:
        """The manifest in force, as this walk first saw it."""
        key = (table, partition)
        if key not in self._manifests:
            self._manifests[key] = self._manifest_store.current(table, partition)
        return self._manifests[key]

    def record(self, gate: Gate, partition: str) -> GateRecord | None:
        """The newest verdict, as this walk first saw it; it may be stale (`gate_problem`)."""
        key = (gate, partition)
        if key not in self._records:
            self._records[key] = self._verdict_store.current(gate, partition)
        return self._records[key]

    def fingerprint(self, table: str, partition: str) -> str:
        """Fingerprint of the manifest in force, ABSENT without one."""
        manifest = self.manifest(table, partition)
        return ABSENT if manifest is None else manifest.fingerprint

    def admission(self, gate: Gate, partition: str) -> str:
        """Digest of the newest verdict's outcomes, ABSENT if the gate never ran."""
        record = self.record(gate, partition)
        return ABSENT if record is None else record.admission

    def problems(self, roots: Iterable[tuple[str, str]]) -> list[Problem]:
        """Everything stale, missing or unjudged from which the `roots` were made, sorted.

        `roots` are (table, partition). A gate that guards a root is not asked; `gate_problem` is.
        """
        todo = list(roots)
        seen = set(todo)
        found: list[Problem] = []
        while todo:
            table, partition = todo.pop()
            problem = self._own_problem(table, partition)
            if problem is not None:
                found.append(problem)
            manifest = self.manifest(table, partition)
            for edge in manifest.lineage if manifest is not None else ():
                upstream = self._visit(table, partition, edge, found)
                if upstream is not None and upstream not in seen:
                    seen.add(upstream)
                    todo.append(upstream)
        return sorted(set(found))

    def is_sound(self, table: str, partition: str) -> bool:
        """Whether `problems` of this one root would be empty; each partition is asked once a walk.

        Depth first with a stack of its own: a year of days hangs together in long chains.
        """
        todo = [(table, partition)]
        while todo:
            node = todo[-1]
            if node in self._sound:
                todo.pop()
                continue
            found: list[Problem] = []
            own = self._own_problem(*node)
            manifest = self.manifest(*node)
            edges = manifest.lineage if manifest is not None else ()
            above = {up for e in edges if (up := self._visit(*node, e, found)) is not None}
            waiting = [up for up in above if up not in self._sound]
            if own is None and not found and waiting:
                todo += sorted(waiting)
                continue
            sound = own is None and not found and all(self._sound[up] for up in above)
            self._sound[node] = sound
            todo.pop()
        return self._sound[table, partition]

    def gate_problem(self, gate: Gate, partition: str) -> Problem | None:
        """Why the newest verdict of `gate` on `partition` is none, or no longer current."""
        key = (gate, partition)
        if key not in self._gate_problems:
            text = self._gate_text(gate, partition)
            kind = "unjudged" if self.record(gate, partition) is None else "stale"
            table = self._graph.judged(gate)
            self._gate_problems[key] = (
                None if text is None else Problem(table, partition, kind, text)
            )
        return self._gate_problems[key]

    def _visit(
        self, table: str, partition: str, edge: Edge, found: list[Problem]
    ) -> tuple[str, str] | None:
        """Check one edge, and return the upstream partition that is to be walked next."""
        if edge.gate is not None:
            problem = self.gate_problem(edge.gate, edge.partition)
            if problem is not None:
                found.append(problem)
            elif self.admission(edge.gate, edge.partition) != edge.fingerprint:
                text = f"built under another verdict of {edge.gate} on {edge.partition}"
                found.append(Problem(table, partition, "stale", text))
            return self._graph.judged(edge.gate), edge.partition
        now = self.fingerprint(edge.table, edge.partition)
        if now != edge.fingerprint:
            text = f"built from an older {edge.table} of {edge.partition}"
            if edge.fingerprint == ABSENT:
                text = f"built before {edge.table} of {edge.partition} arrived"
            found.append(Problem(table, partition, "stale", text))
        return None if now == ABSENT else (edge.table, edge.partition)

    def _own_problem(self, table: str, partition: str) -> Problem | None:
        manifest = self.manifest(table, partition)
        if manifest is None:
            return Problem(table, partition, "missing", "was never written")
        code, schema = self._today_of(table)
        specs = dict(self._keys.spec_hashes(table, partition))
        if manifest.code_hash != code:
            return Problem(table, partition, "stale", "its code changed since it was built")
        if manifest.spec_hashes != specs:
            names = sorted(
                n
                for n in {*specs, *manifest.spec_hashes}
                if specs.get(n) != manifest.spec_hashes.get(n)
            )
            text = f"its specs changed since it was built: {', '.join(names)}"
            return Problem(table, partition, "stale", text)
        if manifest.schema_hash != schema:
            return Problem(table, partition, "stale", "its columns changed since it was built")
        return None

    def _today_of(self, table: str) -> tuple[str, str]:
        if table not in self._today:
            schema = self._graph.schema_hash(table)
            self._today[table] = (self._keys.code_hash(table), schema)
        return self._today[table]

    def _gate_text(self, gate: Gate, partition: str) -> str | None:
        record = self.record(gate, partition)
        if record is None:
            return f"{gate} never judged it"
        judged = self._graph.judged(gate)
        if (record.table, record.input_fingerprint) != (
            judged,
            self.fingerprint(judged, partition),
        ):
            return f"it changed since {gate} judged it"
        if gate not in self._gate_today:
            self._gate_today[gate] = (self._keys.gate_hash(gate), self._keys.gate_code_hash(gate))
        thresholds, code = self._gate_today[gate]
        if record.gate_hash != thresholds:
            return f"the thresholds of {gate} changed since it judged"
        if record.code_hash != code:
            return f"the code of {gate} changed since it judged"
        head = record.ledger_head
        if head is not None and self._knows_head is not None and not self._knows_head(head):
            return f"the trial ledger is older than the verdict of {gate}, or is gone"
        return None
