"""SQL over the lake: DuckDB in memory, views made from what a gated load may open.

No data lives here. The connection can open the listed files and nothing else, and runs queries
only, so that SQL is no way around a gate. Timestamps are UTC.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from datetime import date
from typing import TYPE_CHECKING, Any

import polars as pl

from quantlab_pipeline.core.clocks import TS
from quantlab_pipeline.core.errors import MissingPartitionError, QuantlabError
from quantlab_pipeline.storage.reader import LakeReader
from quantlab_pipeline.storage.scans import ReadPlan, ScanGroup

if TYPE_CHECKING:
    import duckdb


Connect = Callable[[], AbstractContextManager[Any]]
"""Opens a fresh DuckDB connection in memory."""


class QueryError(QuantlabError):
    """A query that DuckDB refuses, or a statement that is no query."""


class Catalog:
    """The lake's tables as views, gates in force."""

    def __init__(self, lake: LakeReader, connect: Connect | None = None) -> None:
        """`connect` opens a fresh DuckDB connection in memory (default: DuckDB's own)."""
        self._lake = lake
        self._connect = connect

    def sql(
        self,
        query: str,
        first: date | None = None,
        last: date | None = None,
        study: str | None = None,
    ) -> pl.DataFrame:
        """The result of one SELECT over the lake's tables by their names.

        A day table is read from `first` to `last` (default: every day written), a study table for
        `study`. Raises GateNotPassedError or MissingPartitionError where a load of a named table
        does, QueryError for everything that DuckDB refuses.
        """
        import duckdb

        names = [n for n in self._lake.graph.tables if re.search(rf"\b{n}\b", query)]
        plans: list[ReadPlan] = []
        refused: list[QuantlabError] = []
        for name in names:
            try:
                plans.append(self._lake.plan(name, self._partitions(name, first, last, study)))
            except QuantlabError as error:
                # The word may be no table here; then the query succeeds without it.
                refused.append(error)
        opened = duckdb.connect(":memory:") if self._connect is None else self._connect()
        with opened as connection:
            _open(connection, plans)
            try:
                _require_query(connection, query)
                return _utc(connection.sql(query).pl())
            except duckdb.CatalogException as error:
                if refused:
                    raise refused[0] from error
                raise _query_error(error) from error
            except duckdb.Error as error:
                raise _query_error(error) from error

    def _partitions(
        self, table: str, first: date | None, last: date | None, study: str | None
    ) -> Sequence[date | str]:
        if self._lake.graph.spec(table).partition == "day":
            days = self._lake.days(table)
            return [d for d in days if (first or d) <= d <= (last or d)]
        if study is None:
            raise MissingPartitionError(
                f"{table} is a table of studies, and no study is named.",
                "Name one: sql(..., study=...).",
                table=table,
            )
        return [study]


def _open(connection: duckdb.DuckDBPyConnection, plans: Sequence[ReadPlan]) -> None:
    uris = [uri for plan in plans for group in plan.groups for uri in group.uris]
    connection.execute(f"SET allowed_paths = {_list(uris)}")
    connection.execute("SET enable_external_access = false")
    for plan in plans:
        if plan.groups:
            selects = " UNION ALL ".join(_select(plan, group) for group in plan.groups)
            connection.execute(f"CREATE VIEW {plan.spec.name} AS {selects}")
        else:
            connection.register(plan.spec.name, plan.spec.schema.empty().to_arrow())
    connection.execute("SET lock_configuration = true")


def _select(plan: ReadPlan, group: ScanGroup) -> str:
    dtypes = {c.name: c.dtype for c in plan.spec.schema.columns}
    columns = []
    for name in plan.columns:
        if name not in group.columns:
            columns.append(f'NULL::DOUBLE AS "{name}"')
        elif dtypes[name] == TS:
            # Without its time zone database DuckDB would show instants in the machine's own zone.
            columns.append(f'make_timestamp(epoch_us("{name}")) AS "{name}"')
        else:
            columns.append(f'"{name}"')
    files = f"read_parquet({_list(group.uris)}, hive_partitioning = false)"
    where = ""
    if group.items is not None:
        where = f' WHERE list_contains({_list(sorted(group.items))}, "{plan.spec.item_column}")'
    return f"SELECT {', '.join(columns)} FROM {files}{where}"  # noqa: S608 (names of our own)


def _list(values: Sequence[str]) -> str:
    quoted = ("'" + v.replace("'", "''") + "'" for v in values)
    return f"[{', '.join(quoted)}]"


def _require_query(connection: duckdb.DuckDBPyConnection, query: str) -> None:
    import duckdb

    statements = connection.extract_statements(query)
    if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
        raise QueryError("Only a single SELECT can be run.", "Give one query.", query=query)


def _query_error(error: Exception) -> QueryError:
    return QueryError(f"DuckDB refuses the query: {error}.", "Mend the query.")


def _utc(frame: pl.DataFrame) -> pl.DataFrame:
    stamps = [name for name, dtype in frame.schema.items() if dtype == pl.Datetime("us")]
    return frame.with_columns(pl.col(stamps).dt.replace_time_zone("UTC"))
