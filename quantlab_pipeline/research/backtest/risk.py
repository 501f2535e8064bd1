"""Risk of each strategy, in sample, in the holdout and over both: ratios, falls, tails, resampling.

Belongs here: which series each figure of `backtest_risk` is taken of. Not here: the figures'
arithmetic (`simulation.metrics`, `simulation.resampling`), and what must be passed (gate S).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from quantlab_pipeline.core.seeds import child_seed
from quantlab_pipeline.research.backtest.schema import BACKTEST_RISK, SEGMENTS
from quantlab_pipeline.research.backtest.spec import MonteCarloSpec
from quantlab_pipeline.simulation import metrics
from quantlab_pipeline.simulation.metrics import Measure
from quantlab_pipeline.simulation.resampling import Blocks, Percentile, resample
from quantlab_pipeline.simulation.trades import CLOSED

F64 = npt.NDArray[np.float64]

OF_DAYS: dict[str, Callable[[F64], Measure]] = {
    "sharpe": metrics.sharpe,
    "sortino": metrics.sortino,
    "max_drawdown_bps": metrics.max_drawdown,
    "time_to_recovery_days": metrics.time_to_recovery,
    "day_p5_bps": metrics.tail_5pct,
    "day_worst_1pct_bps": metrics.worst_1pct,
    "legacy_sharpe_252": metrics.legacy_sharpe_252,
    "legacy_sortino_losses": metrics.legacy_sortino_losses,
}
OF_TRADES: dict[str, Callable[[F64], Measure]] = {
    "win_rate": metrics.win_rate,
    "profit_factor": metrics.profit_factor,
}
RESAMPLED = {
    "sharpe_p5": ("sharpe_p5", "sharpe_p5_error"),
    "max_drawdown_p95": ("max_drawdown_p95_bps", "max_drawdown_p95_error_bps"),
    "profit_factor_p5": ("profit_factor_p5", "profit_factor_p5_error"),
}


def build_risk(
    returns: pl.DataFrame, trades: pl.DataFrame, bars: Mapping[str, F64], spec: MonteCarloSpec
) -> pl.DataFrame:
    """The `backtest_risk` table of `backtest_returns`, `backtest_trades` and P&L by bar, in bps.

    `bars` hold the days of `returns` from the first on, `spec.bars_per_day` each. A segment without
    days has no figures.
    """
    rows = []
    for (name,), mine in returns.group_by(["strategy_id"], maintain_order=True):
        strategy_id = str(name)
        days = mine.sort("day")
        by_day = bars[strategy_id].reshape(days.height, spec.bars_per_day)
        closed = trades.filter(pl.col("strategy_id") == strategy_id, pl.col("status").is_in(CLOSED))
        for segment in (*SEGMENTS, "both"):
            inside = pl.col("segment").is_in(SEGMENTS if segment == "both" else (segment,))
            kept = days.select(inside.alias("in"))["in"].to_numpy()
            rows.append(
                {
                    "strategy_id": strategy_id,
                    "segment": segment,
                    **_figures(
                        days["net_bps"].to_numpy()[kept],
                        closed.filter(inside)["net_usd"].to_numpy(),
                        by_day[kept].ravel(),
                        spec,
                        child_seed(spec.seed, "monte_carlo", strategy_id, segment),
                    ),
                }
            )
    schema = {c.name: c.dtype for c in BACKTEST_RISK.columns}
    return BACKTEST_RISK.conform(pl.DataFrame(rows, schema=schema))


def _figures(daily: F64, trades: F64, bars: F64, spec: MonteCarloSpec, seed: int) -> dict[str, Any]:
    row: dict[str, Any] = {
        "n_days": daily.size,
        "n_trades": trades.size,
        "net_bps_per_day": float(daily.mean()) if daily.size else None,
        "mc_paths": spec.paths,
    }
    measures = {name: measure(daily) for name, measure in OF_DAYS.items()}
    # In bps of capital; the share of a peak is of the capital with what it earned.
    measures["legacy_drawdown_of_peak"] = metrics.legacy_drawdown_of_peak(daily * 1e-4)
    measures |= {name: measure(trades) for name, measure in OF_TRADES.items()}
    reasons = {} if daily.size else {"net_bps_per_day": "NO_DAYS"}
    for name, measure in measures.items():
        row[name] = measure.value
        if measure.reason is not None:
            reasons[name] = measure.reason
    blocks = Blocks(spec.paths, spec.block_min_bars, spec.block_max_bars, spec.bars_per_day)
    found = resample(bars, blocks, seed)
    for name, (column, error) in RESAMPLED.items():
        percentile: Percentile = getattr(found, name)
        row[column], row[error] = percentile.value, percentile.error
        if percentile.reason is not None:
            reasons[column] = reasons[error] = percentile.reason
    row["reasons"] = json.dumps(reasons, sort_keys=True)
    return row
