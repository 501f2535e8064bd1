"""The list of what D0 looks for, in which dataset. The looking is `qa`'s and `cross_checks`'.

Every check is one name; a row of the QA report with count 0 says that it was looked for.
"""

from __future__ import annotations

ABSENT = "absent_dataset"
UNCOVERED = "uncovered_settlement"
TOB_DATASETS = {"perp": "tob_perp", "spot": "tob_spot"}

ROW_FAULTS = ("duplicates", "non_monotone", "misaligned", "outside_file")
_PRICES = (
    "non_positive_price",
    "unit_shift",
    "price_apart",
    "timezone_shift",
    "minute_shift",
    "frozen_price",
)
_BARS = (
    *ROW_FAULTS,
    *_PRICES,
    "gaps",
    "ohlc_inconsistent",
    "negative_volume",
    "outliers",
    "zero_volume_run",
    "totals_mismatch",
    "totals_uncovered",
)
_INDEX = tuple(f"index_{check}" for check in (*ROW_FAULTS, "non_positive_price"))
CAPTURE_FAULTS = (
    "clock_offset",
    "no_event_time",
    "sequence_gaps",
    "garbage_lines",
    "truncated_file",
    "non_market_trades",
)
"""What only a recorded stream can have: in the report where it was found, never as a zero."""

HINDSIGHT = ("survivorship",)
"""Of a symbol that the market leaves out, on the day on which it ended."""

_TOB = (
    "non_monotone",
    "outside_file",
    "gaps",
    "crossed",
    "locked",
    "stale",
    "silent",
    "invalid",
    "crossed_quotes",
    "locked_quotes",
    "invalid_quotes",
    "tob_mismatch",
)

CHECKS: dict[str, tuple[str, ...]] = {
    "bars_1m_perp": _BARS,
    "bars_1m_spot": _BARS,
    "funding": (
        *ROW_FAULTS,
        "missing_settlement",
        "funding_out_of_range",
        "interval_mismatch",
        "formula_mismatch",
        UNCOVERED,
    ),
    "mark_index": (
        *ROW_FAULTS,
        *_PRICES,
        *_INDEX,
        "mark_index_gap",
        "index_gap",
        "index_price_apart",
    ),
    "open_interest": (*ROW_FAULTS, "non_positive_oi", "oi_holes", "unit_shift"),
    "tob_perp": _TOB,
    "tob_spot": _TOB,
}
"""Checks per examined dataset, beside `absent_dataset`, which every one has."""
