"""Degradation: what else worsens for an order that was decided while the market was stressed.

Named models, each a multiple that holds for both orders of such a trade and is 1 elsewhere:
- `latency`: the delay to the venue times `LatencyModel.stress_multiplier` (gateways queue).
- `depth`: of the size shown only `depth_share` is really there (quotes are pulled as one arrives).
- `queue`: the size ahead of a resting order times `queue_multiple` (it was seen too late).
- `spread`: where no book is measured, the assumed half-spread times the cost profile's
  `stress_spread_multiplier`; a measured spread is as wide as it was, and is not widened again.
Conditions: whether a market is stressed is known at the decision to enter (`costs.stress_flag`, or
`RunSettings.stressed` for all), and the exit is taken to meet the same market as the entry.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from pydantic import Field

from quantlab_pipeline.core.spec import Spec

I64 = npt.NDArray[np.int64]
F64 = npt.NDArray[np.float64]
B1 = npt.NDArray[np.bool_]


class Degradation(Spec):
    """How much of a book is left under stress."""

    depth_share: float = Field(default=0.5, gt=0, le=1)
    queue_multiple: float = Field(default=2.0, ge=1)


class Conditions(NamedTuple):
    """What each of n orders meets: its delay, and the multiples of depth, queue and spread."""

    latency_us: I64
    depth_share: F64
    queue_multiple: F64
    spread_multiple: F64


def conditions(
    stress: B1,
    latency_s: float,
    latency_multiple: float,
    spread_multiple: float,
    degradation: Degradation,
) -> Conditions:
    """The conditions of each order, shape of `stress`: calm ones, or all four multiples at once.

    The delay is a whole number of microseconds. Every multiple is at least 1, the depth's share at
    most 1, so that stress never helps.
    """

    def where(multiple: float) -> F64:
        return np.where(stress, multiple, 1.0)

    return Conditions(
        latency_us=np.rint(latency_s * 1e6 * where(latency_multiple)).astype(np.int64),
        depth_share=where(degradation.depth_share),
        queue_multiple=where(degradation.queue_multiple),
        spread_multiple=where(spread_multiple),
    )
