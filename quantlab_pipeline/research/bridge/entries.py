"""Signed entries: which events a candidate trades, and with which side, as its rule says at t0.

Bucket and template are those of the family's document, so that the bridge, the backtest and paper
execute what validation tested. Not here: when a position ends, or what it costs.
"""

from __future__ import annotations

import numpy as np
import polars as pl

from quantlab_pipeline.core.clocks import MINUTE
from quantlab_pipeline.core.point_in_time import asof_join, decision_minute
from quantlab_pipeline.research.bridge.schema import ENTRY_COLUMNS
from quantlab_pipeline.research.validation.spec import CandidateFamily, horizon_minutes
from quantlab_pipeline.simulation.costs import CostModel, stress_flag

CANDIDATE_COLUMNS = ("candidate_id", "event_type", "bucket", "horizon", "template", "side")


def signed_entries(
    candidates: pl.DataFrame,
    events: pl.DataFrame,
    features: pl.DataFrame,
    family: CandidateFamily,
    costs: CostModel,
) -> pl.DataFrame:
    """One row per (candidate, event) that the rule trades: `ENTRY_COLUMNS`, severity, stress.

    `candidates` needs `CANDIDATE_COLUMNS`. `ts` is the first minute at which the event was known;
    features are joined as known then. An event without a sign (null feature, inside the bounds) is
    no entry. Sorted by candidate, symbol and time.
    """
    decided = _decisions(events, features, family, costs)
    rows = [_entries_of(row, decided, family) for row in candidates.iter_rows(named=True)]
    schema = {**ENTRY_COLUMNS, "severity": pl.Float64, "stress": pl.Boolean}
    whole = pl.concat(rows) if rows else pl.DataFrame(schema=schema)
    return whole.select(pl.col(n).cast(d) for n, d in schema.items()).sort(
        "candidate_id", "symbol", "ts", "event_id"
    )


def _decisions(
    events: pl.DataFrame, features: pl.DataFrame, family: CandidateFamily, costs: CostModel
) -> pl.DataFrame:
    wanted = [c for c in (*family.features(), *sorted(costs.stress)) if c in features.columns]
    rows = asof_join(
        events.with_columns(decided_at=decision_minute()),
        features,
        list(dict.fromkeys(wanted)),
        max_age=MINUTE,
        decided_at="decided_at",
    )
    return rows.with_columns(pl.Series("stress", stress_flag(costs, rows)))


def _entries_of(
    candidate: dict[str, object], decided: pl.DataFrame, family: CandidateFamily
) -> pl.DataFrame:
    bucket = next(b for b in family.buckets if b.name == candidate["bucket"])
    template = next(t for t in family.templates if t.name == candidate["template"])
    mine = decided.filter((pl.col("event_type") == candidate["event_type"]) & bucket.admits())
    values = np.full(mine.height, np.nan)
    if template.feature is not None and template.feature in mine.columns:
        values = mine[template.feature].cast(pl.Float64).fill_null(np.nan).to_numpy()
    signs = template.signs(values) * int(str(candidate["side"]))
    return (
        mine.with_columns(
            pl.lit(candidate["candidate_id"]).alias("candidate_id"),
            pl.Series("side", signs),
            pl.lit(horizon_minutes(str(candidate["horizon"]))).alias("horizon_min"),
        )
        .filter(pl.col("side") != 0)
        .drop("ts")
        .rename({"decided_at": "ts"})
        .select(*(pl.col(n).cast(d) for n, d in ENTRY_COLUMNS.items()), "severity", "stress")
    )
