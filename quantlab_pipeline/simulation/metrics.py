"""Performance statistics of a return series, and how much of a Sharpe ratio is luck.

Belongs here: pure functions of a daily P&L array in multiples of a fixed notional. Not here: what
threshold they must pass (the gates). A statistic that is undefined is `Measure(None, reason)`,
never zero. NaN in an input raises ValueError: a day without data is the caller's decision.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
DAYS_PER_YEAR = 365
EULER_GAMMA = 0.5772156649015329
MAD_TO_SIGMA = 1.4826
"""Ratio of a normal distribution's deviation to its median absolute deviation."""
_NORMAL = NormalDist()


@dataclass(frozen=True, slots=True)
class Measure:
    """A value, or None with the reason why there is none."""

    value: float | None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Moments:
    """Per-period Sharpe ratio, skewness and (not excess) kurtosis of `n` returns."""

    sharpe: float
    skew: float
    kurtosis: float
    n: int


def _clean(returns: FloatArray) -> FloatArray:
    values = np.asarray(returns, dtype=np.float64)
    if not np.isfinite(values).all():
        raise ValueError("returns must be finite: decide what a missing day means before measuring")
    return values


def sharpe(daily: FloatArray) -> Measure:
    """Annualised Sharpe ratio: mean / sample deviation x sqrt(365)."""
    values = _clean(daily)
    if values.size < 2:
        return Measure(None, "FEWER_THAN_2_DAYS")
    deviation = float(values.std(ddof=1))
    if deviation <= 1e-15:
        return Measure(None, "NO_VARIATION")
    return Measure(float(values.mean()) / deviation * math.sqrt(DAYS_PER_YEAR))


def sortino(daily: FloatArray) -> Measure:
    """Annualised mean over downside deviation sqrt(mean(min(r, 0)^2)), over all days, target 0."""
    values = _clean(daily)
    if values.size < 2:
        return Measure(None, "FEWER_THAN_2_DAYS")
    downside = math.sqrt(float(np.mean(np.minimum(values, 0.0) ** 2)))
    if downside <= 1e-15:
        return Measure(None, "NO_LOSING_DAY")
    return Measure(float(values.mean()) / downside * math.sqrt(DAYS_PER_YEAR))


def max_drawdown(daily: FloatArray) -> Measure:
    """Deepest fall of cumulative P&L from its running peak (the start counts), >= 0."""
    values = _clean(daily)
    if not values.size:
        return Measure(None, "NO_DAYS")
    equity = np.concatenate([[0.0], np.cumsum(values)])
    return Measure(float((np.maximum.accumulate(equity) - equity).max()))


def win_rate(trades: FloatArray) -> Measure:
    """Share of trades with a net result above 0."""
    values = _clean(trades)
    return Measure(float((values > 0).mean())) if values.size else Measure(None, "NO_TRADES")


def profit_factor(trades: FloatArray) -> Measure:
    """Sum of gains over sum of losses."""
    values = _clean(trades)
    if not values.size:
        return Measure(None, "NO_TRADES")
    lost = float(-values[values < 0].sum())
    if lost == 0.0:
        return Measure(None, "NO_LOSING_TRADE")
    return Measure(float(values[values > 0].sum()) / lost)


def moments(returns: FloatArray) -> Moments | None:
    """Moments of a series, or None below 3 periods or without variation."""
    return moments_by_row(np.asarray(returns, dtype=np.float64)[None])[0]


def moments_by_row(returns: FloatArray) -> list[Moments | None]:
    """`moments` of each row of [K, n], with one pass for all of them."""
    values = _clean(returns)
    n = values.shape[1]
    if n < 3:
        return [None] * values.shape[0]
    mean = values.mean(axis=1)
    centred = values - mean[:, None]
    squares = centred * centred
    m2 = squares.mean(axis=1)
    m3, m4 = (squares * centred).mean(axis=1), (squares * squares).mean(axis=1)
    return [
        None
        if math.sqrt(second) <= 1e-15
        else Moments(
            sharpe=first / math.sqrt(second * n / (n - 1)),
            skew=third / second**1.5,
            kurtosis=fourth / second**2,
            n=n,
        )
        for first, second, third, fourth in zip(
            mean.tolist(), m2.tolist(), m3.tolist(), m4.tolist(), strict=True
        )
    ]


def _sharpe_variance(m: Moments) -> float:
    """(T - 1) times the variance of the estimated Sharpe ratio."""
    return 1.0 - m.skew * m.sharpe + (m.kurtosis - 1.0) / 4.0 * m.sharpe**2


def probabilistic_sharpe(m: Moments, benchmark: float = 0.0) -> Measure:
    """P(true Sharpe > benchmark), all per period.

    Bailey & Lopez de Prado (2012), "The Sharpe ratio efficient frontier".
    """
    variance = _sharpe_variance(m)
    if variance <= 0 or m.n < 2:
        return Measure(None, "UNDEFINED_SHARPE_VARIANCE")
    return Measure(_NORMAL.cdf((m.sharpe - benchmark) * math.sqrt((m.n - 1) / variance)))


def expected_max_sharpe(trial_variance: float, n_trials: int) -> float:
    """Expected best per-period Sharpe among `n_trials` worthless ones; 0 for a single trial.

    sqrt(V) ((1 - g) Z(1 - 1/N) + g Z(1 - 1/(N e))), g Euler's constant, Z the normal quantile.
    """
    if n_trials < 1 or trial_variance < 0:
        raise ValueError("needs at least one trial and a variance that is not negative")
    if n_trials == 1:
        return 0.0
    best = (1 - EULER_GAMMA) * _NORMAL.inv_cdf(1 - 1 / n_trials)
    best += EULER_GAMMA * _NORMAL.inv_cdf(1 - 1 / (n_trials * math.e))
    return math.sqrt(trial_variance) * best


def robust_variance(values: FloatArray) -> float:
    """Squared median absolute deviation, scaled to the variance of a normal sample; 0 if empty.

    Half the values may be anything without raising it beyond bounds: among many trials the few true
    effects do not count as luck.
    """
    clean = _clean(values)
    if not clean.size:
        return 0.0
    return (MAD_TO_SIGMA * float(np.median(np.abs(clean - np.median(clean))))) ** 2


def deflated_sharpe(m: Moments, trial_variance: float, n_trials: int) -> Measure:
    """P(true Sharpe > the best that `n_trials` worthless trials would have shown).

    `trial_variance` is the variance of per-period Sharpe ratios over the trials. A conservative
    screen, not a test of a stated size. Bailey & Lopez de Prado (2014), "The deflated Sharpe
    ratio".
    """
    return probabilistic_sharpe(m, expected_max_sharpe(trial_variance, n_trials))


def min_track_record(m: Moments, benchmark: float = 0.0, confidence: float = 0.95) -> Measure:
    """Periods until the Sharpe ratio exceeds `benchmark` (per period) at `confidence`.

    1 + (1 - g3 SR + (g4 - 1)/4 SR^2) (z / (SR - SR*))^2. Bailey & Lopez de Prado (2012).
    """
    if m.sharpe <= benchmark:
        return Measure(None, "SHARPE_NOT_ABOVE_BENCHMARK")
    z = _NORMAL.inv_cdf(confidence)
    return Measure(1.0 + _sharpe_variance(m) * (z / (m.sharpe - benchmark)) ** 2)
