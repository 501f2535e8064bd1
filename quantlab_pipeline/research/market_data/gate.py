"""Gate D0: which symbols' days are sound enough to be built on. Judges the QA report alone.

An item is a symbol on one day. It fails on any fault above its threshold in any dataset that is
there, required or not, because features are built from all that is there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date
from typing import Any

import polars as pl

from quantlab_pipeline.core.clocks import DAY_MINUTES, day_of
from quantlab_pipeline.core.verdicts import ItemVerdict, Outcome
from quantlab_pipeline.research.market_data.checks import ABSENT
from quantlab_pipeline.research.market_data.spec import D0Thresholds

DAY_BUCKETS = DAY_MINUTES // 5
DAY_SECONDS = DAY_MINUTES * 60

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
_FAULTY_ROWS_OF_INDEX = tuple(f"index_{check}" for check in _FAULTY_ROWS[:5])
_DISORDER_OF_OI = ("duplicates", "non_monotone")
_MESSAGES = ("crossed_quotes", "locked_quotes", "invalid_quotes", "uncovered_settlement")


def judge_d0(
    qa_report: pl.DataFrame, thresholds: D0Thresholds, grid_s: int = 1
) -> dict[date, list[ItemVerdict]]:
    """Each day's verdicts, one a symbol, sorted by symbol; `qa_report` is of schema QA_REPORT.

    NOT_EVALUABLE if a required dataset is absent (`DATASET_ABSENT:<dataset>`); else FAIL with a
    reason `<CHECK>:<dataset>` for each measured value above its threshold; else PASS. `measured`
    holds, under `<dataset>.<check>`, every value that is not 0 beside its threshold. A check that
    is only counted (single messages of a book, say) has the threshold None.
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
        value, limit = _measure(dataset, check, count, thresholds, grid_s)
        if value:
            measured[f"{dataset}.{check}"] = (value, limit)
        if limit is not None and value > limit:
            reasons.append(f"{check.upper()}:{dataset}")
    if absent:
        return ItemVerdict(symbol, Outcome.NOT_EVALUABLE, (*absent, *reasons), measured)
    outcome = Outcome.FAIL if reasons else Outcome.PASS
    return ItemVerdict(symbol, outcome, tuple(reasons), measured)


def _measure(
    dataset: str, check: str, count: int, thresholds: D0Thresholds, grid_s: int
) -> tuple[float, float | None]:
    """The measured value in its threshold's unit, and the threshold."""
    if check in _MESSAGES:
        return float(count), None
    if dataset == "open_interest" and check in _DISORDER_OF_OI:
        return float(count), float(thresholds.max_oi_disorder_rows)
    if check in _FAULTY_ROWS or check in _FAULTY_ROWS_OF_INDEX:
        return float(count), float(thresholds.max_faulty_rows)
    units, limit = _limits(thresholds, grid_s)[check]
    return count / units, float(limit)


def _limits(thresholds: D0Thresholds, grid_s: int) -> Mapping[str, tuple[float, float]]:
    """Check -> (what one unit of the threshold is in counts, threshold)."""
    return dict(_fractions(thresholds, DAY_SECONDS / grid_s)) | {
        "outliers": (1, thresholds.max_outlier_minutes),
        "unit_shift": (1, thresholds.max_unit_shift_minutes),
        "timezone_shift": (1, thresholds.max_time_shift_minutes),
        "missing_settlement": (1, thresholds.max_missing_settlements),
        "silent": (1, thresholds.max_silent_minutes),
        "tob_mismatch": (1, thresholds.max_tob_mismatch_minutes),
    }


def _fractions(
    thresholds: D0Thresholds, grid_points: float
) -> Iterator[tuple[str, tuple[float, float]]]:
    for check in ("gaps", "mark_index_gap", "index_gap"):
        yield check, (DAY_MINUTES, thresholds.max_missing_minutes_frac)
    yield "zero_volume_run", (DAY_MINUTES, thresholds.max_zero_volume_frac)
    yield "oi_holes", (DAY_BUCKETS, thresholds.max_oi_holes_frac)
    for check in ("crossed", "locked", "stale", "invalid"):
        yield check, (grid_points, getattr(thresholds, f"max_{check}_frac"))
