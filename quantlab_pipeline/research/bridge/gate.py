"""Gate B.

Does the edge survive bid and ask, delay, fees and funding? A pure function of its table, whose rows
tell of the worst way that is judged. A figure that is not known never passes a threshold on it.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Any

import polars as pl

from quantlab_pipeline.core.verdicts import ItemVerdict, Outcome
from quantlab_pipeline.research.bridge.spec import BThresholds


class Reason(enum.StrEnum):
    """Why gate B does not pass a strategy; `reason_codes` of bridge_results, joined by `;`."""

    NO_ENTRIES = "NO_ENTRIES"
    """Not one signed entry on the window's days: nothing to judge."""
    TOO_FEW_TRADES = "TOO_FEW_TRADES"
    """Fewer than `min_trades` trades under some judged way: underpowered, whatever they earned."""
    FILL_RATE_LOW = "FILL_RATE_LOW"
    """Under some judged way fewer orders were filled than `min_fill_rate`."""
    EXPECTANCY_NOT_POSITIVE = "EXPECTANCY_NOT_POSITIVE"
    """The mean net of the worst judged way is not above `min_net_bps`."""
    FUNDING_UNKNOWN = "FUNDING_UNKNOWN"
    """More trades than `max_unknown_funding_share` were held across a missing settlement."""
    STRESSED_NET_LOW = "STRESSED_NET_LOW"
    """With every moment stressed the net is not above `min_stressed_net_bps`, or not known."""
    COST_MARGIN_LOW = "COST_MARGIN_LOW"
    """Costs times less than `min_break_even_cost_multiple` eat the net, or it is not known."""
    TURNOVER_HIGH = "TURNOVER_HIGH"
    """It trades more than `max_turnover_per_day`."""
    CAPACITY_UNKNOWN = "CAPACITY_UNKNOWN"
    """No capacity: liquidity is not known, or the cost model knows no impact."""
    CAPACITY_LOW = "CAPACITY_LOW"
    """The most profitable size of one trade is below `min_capacity_usd`."""
    NOTIONAL_ABOVE_CAPACITY = "NOTIONAL_ABOVE_CAPACITY"
    """One trade is larger than the size at which impact eats the whole edge."""


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
        measured=_measured(row, thresholds),
        rank=UNRANKED if score is None else -score,
    )


def _measured(
    row: Mapping[str, Any], thresholds: BThresholds
) -> dict[str, tuple[float | None, float | None]]:
    """Each threshold that is judged, beside what was measured against it."""
    room = row["break_even_notional_usd"]
    measured = {
        "min_trades": (float(row["fewest_trades"]), float(thresholds.min_trades)),
        "min_net_bps": (row["net_bps"], thresholds.min_net_bps),
        "min_fill_rate": (row["lowest_fill_rate"], thresholds.min_fill_rate),
        "max_turnover_per_day": (row["turnover_per_day"], thresholds.max_turnover_per_day),
        "min_capacity_usd": (row["capacity_usd"], thresholds.min_capacity_usd),
        "max_share_of_break_even_notional": (row["notional_usd"] / room if room else None, 1.0),
        "max_unknown_funding_share": (
            unknown_funding_share(row),
            thresholds.max_unknown_funding_share,
        ),
        "min_stressed_net_bps": (row["stressed_net_bps"], thresholds.min_stressed_net_bps),
        "min_break_even_cost_multiple": (
            row["break_even_cost_multiple"],
            thresholds.min_break_even_cost_multiple,
        ),
    }
    return {name: pair for name, pair in measured.items() if pair[1] is not None}


def unknown_funding_share(row: Mapping[str, Any]) -> float | None:
    """Share of closed trades that were held across a missing settlement; None without a trade."""
    closed = row["n_trades"] + row["n_unknown_funding"]
    return row["n_unknown_funding"] / closed if closed else None


def _outcome(row: Mapping[str, Any], thresholds: BThresholds) -> tuple[Outcome, list[Reason]]:
    if row["n_intents"] == 0:
        return Outcome.NOT_EVALUABLE, [Reason.NO_ENTRIES]
    reasons = _about_money(row, thresholds) + _about_size(row, thresholds)
    if row["fewest_trades"] < thresholds.min_trades:
        return Outcome.UNDERPOWERED, [Reason.TOO_FEW_TRADES, *reasons]
    return (Outcome.FAIL if reasons else Outcome.PASS), reasons


def _about_money(row: Mapping[str, Any], thresholds: BThresholds) -> list[Reason]:
    reasons = []
    rate, net = row["lowest_fill_rate"], row["net_bps"]
    if rate is not None and rate < thresholds.min_fill_rate:
        reasons.append(Reason.FILL_RATE_LOW)
    if net is not None and not net > thresholds.min_net_bps:
        reasons.append(Reason.EXPECTANCY_NOT_POSITIVE)
    if (unknown_funding_share(row) or 0.0) > thresholds.max_unknown_funding_share:
        reasons.append(Reason.FUNDING_UNKNOWN)
    if _not_above(row["stressed_net_bps"], thresholds.min_stressed_net_bps):
        reasons.append(Reason.STRESSED_NET_LOW)
    multiple, least = row["break_even_cost_multiple"], thresholds.min_break_even_cost_multiple
    if least is not None and (multiple is None or multiple < least):
        reasons.append(Reason.COST_MARGIN_LOW)
    return reasons


def _not_above(value: float | None, limit: float | None) -> bool:
    """Whether a limit that is judged is not exceeded by a known value."""
    return limit is not None and (value is None or not value > limit)


def _about_size(row: Mapping[str, Any], thresholds: BThresholds) -> list[Reason]:
    reasons = []
    turnover, capacity = row["turnover_per_day"], row["capacity_usd"]
    if turnover is not None and turnover > thresholds.max_turnover_per_day:
        reasons.append(Reason.TURNOVER_HIGH)
    if capacity is None:
        return [*reasons, Reason.CAPACITY_UNKNOWN]
    if capacity < thresholds.min_capacity_usd:
        reasons.append(Reason.CAPACITY_LOW)
    if row["notional_usd"] > row["break_even_notional_usd"]:
        reasons.append(Reason.NOTIONAL_ABOVE_CAPACITY)
    return reasons
