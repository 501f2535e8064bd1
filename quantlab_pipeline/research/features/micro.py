"""Verbs of the microstructure family: what the best bid and ask say of liquidity.

Belongs here: combinations that only the book's features use. Their ranks and ratios are `windows`'.
"""

from __future__ import annotations

import numpy as np

from quantlab_pipeline.research.features import verbs
from quantlab_pipeline.research.features.windows import Floats, Grid, Inputs


def liquidity_stress(inputs: Inputs, params: verbs.StressParams, _grid: Grid) -> Floats:
    """Composite in [0, 1]: ws * spread rank + wd * (1 - depth rank) + wi * |imbalance|.

    Inputs: rank of the spread, rank of the depth, imbalance in [-1, 1]. It does not fall when the
    spread's rank or the imbalance's size rises, nor rise when the depth's rank does. NaN if any
    input is.
    """
    spread_rank, depth_rank, imbalance = inputs
    stress = (
        params.weight_spread * spread_rank
        + params.weight_depth * (1.0 - depth_rank)
        + params.weight_imbalance * np.abs(imbalance)
    )
    return np.clip(stress, 0.0, 1.0)
