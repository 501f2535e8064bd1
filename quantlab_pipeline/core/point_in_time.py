"""The only as-of join: a decision sees what was known, the newest fact among it, and nothing else.

Joins are on `available_at`, never on `ts`. A correction that arrived late replaces its own `ts`
from its arrival on; an older fact that arrives late never hides a newer one.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from itertools import pairwise

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
    first_minute: int,
    n_minutes: int,
    facts: pl.DataFrame,
    max_age: timedelta | None = None,
) -> npt.NDArray[np.int64]:
    """`asof_join` for a grid: the row of `facts` that each of `symbols` sees at each minute.

    int64[S, T], -1 where there is none. The T minutes begin at `first_minute` (since 1970); `facts`
    has symbol, ts and available_at, in any order. The rules are `asof_join`'s own.
    """
    code = _integers(facts["symbol"].cast(pl.Enum(symbols), strict=False))
    arrival, at = (_integers(facts[name].cast(TS)) for name in ("available_at", "ts"))
    age_us = None if max_age is None else max_age // timedelta(microseconds=1)
    number = _in_reach(arrival, at, first_minute, n_minutes, age_us)
    number = number[_in_order(code[number], arrival[number], at[number])]
    code, arrival, at = code[number], arrival[number], at[number]
    begins = np.searchsorted(code, np.arange(len(symbols) + 1))
    oldest_us = None
    if age_us is not None:
        oldest_us = MINUTE_US * np.arange(first_minute, first_minute + n_minutes) - age_us
    rows = np.full((len(symbols), n_minutes), -1, np.int64)
    for i, (begin, end) in enumerate(pairwise(begins)):
        own = at[begin:end]
        known = np.arange(begin, end)
        if (own[1:] < own[:-1]).any():
            known = known[own >= np.maximum.accumulate(own)]
        if known.size:
            # How many had arrived by each minute: the last of them is the newest.
            minute = np.maximum(-(-arrival[known] // MINUTE_US) - first_minute, 0)
            newest = np.bincount(minute, minlength=n_minutes).cumsum() - 1
            seen = newest >= 0
            if oldest_us is not None:
                seen &= at[known][newest] >= oldest_us
            rows[i, seen] = number[known[newest[seen]]]
    return rows


def _integers(column: pl.Series) -> npt.NDArray[np.int64]:
    """What a column is stored as: microseconds of instants, codes of names; -1 for null."""
    stored = column.to_physical().cast(pl.Int64)
    return (stored.fill_null(-1) if stored.null_count() else stored).to_numpy()


def _in_reach(
    arrival: npt.NDArray[np.int64],
    at: npt.NDArray[np.int64],
    first_minute: int,
    n_minutes: int,
    age_us: int | None,
) -> npt.NDArray[np.int64]:
    """Numbers of the rows that a minute of the grid may see: arrived in time, and not too old."""
    seen = arrival <= (first_minute + n_minutes - 1) * MINUTE_US
    if age_us is not None:
        seen &= at >= first_minute * MINUTE_US - age_us
    return np.flatnonzero(seen)


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
