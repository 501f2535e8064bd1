"""Market impact: the average price concession of an order, by the square-root law.

One named model: Y sigma_d sqrt(Q / V_d) per side, paid on entry and on exit. Conditions: the order
is worked inside the day at ordinary speed, Q is a small share of the day's volume, and impact has
decayed before the exit. sigma_d and V_d are trailing (`liquidity`), never those of the traded day.

Donier & Bonart (2015), "A million metaorder analysis of market impact on the Bitcoin"; Almgren,
Thum, Hauptmann & Li (2005), "Direct estimation of equity market impact".
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

F64 = npt.NDArray[np.float64]


def impact_bps(impact_y: float, sigma_d_bps: F64, participation: F64) -> F64:
    """One side's average price concession, bps; `participation` is Q / V_d. NaN gives NaN."""
    return np.asarray(impact_y * sigma_d_bps * np.sqrt(participation), dtype=np.float64)
