"""Performance statistics of a return series, and how much of a Sharpe ratio is luck.

Belongs here: pure functions of a daily P&L array in multiples of a fixed notional. Not here: what
threshold they must pass (the gates), and `resampling`. A statistic that is undefined is
`Measure(None, reason)`, never zero. NaN in an input raises ValueError: a day without data is the
caller's decision. `legacy_*` are variants that older reports used, kept under their own names; no
gate reads them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import TypeVar

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
Number = TypeVar("Number", float, FloatArray)
DAYS_PER_YEAR = 365
LEGACY_DAYS_PER_YEAR = 252
TAIL_SHARE = 0.05
EULER_GAMMA = 0.5772156649015329
MAD_TO_SIGMA = 1.4826
"""Ratio of a normal distribution's deviation to its median absolute deviation."""
_NORMAL = NormalDist()


@dataclass(frozen=True, slots=True)
class Measure:
    """A value, or None with the reason why there is none."""

    value: float | None
    reason: str | None = None


_NO_DAYS = Measure(None, "NO_DAYS")


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
    return _sharpe(daily, DAYS_PER_YEAR)


def _sharpe(returns: FloatArray, periods_per_year: int) -> Measure:
    values = _clean(returns)
    if values.size < 2:
        return Measure(None, "FEWER_THAN_2_DAYS")
    deviation = float(values.std(ddof=1))
    if deviation <= 1e-15:
        return Measure(None, "NO_VARIATION")
    return Measure(float(values.mean()) / deviation * math.sqrt(periods_per_year))


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
        return _NO_DAYS
    equity = np.concatenate([[0.0], np.cumsum(values)])
    return Measure(float((np.maximum.accumulate(equity) - equity).max()))


def time_to_recovery(daily: FloatArray) -> Measure:
    """Days from the trough of the deepest drawdown until the peak before it is reached again.

    Of equal drawdowns the first counts; values within 1e-12 of the largest equity are equal, since
    a loss that is made good leaves a rounding error. Undefined without a drawdown, and while it
    lasts.
    """
    values = _clean(daily)
    if not values.size:
        return _NO_DAYS
    equity = np.concatenate([[0.0], np.cumsum(values)])
    same = 1e-12 * float(np.abs(equity).max())
    peaks = np.maximum.accumulate(equity)
    falls = peaks - equity
    if falls.max() <= same:
        return Measure(None, "NO_DRAWDOWN")
    trough = int(np.argmax(falls >= falls.max() - same))
    regained = np.flatnonzero(equity[trough:] >= peaks[trough] - same)
    return Measure(float(regained[0])) if regained.size else Measure(None, "NOT_RECOVERED")


def tail_5pct(daily: FloatArray) -> Measure:
    """5th percentile of daily P&L, interpolated between order statistics (Hyndman-Fan type 7)."""
    values = _clean(daily)
    return Measure(float(np.quantile(values, TAIL_SHARE))) if values.size else _NO_DAYS


def worst_1pct(daily: FloatArray) -> Measure:
    """Mean of the worst hundredth of days, rounded down to whole days, at least one."""
    values = _clean(daily)
    if not values.size:
        return _NO_DAYS
    n_worst = max(1, values.size // 100)
    return Measure(float(np.sort(values)[:n_worst].mean()))


def legacy_sharpe_252(returns: FloatArray, bars_per_day: int = 1) -> Measure:
    """Mean over sample deviation x sqrt(252 x bars a day): a year of exchange days.

    Perpetuals trade on 365 days; `sharpe` is what the gates read.
    """
    return _sharpe(returns, LEGACY_DAYS_PER_YEAR * bars_per_day)


def legacy_sortino_losses(returns: FloatArray) -> Measure:
    """Mean of the positive returns over the sample deviation of the negative ones, per period.

    Losses that are all alike have no deviation, so that a series of equal losses has no value here,
    and days without a result change nothing: `sortino` is the standard one.
    """
    values = _clean(returns)
    gains, losses = values[values > 0], values[values < 0]
    if not gains.size:
        return Measure(None, "NO_WINNING_DAY")
    if losses.size < 2:
        return Measure(None, "FEWER_THAN_2_LOSING_DAYS")
    deviation = float(losses.std(ddof=1))
    if deviation <= 1e-15:
        return Measure(None, "NO_VARIATION_OF_LOSSES")
    return Measure(float(gains.mean()) / deviation)


def legacy_drawdown_of_peak(daily: FloatArray) -> Measure:
    """Largest (peak - equity) / peak of 1 + cumulative P&L: a share of the peak, >= 0.

    It falls as equity grows although the loss is the same at fixed notional; `max_drawdown` is of
    the notional. Above 1 where more than everything was lost.
    """
    values = _clean(daily)
    if not values.size:
        return _NO_DAYS
    equity = 1.0 + np.concatenate([[0.0], np.cumsum(values)])
    peaks = np.maximum.accumulate(equity)
    return Measure(float(((peaks - equity) / peaks).max()))


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
    values = np.asarray(returns, dtype=np.float64)
    ratio, skew, kurtosis = (float(m[0]) for m in _moments_by_row(values[None]))
    return None if math.isnan(ratio) else Moments(ratio, skew, kurtosis, values.size)


def _moments_by_row(returns: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Sharpe ratio, skewness and kurtosis of each row of [K, n], [K] each; NaN for no `moments`."""
    values = _clean(returns)
    n = values.shape[1]
    if n < 3:
        nothing = np.full(values.shape[0], np.nan)
        return nothing, nothing, nothing
    mean = values.mean(axis=1)
    centred = values - mean[:, None]
    squares = centred * centred
    m2 = squares.mean(axis=1)
    m2[np.sqrt(m2) <= 1e-15] = np.nan
    m3 = np.einsum("kn,kn->k", squares, centred) / n
    m4 = np.einsum("kn,kn->k", squares, squares) / n
    return mean / np.sqrt(m2 * (n / (n - 1))), m3 / m2**1.5, m4 / m2**2


def _sharpe_variance(ratio: Number, skew: Number, kurtosis: Number) -> Number:
    """(T - 1) times the variance of the estimated Sharpe ratio."""
    return 1.0 - skew * ratio + (kurtosis - 1.0) / 4.0 * ratio**2


def probabilistic_sharpe(m: Moments, benchmark: float = 0.0) -> Measure:
    """P(true Sharpe > benchmark), all per period.

    Bailey & Lopez de Prado (2012), "The Sharpe ratio efficient frontier".
    """
    variance = _sharpe_variance(m.sharpe, m.skew, m.kurtosis)
    if variance <= 0 or m.n < 2:
        return Measure(None, "UNDEFINED_SHARPE_VARIANCE")
    return Measure(_NORMAL.cdf((m.sharpe - benchmark) * math.sqrt((m.n - 1) / variance)))


def probabilistic_sharpes(returns: FloatArray, benchmark: float = 0.0) -> FloatArray:
    """`probabilistic_sharpe` of each row of [K, n], [K]; NaN where it is undefined."""
    from scipy.special import ndtr

    ratio, skew, kurtosis = _moments_by_row(returns)
    variance = _sharpe_variance(ratio, skew, kurtosis)
    with np.errstate(invalid="ignore", divide="ignore"):
        scale = np.sqrt((returns.shape[1] - 1) / np.where(variance > 0.0, variance, np.nan))
    known: FloatArray = ndtr((ratio - benchmark) * scale)
    return known


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
    return Measure(
        1.0 + _sharpe_variance(m.sharpe, m.skew, m.kurtosis) * (z / (m.sharpe - benchmark)) ** 2
    )
