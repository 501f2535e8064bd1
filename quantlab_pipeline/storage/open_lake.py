"""The notebook's door: read-only, in few words, with every gate in force."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Any

import polars as pl

from quantlab_pipeline.core.clocks import days_between
from quantlab_pipeline.core.errors import MissingPartitionError
from quantlab_pipeline.core.verdicts import Gate
from quantlab_pipeline.storage.catalog import Catalog
from quantlab_pipeline.storage.project_lake import market_root, open_market_lake, project_of
from quantlab_pipeline.storage.reader import LakeReader
from quantlab_pipeline.storage.verdicts import GateRecord

_VERDICT_SCHEMA: dict[str, Any] = {
    "gate": pl.String,
    "partition": pl.String,
    "item": pl.String,
    "outcome": pl.String,
    "reasons": pl.List(pl.String),
    "admissible": pl.Boolean,
    "current": pl.Boolean,
}


class ReadOnlyLake:
    """A lake to look at: tables, studies, SQL and verdicts. Nothing here can change it.

    Every table is a polars frame sorted by its key; times are UTC; a missing value is null.
    """

    def __init__(self, lake: LakeReader) -> None:
        self._lake = lake
        self._catalog = Catalog(lake)

    def tables(self) -> pl.DataFrame:
        """One row per table: name, stage, partition kind, gate, grain, partitions written."""
        return pl.DataFrame(
            [
                {
                    "table": name,
                    "stage": spec.stage,
                    "partition": spec.partition,
                    "gate": None if spec.gate is None else spec.gate.value,
                    "grain": spec.grain,
                    "written": len(self._lake.partitions(name)),
                }
                for name, spec in self._lake.graph.tables.items()
            ],
            schema_overrides={"gate": pl.String},
        )

    def table(
        self,
        name: str,
        start: date | str,
        end: date | str | None = None,
        columns: Sequence[str] | None = None,
    ) -> pl.DataFrame:
        """Rows of a day table from `start` to `end`, both included (`end` None: one day).

        GateNotPassedError (code GATE_NOT_PASSED) if the table, or anything it was made from, is
        stale or was not admitted; MissingPartitionError if a day was never built.
        """
        first, last = _day(start), _day(start if end is None else end)
        return self._lake.read(name, days_between(first, last), columns=columns)

    def study(self, name: str, table: str, columns: Sequence[str] | None = None) -> pl.DataFrame:
        """Rows of a study's `table` (`phase2_candidates`, ...) that its gate admits."""
        return self._lake.read(table, [name], columns=columns)

    def sql(
        self,
        query: str,
        start: date | str | None = None,
        end: date | str | None = None,
        study: str | None = None,
    ) -> pl.DataFrame:
        """The result of one SELECT over the tables by name; see `storage.catalog.Catalog.sql`."""
        first = None if start is None else _day(start)
        last = None if end is None else _day(end)
        return self._catalog.sql(query, first, last, study)

    def verdicts(self, gate: Gate | str, partition: date | str | None = None) -> pl.DataFrame:
        """What `gate` says of every item, newest verdict of each partition; one row per item.

        `current` is false where bytes, thresholds or code changed since: no load relies on it.
        `admissible` is false where anything upstream was waived or synthetic.
        """
        gate = Gate(gate)
        keys = self._lake.judged_partitions(gate, partition)
        rows = [row for key in keys for row in self._rows(gate, key)]
        return pl.DataFrame(rows, schema=_VERDICT_SCHEMA, orient="row")

    def _rows(self, gate: Gate, key: str) -> list[tuple[object, ...]]:
        record: GateRecord | None = self._lake.verdicts.current(gate, key)
        if record is None:
            return []
        current = not self._lake.verdict_problems(gate, key)
        return [
            (gate.value, key, v.item, v.outcome.value, list(v.reasons), record.admissible, current)
            for v in record.items
        ]


def open_lake(
    market: str | None = None, project: Path | None = None, data: Path | None = None
) -> ReadOnlyLake:
    """The lake of `market`, read-only, gates in force.

    Without a name, the only market that has data; MissingPartitionError names them if there are
    several or none. `project` is the folder with `specs/` (default: the working directory), `data`
    the folder with the lakes (default: $QUANTLAB_DATA, or `<project>/data`).
    """
    given = os.environ.get("QUANTLAB_DATA") if data is None else str(data)
    specs = project_of(project, None if given is None else Path(given))
    folder = specs.root / "data" if given is None else Path(given)
    if market is None:
        there = [m.name for m in specs.markets() if market_root(folder, m.name).is_dir()]
        if len(there) != 1:
            raise MissingPartitionError(
                f"{len(there)} markets have data in {folder}: {', '.join(there) or 'none'}.",
                'Name one: open_lake("market"), or build one: `quantlab run STUDY`.',
                markets=there,
            )
        market = there[0]
    return ReadOnlyLake(open_market_lake(specs, specs.market(market), folder, _no_clock))


def _no_clock() -> datetime:
    """What is only read writes no instant."""
    raise RuntimeError("a read-only lake was asked for the time")


def _day(value: date | str) -> date:
    return value if isinstance(value, date) else date.fromisoformat(value)
