"""Gate S: a strategy holds outside the window it was fitted in, on a plateau, and under stress.

Pure: from the `walkforward` table and thresholds to one verdict a strategy. Too few trades outside
the fit is UNDERPOWERED, never a pass; a figure that is missing fails with its name.
"""

from __future__ import annotations

from typing import Any

import polars as pl

from quantlab_pipeline.core.verdicts import ItemVerdict, Outcome
from quantlab_pipeline.research.walk_forward.spec import SThresholds

_LIMITS = {
    "OOS_NET": ("oos_net_bps", "min_oos_net_bps"),
    "OOS_NOT_SIGNIFICANT": ("oos_p", "max_oos_p"),
    "DEFLATED_SHARPE": ("deflated_sharpe", "min_deflated_sharpe"),
    "RAZOR_EDGE": ("neighbour_ratio", "min_neighbour_ratio"),
    "STRESS": ("stress_net_bps", "min_stress_net_bps"),
    "DRAWDOWN": ("max_drawdown_bps", "max_drawdown_bps"),
    "OVERFIT": ("pbo_upper", "max_pbo_upper"),
}


def judge_s(walkforward: pl.DataFrame, thresholds: SThresholds) -> list[ItemVerdict]:
    """One verdict per strategy, sorted by id."""
    rows = walkforward.sort("strategy_id").iter_rows(named=True)
    return [_judge(row, thresholds) for row in rows]


def _judge(row: dict[str, Any], thresholds: SThresholds) -> ItemVerdict:
    limits = thresholds.model_dump()
    reasons: list[str] = []
    trades = row["oos_trades"]
    measured: dict[str, tuple[float | None, float | None]] = {
        "min_oos_trades": (trades, thresholds.min_oos_trades)
    }
    for code, (column, name) in _LIMITS.items():
        value, limit = row[column], limits[name]
        measured[name] = (value, limit)
        if value is None:
            reasons.append(f"MISSING:{column}")
        elif (value < limit) if name.startswith("min_") else (value > limit):
            reasons.append(code)
    rank = row["oos_p"] if row["oos_p"] is not None else 1.0
    if trades < thresholds.min_oos_trades:
        return ItemVerdict(
            row["strategy_id"], Outcome.UNDERPOWERED, ("FEW_TRADES", *reasons), measured, rank
        )
    outcome = Outcome.FAIL if reasons else Outcome.PASS
    return ItemVerdict(row["strategy_id"], outcome, tuple(reasons), measured, rank)
