"""The columns of `labels_fwd`, made from the label spec's horizons."""

from __future__ import annotations

import polars as pl

from quantlab_pipeline.core.columns import AVAILABLE_AT, SYMBOL, TS_COLUMN, Column, TableSchema

HORIZONS_MIN = {"5m": 5, "15m": 15, "1h": 60, "4h": 240, "24h": 1440}
"""The horizons of this project in minutes, by their names in columns and specs."""


def _horizon_columns(name: str) -> tuple[Column, ...]:
    return (
        Column(f"fwd_ret_{name}", pl.Float64, "1", "Log return of a long held to the end.", True),
        Column(f"mfe_{name}", pl.Float64, "1", "Best log return of a long.", True, 0),
        Column(f"mae_{name}", pl.Float64, "1", "Worst log return of a long.", True, le=0),
    )


LABELS_FWD = TableSchema(
    "labels_fwd",
    (
        SYMBOL,
        TS_COLUMN,
        AVAILABLE_AT,
        Column("price_source", pl.String, "", "mid, or close (assumed).", isin=("mid", "close")),
        *(column for name in HORIZONS_MIN for column in _horizon_columns(name)),
    ),
)
