"""Gate E-1: is an event type fit to be tested? A pure function of `event_quality`."""

from __future__ import annotations

from typing import Any

import polars as pl

from quantlab_pipeline.core.verdicts import ItemVerdict, Outcome
from quantlab_pipeline.research.events.spec import E1Thresholds

TOO_RARE = "TOO_RARE"
TOO_FREQUENT = "TOO_FREQUENT"
MOSTLY_DUPLICATES = "MOSTLY_DUPLICATES"
JOIN_FAILED = "JOIN_FAILED"
ALIAS_OF = "ALIAS_OF"
ECHO_OF = "ECHO_OF"
CONTAINED_IN = "CONTAINED_IN"
DATASET_ABSENT = "DATASET_ABSENT"
NO_EVALUABLE_MINUTE = "NO_EVALUABLE_MINUTE"

_AT_LEAST = {
    "min_events": ("n_events", TOO_RARE),
    "min_active_days": ("active_days", TOO_RARE),
    "min_per_symbol_day": ("per_symbol_day", TOO_RARE),
    "min_join_share": ("join_share", JOIN_FAILED),
}
_AT_MOST = {
    "max_per_symbol_day": ("per_symbol_day", TOO_FREQUENT),
    "max_trigger_share": ("trigger_share", TOO_FREQUENT),
    "max_duplicate_share": ("duplicate_share", MOSTLY_DUPLICATES),
    "max_jaccard": ("max_jaccard", ALIAS_OF),
    "max_echo": ("max_echo", ECHO_OF),
    "max_containment": ("max_containment", CONTAINED_IN),
}
_COUNTED = {
    "join.features": "n_without_features",
    "join.labels": "n_without_labels",
    "echo.lag_min": "echo_lag_min",
}
"""Numbers of a verdict that have no threshold of their own."""


def judge_e1(event_quality: pl.DataFrame, thresholds: E1Thresholds) -> list[ItemVerdict]:
    """One verdict per row of `event_quality`, in its order.

    NOT_EVALUABLE with DATASET_ABSENT:<name> where the market lacks a dataset that the type
    requires, or with NO_EVALUABLE_MINUTE where its features are null throughout. Else FAIL with
    every reason that holds, PASS without any: TOO_RARE, TOO_FREQUENT, MOSTLY_DUPLICATES,
    JOIN_FAILED:features and :labels (the table without the event's row), ALIAS_OF, ECHO_OF and
    CONTAINED_IN:<type>. A trigger that holds too often is told so alone: that such a state seldom
    begins does not make it rare. A value on its threshold is inside. A null share has no part in
    the verdict: it is null only where there are no events, which is TOO_RARE already, or no other
    type to overlap with.
    """
    return [_judge(row, thresholds) for row in event_quality.iter_rows(named=True)]


def _judge(row: dict[str, Any], thresholds: E1Thresholds) -> ItemVerdict:
    limits = thresholds.model_dump()
    measured = {n: (row[c], limits[n]) for n, (c, _) in {**_AT_LEAST, **_AT_MOST}.items()}
    measured |= {name: (row[column], None) for name, column in _COUNTED.items()}
    absent = row["missing_dataset"]
    if absent or row["trigger_share"] is None:
        reasons = (
            tuple(f"{DATASET_ABSENT}:{name}" for name in absent.split(","))
            if absent
            else (NO_EVALUABLE_MINUTE,)
        )
        return ItemVerdict(row["event_type"], Outcome.NOT_EVALUABLE, reasons, measured)
    low = [r for n, (c, r) in _AT_LEAST.items() if row[c] is not None and row[c] < limits[n]]
    high = [r for n, (c, r) in _AT_MOST.items() if row[c] is not None and row[c] > limits[n]]
    if TOO_FREQUENT in high:
        low = [reason for reason in low if reason != TOO_RARE]
    held = dict.fromkeys([*low, *high])
    reasons = tuple(code for reason in held for code in _codes(reason, row))
    outcome = Outcome.FAIL if reasons else Outcome.PASS
    return ItemVerdict(row["event_type"], outcome, reasons, measured)


def _codes(reason: str, row: dict[str, Any]) -> list[str]:
    """`reason` with whom or what it is about."""
    about = {
        ALIAS_OF: [row["overlaps_with"]],
        ECHO_OF: [row["echo_of"]],
        CONTAINED_IN: [row["contained_in"]],
        JOIN_FAILED: [t for t in ("features", "labels") if row[f"n_without_{t}"]],
    }
    return [f"{reason}:{name}" for name in about[reason]] if reason in about else [reason]
