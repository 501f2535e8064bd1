"""The columns of `labels_fwd`, made from the label spec's horizons."""

from __future__ import annotations

import polars as pl

from quantlab_pipeline.core.columns import AVAILABLE_AT, SYMBOL, TS_COLUMN, Column, TableSchema

HORIZONS_MIN = {"5m": 5, "15m": 15, "1h": 60, "4h": 240, "24h": 1440}
"""The horizons of this project in minutes, by their names in columns and specs."""

PRICE_SOURCE = Column(
    "price_source",
    pl.String,
    "",
    "The entry's price. mid: of the perpetual book's last valid quote of the minute; close: of the "
    "bar, where there is no such quote: an assumed mid, off by up to half a spread. Null in a gap.",
    nullable=True,
    isin=("mid", "close"),
)


def _label(column: str, meaning: str, ge: int | None = None, le: int | None = None) -> Column:
    return Column(column, pl.Float64, "1", meaning, nullable=True, ge=ge, le=le)


def _horizon_columns(name: str) -> tuple[Column, ...]:
    return (
        _label(f"fwd_ret_{name}", "Log return of a long held to the end of the horizon."),
        _label(
            f"fwd_ret_{name}_exec",
            "fwd_ret; where the symbol ended inside the horizon, up to its final price.",
        ),
        _label(f"mfe_{name}", "Best log return of a long on the way, never below 0.", ge=0),
        _label(f"mae_{name}", "Worst log return of a long on the way, never above 0.", le=0),
        _label(f"mfe_{name}_mark", "Best move of the mark price from the entry's mark.", ge=0),
        _label(
            f"mae_{name}_mark",
            "Worst move of the mark price from the entry's mark: what a liquidation looks at.",
            le=0,
        ),
    )


LABELS_FWD = TableSchema(
    "labels_fwd",
    (
        SYMBOL,
        TS_COLUMN,
        AVAILABLE_AT,
        PRICE_SOURCE,
        *(column for name in HORIZONS_MIN for column in _horizon_columns(name)),
    ),
)
