"""What is left of an edge if every event comes later: does it fade, or was it one bar?

Belongs here: a candidate's events entered 0, 1, 2, 3 and 5 minutes late (what a lag of all features
does), by the estimator of V1 before costs, and the test for a cliff. An edge that a trader can have
fades smoothly with the wait. One that is gone a minute later was made in the minute of the entry:
by a trigger that saw the bar it trades in, or by a price that bounced back. A report: no verdict
reads it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from quantlab_pipeline.research.validation.cells import BPS, choose
from quantlab_pipeline.research.validation.family import Candidate
from quantlab_pipeline.research.validation.inputs import EventArrays
from quantlab_pipeline.research.validation.paths import reachable
from quantlab_pipeline.research.validation.schema import LAGS_MIN
from quantlab_pipeline.research.validation.spec import CandidateFamily, horizon_minutes

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class TimeShift:
    """`mean_bps` and `se_bps`: gross effect per event and its standard error at each `LAGS_MIN`.

    All lags hold the same `n_events`: those whose path is whole at every lag. `share_left` is the
    effect at +1 over that at 0, None unless the latter is positive. `drop_z`: see `time_shift`.
    """

    n_events: int
    mean_bps: tuple[float, ...]
    se_bps: tuple[float, ...]
    share_left: float | None
    drop_z: float | None

    def columns(self) -> Mapping[str, Any]:
        """The columns of `phase2_candidates` that say it."""
        means = {f"lag{k}_bps": v for k, v in zip(LAGS_MIN, self.mean_bps, strict=True)}
        errors = {f"lag{k}_se_bps": v for k, v in zip(LAGS_MIN, self.se_bps, strict=True)}
        test = {"lag1_share": self.share_left, "lag1_drop_z": self.drop_z}
        return {"lag_n_events": self.n_events, **means, **errors, **test}


def time_shift(
    arrays: EventArrays, family: CandidateFamily, candidate: Candidate, half_life_min: float
) -> TimeShift | None:
    """The candidate's effect at every lag, and the z of a cliff behind the first; None if no event.

    The series of the test is what the first minute of waiting loses, less `fair_multiple` times
    what each of the next four loses on average. A smooth decay whose half-life is `half_life_min`
    or more, an even drift among them, makes its mean zero or negative, so that a one-sided test at
    z has a size of at most 1 - Phi(z); its variance is that of the estimator. The horizon runs from
    the late entry: lag k trades (entry + k, entry + k + H].
    """
    from quantlab_pipeline.kernels.calendar_moments import sum_and_variance
    from quantlab_pipeline.kernels.calendar_time import Events, raw_sums

    horizon = horizon_minutes(candidate.horizon)
    chosen = _whole_at_every_lag(arrays, family, candidate, horizon)
    if chosen.size == 0:
        return None
    n, sign = chosen.size, candidate.side * arrays.signs[candidate.template.name][chosen]
    y = np.empty(arrays.paths.world.prices.shape[1])
    excess = np.zeros_like(y)
    means, errors = [], []
    for lag, weight in zip(LAGS_MIN, _weights(half_life_min), strict=True):
        events = Events(arrays.symbol[chosen], arrays.entry[chosen] + lag, sign)
        total, variance = raw_sums(events, horizon, arrays.paths.world, y)
        means.append(BPS * total / n)
        errors.append(BPS * math.sqrt(variance) / n)
        excess += weight * y
    total, variance = sum_and_variance(excess, 0, excess.size)
    return TimeShift(
        n,
        tuple(means),
        tuple(errors),
        means[1] / means[0] if means[0] > 0.0 else None,
        total / math.sqrt(variance) if variance > 0.0 else None,
    )


def fair_multiple(half_life_min: float) -> float:
    """What an edge of that half-life loses in its first minute over the mean of the next four.

    With r = 0.5^(1 / half-life): 4 / (r + r^2 + r^3 + r^4). An even drift has 1.
    """
    left = math.pow(0.5, 1.0 / half_life_min)
    return 4.0 / math.fsum(math.pow(left, k) for k in range(1, 5))


def _weights(half_life_min: float) -> tuple[float, ...]:
    """Weights of the series at `LAGS_MIN`: (g0 - g1) - multiple (g1 - g5) / 4."""
    each = fair_multiple(half_life_min) / 4.0
    return 1.0, -1.0 - each, 0.0, 0.0, each


def _whole_at_every_lag(
    arrays: EventArrays, family: CandidateFamily, candidate: Candidate, horizon: int
) -> npt.NDArray[np.int64]:
    """The candidate's events that could also have been entered at every later lag."""
    h = family.horizons.index(candidate.horizon)
    names = candidate.event_type, candidate.bucket.name
    chosen, _ = choose(arrays, *names, h, candidate.template.name)
    symbol, entry = arrays.symbol[chosen], arrays.entry[chosen]
    whole = np.ones(chosen.size, dtype=np.bool_)
    for lag in LAGS_MIN[1:]:
        whole &= reachable(arrays.paths.observed, symbol, entry + lag, horizon, family)
    return chosen[whole]
