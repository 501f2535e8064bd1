"""Gate P: the book as a whole earns net of costs and impact, also if everything moves together.

Pure: from the `portfolio` table and thresholds to one verdict a book. A figure that is missing
fails with its name; it is never taken for zero.
"""

from __future__ import annotations

import polars as pl

from quantlab_pipeline.core.verdicts import ItemVerdict, Outcome
from quantlab_pipeline.research.portfolio.spec import PThresholds

_FLOORS = {
    "NET_NOT_POSITIVE": ("book_net_bps_per_day", "min_net_bps_per_day"),
    "STRESS": ("book_stress_sharpe", "min_stress_sharpe"),
    "CAPACITY": ("book_capacity_usd", "min_capacity_usd"),
}
_CEILINGS = {
    "DRAWDOWN": ("book_max_drawdown_bps", "max_drawdown_bps"),
    "TURNOVER": ("book_turnover_per_day", "max_turnover_per_day"),
}


def judge_p(portfolio: pl.DataFrame, thresholds: PThresholds) -> list[ItemVerdict]:
    """One verdict per `portfolio_id`; no rows, no verdicts."""
    books = portfolio.unique("portfolio_id", maintain_order=True).sort("portfolio_id")
    return [_judge(row, thresholds) for row in books.iter_rows(named=True)]


def _judge(row: dict[str, object], thresholds: PThresholds) -> ItemVerdict:
    limits = thresholds.model_dump()
    reasons: list[str] = []
    measured: dict[str, tuple[float | None, float | None]] = {}
    for code, (column, name) in (_FLOORS | _CEILINGS).items():
        value, limit = row[column], limits[name]
        number = None if value is None else float(value)  # type: ignore[arg-type]
        measured[name] = (number, limit)
        if number is None:
            reasons.append(f"MISSING:{column}")
        elif (number <= limit) if code == "NET_NOT_POSITIVE" else _beyond(code, number, limit):
            reasons.append(code)
    days = int(row["book_days"])  # type: ignore[call-overload]
    measured["min_days"] = (days, thresholds.min_days)
    if days < thresholds.min_days:
        return ItemVerdict(
            str(row["portfolio_id"]), Outcome.UNDERPOWERED, ("FEW_DAYS", *reasons), measured
        )
    outcome = Outcome.FAIL if reasons else Outcome.PASS
    return ItemVerdict(str(row["portfolio_id"]), outcome, tuple(reasons), measured)


def _beyond(code: str, value: float, limit: float) -> bool:
    return value < limit if code in _FLOORS else value > limit
