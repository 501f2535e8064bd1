"""What was known of funding at each minute: the estimate of the next rate, the last one settled.

Belongs here: the venue's formula for a rate, and the three facts that are never one column: the
prediction changes until its settlement, the settled rate stands from its raw stamp on, and the next
settlement is due one interval later, as far as that was known. What a position pays is
`simulation`'s matter.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import polars as pl

from quantlab_pipeline.core.clocks import MINUTE_US, TS
from quantlab_pipeline.core.point_in_time import asof_join
from quantlab_pipeline.research.market_data.schema import FUNDING_STATE

INTEREST_RATE = 1e-4
CLAMP = 5e-4
REFERENCE_H = 8
DIVISOR_FROM = datetime(2025, 9, 18, 8, 1, tzinfo=UTC)
"""The rate is scaled to its interval from here on; before, it was that of eight hours."""

MAX_AGE = timedelta(hours=24)
"""The longest interval; an older settlement says nothing of the next."""


def formula_rate(mean_premium: pl.Expr, interval_h: pl.Expr, settled_at: pl.Expr) -> pl.Expr:
    """The rate of an interval (1): [P + clamp(I - P, 0.05 %)] / (8 / N), METHOD section 4.

    `mean_premium` is the interval's time-weighted premium P, `interval_h` is N. Before DIVISOR_FROM
    there was no divisor. The venue's cap on extreme rates is not part of it.
    """
    rate = mean_premium + (INTEREST_RATE - mean_premium).clip(-CLAMP, CLAMP)
    return pl.when(settled_at >= DIVISOR_FROM).then(rate * interval_h / REFERENCE_H).otherwise(rate)


def mean_premium(premium: pl.DataFrame, since: str, by: list[str]) -> pl.DataFrame:
    """`premium` with `mean_premium` up to each row and the share `covered` of minutes behind it.

    Needs `ts`, `premium_index` and the instant `since`, after which weights rise by one a minute:
    1 P1 + 2 P2 + ... over 1 + 2 + ... Rows are sorted by `by` and `ts`; a null premium has no
    weight. Sums start at `since`, so that they do not depend on how a range was cut.
    """
    minutes = (pl.col("ts") - pl.col(since)).dt.total_microseconds() // MINUTE_US
    known = pl.col("premium_index").is_not_null()
    weight = pl.when(known).then(minutes).otherwise(0)
    total = (weight * pl.col("premium_index").fill_null(0.0)).cum_sum().over(by)
    weights = weight.cum_sum().over(by)
    return premium.with_columns(
        pl.when(weights > 0).then(total / weights).alias("mean_premium"),
        (known.cast(pl.Int64).cum_sum().over(by) / minutes).alias("covered"),
    )


def funding_state(funding: pl.DataFrame, mark_index: pl.DataFrame) -> pl.DataFrame:
    """One row (schema FUNDING_STATE) per (symbol, minute) of `mark_index`.

    Both frames hold the day before as well: the settlement before the first minute, and the premium
    since. A settlement is known from its `available_at` on, so that at its own minute the estimate
    is still one, and the final one. `predicted_rate` is the venue's where it was streamed, else the
    formula's over the minutes since the last known settlement. Both it and `next_funding_ts` are
    null where nothing is known of the next settlement: none in the last 24 hours, or one overdue.
    """
    known = asof_join(
        mark_index.sort("symbol", "ts"),
        funding.with_columns(
            pl.col("ts").alias("last_settled_ts"),
            pl.col("settled_rate").alias("last_settled_rate"),
            pl.col("next_funding_ts").alias("_due"),
        ),
        ["last_settled_ts", "last_settled_rate", "interval_h", "_due"],
        max_age=MAX_AGE,
    )
    by = ["symbol", "last_settled_ts"]
    rows = mean_premium(known, "last_settled_ts", by)
    ahead = pl.col("ts") <= pl.col("_due")
    by_formula = pl.when(ahead).then(
        formula_rate(pl.col("mean_premium"), pl.col("interval_h"), pl.col("_due"))
    )
    streamed = pl.col("predicted_rate").is_not_null()
    due = pl.coalesce("next_funding_ts", pl.when(ahead).then("_due"))
    return FUNDING_STATE.conform(
        rows.with_columns(
            pl.coalesce("predicted_rate", by_formula).alias("predicted_rate"),
            pl.when(streamed)
            .then(pl.lit("venue"))
            .when(by_formula.is_not_null())
            .then(pl.lit("formula"))
            .alias("predicted_source"),
            due.cast(TS).alias("next_funding_ts"),
        )
    )
