"""The only as-of join: a decision sees what was known, the newest fact among it, and nothing else.

Joins are on `available_at`, never on `ts`. A correction that arrived late replaces its own `ts`
from its arrival on; an older fact that arrives late never hides a newer one.
"""

from __future__ import annotations

from datetime import timedelta

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
