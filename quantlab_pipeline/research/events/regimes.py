"""The regime of every minute: which context it lies in, by features known at that minute.

Belongs here: labels of rows, one by one. A row's label depends on that row alone, so that nothing
later, and no other row of a sample, can move it. What regimes there are, the registry says.
"""

from __future__ import annotations

from collections.abc import Collection
from itertools import pairwise

import polars as pl

from quantlab_pipeline.research.events.schema import UNKNOWN
from quantlab_pipeline.research.events.spec import EventRegistry, Regime, TrailingEdges


def regime_of(features: pl.DataFrame, registry: EventRegistry) -> pl.DataFrame:
    """`symbol`, `ts` and one column a regime (vol_regime, liq_regime), row by row of `features`.

    `features` has the keys and the columns that the regimes read, as far as they exist. A label is
    `unknown` where the feature or an edge is null, NaN or infinite, where trailing edges do not
    ascend (a window in which nothing moved has no regime), and where a column is not there at all.
    """
    labels = [
        label_of(regime, features.columns).alias(name)
        for name, regime in registry.regimes.named().items()
    ]
    return features.select("symbol", "ts", *labels)


def label_of(regime: Regime, columns: Collection[str]) -> pl.Expr:
    """The label of each row of a frame with `columns`; never null."""
    if not set(regime.columns) <= set(columns):
        return pl.lit(UNKNOWN)
    value = pl.col(regime.feature)
    edges = [
        pl.col(at) if isinstance(at, str) else pl.lit(at, pl.Float64) for at in regime.edges.at
    ]
    label = pl.lit(regime.labels[0])
    for edge, above in zip(edges, regime.labels[1:], strict=True):
        label = pl.when(value >= edge).then(pl.lit(above)).otherwise(label)
    # A comparison with NaN is true in polars.
    known = [pl.col(column).is_finite() for column in regime.columns]
    if isinstance(regime.edges, TrailingEdges):
        known += [low < high for low, high in pairwise(edges)]
    return pl.when(pl.all_horizontal(known)).then(label).otherwise(pl.lit(UNKNOWN))
