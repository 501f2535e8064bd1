"""What `quantlab why` says of a row: golden numbers for what a pass would need."""

from __future__ import annotations

from typing import Any

import pytest

from quantlab_pipeline.reports.candidate_story import (
    binding_z,
    fading,
    in_short,
    naive_against_ours,
    nearly_the_same,
    needed_z,
    what_it_needs,
    what_to_know,
)
from quantlab_pipeline.research.validation.schema import PHASE2_CANDIDATES
from quantlab_pipeline.storage.spec_files import Project

LIMITS = Project().gates().v1
FLAGS = Project().gates().v1_flags


def row(**changes: Any) -> dict[str, Any]:
    """A tested candidate, z 2.0 raw and 2.5 contrast; other figures null unless `changes` say."""
    figures: dict[str, Any] = dict.fromkeys(c.name for c in PHASE2_CANDIDATES.columns)
    tested = {
        "event_type": "upper_wick", "n_events": 100, "active_days": 12, "n_eff": 25.0,
        "gross_bps": 14.0, "cost_bps": 10.0, "net_bps": 4.0, "se_bps": 2.0, "sigma_h_bps": 20.0,
        "mde80_bps": 60.0, "z_raw": 2.0, "z_contrast": 2.5, "z_naive": 3.25, "m_budget": 10_000,
        "capacity_usd": 5_000.0, "reason_codes": "",
    }  # fmt: skip
    return {**figures, **tested, **changes}


def test_the_z_that_one_more_needs_falls_with_those_that_stand() -> None:
    # The normal quantile of 1 - 0.1 / 10,000.
    assert needed_z(0.1, 10_000, 0) == pytest.approx(4.264891, abs=1e-6)
    assert needed_z(0.1, 10_000, 9) == pytest.approx(needed_z(0.1, 1_000, 0))
    assert needed_z(0.05, 1, 0) == pytest.approx(1.644854, abs=1e-6)


def test_naive_stands_beside_the_binding_z() -> None:
    told = naive_against_ours(row(), 4.26)
    assert "t = 3.25: significant" in told
    assert "z = 2.00" in told
    assert "10,000 trials needs 4.26" in told
    assert "not significant" in naive_against_ours(row(z_naive=1.6), 4.26)
    assert "not tested" in naive_against_ours(row(z_contrast=None), 4.26)
    assert "needs two events or more" in naive_against_ours(row(z_naive=None, n_events=1), 4.26)
    assert binding_z(row(z_contrast=None)) is None


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"reason_codes": "NOT_SIGNIFICANT"}, "a net effect of 8.0 bps at this noise"),
        ({"reason_codes": "NOT_SIGNIFICANT"}, "or 4.0 times as many independent events"),
        ({"reason_codes": "NOT_SIGNIFICANT", "z_raw": -1.0}, "wrong sign"),
        ({"reason_codes": "NOT_SIGNIFICANT", "z_contrast": -0.5}, "beside the symbols' own drift"),
        ({"reason_codes": "NET_NOT_POSITIVE", "gross_bps": 7.0}, "10.0 bps a round trip"),
        ({"reason_codes": "FEW_DAYS"}, "it has 12"),
        ({"reason_codes": "LOW_N_EFF"}, "its 100 count for 25"),
        ({"reason_codes": "CAPACITY"}, "5,000 USD a trade"),
        ({"reason_codes": "DATASET_ABSENT:funding"}, "funding must be there"),
        ({"reason_codes": "E1_NOT_PASSED"}, "upper_wick must pass gate E-1"),
        ({"reason_codes": "SOMETHING_NEW"}, "SOMETHING_NEW: this condition"),
    ],
)
def test_each_reason_says_what_would_have_to_be_true(changes: dict[str, Any], said: str) -> None:
    (sentence,) = what_it_needs(row(**changes), LIMITS, 4.0)
    assert sentence.startswith(changes["reason_codes"])
    assert said in sentence


def test_a_blind_test_says_how_much_more_it_takes() -> None:
    limit = max(LIMITS.mde_cost_multiple * 10.0, LIMITS.mde_sigma_fraction * 20.0)
    blind = row(reason_codes="MDE_TOO_LARGE", mde80_bps=2 * limit)
    (sentence,) = what_it_needs(blind, LIMITS, 4.0)
    assert f"{limit:.1f} bps is the most" in sentence
    assert "4.0 times as many independent events" in sentence


def test_a_verdict_that_is_not_the_rows_own_speaks_for_itself() -> None:
    told = what_it_needs(row(reason_codes="NOT_SIGNIFICANT"), LIMITS, 4.0, ("BUDGET_CHANGED",))
    assert len(told) == 1
    assert told[0].startswith("BUDGET_CHANGED: the same trial budget")
    assert what_it_needs(row(reason_codes="NOT_SIGNIFICANT"), LIMITS, 4.0, ()) == []


def test_a_near_twin_is_named_with_what_it_shares() -> None:
    assert nearly_the_same(row()) is None
    told = nearly_the_same(row(similar_to="better", similarity=0.834))
    assert told is not None
    assert told.startswith("Nearly the same as better, which ranks better")
    assert "83 % are shared" in told


def study(**changes: Any) -> dict[str, Any]:
    """What explains the candidate, as `candidate_studies` has it; only what the lines read."""
    slices = [
        {"partition": "half", "label": "1", "net_bps": 3.0, "mean_bps": 13.0, "z": 2.0,
         "holm_p": 1.0},
        {"partition": "symbol", "label": "AAA", "net_bps": -12.0, "mean_bps": -2.0, "z": -0.5,
         "holm_p": 0.62},
    ]  # fmt: skip
    whole = {
        "break_evens": [{"axis": "all", "value": 1.4}, {"axis": "slippage", "value": 2.0}],
        "cost_sweep": [
            {"axis": "all", "value": m, "net_bps": 14.0 - 10.0 * m} for m in (0.5, 1.0, 1.5, 2.0)
        ],
        "break_even_usd": 90_000.0, "best_usd": 40_000.0, "best_pnl_usd_per_day": 12.5,
        "cap_usd": 50_000.0,
        "slices": slices,
    }  # fmt: skip
    return {**whole, **changes}


def test_costs_capacity_and_slices_are_a_line_each() -> None:
    costs, capacity, slices = in_short(row(), study())
    assert "net +9.0 at x0.5, +4.0 at x1, -1.0 at x1.5, -6.0 at x2" in costs
    assert "nothing is left at x1.40 (14.0 bps a round trip), or 2.00 bps of slippage" in costs
    assert "40,000 USD a trade earns most, 12 USD a day; at 90,000 USD" in capacity
    assert "must be worked" not in capacity
    (beyond,) = [t for t in in_short(row(), study(cap_usd=1_000.0)) if t.startswith("Capacity")]
    assert "a tenth of a minute's volume is 1,000 USD: a larger trade must be worked" in beyond
    assert "1 of 2 earn more than their cost; the weakest is symbol=AAA, -2.0 bps" in slices
    assert in_short(row(), None) == []


def test_what_loses_before_costs_has_no_size_and_no_multiple() -> None:
    none = [{"axis": "all", "value": None}, {"axis": "slippage", "value": None}]
    costs, capacity, slices = in_short(
        row(gross_bps=-3.0), study(break_evens=none, break_even_usd=0.0, slices=[])
    )
    assert "no cost is low enough" in costs
    assert "no size pays" in capacity
    assert "spans enough days" in slices
    free = in_short(row(), study(break_even_usd=None))[1]
    assert "impact costs nothing" in free


def test_a_pass_needs_nothing() -> None:
    assert what_it_needs(row(), LIMITS, 4.0) == []


def test_a_flag_is_told_with_its_numbers() -> None:
    flagged = row(
        flags="HETEROGENEOUS:vol_regime=high;SUSPECT_SAME_BAR",
        heterogeneity_p=2e-5, strongest_slice="vol_regime=high", strongest_bps=25.04,
        weakest_slice="vol_regime=low", weakest_bps=-0.31, lag1_share=0.04, lag1_drop_z=6.2,
    )  # fmt: skip
    differs, one_bar = what_to_know(flagged, FLAGS)
    assert differs.startswith("HETEROGENEOUS:vol_regime=high: no universal edge.")
    assert "25.0 bps before costs in vol_regime=high and -0.3 bps in vol_regime=low" in differs
    assert "p 2e-05 (below 0.01 is flagged)" in differs
    assert one_bar.startswith("SUSPECT_SAME_BAR: entered one minute later it keeps 4% of")
    assert "6.2 standard errors beyond" in one_bar
    assert what_to_know(row(flags=""), FLAGS) == what_to_know(row(), FLAGS) == []
    assert what_to_know(row(flags="NEW_ONE"), FLAGS) == ["NEW_ONE"]


def test_the_fading_is_told_where_it_was_measured() -> None:
    assert fading(row()) == []
    lags = {f"lag{k}_bps": 10.0 - k for k in (0, 1, 2, 3, 5)}
    errors = {f"lag{k}_se_bps": 2.0 for k in (0, 1, 2, 3, 5)}
    told = fading(row(lag_n_events=90, **lags, **errors))
    assert told == [(0, 10.0, 2.0), (1, 9.0, 2.0), (2, 8.0, 2.0), (3, 7.0, 2.0), (5, 5.0, 2.0)]
