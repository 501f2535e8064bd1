"""What a gate says of each item, and what a gate says as a whole.

A gate is a pure function from tables and thresholds to `ItemVerdict`s. Keeping verdicts and
refusing loads is storage's work.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any


class Gate(enum.StrEnum):
    """The seven gates, in the order of the chain."""

    D0 = "D0"
    PIT1 = "PIT-1"
    E1 = "E-1"
    V1 = "V1"
    B = "B"
    S = "S"
    P = "P"


class Outcome(enum.StrEnum):
    """A verdict. Only PASS and WAIVED admit an item."""

    PASS = "PASS"
    WAIVED = "WAIVED"
    FAIL = "FAIL"
    UNDERPOWERED = "UNDERPOWERED"
    NOT_EVALUABLE = "NOT_EVALUABLE"


ADMITTED = (Outcome.PASS, Outcome.WAIVED)
UPSTREAM_EMPTY = "UPSTREAM_EMPTY"


@dataclass(frozen=True, slots=True)
class ItemVerdict:
    """One item's verdict: `reasons` are codes, `measured` the values beside their thresholds.

    `measured` maps a threshold's name to (measured value or None, threshold or None). `rank` orders
    items for a waiver that admits only the best; lower is better. `evidence`: what a person looks
    at to believe a failure, as JSON values.
    """

    item: str
    outcome: Outcome
    reasons: tuple[str, ...] = ()
    measured: Mapping[str, tuple[float | None, float | None]] = field(default_factory=dict)
    rank: float = 0.0
    evidence: tuple[Mapping[str, Any], ...] = ()


def overall(gate: Gate, verdicts: Iterable[ItemVerdict]) -> Outcome:
    """The gate as a whole: PASS if any item passes (PIT-1: all evaluable ones), else by precedence.

    No items: NOT_EVALUABLE.
    """
    outcomes = [v.outcome for v in verdicts]
    if gate is Gate.PIT1 and Outcome.FAIL in outcomes:
        return Outcome.FAIL
    order = (
        Outcome.PASS,
        Outcome.WAIVED,
        Outcome.FAIL,
        Outcome.UNDERPOWERED,
        Outcome.NOT_EVALUABLE,
    )
    return next((o for o in order if o in outcomes), Outcome.NOT_EVALUABLE)


_SEVERITY = (
    Outcome.FAIL,
    Outcome.WAIVED,
    Outcome.UNDERPOWERED,
    Outcome.PASS,
    Outcome.NOT_EVALUABLE,
)


def worst_by_item(verdicts: Iterable[ItemVerdict]) -> list[ItemVerdict]:
    """One verdict an item: a failure anywhere stands, not evaluable only if it never was."""
    worst: dict[str, ItemVerdict] = {}
    for verdict in verdicts:
        held = worst.get(verdict.item)
        if held is None or _SEVERITY.index(verdict.outcome) < _SEVERITY.index(held.outcome):
            worst[verdict.item] = verdict
    return [worst[item] for item in sorted(worst)]
