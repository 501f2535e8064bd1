"""Gate B.

Does the edge survive bid and ask, delay, fees and funding? A pure function of its table.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from quantlab_pipeline.core.verdicts import ItemVerdict, Outcome
from quantlab_pipeline.research.bridge.spec import BThresholds

NO_ENTRIES = "NO_ENTRIES"
TOO_FEW_TRADES = "TOO_FEW_TRADES"
EXPECTANCY_NOT_POSITIVE = "EXPECTANCY_NOT_POSITIVE"
FILL_RATE_LOW = "FILL_RATE_LOW"
TURNOVER_HIGH = "TURNOVER_HIGH"
CAPACITY_LOW = "CAPACITY_LOW"
CAPACITY_UNKNOWN = "CAPACITY_UNKNOWN"

UNRANKED = 1e300
"""Behind every strategy with a score; infinity has no canonical form."""


def judge_b(bridge_results: pl.DataFrame, thresholds: BThresholds) -> list[ItemVerdict]:
    """One verdict per strategy of `bridge_results`, in its order; ranked by executed_score."""
    return [verdict(row, thresholds) for row in bridge_results.iter_rows(named=True)]


def verdict(row: Mapping[str, Any], thresholds: BThresholds) -> ItemVerdict:
    """The verdict on one row: UNDERPOWERED with too few trades, else FAIL with every reason."""
    outcome, reasons = _outcome(row, thresholds)
    score = row["executed_score"]
    return ItemVerdict(
        item=row["strategy_id"],
        outcome=outcome,
        reasons=tuple(reasons),
        measured={
            "min_trades": (float(row["n_trades"]), float(thresholds.min_trades)),
            "min_net_bps": (row["net_bps"], thresholds.min_net_bps),
            "min_fill_rate": (row["fill_rate"], thresholds.min_fill_rate),
            "max_turnover_per_day": (row["turnover_per_day"], thresholds.max_turnover_per_day),
            "min_capacity_usd": (row["capacity_usd"], thresholds.min_capacity_usd),
        },
        rank=UNRANKED if score is None else -score,
    )


def _outcome(row: Mapping[str, Any], thresholds: BThresholds) -> tuple[Outcome, list[str]]:
    if row["n_intents"] == 0:
        return Outcome.NOT_EVALUABLE, [NO_ENTRIES]
    reasons = []
    if row["fill_rate"] is not None and row["fill_rate"] < thresholds.min_fill_rate:
        reasons.append(FILL_RATE_LOW)
    if row["net_bps"] is not None and not row["net_bps"] > thresholds.min_net_bps:
        reasons.append(EXPECTANCY_NOT_POSITIVE)
    turnover = row["turnover_per_day"]
    if turnover is not None and turnover > thresholds.max_turnover_per_day:
        reasons.append(TURNOVER_HIGH)
    if row["capacity_usd"] is None:
        reasons.append(CAPACITY_UNKNOWN)
    elif row["capacity_usd"] < thresholds.min_capacity_usd:
        reasons.append(CAPACITY_LOW)
    if row["n_trades"] < thresholds.min_trades:
        return Outcome.UNDERPOWERED, [TOO_FEW_TRADES, *reasons]
    return (Outcome.FAIL if reasons else Outcome.PASS), reasons
