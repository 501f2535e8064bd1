"""Gate V1: which candidates stand. A pure function of the candidates' figures and the thresholds.

A pass needs everything at once; what fails for want of data is UNDERPOWERED, never FAIL; what could
not be tested is NOT_EVALUABLE. Reasons list every condition that was missed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from quantlab_pipeline.core import ports
from quantlab_pipeline.core.ports import LedgerState
from quantlab_pipeline.core.verdicts import ItemVerdict, Outcome
from quantlab_pipeline.research.validation.spec import V1Thresholds

NOT_SIGNIFICANT = "NOT_SIGNIFICANT"
NET_NOT_POSITIVE = "NET_NOT_POSITIVE"
SLICE_NEGATIVE = "SLICE_NEGATIVE"
FEW_DAYS = "FEW_DAYS"
LOW_N_EFF = "LOW_N_EFF"
MDE_TOO_LARGE = "MDE_TOO_LARGE"
CAPACITY = "CAPACITY"
NO_EVENTS = "NO_EVENTS"
E1_NOT_PASSED = "E1_NOT_PASSED"
DATASET_ABSENT = "DATASET_ABSENT"
BUDGET_SPENT = ports.BUDGET_SPENT
BUDGET_CHANGED = "BUDGET_CHANGED"
FAMILY_CHANGED = ports.FAMILY_CHANGED

THIN = 1e6
"""Added to the rank of a candidate with too few events or days."""

UNRANKED = 1e9
"""Rank of a candidate without a z: behind every other."""

Row = Mapping[str, Any]


def judge_v1(
    candidates: pl.DataFrame, thresholds: V1Thresholds, ledger: LedgerState | None = None
) -> list[ItemVerdict]:
    """One verdict per candidate, sorted by id.

    With the `ledger` state as the gate sees it: a table that counted another budget, or a ledger
    that holds more trials than its budget, makes every candidate NOT_EVALUABLE.
    """
    spent = ledger is not None and ledger.n_trials > ledger.budget
    verdicts = []
    for row in candidates.sort("candidate_id").iter_rows(named=True):
        outcome, reasons = judge_row(row, thresholds)
        if spent or (ledger is not None and row["m_budget"] != ledger.budget):
            outcome, reasons = Outcome.NOT_EVALUABLE, (BUDGET_SPENT if spent else BUDGET_CHANGED,)
        measured, rank = _measured(row, thresholds), _rank(row, thresholds)
        verdicts.append(ItemVerdict(row["candidate_id"], outcome, reasons, measured, rank))
    return verdicts


def judge_row(row: Row, thresholds: V1Thresholds) -> tuple[Outcome, tuple[str, ...]]:
    """Outcome and reason codes of one row of `phase2_candidates`."""
    if row["not_evaluable"] is not None:
        return Outcome.NOT_EVALUABLE, (row["not_evaluable"],)
    thin = _too_thin(row, thresholds)
    missed = _missed(row, thresholds)
    if not thin and not missed:
        return Outcome.PASS, ()
    blind = _blind(row, thresholds)
    reasons = (*missed, *thin, *((MDE_TOO_LARGE,) if blind else ()))
    return (Outcome.UNDERPOWERED if thin or blind else Outcome.FAIL), reasons


def _missed(row: Row, thresholds: V1Thresholds) -> tuple[str, ...]:
    """What the effect itself lacks. A figure that does not exist is a miss; no slice is none."""
    floor = thresholds.capacity_floor_usd
    checks = (
        (NOT_SIGNIFICANT, row["q_bh"] is not None and row["q_bh"] <= thresholds.q),
        (NET_NOT_POSITIVE, row["net_bps"] is not None and row["net_bps"] > 0.0),
        (SLICE_NEGATIVE, row["slice_holm_p"] is None or row["slice_holm_p"] >= thresholds.holm_p),
        (CAPACITY, row["capacity_usd"] is not None and row["capacity_usd"] >= floor),
    )
    return tuple(code for code, holds in checks if not holds)


def _too_thin(row: Row, thresholds: V1Thresholds) -> tuple[str, ...]:
    checks = (
        (NO_EVENTS, row["n_events"] > 0),
        (FEW_DAYS, row["active_days"] >= thresholds.min_active_days),
        (LOW_N_EFF, row["n_eff"] is not None and row["n_eff"] >= thresholds.min_n_eff),
    )
    return tuple(code for code, holds in checks if not holds)


def _blind(row: Row, thresholds: V1Thresholds) -> bool:
    """True if only an implausibly large effect could have been found."""
    limit = mde_limit_bps(row, thresholds)
    return row["mde80_bps"] is None or limit is None or row["mde80_bps"] > limit


def mde_limit_bps(row: Row, thresholds: V1Thresholds) -> float | None:
    """Largest detectable effect that still counts as a test; None where it has no measure."""
    if row["cost_bps"] is None or row["sigma_h_bps"] is None:
        return None
    by_cost = thresholds.mde_cost_multiple * float(row["cost_bps"])
    return max(by_cost, thresholds.mde_sigma_fraction * float(row["sigma_h_bps"]))


def _measured(row: Row, thresholds: V1Thresholds) -> dict[str, tuple[float | None, float | None]]:
    return {
        "q": (row["q_bh"], thresholds.q),
        "net_bps": (row["net_bps"], 0.0),
        "holm_p": (row["slice_holm_p"], thresholds.holm_p),
        "min_active_days": (float(row["active_days"]), float(thresholds.min_active_days)),
        "min_n_eff": (row["n_eff"], thresholds.min_n_eff),
        "capacity_floor_usd": (row["capacity_usd"], thresholds.capacity_floor_usd),
        "mde80_bps": (row["mde80_bps"], mde_limit_bps(row, thresholds)),
    }


def _rank(row: Row, thresholds: V1Thresholds) -> float:
    """Lower is better. A z of a handful of events is no z: what is too thin ranks last."""
    if row["z_raw"] is None or row["z_contrast"] is None:
        return UNRANKED
    behind = THIN if _too_thin(row, thresholds) else 0.0
    return behind - min(float(row["z_raw"]), float(row["z_contrast"]))
