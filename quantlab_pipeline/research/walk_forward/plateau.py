"""How flat the ground is around a rule: the neighbours of `stress_results`, read per parameter.

Belongs here: figures of the neighbourhood that gate S and its table tell. Not here: running
neighbours (the backtest), and refitting (`refit`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from quantlab_pipeline.research.backtest.neighbourhood import BASE_ON_BARS
from quantlab_pipeline.research.backtest.schema import NOT_EVALUABLE

KEPT = 0.5
"""Share of the rule's own mean that a neighbour must keep to count as the same ground."""


@dataclass(frozen=True, slots=True)
class Ground:
    """`ratios`: by parameter, the median neighbour's mean over the rule's; None: not evaluable.

    `plateau`: the share of all neighbours that keep half of the rule's mean, with its sign.
    """

    ratios: dict[str, float | None]
    plateau: float | None


def ground_of(strategy_id: str, stresses: pl.DataFrame) -> Ground:
    """The neighbourhood in sample, on bars.

    A neighbour without a trade says nothing and is left out: a stricter threshold may find no
    event. A parameter of which a neighbour could not be evaluated, or none traded, has no ratio.
    Where the rule itself earns nothing on bars, nothing is a share of it.
    """
    mine = stresses.filter(
        pl.col("strategy_id") == strategy_id,
        pl.col("segment") == "in_sample",
        pl.col("model") == "bars",
    )
    own = mine.filter(pl.col("scenario") == BASE_ON_BARS)["net_bps"].to_list()
    moved = mine.filter(pl.col("parameter").is_not_null())
    parameters = moved["parameter"].unique(maintain_order=True).to_list()
    if not own or own[0] is None or own[0] <= 0:
        return Ground(dict.fromkeys(parameters), None)
    ratios: dict[str, float | None] = {}
    for name in parameters:
        beside = moved.filter(pl.col("parameter") == name)
        unknown = beside["note"].str.starts_with(NOT_EVALUABLE).any()
        means = beside["net_bps"].drop_nulls().to_numpy()
        ratios[name] = None if unknown or not means.size else float(np.median(means) / own[0])
    kept = moved["net_bps"].drop_nulls().to_numpy() >= KEPT * own[0]
    return Ground(ratios, float(kept.mean()) if kept.size else None)
