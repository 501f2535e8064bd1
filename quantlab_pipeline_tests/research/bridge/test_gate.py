"""Gate B: an honest row passes, each reason is reached by the one change that it names."""

from __future__ import annotations

from typing import Any

import pytest

from quantlab_pipeline.core.fingerprints import canonical_bytes
from quantlab_pipeline.core.verdicts import Outcome
from quantlab_pipeline.research.bridge import results, ways
from quantlab_pipeline.research.bridge.gate import Reason, verdict
from quantlab_pipeline.research.bridge.spec import BThresholds
from quantlab_pipeline_tests.research.bridge.builders import THRESHOLDS, honest, passive

STRICT = BThresholds(min_stressed_net_bps=0.0, min_break_even_cost_multiple=1.5)

CASES: dict[Reason, tuple[dict[str, Any], dict[str, Any]]] = {
    Reason.NO_ENTRIES: ({"n_intents": 0}, {}),
    Reason.TOO_FEW_TRADES: ({"n_trades": 29}, {}),
    Reason.FILL_RATE_LOW: ({"fill_rate": 0.89}, {}),
    Reason.EXPECTANCY_NOT_POSITIVE: ({}, {"net_bps": 0.0}),
    Reason.FUNDING_UNKNOWN: ({"n_unknown_funding": 6}, {}),
    Reason.STRESSED_NET_LOW: ({}, {"stressed_net_bps": 0.0}),
    Reason.COST_MARGIN_LOW: ({}, {"break_even_cost_multiple": 1.4}),
    Reason.TURNOVER_HIGH: ({"turnover_per_day": 48.1}, {}),
    Reason.CAPACITY_UNKNOWN: ({"sigma_d_bps": None}, {}),
    Reason.CAPACITY_LOW: ({"volume_usd": 1e6, "notional_usd": 100.0}, {}),
    Reason.NOTIONAL_ABOVE_CAPACITY: ({"notional_usd": 3e6}, {}),
}
"""Reason -> figures of the executions, figures of the result, that alone are changed."""


def judged(
    figures: dict[str, Any], changed: dict[str, Any], thresholds: BThresholds = STRICT
) -> tuple[Outcome, tuple[str, ...]]:
    found = verdict({**honest(thresholds, **figures), **changed}, thresholds)
    return found.outcome, found.reasons


def test_an_honest_row_passes_also_where_every_threshold_is_judged() -> None:
    for thresholds in (THRESHOLDS, STRICT):
        assert judged({}, {}, thresholds) == (Outcome.PASS, ())


@pytest.mark.parametrize("reason", list(Reason))
def test_every_reason_is_reached_by_the_one_change_that_it_names(reason: Reason) -> None:
    outcome, reasons = judged(*CASES[reason])
    assert reasons == (reason,)
    expected = {
        Reason.NO_ENTRIES: Outcome.NOT_EVALUABLE,
        Reason.TOO_FEW_TRADES: Outcome.UNDERPOWERED,
    }
    assert outcome is expected.get(reason, Outcome.FAIL)


@pytest.mark.parametrize(
    ("figures", "changed"),
    [
        ({"n_trades": 30}, {}),
        ({"fill_rate": 0.9}, {}),
        ({}, {"net_bps": 1e-9, "break_even_cost_multiple": 1.5}),
        ({"n_unknown_funding": 5}, {}),
        ({"turnover_per_day": 48.0}, {}),
        ({}, {"capacity_usd": 1e4}),
        ({}, {"break_even_notional_usd": 1e4}),
    ],
    ids=str,
)
def test_a_row_on_the_edge_of_a_threshold_passes(
    figures: dict[str, Any], changed: dict[str, Any]
) -> None:
    assert judged(figures, changed) == (Outcome.PASS, ())


def test_what_is_not_known_passes_no_threshold_that_is_judged() -> None:
    for name, reason in (
        ("stressed_net_bps", Reason.STRESSED_NET_LOW),
        ("break_even_cost_multiple", Reason.COST_MARGIN_LOW),
        ("capacity_usd", Reason.CAPACITY_UNKNOWN),
    ):
        assert judged({}, {name: None}) == (Outcome.FAIL, (reason,))
    for name in ("stressed_net_bps", "break_even_cost_multiple"):
        assert judged({}, {name: None}, THRESHOLDS) == (Outcome.PASS, ())


def test_several_reasons_are_all_told_and_too_few_trades_stay_underpowered() -> None:
    outcome, reasons = judged({"n_trades": 2, "net_bps": -1.0, "turnover_per_day": 99.0}, {})
    assert outcome is Outcome.UNDERPOWERED
    assert reasons[0] == Reason.TOO_FEW_TRADES
    assert {Reason.EXPECTANCY_NOT_POSITIVE, Reason.TURNOVER_HIGH} <= set(reasons)


def test_a_verdict_has_a_canonical_form_and_shows_only_what_is_judged() -> None:
    plain, strict = (verdict(honest(t), t).measured for t in (THRESHOLDS, STRICT))
    assert set(strict) - set(plain) == {"min_stressed_net_bps", "min_break_even_cost_multiple"}
    for figures in ({}, {"gross_bps": 0.0}, {"net_bps": None}):
        found = verdict(honest(**figures), THRESHOLDS)
        assert canonical_bytes([found.measured, found.reasons])


FLATTERED = {"touch": {"net_bps": 6.0}, "queue": {"net_bps": 2.0}, "penetration": {"net_bps": -1.0}}
"""A passive strategy that lives on the fill rule."""


def test_a_strategy_that_lives_on_its_fill_rule_fails_on_the_worst_of_the_bracket() -> None:
    row = passive(**FLATTERED)
    assert row["worst_way"] == "penetration.1s.as_is"
    found = verdict(row, THRESHOLDS)
    assert (found.outcome, found.reasons[0]) == (Outcome.FAIL, Reason.EXPECTANCY_NOT_POSITIVE)
    better = verdict(passive(**{**FLATTERED, "penetration": {"net_bps": 1.0}}), THRESHOLDS)
    assert better.outcome is Outcome.PASS


@pytest.mark.parametrize(
    "mutant",
    [
        lambda rows: max((r for r in rows if r["judged"]), key=lambda r: r["net_bps"]),
        lambda rows: next(r for r in rows if r["judged"]),
        lambda rows: next(r for r in rows if r["entry"] == "taker"),
        lambda rows: sorted((r for r in rows if r["judged"]), key=lambda r: r["net_bps"])[1],
    ],
    ids=["the best", "the first", "the taker", "the median"],
)
def test_a_gate_that_judges_another_than_the_worst_is_killed(
    mutant: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(results, "worst_judged", mutant)
    assert verdict(passive(**FLATTERED), THRESHOLDS).outcome is Outcome.PASS
    assert results.worst_judged is not ways.worst_judged


def test_a_judged_rule_that_never_fills_or_seldom_is_never_a_pass() -> None:
    row = passive(queue={"net_bps": None})
    assert row["worst_way"].startswith("queue")
    assert verdict(row, THRESHOLDS).outcome is Outcome.UNDERPOWERED
    row = passive(queue={"n_trades": 29})
    assert verdict(row, THRESHOLDS).reasons == (Reason.TOO_FEW_TRADES,)
    # The worst net is touch's; that the queue fills too seldom stops it all the same.
    row = passive(touch={"net_bps": 1.0}, queue={"fill_rate": 0.5})
    assert row["entry"] == "touch"
    assert verdict(row, THRESHOLDS).reasons == (Reason.FILL_RATE_LOW,)
