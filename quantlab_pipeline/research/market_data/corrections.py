"""A correction is known when it arrived: what changed since an earlier version of the same file.

Belongs here: which rows a later version changed, and from when they can be used. Keeping versions
is `storage.raw_store`'s matter.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import polars as pl

from quantlab_pipeline.core.clocks import TS

_CLOCK = "available_at"


def known_since(versions: Sequence[tuple[datetime | None, pl.DataFrame]]) -> pl.DataFrame:
    """The newest of `versions`, each row available from the version on that first held it so.

    `versions` are (arrival, rows of one table) in the order of their arrival, the first with None.
    A row inside the span of the version before that did not stand there just so, in all columns but
    `available_at`, is known from its own version's arrival on, or from its `available_at` if that
    is later; outside that span a file has only grown. A decision that was made in between saw the
    older row, which is no longer in the table: it sees none.
    """
    (_, known), *later = versions
    for arrived_at, rows in later:
        same = [c for c in rows.columns if c != _CLOCK]
        before = known.select(*same, pl.col(_CLOCK).alias("_known")).unique(same, keep="first")
        seen = rows.join(before, on=same, how="left", nulls_equal=True, maintain_order="left")
        arrival = pl.max_horizontal(_CLOCK, pl.lit(arrived_at, TS))
        held = pl.col("ts").is_between(known["ts"].min(), known["ts"].max())
        clock = pl.when(held.fill_null(value=False)).then(arrival).otherwise(_CLOCK)
        known = seen.with_columns(pl.coalesce("_known", clock).alias(_CLOCK)).select(rows.columns)
    return known
