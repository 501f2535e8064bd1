"""The market-wide volatility regime of a world: which minutes are turbulent.

Belongs here: the state alone. What it does to prices is `paths`' matter, which edges live in it is
`placement`'s.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from quantlab_pipeline.core.seeds import generator
from quantlab_pipeline.kernels.world_paths import two_state_chain
from quantlab_pipeline.worlds.spec import RegimeSwitch, Scenario


def turbulent_share(dynamics: RegimeSwitch) -> float:
    """The share of time that is turbulent in the long run."""
    calm, turbulent = dynamics.calm_dwell_min, dynamics.turbulent_dwell_min
    return turbulent / (calm + turbulent)


def turbulence(scenario: Scenario, seed: int) -> NDArray[np.bool_]:
    """Whether each minute [T] is turbulent; never, where the family has no regimes."""
    n, dynamics = scenario.duration_min, scenario.dynamics
    if not isinstance(dynamics, RegimeSwitch):
        return np.zeros(n, dtype=np.bool_)
    draw = generator(seed, "regime")
    start = int(draw.random() < turbulent_share(dynamics))
    leave = 1 / dynamics.calm_dwell_min, 1 / dynamics.turbulent_dwell_min
    states: NDArray[np.bool_] = two_state_chain(draw.random(n), *leave, start) == 1
    return states
