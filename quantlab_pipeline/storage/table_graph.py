"""The registry of tables as a graph: who reads whom, which gate stands where, what it judges.

Belongs here: facts that follow from the `TableSpec`s alone. Nothing here looks at a disk.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from functools import cache

from quantlab_pipeline.core.errors import QuantlabError, SpecError
from quantlab_pipeline.core.fingerprints import digest
from quantlab_pipeline.core.tables import TableSpec
from quantlab_pipeline.core.verdicts import Gate

COLUMN_ITEMS = "*column"
"""`TableSpec.item_column` of a table whose judged items are its own columns."""


class UnknownTableError(QuantlabError):
    """A table that the registry does not list."""


class TableGraph:
    """Tables by name, and the table on which each gate sits.

    `judged` names that table where a gate guards several; a gate that guards one judges it. Raises
    SpecError where a gate's place is unknown or where it guards a table about which its verdict
    says nothing.
    """

    def __init__(
        self, tables: Mapping[str, TableSpec], judged: Mapping[Gate, str] | None = None
    ) -> None:
        self.tables = dict(tables)
        self._judged = {gate: self._place(gate, judged or {}) for gate in self._gates()}
        self.reaches = cache(self._reaches)
        self.schema_hash = cache(self._schema_hash)
        for spec in self.tables.values():
            self._check(spec)

    def spec(self, table: str) -> TableSpec:
        """The table's spec; UnknownTableError names the nearest one."""
        if table not in self.tables:
            near = difflib.get_close_matches(table, self.tables, n=1)
            hint = f"Did you mean {near[0]}?" if near else f"Tables: {', '.join(self.tables)}."
            raise UnknownTableError(f"There is no table {table}.", hint, table=table)
        return self.tables[table]

    @property
    def gates(self) -> list[Gate]:
        """The gates that guard any table, in the order of the chain."""
        return list(self._judged)

    def judged(self, gate: Gate) -> str:
        """The table that `gate` judges."""
        if gate not in self._judged:
            raise SpecError(f"Gate {gate} guards no table.", "Name it in a TableSpec.", gate=gate)
        return self._judged[gate]

    def gates_of_read(self, reader: str, upstream: str) -> list[Gate]:
        """Gates whose verdict `reader` relies on when it reads `upstream`.

        None where the reader is itself material of that verdict: what a gate judges is made before
        the gate runs, from ungated reads. None where it reads `regardless` of the verdict.
        """
        if upstream in self.spec(reader).regardless:
            return []
        gates = [g for g, table in self._judged.items() if table == upstream]
        own = self.spec(upstream).gate
        if own is not None and own not in gates:
            gates.append(own)
        return [g for g in gates if not self._made_before(g, reader)]

    def _made_before(self, gate: Gate, reader: str) -> bool:
        judged = self._judged[gate]
        if self.reaches(judged, reader):
            return True
        return self.spec(reader).gate is gate and not self.reaches(reader, judged)

    def _reaches(self, table: str, upstream: str) -> bool:
        seen, todo = set(), [table]
        while todo:
            name = todo.pop()
            if name == upstream:
                return True
            if name not in seen:
                seen.add(name)
                todo += [r.table for r in self.spec(name).reads]
        return False

    def _schema_hash(self, table: str) -> str:
        schema = self.spec(table).schema
        columns = [(c.name, str(c.dtype), c.nullable) for c in schema.columns]
        return digest({"columns": columns, "key": schema.key})

    def _gates(self) -> list[Gate]:
        used = {spec.gate for spec in self.tables.values()}
        return [gate for gate in Gate if gate in used]

    def _place(self, gate: Gate, judged: Mapping[Gate, str]) -> str:
        guarded = [name for name, spec in self.tables.items() if spec.gate is gate]
        if gate in judged and judged[gate] in self.tables:
            return judged[gate]
        if len(guarded) > 1:
            raise SpecError(
                f"Gate {gate} guards {', '.join(guarded)}; which of them it judges is not said.",
                "Name it in the registry's `judged`.",
                gate=gate.value,
            )
        return guarded[0]

    def _check(self, spec: TableSpec) -> None:
        for read in spec.reads:
            if self.spec(read.table).regardless:
                raise SpecError(
                    f"{spec.name} reads {read.table}, which holds what a gate refused.",
                    "Read the gated table itself.",
                    table=spec.name,
                    upstream=read.table,
                )
        if spec.gate is None:
            return
        judged = self._judged[spec.gate]
        same_kind = self.spec(judged).partition == spec.partition
        if spec.item_column is None or not same_kind or not self._covered(spec.gate, spec.name):
            raise SpecError(
                f"Gate {spec.gate} judges {judged}, which says nothing about {spec.name}.",
                f"Let {judged} read {spec.name} or the reverse, day by day or study by study, "
                "and name the item's column.",
                gate=spec.gate.value,
                table=spec.name,
            )

    def _covered(self, gate: Gate, table: str) -> bool:
        """The verdict examined `table`, or `table` is made from what it examined alone."""
        judged = self._judged[gate]
        if self.reaches(judged, table) or self.reaches(table, judged):
            return True
        reads = self.spec(table).reads
        return bool(reads) and all(self._covered(gate, r.table) for r in reads)
