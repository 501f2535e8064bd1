"""Columns and table schemas: a column is defined once, with its unit, meaning and clock.

A `TableSchema` is the type of one state of the data. `validate` builds a strict Pandera schema from
it (no coercion) and refuses a frame that differs. Which tables exist is `research.tables`' matter.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import polars as pl

from quantlab_pipeline.core.clocks import TS
from quantlab_pipeline.core.errors import SchemaError


@dataclass(frozen=True, slots=True)
class Column:
    """One column: dtype, unit (`""` for none), meaning in a sentence, and its allowed range.

    `inner` are the columns of the rows that each of its values holds (`inner_rows`).
    """

    name: str
    dtype: Any
    unit: str
    meaning: str
    nullable: bool = False
    ge: float | None = None
    gt: float | None = None
    le: float | None = None
    isin: tuple[str, ...] | None = None
    inner: tuple[Column, ...] = ()


def text(name: str, meaning: str, nullable: bool = False) -> Column:
    """Words: an identifier, a choice, a reason."""
    return Column(name, pl.String, "", meaning, nullable)


def count(name: str, unit: str, meaning: str, nullable: bool = False) -> Column:
    """How many of `unit` there are."""
    return Column(name, pl.Int64, unit, meaning, nullable, ge=0)


def figure(
    name: str, unit: str, meaning: str, ge: float | None = None, le: float | None = None
) -> Column:
    """A number that could not always be found: null then, never a zero in its place."""
    return Column(name, pl.Float64, unit, meaning, nullable=True, ge=ge, le=le)


def inner_rows(name: str, meaning: str, *inner: Column) -> Column:
    """A small table inside a row: a list, empty but never null, of structs with `inner` fields."""
    dtype = pl.List(pl.Struct({c.name: c.dtype for c in inner}))
    return Column(name, dtype, "", meaning, inner=inner)


SYMBOL = Column("symbol", pl.String, "", "Instrument, in the venue's own spelling.")
TS_COLUMN = Column("ts", TS, "UTC", "Instant the row describes; for a bar its close.")
AVAILABLE_AT = Column("available_at", TS, "UTC", "Instant from which the row could be known.")


@dataclass(frozen=True, slots=True)
class TableSchema:
    """The columns of a table in order, its unique key and its sort order (the key's)."""

    name: str
    columns: tuple[Column, ...]
    key: tuple[str, ...] = ("symbol", "ts")

    @property
    def names(self) -> list[str]:
        """Column names in order."""
        return [c.name for c in self.columns]

    def empty(self) -> pl.DataFrame:
        """A frame with the right columns and no rows."""
        return pl.DataFrame(schema={c.name: c.dtype for c in self.columns})

    def conform(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Select this schema's columns in order and sort by the key. No cast."""
        missing = [c for c in self.names if c not in frame.columns]
        if missing:
            raise SchemaError(
                f"{self.name} lacks {', '.join(missing)}.",
                "Give the verb that makes it the columns of its schema.",
                table=self.name,
                columns=missing,
            )
        return self.in_order(frame.select(self.names))

    def in_order(self, frame: pl.DataFrame) -> pl.DataFrame:
        """`frame` sorted by the key; itself, not a copy, where it is already."""
        keys = frame.select(self.key)
        return frame if keys.equals(keys.sort(*self.key)) else frame.sort(*self.key)

    def validate(self, frame: pl.DataFrame) -> pl.DataFrame:
        """`frame` itself if it is exactly of this schema with a unique key, else SchemaError."""
        _require_columns(self.name, self.columns, frame)
        for column in self.columns:
            if column.inner:
                rows = pl.DataFrame({"row": frame[column.name].explode().drop_nulls()})
                _require_columns(f"{self.name}.{column.name}", column.inner, rows.unnest("row"))
        if frame.select(self.key).is_duplicated().any():
            raise SchemaError(
                f"{self.name} holds two rows with one key ({', '.join(self.key)}).",
                "Deduplicate at the source and count what was dropped.",
                table=self.name,
            )
        return frame


def _require_columns(name: str, columns: tuple[Column, ...], frame: pl.DataFrame) -> None:
    """SchemaError unless `frame` has exactly these columns, each within its range."""
    import pandera.errors
    import pandera.polars as pa

    schema = pa.DataFrameSchema(
        {c.name: _pandera_column(pa, c) for c in columns}, strict=True, ordered=True
    )
    try:
        schema.validate(frame, lazy=True)
    except (pandera.errors.SchemaErrors, pandera.errors.SchemaError) as error:
        raise SchemaError(
            f"{name} is not of its schema: {_first_failure(error)}.",
            "Mend the verb or the source that made it.",
            table=name,
        ) from error


def _pandera_column(pa: Any, column: Column) -> Any:
    checks = []
    for name in ("ge", "gt", "le", "isin"):
        bound = getattr(column, name)
        if bound is not None:
            checks.append(getattr(pa.Check, name)(bound))
    return pa.Column(column.dtype, checks=checks, nullable=column.nullable, coerce=False)


def _first_failure(error: Any) -> str:
    cases = getattr(error, "failure_cases", None)
    if isinstance(cases, pl.DataFrame) and cases.height:
        row = cases.row(0, named=True)
        value = row.get("failure_case")
        return f"column {row.get('column')}: {row.get('check')} failed for {value}"
    return str(error).splitlines()[0]
