"""Gate V1: every condition has its code, thinness outranks failure, nothing passes by absence."""

from __future__ import annotations

import polars as pl
import pytest

from quantlab_pipeline.core.ports import LedgerState
from quantlab_pipeline.core.verdicts import Outcome
from quantlab_pipeline.research.validation.gate import UNRANKED, judge_row, judge_v1
from quantlab_pipeline.research.validation.spec import V1Thresholds

LIMITS = V1Thresholds()
GOOD = {
    "candidate_id": "a",
    "not_evaluable": None,
    "n_events": 500,
    "active_days": 40,
    "n_eff": 200.0,
    "q_bh": 0.01,
    "net_bps": 12.0,
    "cost_bps": 10.0,
    "sigma_h_bps": 60.0,
    "mde80_bps": 18.0,
    "slice_holm_p": 0.5,
    "capacity_usd": 5e5,
    "z_raw": 6.0,
    "z_contrast": 5.5,
    "m_budget": 10_000,
}


def _judge(**changes):
    return judge_row({**GOOD, **changes}, LIMITS)


def test_what_meets_every_condition_passes():
    assert _judge() == (Outcome.PASS, ())


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"q_bh": 0.1001}, "NOT_SIGNIFICANT"),
        ({"q_bh": None}, "NOT_SIGNIFICANT"),
        ({"net_bps": 0.0}, "NET_NOT_POSITIVE"),
        ({"slice_holm_p": 0.0099}, "SLICE_NEGATIVE"),
        ({"capacity_usd": 9_999.0}, "CAPACITY"),
        ({"capacity_usd": None}, "CAPACITY"),
    ],
)
def test_a_missed_condition_fails_with_its_code(change, code):
    assert _judge(**change) == (Outcome.FAIL, (code,))


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"active_days": 19}, "FEW_DAYS"),
        ({"n_eff": 29.9}, "LOW_N_EFF"),
        ({"n_eff": None}, "LOW_N_EFF"),
        ({"n_events": 0}, "NO_EVENTS"),
    ],
)
def test_too_little_data_is_underpowered_however_good_the_rest(change, code):
    assert _judge(**change) == (Outcome.UNDERPOWERED, (code,))
    outcome, reasons = _judge(**change, q_bh=0.9)
    assert outcome is Outcome.UNDERPOWERED
    assert set(reasons) == {"NOT_SIGNIFICANT", code}


def test_a_miss_that_could_only_have_found_the_implausible_is_underpowered():
    # The limit is max(3 x 10, 0.25 x 60) = 30 bps.
    assert _judge(q_bh=0.5, mde80_bps=30.0)[0] is Outcome.FAIL
    assert _judge(q_bh=0.5, mde80_bps=30.1)[0] is Outcome.UNDERPOWERED
    assert _judge(q_bh=0.5, mde80_bps=30.1, sigma_h_bps=200.0)[0] is Outcome.FAIL
    assert _judge(mde80_bps=300.0)[0] is Outcome.PASS


def test_edges_of_the_thresholds_are_inside():
    edge = {"q_bh": 0.1, "active_days": 20, "n_eff": 30.0, "capacity_usd": 10_000.0}
    assert _judge(**edge, slice_holm_p=0.01)[0] is Outcome.PASS


def test_what_was_not_tested_is_not_evaluable_with_its_reason():
    assert _judge(not_evaluable="DATASET_ABSENT:funding") == (
        Outcome.NOT_EVALUABLE,
        ("DATASET_ABSENT:funding",),
    )


def test_verdicts_are_ranked_measured_and_sorted():
    frame = pl.DataFrame([{**GOOD, "candidate_id": "b", "z_raw": None}, GOOD])
    first, second = judge_v1(frame, LIMITS)
    assert (first.item, first.rank, second.rank) == ("a", -5.5, UNRANKED)
    assert first.measured["min_n_eff"] == (200.0, 30.0)
    assert first.measured["mde80_bps"] == (18.0, 30.0)


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        (LedgerState("h", 10_001, 10_000), "BUDGET_SPENT"),
        (LedgerState("h", 5, 20_000), "BUDGET_CHANGED"),
    ],
)
def test_a_ledger_that_disagrees_voids_the_gate(state, reason):
    (verdict,) = judge_v1(pl.DataFrame([GOOD]), LIMITS, state)
    assert (verdict.outcome, verdict.reasons) == (Outcome.NOT_EVALUABLE, (reason,))
    (kept,) = judge_v1(pl.DataFrame([GOOD]), LIMITS, LedgerState("h", 5, 10_000))
    assert kept.outcome is Outcome.PASS
