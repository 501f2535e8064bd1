"""Monte Carlo over resampled P&L: how bad Sharpe, drawdown and profit factor could well have been.

Belongs here: percentiles of a circular block bootstrap of a strategy's bars, and their own error.
Not here: drawing the paths (`kernels.path_bootstrap`), and which bars they are. Blocks keep what
happens within them: a trade, a run of losses, a volatile day. What lies further apart than a block
is taken for independent, and the sample's own mean is taken for true: the figures say how much of a
track record is order and luck, not whether the edge is real.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from quantlab_pipeline.simulation.metrics import DAYS_PER_YEAR

F64 = npt.NDArray[np.float64]
PATHS_AT_ONCE = 20_000
MAX_UNDEFINED = 0.01
"""Share of paths without a figure above which its percentile is not told."""


@dataclass(frozen=True, slots=True)
class Blocks:
    """How bars are resampled: `n_paths` paths of blocks of `block_min` to `block_max` bars.

    `bars_per_day` bars make up a day.
    """

    n_paths: int
    block_min: int
    block_max: int
    bars_per_day: int


@dataclass(frozen=True, slots=True)
class Percentile:
    """A percentile over paths and the standard error that other seeds show in it, or why not.

    The error is half the width of the order statistics at N q +- sqrt(N q (1 - q)): it halves with
    four times the paths.
    """

    value: float | None
    error: float | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Resampled:
    """Annualised Sharpe of days, deepest fall of the daily sum, profit factor of bars."""

    sharpe_p5: Percentile
    max_drawdown_p95: Percentile
    profit_factor_p5: Percentile


def resample(bars: F64, blocks: Blocks, seed: int, n_threads: int | None = None) -> Resampled:
    """Percentiles over `blocks.n_paths` paths, each of as many bars as `bars`, shape [n].

    `bars` are P&L in multiples of a fixed notional; NaN raises ValueError. The same bars and seed
    give the same bytes whatever `n_threads` (one per processor where it is None). On an edge of
    annual Sharpe S over T days, `sharpe_p5` has a standard error near 2.1 sqrt(365 / T / n_paths).
    """
    values = np.ascontiguousarray(bars, dtype=np.float64)
    if not np.isfinite(values).all():
        raise ValueError("bars must be finite: decide what a missing bar means before resampling")
    if values.size < 2 * blocks.bars_per_day:
        short = Percentile(None, reason="FEWER_THAN_2_DAYS")
        return Resampled(short, short, short)
    mean, deviation, drawdown, gained, lost = _paths(values, blocks, seed, n_threads)
    # Days that differ by rounding alone do not vary.
    varies = deviation > 1e-12 * float(np.abs(values).max()) + 1e-15
    with np.errstate(divide="ignore", invalid="ignore"):
        sharpe = np.where(varies, mean / deviation * math.sqrt(DAYS_PER_YEAR), np.nan)
        # Without a loss a path is better than any that has one.
        factor = gained / lost
    return Resampled(
        _percentile(sharpe, 0.05, "NO_VARIATION"),
        _percentile(drawdown, 0.95, "NO_DAYS"),
        _percentile(factor, 0.05, "NO_RESULT"),
    )


def _paths(bars: F64, blocks: Blocks, seed: int, n_threads: int | None) -> Sequence[F64]:
    from quantlab_pipeline.kernels import path_bootstrap as kernel

    plan = kernel.BlockPlan(blocks.block_min, blocks.block_max, blocks.bars_per_day, seed)
    sums = kernel.running_sums(bars, blocks.block_max)
    centre = float(bars.mean()) * blocks.bars_per_day
    out = [np.empty(blocks.n_paths) for _ in kernel.Paths._fields]

    def draw(first: int) -> None:
        part = (figure[first : first + PATHS_AT_ONCE] for figure in out)
        kernel.bootstrap_paths(sums, plan, centre, first, kernel.Paths(*part))

    parts = range(0, blocks.n_paths, PATHS_AT_ONCE)
    with ThreadPoolExecutor(n_threads or os.cpu_count() or 1) as pool:
        for _ in pool.map(draw, parts):
            pass
    return out


def _percentile(figures: F64, q: float, reason: str) -> Percentile:
    known = np.sort(figures[~np.isnan(figures)])
    if known.size < (1.0 - MAX_UNDEFINED) * figures.size:
        return Percentile(None, reason=f"{reason}_ON_PATHS")
    at = known.size * q
    width = math.sqrt(at * (1.0 - q))
    value = float(known[_rank(at, known.size)])
    if not math.isfinite(value):
        return Percentile(None, reason="NO_LOSING_BAR")
    low, high = known[_rank(at - width, known.size)], known[_rank(at + width, known.size)]
    error = 0.5 * float(high - low)
    return Percentile(value, error if math.isfinite(error) else None)


def _rank(at: float, n: int) -> int:
    """Place of the order statistic whose share of values at or below first reaches `at` / n."""
    return min(n - 1, max(0, math.ceil(at) - 1))
