"""Refitting: parameters chosen on train trades alone, applied once to the test segment.

Works on a table of trades under every parameter, so that nothing is simulated twice.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from quantlab_pipeline.research.walk_forward.folds import Segment, inside, trainable
from quantlab_pipeline.research.walk_forward.spec import WalkForwardSpec


@dataclass(frozen=True, slots=True)
class Fold:
    """One test segment: the parameters chosen before it, and what they earned in it."""

    segment: Segment
    hold_scale: float | None
    severity_quantile: float | None
    train_net_bps: float | None
    trades: pl.DataFrame


def walk(trades: pl.DataFrame, tests: list[Segment], spec: WalkForwardSpec) -> list[Fold]:
    """Choose on the past, apply to each segment of `tests`, in order.

    `trades`: one row per (hold_scale, event), with decide_us, exit_us, severity, net_bps (no null).
    A segment with too few train trades chooses nothing and has no trades.
    """
    spans = trades.select("decide_us", "exit_us").to_numpy()
    folds = []
    for test in tests:
        # Later days are another fold's test or never seen: a fit looks backwards only.
        past = trainable(spans, [test], spec.embargo_min) & (spans[:, 0] <= test.start_us)
        choice = choose(trades.filter(pl.Series(past)), spec)
        within = trades.filter(pl.Series(inside(spans, test)))
        if choice is None:
            folds.append(Fold(test, None, None, None, within.clear()))
            continue
        scale, quantile, floor, train = choice
        taken = within.filter((pl.col("hold_scale") == scale) & (pl.col("severity") >= floor))
        folds.append(Fold(test, scale, quantile, train, taken))
    return folds


def choose(train: pl.DataFrame, spec: WalkForwardSpec) -> tuple[float, float, float, float] | None:
    """(hold scale, severity quantile, its floor, train mean in bps) with the largest t on `train`.

    Ties go to the scale nearest 1 and the lower quantile. None with too few trades.
    """
    best: tuple[float, float, float, float] | None = None
    best_key = (-np.inf, -np.inf, -np.inf)
    for scale in spec.hold_scales:
        rows = train.filter(pl.col("hold_scale") == scale)
        severity = rows["severity"].to_numpy()
        net = rows["net_bps"].to_numpy()
        for quantile in spec.severity_quantiles:
            bound = quantile and len(severity)
            floor = float(np.quantile(severity, quantile)) if bound else -np.inf
            kept = net[severity >= floor]
            if len(kept) < spec.min_train_trades:
                continue
            key = (_t_value(kept), -abs(scale - 1.0), -quantile)
            if key > best_key:
                best_key, best = key, (scale, quantile, floor, float(kept.mean()))
    return best


def neighbour_ratio(trades: pl.DataFrame, spec: WalkForwardSpec) -> float | None:
    """Median mean of the hold scales beside the best one over the best one's mean.

    Near 1: a plateau. Small: a razor's edge that the next parameter falls off. None if the best
    mean is not positive.
    """
    means = [
        trades.filter(pl.col("hold_scale") == scale)["net_bps"].mean() for scale in spec.hold_scales
    ]
    values = np.array([np.nan if m is None else float(m) for m in means])  # type: ignore[arg-type]
    if not np.isfinite(values).any() or np.nanmax(values) <= 0:
        return None
    best = int(np.nanargmax(values))
    beside = [values[i] for i in (best - 1, best + 1) if 0 <= i < len(values)]
    return float(np.nanmedian(beside) / values[best])


def _t_value(values: NDArray[np.float64]) -> float:
    deviation = float(values.std(ddof=1))
    if deviation == 0.0:
        return float(np.sign(values.mean())) * np.inf if values.mean() else 0.0
    return float(values.mean() / deviation * np.sqrt(len(values)))
