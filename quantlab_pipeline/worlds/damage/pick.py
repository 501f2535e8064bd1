"""Which rows of a frame are hit, and the few ways to change them. The kinds are in the neighbours.

Rows are positions in the frame, ascending; the frames given are never changed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from quantlab_pipeline.core.clocks import day_of
from quantlab_pipeline.core.errors import SpecError

Rows = NDArray[np.int64]
Stamps = NDArray[np.int64]
Spans = tuple[tuple[int, int], ...]

FILED_ON = "filed_on"
"""A column of damaged frames: the day in whose file a row stands where it is not its own."""
EDGE_ROWS = 10
DECIMALS = 8


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """The damaged frame, the stamps `ts` at fault as a reader sees them, and a book's `spans`."""

    frame: pl.DataFrame
    places_us: Stamps
    spans_us: Spans = ()


def rows_of(frame: pl.DataFrame, item: Any, day: date) -> Rows:
    """The rows of the item's dataset, leg and symbol on `day`. SpecError if there is none.

    A quote at midnight opens its day; any other row there closes the day before.
    """
    is_day = pl.col("ts").dt.date() == day if item.dataset == "book" else day_of() == day
    wanted = is_day & (pl.col("symbol") == item.symbol)
    if item.dataset == "book":
        wanted &= pl.col("leg") == item.leg
    if FILED_ON in frame.columns:
        wanted &= pl.col(FILED_ON).is_null()
    rows: Rows = frame.select(wanted.arg_true()).to_series().to_numpy().astype(np.int64)
    if rows.size == 0:
        raise SpecError(
            f"Damage {item.kind} finds no {item.dataset} rows of {item.symbol} on {day}.",
            "Name a day that the dataset covers.",
            kind=item.kind,
        )
    return rows


def stamps_us(frame: pl.DataFrame, rows: Rows) -> Stamps:
    """`ts` of `rows` in microseconds."""
    stamps: Stamps = frame["ts"].dt.epoch("us").gather(rows).to_numpy()
    return stamps


def a_run(rows: Rows, length: int, draw: np.random.Generator, item: Any) -> Rows:
    """`length` consecutive rows, away from the day's edges."""
    room = rows.size - length - 2 * EDGE_ROWS
    if room < 1:
        raise SpecError(
            f"Damage {item.kind} of {length} rows does not fit into {rows.size}.",
            "Ask for a shorter run.",
            kind=item.kind,
        )
    first = EDGE_ROWS + int(draw.integers(room))
    return rows[first : first + length]


def some(rows: Rows, n: int, draw: np.random.Generator, item: Any) -> Rows:
    """`n` different ones of `rows`, ascending."""
    if n > rows.size:
        raise SpecError(
            f"Damage {item.kind} wants {n} of {rows.size} rows.", "Ask for fewer.", kind=item.kind
        )
    return np.sort(draw.choice(rows, size=n, replace=False))


def without(frame: pl.DataFrame, gone: Rows) -> pl.DataFrame:
    """`frame` without the rows `gone`."""
    keep = np.ones(frame.height, bool)
    keep[gone] = False
    return frame.filter(pl.Series(keep))


def replace(frame: pl.DataFrame, rows: Rows, columns: Mapping[str, Any]) -> pl.DataFrame:
    """`frame` with new values (one, which may be null, or one a row) in `rows` of some columns."""
    return frame.with_columns(
        frame[name].scatter(rows, values).alias(name) for name, values in columns.items()
    )


def scaled(frame: pl.DataFrame, rows: Rows, columns: list[str], factor: float) -> pl.DataFrame:
    """`frame` with `columns` of `rows` times `factor`, to 8 decimals."""
    values = {c: (frame[c].gather(rows) * factor).round(DECIMALS) for c in columns}
    return replace(frame, rows, values)
