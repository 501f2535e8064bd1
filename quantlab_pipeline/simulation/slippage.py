"""Slippage of bar fills: how much worse than the bar's open and its half-spread an order fills.

One named model: on each side `base_bps + vol_multiple x sigma_1m`, sigma_1m the one-minute
volatility as it was known at the decision. Conditions: tier T1 alone, where a fill is the next
bar's open and neither a delay inside the minute nor the order's own impact is modelled. Where fills
use the quote at decision + latency and square-root impact (`engine`), both are paid already and
nothing is added here.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from pydantic import Field

from quantlab_pipeline.core.clocks import DAY_MINUTES
from quantlab_pipeline.core.spec import Spec

F64 = npt.NDArray[np.float64]


class SlippageModel(Spec):
    """Slippage per side: a base in bps, and a multiple of one-minute volatility."""

    base_bps: float = Field(default=0.0, ge=0)
    vol_multiple: float = Field(default=0.0, ge=0)


def one_minute_bps(sigma_d_bps: F64) -> F64:
    """One-minute volatility from a day's as known at a decision (`liquidity`): / sqrt(1440)."""
    return np.asarray(sigma_d_bps / math.sqrt(DAY_MINUTES), dtype=np.float64)


def slippage_bps(model: SlippageModel, sigma_1m_bps: F64) -> F64:
    """Slippage of one side, bps, shape of `sigma_1m_bps`.

    NaN volatility gives NaN, never zero; a negative one raises ValueError. Non-decreasing in both
    parameters and in volatility.
    """
    if np.any(np.asarray(sigma_1m_bps) < 0):
        raise ValueError("volatility cannot be negative")
    return np.asarray(model.base_bps + model.vol_multiple * sigma_1m_bps, dtype=np.float64)


def slipped(price: F64, side: npt.NDArray[np.int8], bps: F64) -> F64:
    """`price` moved against an order: up for a buy (+1), down for a sell (-1)."""
    return np.asarray(price * (1.0 + side * bps * 1e-4), dtype=np.float64)
