"""A parsed dataset: the rows that a typed table can hold, and a count of every row that it cannot.

Belongs here: the carrier between a source and the QA report, and the few verbs by which rows are
set aside. Nothing is dropped without a finding; nothing is repaired. What a fault means for a day
is `gate`'s matter.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date

import polars as pl

from quantlab_pipeline.core.clocks import day_end, day_of
from quantlab_pipeline.core.findings import Finding
from quantlab_pipeline.research.market_data.schema import RAW_FINDINGS

MERGED = (
    pl.col("count").sum(),
    pl.col("first_ts").min(),
    pl.col("detail").drop_nulls().first(),
    pl.col("places").explode().drop_nulls().unique().sort(),
)
"""Findings of one key as one."""


@dataclass(frozen=True, slots=True)
class ParsedTable:
    """`frame` is of its table's schema; `findings` count what was set aside, per symbol and day."""

    frame: pl.DataFrame
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True, slots=True)
class Origin:
    """Which dataset and symbol a frame holds, and the days that are asked of it."""

    dataset: str
    symbol: str
    days: tuple[date, ...]


def within(rows: pl.DataFrame, days: Sequence[date]) -> pl.DataFrame:
    """Rows whose `ts` belongs to one of `days`, order kept."""
    return rows.filter(day_of("ts").is_in(list(days)))


def count_faults(rows: pl.DataFrame, origin: Origin, check: str, detail: str = "") -> list[Finding]:
    """One finding per day of `rows`, all of them at fault; needs `ts`. Empty for no rows."""
    if rows.is_empty():
        return []
    daily = (
        rows.group_by(day_of("ts").alias("day"))
        .agg(pl.len(), pl.col("ts").unique().sort().alias("places"))
        .sort("day")
    )
    return [
        Finding(origin.dataset, check, origin.symbol, day, count, at[0], detail, tuple(at))
        for day, count, at in daily.iter_rows()
    ]


def set_aside(
    rows: pl.DataFrame, faulty: pl.Expr, origin: Origin, check: str, detail: str = ""
) -> tuple[pl.DataFrame, list[Finding]]:
    """`rows` without those for which `faulty` holds (null counts as holding), and their count."""
    marked = rows.with_columns(faulty.fill_null(value=True).alias("_faulty"))
    bad = marked.filter("_faulty")
    return marked.filter(~pl.col("_faulty")).drop("_faulty"), count_faults(
        bad, origin, check, detail
    )


def one_row_each(rows: pl.DataFrame, origin: Origin) -> tuple[pl.DataFrame, list[Finding]]:
    """`rows` sorted by `ts` with the first of each, and counts of `non_monotone` and `duplicates`.

    A row is non-monotone where an earlier row of its day, in the order of the file, has a later
    `ts`. Rows after the first with one `ts` are duplicates; the detail says how many differ.
    """
    day = day_of("ts")
    marked = rows.with_columns(
        (pl.col("ts") < pl.col("ts").cum_max().over(day)).alias("_late"),
        (~pl.col("ts").is_first_distinct()).alias("_again"),
    )
    late, again = marked.filter("_late"), marked.filter("_again")
    kept = marked.filter(~pl.col("_again"))
    findings = count_faults(late, origin, "non_monotone", "stamps that go back in the file")
    if again.height:
        values = [c for c in rows.columns if not c.startswith("_")]
        exact = again.select(values).join(
            kept.select(values), on=values, how="anti", nulls_equal=True
        )
        detail = f"{exact.height} of {again.height} repeated rows differ from the first"
        findings += count_faults(again, origin, "duplicates", detail)
    return kept.drop("_late", "_again").sort("ts"), findings


def positive(*columns: str) -> pl.Expr:
    """True where every one of `columns` is a finite number above zero."""
    return pl.all_horizontal(*(pl.col(c).is_finite() & (pl.col(c) > 0) for c in columns)).fill_null(
        value=False
    )


def not_negative(column: str) -> pl.Expr:
    """True where `column` is a finite number of at least zero."""
    return (pl.col(column).is_finite() & (pl.col(column) >= 0)).fill_null(value=False)


def findings_frame(findings: Iterable[Finding]) -> pl.DataFrame:
    """Findings as a frame of the RAW_FINDINGS schema, counts of one key added up, sorted."""
    rows = [
        (f.symbol, day_end(f.day), f.dataset, f.check, f.count, f.first_ts, f.detail, f.places)
        for f in findings
    ]
    frame = pl.DataFrame(rows, schema={c.name: c.dtype for c in RAW_FINDINGS.columns}, orient="row")
    key = list(RAW_FINDINGS.key)
    merged = frame.group_by(key, maintain_order=True).agg(*MERGED)
    return RAW_FINDINGS.conform(merged)
