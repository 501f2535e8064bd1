"""What every generated path must satisfy before anything is printed from it."""

from __future__ import annotations

import numpy as np

from quantlab_pipeline.core.errors import QuantlabError
from quantlab_pipeline.worlds.endings import fall_log
from quantlab_pipeline.worlds.paths import Paths
from quantlab_pipeline.worlds.spec import Scenario

MAX_MOVE_SIGMAS = 25.0


class WorldGuardError(QuantlabError):
    """A generated path is not a possible market; nothing of it is published."""


def check_paths(scenario: Scenario, paths: Paths) -> None:
    """Raise WorldGuardError unless all holds for each symbol and minute.

    Prices are above 0 and finite, no log move, beside a symbol's declared fall to its end, reaches
    25 deviations of its minute, and there are as many bars as the duration says.
    """
    moves = np.diff(paths.perp.x, axis=1)
    falls = fall_log(scenario)
    beside = moves - falls if falls.shape == moves.shape else moves
    lasting = np.isfinite(paths.perp.x).all() and np.isfinite(paths.spot.x).all()
    positive = (paths.perp.bid > 0).all() and (paths.spot.bid > 0).all()
    failures = {
        "a price is not finite": not lasting,
        "a price is not above 0": not positive,
        "a move reaches 25 deviations": bool(
            (~(np.abs(beside) < MAX_MOVE_SIGMAS * paths.sigma)).any()
        ),
        "the number of bars differs from duration_min": moves.shape[1] != scenario.duration_min,
    }
    broken = [name for name, failed in failures.items() if failed]
    if broken:
        raise WorldGuardError(
            f"Scenario {scenario.name} generates an impossible path: {'; '.join(broken)}.",
            "Lower sigma_bps, burst sizes or drifts, or refine tick_size.",
            scenario=scenario.name,
            failures=broken,
        )
