"""Gate D0: which symbols' days are sound enough to be built on. Judges the QA report alone.

An item is a symbol on one day. It fails on any fault above its threshold in any dataset that is
there, required or not, because features are built from all that is there.
"""

from __future__ import annotations

from datetime import date
from typing import Any

import polars as pl

from quantlab_pipeline.core.clocks import DAY_MINUTES, day_of
from quantlab_pipeline.core.verdicts import ItemVerdict, Outcome
from quantlab_pipeline.research.market_data.checks import ABSENT
from quantlab_pipeline.research.market_data.spec import D0Thresholds

DAY_BUCKETS = DAY_MINUTES // 5
DAY_SECONDS = DAY_MINUTES * 60
SLOW_GRID_S = 60
"""A book of one quote a minute, or less, is not silent where a minute has none; it goes stale."""

_FAULTY_ROWS = (
    "duplicates",
    "non_monotone",
    "misaligned",
    "outside_file",
    "non_positive_price",
    "ohlc_inconsistent",
    "negative_volume",
    "funding_out_of_range",
    "non_positive_oi",
)
_DISORDER = ("duplicates", "non_monotone")
_COUNTED = (
    "crossed_quotes",
    "locked_quotes",
    "invalid_quotes",
    "uncovered_settlement",
    "totals_uncovered",
    "clock_offset",
    "no_event_time",
    "sequence_gaps",
    "truncated_file",
    "non_market_trades",
)
"""Shown and held against no threshold: what they do to a day, other checks measure."""

_THRESHOLDS = {
    **dict.fromkeys(("gaps", "mark_index_gap", "index_gap"), "max_missing_minutes_frac"),
    **dict.fromkeys(_FAULTY_ROWS, "max_faulty_rows"),
    **dict.fromkeys((f"index_{check}" for check in _FAULTY_ROWS[:5]), "max_faulty_rows"),
    **{check: f"max_{check}_frac" for check in ("crossed", "locked", "stale", "invalid")},
    "zero_volume_run": "max_zero_volume_frac",
    "oi_holes": "max_oi_holes_frac",
    "outliers": "max_outlier_minutes",
    "unit_shift": "max_unit_shift_minutes",
    "timezone_shift": "max_time_shift_minutes",
    "minute_shift": "max_time_shift_minutes",
    "price_apart": "max_price_apart_minutes",
    "index_price_apart": "max_price_apart_minutes",
    "frozen_price": "max_frozen_frac",
    "totals_mismatch": "max_totals_mismatches",
    "survivorship": "max_omitted_ends",
    "interval_mismatch": "max_interval_mismatches",
    "formula_mismatch": "max_formula_mismatches",
    "garbage_lines": "max_garbage_lines",
    "missing_settlement": "max_missing_settlements",
    "silent": "max_silent_minutes",
    "tob_mismatch": "max_tob_mismatch_minutes",
}
"""The threshold that each check is held against."""


def judge_d0(
    qa_report: pl.DataFrame, thresholds: D0Thresholds, grid_s: int = 1
) -> dict[date, list[ItemVerdict]]:
    """Each day's verdicts, one a symbol, sorted by symbol; `qa_report` is of schema QA_REPORT.

    NOT_EVALUABLE if a required dataset is absent (`DATASET_ABSENT:<dataset>`); else FAIL with a
    reason `<CHECK>:<dataset>` for each measured value above its threshold; else PASS. `measured`
    holds, under each threshold's name, the worst value that was held against it; and, under
    `<dataset>.<check>` with the threshold None, what is only counted.
    """
    verdicts: dict[date, list[ItemVerdict]] = {}
    rows = qa_report.with_columns(day_of("ts").alias("day")).sort(
        "day", "symbol", "dataset", "check"
    )
    for key, part in rows.partition_by(
        ["day", "symbol"], as_dict=True, maintain_order=True
    ).items():
        day, symbol = key
        verdicts.setdefault(day, []).append(_judge(symbol, part, thresholds, grid_s))
    return verdicts


def _judge(symbol: Any, part: pl.DataFrame, thresholds: D0Thresholds, grid_s: int) -> ItemVerdict:
    absent, reasons = [], []
    measured: dict[str, tuple[float | None, float | None]] = {}
    for dataset, check, count in part.select("dataset", "check", "count").iter_rows():
        if check == ABSENT:
            absent += [f"DATASET_ABSENT:{dataset}"] if count else []
            continue
        if check in _COUNTED or (check == "silent" and grid_s >= SLOW_GRID_S):
            if count:
                measured[f"{dataset}.{check}"] = (float(count), None)
            continue
        name = _threshold_of(dataset, check)
        limit = float(getattr(thresholds, name))
        value = count / _unit(name, grid_s)
        measured[name] = (max(value, measured.get(name, (0.0, limit))[0] or 0.0), limit)
        if value > limit:
            reasons.append(f"{check.upper()}:{dataset}")
    if absent:
        return ItemVerdict(symbol, Outcome.NOT_EVALUABLE, (*absent, *reasons), measured)
    outcome = Outcome.FAIL if reasons else Outcome.PASS
    return ItemVerdict(symbol, outcome, tuple(reasons), measured)


def _threshold_of(dataset: str, check: str) -> str:
    if dataset == "open_interest" and check in _DISORDER:
        return "max_oi_disorder_rows"
    return _THRESHOLDS[check]


def _unit(threshold: str, grid_s: int) -> float:
    """Counts in one unit of the threshold; shares are of a day's minutes, buckets or samples."""
    if not threshold.endswith("_frac"):
        return 1.0
    if threshold == "max_oi_holes_frac":
        return float(DAY_BUCKETS)
    by_minute = threshold in (
        "max_missing_minutes_frac",
        "max_zero_volume_frac",
        "max_frozen_frac",
    )
    return float(DAY_MINUTES) if by_minute else DAY_SECONDS / grid_s
