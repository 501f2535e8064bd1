"""What a tear sheet and `quantlab why` say of an executed strategy, in golden sentences."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any

import polars as pl
import pytest

from quantlab_pipeline.core.verdicts import Gate, ItemVerdict, Outcome
from quantlab_pipeline.reports.strategy_data import (
    StrategyFacts,
    StrategyPage,
    StrategyTables,
    strategy_page,
)
from quantlab_pipeline.reports.strategy_figures import Daily
from quantlab_pipeline.reports.strategy_story import (
    admissible,
    bracket,
    dearest_assumption,
    earned,
    in_short,
    scenario_words,
    stopped,
    trades_what,
    way_of,
    what_to_know,
    why_missing,
    worst_way,
)
from quantlab_pipeline.research.bridge.schema import BRIDGE_RESULTS
from quantlab_pipeline_tests.reports.strategies import NAME, candidates

FACTS = StrategyFacts(
    "study_x",
    "market_y",
    False,
    ("BTC", "ETH"),
    (date(2025, 1, 1), date(2025, 1, 31)),
    date(2025, 1, 24),
    (1, "sha256:costs"),
    (),
    (),
)


def result(**changes: Any) -> dict[str, Any]:
    """A row of bridge_results: twelve bps on paper, two and a half left."""
    row: dict[str, Any] = dict.fromkeys(c.name for c in BRIDGE_RESULTS.columns)
    row |= {
        "strategy_id": NAME, "candidate_id": NAME, "n_intents": 1_250, "n_trades": 1_200,
        "gross_bps": 11.5, "latency_bps": 0.5, "spread_bps": 1.5, "slippage_bps": 0.25,
        "fee_bps": 8.0, "funding_bps": 0.75, "net_bps": 2.5, "worst_latency_s": 5.0,
        "capacity_usd": 12_500.0, "status": "PASS", "reason_codes": "", "admissible": True,
        "spread_source": "measured", "executed_score": 2.0,
    }  # fmt: skip
    return row | changes


def way(entry: str, latency_s: float, net_bps: float | None, **changes: Any) -> dict[str, Any]:
    """A row of bridge_executions."""
    row = {"way": f"{entry}_{latency_s:g}s", "entry": entry, "latency_s": latency_s}
    return row | {"scenario": "as_is", "judged": True, "net_bps": net_bps} | changes


WAYS = [
    way("queue", 5.0, 1.25),
    way("taker", 1.0, 3.5),
    way("taker", 5.0, 2.5),
    way("penetration", 5.0, None),
    way("taker", 5.0, -4.0, scenario="costs_x1.5", judged=False, way="taker_5s_costs_x1.5"),
]


def page(verdicts: dict[Gate, Outcome] | None = None, **changes: Any) -> StrategyPage:
    """An executed strategy, in a book of its own where P has a verdict."""
    given = verdicts or {}
    frame = pl.DataFrame([result(**changes)], infer_schema_length=None)
    booked = pl.DataFrame({"strategy_id": [NAME], "portfolio_id": ["book"], "weight": [0.25]})
    found = {
        g: {("book" if g is Gate.P else NAME): ItemVerdict("", o, ("WHY",))}
        for g, o in given.items()
    }
    tables = StrategyTables(frame, candidates(), portfolio=booked if Gate.P in given else None)
    return strategy_page(FACTS, tables, NAME, found, lambda symbol: symbol)


def test_what_it_trades_and_what_it_earned() -> None:
    assert trades_what(page()) == (
        "After calm_drop, context all: trade with the directional rule for 1h, on BTC, ETH."
    )
    assert earned(page()) == (
        "Executed before the holdout, at its worst latency of 5 s: +2.5 bps a trade net (of +12.0 "
        "bps on paper) over 1,200 trades."
    )
    assert earned(page(n_intents=0, n_trades=0)).startswith("It never traded: its rule gave")
    assert earned(page(n_trades=0)) == (
        "It never traded: none of its 1,250 entries became a trade."
    )
    days = (date(2025, 1, 1), date(2025, 1, 2))
    dated = replace(page(), daily=Daily(days, (4.0, -1.0), None, 2))
    assert earned(dated).endswith(" Backtested over 2 days: +1.5 bps a day on its capital.")
    unnamed = replace(page(), candidate=None)
    assert NAME in trades_what(unnamed)


B_ASKS = "executed at quotes, late, with fees and funding"
S_ASKS = "outside its fit and under stress"


@pytest.mark.parametrize(
    ("verdicts", "told"),
    [
        ({}, "B passed; S has not judged it."),
        ({Gate.B: Outcome.UNDERPOWERED}, f"B ({B_ASKS}) says underpowered: WHY."),
        (
            {Gate.B: Outcome.WAIVED, Gate.S: Outcome.FAIL},
            f"B was waived; S ({S_ASKS}) says fail: WHY.",
        ),
        ({Gate.S: Outcome.PASS}, "B passed; S passed; no book holds it."),
        ({Gate.S: Outcome.PASS, Gate.P: Outcome.PASS}, "It passed B, S and P."),
        (
            {Gate.S: Outcome.WAIVED, Gate.P: Outcome.PASS},
            "No gate stopped it, but S only by a person's waiver.",
        ),
    ],
)
def test_the_gate_that_stopped_it_is_named_with_its_reason(
    verdicts: dict[Gate, Outcome], told: str
) -> None:
    assert stopped(page(verdicts)) == told


def test_it_is_admissible_only_on_real_data_with_every_gate_passed_and_no_waiver() -> None:
    passed = page({Gate.S: Outcome.PASS, Gate.P: Outcome.PASS})
    assert admissible(passed) == (True, "Admissible: real data, every gate passed, no waiver.")
    assert passed.weight == 0.25
    generated = replace(passed, facts=replace(FACTS, synthetic=True))
    assert admissible(generated) == (False, "Not admissible: its market is generated.")
    waived = replace(passed, facts=replace(FACTS, waived=("V1", "B", "S")))
    assert admissible(waived) == (False, "Not admissible: V1, B and S were waived.")
    assert admissible(page())[1] == "Not admissible: it did not pass S."
    tainted = page({Gate.S: Outcome.PASS, Gate.P: Outcome.PASS}, admissible=False)
    assert admissible(tainted)[1] == "Not admissible: something before it was not admissible."


def test_in_short_tells_costs_the_worst_way_the_bracket_and_capacity() -> None:
    costs, worst, rules, carries = in_short(result(), WAYS, 10_000.0)
    assert costs == (
        "Executed  on paper +12.0, latency -0.5, spread -1.5, slippage -0.2, fees -8.0, funding "
        "+0.8: net +2.5 bps a trade (1,200 trades, at its worst latency of 5 s)."
    )
    assert worst == "Worst way passive (queue), 5 s: +1.2 bps, of 4 judged."
    assert rules == "Bracket   taker +2.5 bps, queue +1.2 bps, penetration an unknown figure."
    assert carries == "Carries   12,500 USD a trade earn most; enough for B's 10,000."
    assert in_short(result(), [], 20_000.0)[1] == (
        "Carries   12,500 USD a trade earn most; too little for B's 20,000."
    )
    assert "unknown: no volatility" in in_short(result(capacity_usd=None), [], 1.0)[-1]
    assert in_short(result(n_trades=0), WAYS, 1.0) == [
        "Executed  1,250 entries, none became a trade."
    ]


def test_what_the_bridge_measured_beside_its_worst_way_is_told_where_it_did() -> None:
    assert what_to_know(result()) == []
    told = what_to_know(
        result(
            break_even_cost_multiple=1.25, stressed_net_bps=-0.5, bracket_width_bps=3.0,
            touch_optimistic=True, n_unknown_funding=2,
        )
    )  # fmt: skip
    assert told[:3] == [
        "At 1.25 times its costs nothing is left.",
        "With every moment a stressed one it earns -0.5 bps a trade.",
        "The passive rules lie 3.0 bps apart at one latency.",
    ]
    assert told[3].startswith("Fills at a touch flatter it")
    assert told[4].startswith("2 trades were held across a settlement that is missing")
    assert what_to_know(result(break_even_cost_multiple=0.0)) == [
        "It loses before costs: no cost is low enough."
    ]
    named = result(entry="queue", capacity_low_usd=9_000.0, capacity_high_usd=16_000.0)
    short = in_short(named, [], 10_000.0)
    assert "in its worst way (passive (queue), 5 s)" in short[0]
    assert "(95 %: 9,000 to 16,000)" in short[1]


def test_ways_are_told_in_words_and_the_worst_is_a_judged_one() -> None:
    assert [r["way"] for r in bracket(WAYS)] == ["taker_5s", "queue_5s", "penetration_5s"]
    assert worst_way(result(), WAYS) == WAYS[0]
    assert worst_way(result(), WAYS[3:]) is None
    assert worst_way(result(worst_way="taker_1s"), WAYS) == WAYS[1]
    assert way_of(WAYS[4]) == "taker, 5 s, costs ×1.5"
    assert way_of(way("touch", 1.0, 1.0, scenario="stressed")) == ("passive (touch), 1 s, stressed")
    assert way_of(way("new_rule", 1.0, 1.0)) == "new_rule, 1 s"
    assert scenario_words("costs_x2") == "costs ×2"
    assert scenario_words("base") == "as it is"
    assert why_missing("NO_LOSING_DAY") == "no day lost"
    assert why_missing("A_NEW_CODE") == "a new code"


def test_the_assumption_that_is_worth_most_is_named_all_at_once_apart() -> None:
    def priced(name: str, worth: float | None, left: float | None = 1.0) -> dict[str, Any]:
        return {
            "assumption": name, "base": "as read", "conservative": "doubled",
            "worth_bps": worth, "net_bps_conservative": left,
        }  # fmt: skip

    rows = [priced("fees", 2.0), priced("stressed_spread", 3.5), priced("all", 9.0, -1.5)]
    assert dearest_assumption(rows) == (
        "It leans most on stressed spread: made conservative, a trade earns 3.5 bps less. All "
        "conservative at once leave -1.5 bps a trade."
    )
    assert dearest_assumption([priced("fees", -1.0)]) == (
        "No assumption flatters it: made conservative, none costs anything."
    )
    assert dearest_assumption([priced("fees", None), priced("all", 9.0)]) is None
