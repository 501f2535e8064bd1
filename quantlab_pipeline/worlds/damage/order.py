"""Damage to which rows there are, and where: gone, doubled, out of order, off the grid, misfiled.

No value is touched here.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import numpy as np
import polars as pl

from quantlab_pipeline.worlds.damage.pick import (
    FILED_ON,
    Outcome,
    Rows,
    a_run,
    replace,
    rows_of,
    some,
    stamps_us,
    without,
)

_MOVED = {
    "open_interest": ("ts", "available_at", "bucket_start"),
    "funding": ("ts", "available_at", "raw_ts", "next_funding_ts"),
    "mark_index": ("ts", "available_at"),
}
_MOVED_BARS = ("ts", "available_at", "open_ts")


def gap(frame: pl.DataFrame, rows: Rows, item: Any, draw: np.random.Generator) -> Outcome:
    """`length_min` consecutive rows are gone."""
    return _gone(frame, a_run(rows, item.length_min, draw, item))


def oi_hole(frame: pl.DataFrame, rows: Rows, item: Any, draw: np.random.Generator) -> Outcome:
    """`length_buckets` consecutive rows are gone."""
    return _gone(frame, a_run(rows, item.length_buckets, draw, item))


def short_day(frame: pl.DataFrame, rows: Rows, item: Any, _draw: np.random.Generator) -> Outcome:
    """The day's first or last rows are gone."""
    n = item.length_min
    return _gone(frame, rows[:n] if item.kind == "late_listing" else rows[-n:])


def missing(frame: pl.DataFrame, rows: Rows, item: Any, draw: np.random.Generator) -> Outcome:
    """`n_rows` rows are gone."""
    return _gone(frame, some(rows, item.n_rows, draw, item))


def _gone(frame: pl.DataFrame, rows: Rows) -> Outcome:
    return Outcome(without(frame, rows), stamps_us(frame, rows))


def duplicate(frame: pl.DataFrame, rows: Rows, item: Any, draw: np.random.Generator) -> Outcome:
    """`n_rows` rows stand twice."""
    twice = some(rows, item.n_rows, draw, item)
    order = np.sort(np.concatenate((np.arange(frame.height), twice)))
    return Outcome(frame[order], stamps_us(frame, twice))


def disorder(frame: pl.DataFrame, rows: Rows, item: Any, draw: np.random.Generator) -> Outcome:
    """The places are the earlier rows of each pair: they stand one place too late."""
    early = some(rows[:-1:2], item.n_pairs, draw, item)
    order = np.arange(frame.height)
    order[early], order[early + 1] = early + 1, early
    return Outcome(frame[order], stamps_us(frame, early))


def off_grid(frame: pl.DataFrame, rows: Rows, item: Any, draw: np.random.Generator) -> Outcome:
    """The places are the moved stamps; a reader finds a hole where each row should have been."""
    late = some(rows[:-1], item.n_rows, draw, item)
    moved = {
        c: frame[c].gather(late).dt.offset_by(f"{item.offset_s}s")
        for c in _MOVED.get(item.dataset, _MOVED_BARS)
    }
    damaged = replace(frame, late, moved)
    return Outcome(damaged, stamps_us(damaged, late))


def foreign(frame: pl.DataFrame, rows: Rows, item: Any, draw: np.random.Generator) -> Outcome:
    """The places are the strangers' own stamps, on the day before."""
    strangers = some(rows_of(frame, item, item.day - timedelta(days=1)), item.n_rows, draw, item)
    if FILED_ON not in frame.columns:
        frame = frame.with_columns(pl.lit(None, pl.Date).alias(FILED_ON))
    copies = frame[strangers].with_columns(pl.lit(item.day).alias(FILED_ON))
    head, tail = frame[: int(rows[0])], frame[int(rows[0]) :]
    return Outcome(pl.concat([head, copies, tail]), stamps_us(frame, strangers))
