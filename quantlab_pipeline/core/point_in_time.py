"""The only as-of join: a decision sees what was known, the newest fact among it, and nothing else.

Joins are on `available_at`, never on `ts`. A correction that arrived late replaces its own `ts`
from its arrival on; an older fact that arrives late never hides a newer one.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import numpy as np
import numpy.typing as npt
import polars as pl

from quantlab_pipeline.core.clocks import MINUTE_US, TS


def decision_minute() -> pl.Expr:
    """First whole minute at which a row is known: `ts` or `available_at`, the later, rounded up."""
    known_us = pl.max_horizontal("ts", "available_at").dt.epoch("us")
    return (-(-known_us // MINUTE_US) * MINUTE_US).cast(TS)


def known_facts(facts: pl.DataFrame, by: str = "symbol") -> pl.DataFrame:
    """Facts in the order of their arrival, without those that a newer fact had already overtaken.

    Needs `ts` and `available_at`. At one arrival the newest `ts` wins.
    """
    ordered = facts.sort(by, "available_at", "ts", maintain_order=True)
    newest_so_far = pl.col("ts").cum_max().over(by)
    return ordered.filter(pl.col("ts") >= newest_so_far)


def asof_join(
    decisions: pl.DataFrame,
    facts: pl.DataFrame,
    columns: list[str],
    max_age: timedelta | None = None,
    decided_at: str = "ts",
    by: str = "symbol",
) -> pl.DataFrame:
    """`decisions` with `columns` of the newest fact that was available at each decision.

    A decision at t0 sees facts with `available_at <= t0`. With `max_age`, a fact whose `ts` lies
    before t0 - max_age gives null, and so does the absence of any fact. Rows and their order stay.
    """
    known = (
        known_facts(facts, by)
        .select(by, "available_at", pl.col("ts").alias("_fact_ts"), *columns)
        .unique([by, "available_at"], keep="last", maintain_order=True)
        .sort("available_at")
    )
    joined = (
        decisions.with_row_index("_row")
        .sort(decided_at)
        .join_asof(
            known.rename({"available_at": "_known_at"}),
            left_on=decided_at,
            right_on="_known_at",
            by=by,
            strategy="backward",
            check_sortedness=False,
        )
        .sort("_row")
    )
    if max_age is not None:
        fresh = pl.col("_fact_ts") >= pl.col(decided_at) - max_age
        joined = joined.with_columns(pl.when(fresh).then(pl.col(c)).alias(c) for c in columns)
    return joined.drop("_row", "_known_at", "_fact_ts", strict=False)


def asof_rows(
    symbols: Sequence[str],
    minutes_us: npt.NDArray[np.int64],
    facts: pl.DataFrame,
    max_age: timedelta | None = None,
) -> npt.NDArray[np.int64]:
    """`asof_join` for a grid: the row of `facts` that each of `symbols` sees at each instant.

    int64[S, T], -1 where there is none. `minutes_us` [T] ascends, in microseconds since 1970;
    `facts` has symbol, ts and available_at, in any order. The rules are `asof_join`'s own.
    """
    rows = np.full((len(symbols), minutes_us.size), -1, np.int64)
    here = facts.select(
        pl.col("symbol").cast(pl.Enum(symbols), strict=False).to_physical().cast(pl.Int64),
        pl.col("available_at").dt.epoch("us"),
        pl.col("ts").dt.epoch("us"),
    )
    code, arrival, at = (here[name].fill_null(-1).to_numpy() for name in here.columns)
    order = _in_order(code, arrival, at)
    begins = np.searchsorted(code[order], np.arange(len(symbols) + 1))
    for i in range(len(symbols)):
        own = order[begins[i] : begins[i + 1]]
        known = own[at[own] >= np.maximum.accumulate(at[own])]
        newest = np.searchsorted(arrival[known], minutes_us, side="right") - 1
        rows[i] = np.where(newest >= 0, known[np.maximum(newest, 0)], -1) if known.size else -1
    if max_age is not None and at.size:
        old = at[rows] < minutes_us - max_age // timedelta(microseconds=1)
        rows[old] = -1
    return rows


def _in_order(*keys: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Row numbers sorted by `keys`, the first one first; equal rows keep their order."""
    later = np.zeros(max(keys[0].size - 1, 0), dtype=np.bool_)
    equal = ~later
    for key in keys:
        step = np.diff(key)
        later |= equal & (step > 0)
        equal &= step == 0
    if (later | equal).all():
        return np.arange(keys[0].size)
    return np.lexsort(keys[::-1])
