"""Limits of chance: how far a right figure may lie from its expectation at a given false alarm.

Belongs here: binomial and Student limits, as pure functions of counts. Which figure is held against
which limit is `grading`'s matter.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from quantlab_pipeline.research.validation.bands import ShareBand

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Held:
    """A figure against its band: the experiment, what it is, and whether it lies inside.

    `low` and `high` are None where that side is open; `cases` is how many worlds, intervals or
    passes it rests on. A figure that could not be measured is NaN and does not hold.
    """

    experiment: str
    name: str
    measured: float
    low: float | None
    high: float | None
    cases: int

    @property
    def holds(self) -> bool:
        """Whether the figure lies in its band, both ends included."""
        above = self.low is None or self.measured >= self.low
        below = self.high is None or self.measured <= self.high
        return math.isfinite(self.measured) and above and below


def most(cases: int, probability: float, false_alarm: float) -> int:
    """Most events in so many independent cases, but for a chance of `false_alarm`."""
    from scipy.stats import binom

    return int(binom.ppf(1.0 - false_alarm, cases, min(1.0, probability)))


def least(cases: int, probability: float, false_alarm: float) -> int:
    """Fewest events in so many independent cases, but for a chance of `false_alarm`."""
    from scipy.stats import binom

    return int(binom.ppf(false_alarm, cases, probability))


def share_limits(band: ShareBand, cases: int, false_alarm: float) -> tuple[float, float]:
    """The band of a share of `cases`: its own, or wider where there are fewer than it is made for.

    No cases give limits that nothing can break.
    """
    if cases >= band.cases or cases == 0:
        return band.low, band.high
    low = least(cases, band.expected, false_alarm / 2.0) / cases
    high = most(cases, band.expected, false_alarm / 2.0) / cases
    return min(band.low, low), max(band.high, high)


def interval95(events: int, cases: int) -> tuple[float, float]:
    """Clopper and Pearson's exact 95 % interval of a share; (0, 1) without cases."""
    from scipy.stats import beta

    low = float(beta.ppf(0.025, events, cases - events + 1)) if events else 0.0
    high = float(beta.ppf(0.975, events + 1, cases - events)) if events < cases else 1.0
    return low, high


def limit_of_mean(cases: int, false_alarm: float) -> float:
    """How far the mean of so many standard normal figures may lie from 0, on either side."""
    from scipy.special import ndtri

    return float(-ndtri(false_alarm / 2.0)) / math.sqrt(max(cases, 1))


@dataclass(frozen=True, slots=True)
class Mean:
    """Mean of one figure a world, its standard error with the world as the unit, and the worlds."""

    value: float
    se: float
    worlds: int


def mean_over(worlds: Floats) -> Mean:
    """The mean of `worlds` [K] and its standard error; NaN entries are no worlds."""
    known = worlds[np.isfinite(worlds)]
    if not known.size:
        return Mean(math.nan, math.nan, 0)
    se = float(known.std(ddof=1)) / math.sqrt(known.size) if known.size > 1 else math.inf
    return Mean(float(known.mean()), se, known.size)


def margin(mean: Mean, level: float, cases: int, false_alarm: float) -> float:
    """How far the mean of shares may lie from `level`: Student's quantile of standard errors.

    The standard error is at least that of so many independent `cases`, so that a mean of zeros does
    not pass for an exact one.
    """
    from scipy.stats import t

    if mean.worlds < 2:
        return math.inf
    floor = math.sqrt(level * (1.0 - level) / max(cases, 1))
    return float(t.ppf(1.0 - false_alarm, mean.worlds - 1)) * max(mean.se, floor)
