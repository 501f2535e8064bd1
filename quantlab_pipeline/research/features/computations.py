"""Which function computes each verb of the closed list.

Belongs here: the table alone. It loads the kernels, so that only `build` imports it, and late.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from quantlab_pipeline.research.features import derivatives, micro, volatility, windows
from quantlab_pipeline.research.features.windows import Floats, Grid, Inputs

Computation = Callable[[Inputs, Any, Grid], Floats]

COMPUTATIONS: dict[str, Computation] = {
    "level": windows.level,
    "difference": windows.difference,
    "log_change": windows.log_change,
    "log_ratio": windows.log_ratio,
    "quotient": windows.quotient,
    "gap": windows.gap,
    "flag": windows.flag,
    "rolling_mean": windows.rolling_mean,
    "rolling_deviation": windows.rolling_deviation,
    "rolling_z": windows.rolling_z,
    "rolling_rank": windows.rank,
    "rolling_quantile": windows.quantile,
    "ratio_to_mean": windows.ratio_to_mean,
    "liquidity_stress": micro.liquidity_stress,
    "minutes_until": derivatives.minutes_until,
    "sign_run": derivatives.sign_run,
    "half_life": derivatives.half_life,
    "jump_flag": derivatives.jump_flag,
    "average_range": volatility.average_range,
    "wick": volatility.wick,
    "range_position": volatility.range_position,
    "amihud": volatility.amihud,
}
