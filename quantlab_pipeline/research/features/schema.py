"""The columns of `features_pt`, made from the feature specs."""

from __future__ import annotations

import polars as pl

from quantlab_pipeline.core.columns import AVAILABLE_AT, SYMBOL, TS_COLUMN, Column, TableSchema
from quantlab_pipeline.research.features.spec import FeatureSpec, FeatureSpecs

KEY_COLUMNS = (SYMBOL, TS_COLUMN, AVAILABLE_AT)


def features_schema(specs: FeatureSpecs) -> TableSchema:
    """`features_pt`: symbol, ts, available_at (equal to ts) and one nullable Float64 a feature."""
    columns = tuple(_column(name, spec) for name, spec in specs.features.items())
    return TableSchema("features_pt", (*KEY_COLUMNS, *columns))


def _column(name: str, spec: FeatureSpec) -> Column:
    share = spec.normalisation in ("rank", "flag", "composite")
    low, high = (0.0, 1.0) if share else (None, None)
    return Column(name, pl.Float64, spec.unit, spec.meaning, nullable=True, ge=low, le=high)
