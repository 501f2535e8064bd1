"""One row from many executions: the worst, the bracket, the break-even, capacity, the score."""

from __future__ import annotations

import json
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantlab_pipeline.research.bridge.results import (
    break_even_multiple,
    capacity,
    executed_score,
    reduce_executions,
    result_of,
)
from quantlab_pipeline.research.bridge.schema import BRIDGE_EXECUTIONS, BRIDGE_RESULTS
from quantlab_pipeline.research.bridge.ways import PASSIVE, ways_of, worst_judged
from quantlab_pipeline.simulation.costs import ExecutionModel
from quantlab_pipeline_tests.research.bridge.builders import (
    THRESHOLDS,
    costs_of,
    execution,
    executions,
    honest,
    passive,
)

LATENCIES = (1.0, 2.0, 5.0)


def test_a_taker_is_judged_at_every_latency_and_the_bracket_is_only_reported() -> None:
    ways = ways_of(costs_of(latency=LATENCIES))
    assert [w.name for w in ways if w.judged] == [f"taker.{s}s.as_is" for s in (1, 2, 5)]
    reported = {w.name for w in ways if not w.judged and w.scenario == "as_is"}
    assert reported == {f"{rule}.{s}s.as_is" for rule in PASSIVE for s in (1, 2, 5)}
    assert len({w.name for w in ways}) == len(ways) == 3 * 8 + 9
    assert all(w.settings.stressed == (w.scenario == "stressed") for w in ways)


def test_a_passive_strategy_is_judged_under_every_rule_and_latency() -> None:
    ways = ways_of(costs_of("passive", latency=LATENCIES))
    judged = {w.name for w in ways if w.judged}
    assert judged == {f"{rule}.{s}s.as_is" for rule in PASSIVE for s in (1, 2, 5)}
    assert {w.settings.entry for w in ways if w.scenario == "costs_x2"} == set(PASSIVE)


@pytest.mark.parametrize("multiples", [(0.5, 1.0), (2.0, 1.5), (1.5, 1.5), (-0.5, 2.0)])
def test_a_sweep_rises_from_zero_and_leaves_out_what_is_always_run(
    multiples: tuple[float, ...],
) -> None:
    with pytest.raises(ValueError, match="cost_multiples must rise"):
        ExecutionModel(cost_multiples=multiples)
    assert ExecutionModel(cost_multiples=()).cost_multiples == ()


def test_only_judged_ways_can_be_the_worst_and_of_equals_the_faster() -> None:
    rows = executions(costs_of(latency=LATENCIES), {"queue": {"net_bps": -99.0}})
    assert worst_judged(rows)["way"] == "taker.1s.as_is"
    rows = [{**r, "net_bps": 3.0} if r["way"] == "taker.5s.as_is" else r for r in rows]
    assert worst_judged(rows)["way"] == "taker.5s.as_is"
    silent = [{**r, "net_bps": None} for r in rows]
    assert worst_judged(silent)["way"] == "taker.5s.as_is"
    assert worst_judged(rows[::-1]) == worst_judged(rows)


@pytest.mark.parametrize(
    ("swept", "expected"),
    [
        ([(0.0, 18.0), (1.0, 9.0), (2.0, 0.0), (3.0, -9.0)], 2.0),
        ([(0.0, 18.0), (1.0, 9.0), (3.0, -9.0)], 2.0),
        ([(0.0, 4.0), (0.5, 1.0), (1.0, -2.0)], 0.5 + 0.5 / 3.0),
        ([(0.0, -1.0), (1.0, -10.0)], 0.0),
        ([(0.5, -1.0), (1.0, -10.0)], 0.5),
        ([(0.0, 9.0), (1.0, 8.0), (5.0, 4.0)], 5.0),
        ([(1.0, 8.0)], 1.0),
        ([(0.0, 9.0), (1.0, None)], None),
        ([], None),
    ],
)
def test_the_break_even_multiple_is_where_the_sweep_crosses_zero(
    swept: list[tuple[float, float | None]], expected: float | None
) -> None:
    found = break_even_multiple(swept)
    assert found == (None if expected is None else pytest.approx(expected, abs=1e-12))


@given(gross=st.floats(0.5, 60), costs=st.floats(0.5, 30))
def test_it_is_exact_where_costs_are_proportional(gross: float, costs: float) -> None:
    swept = [(m, gross - m * costs) for m in (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 5.0)]
    assert break_even_multiple(swept) == pytest.approx(min(5.0, gross / costs), rel=1e-9)


def test_a_row_tells_of_its_worst_way_and_of_the_scenarios_around_it() -> None:
    costs = costs_of(latency=LATENCIES)
    rows = executions(costs)
    slow = {"taker.5s.as_is": {"net_bps": 4.5}, "taker.5s.stressed": {"net_bps": 1.0}}
    slow["taker.5s.costs_x1.5"] = {"net_bps": -1.5}
    row = result_of([{**r, **slow.get(r["way"], {})} for r in rows], costs, THRESHOLDS)
    assert (row["worst_way"], row["worst_latency_s"]) == ("taker.5s.as_is", 5.0)
    assert json.loads(row["net_bps_by_latency"]) == {"1": 10.0, "2": 10.0, "5": 4.5}
    assert row["stressed_net_bps"] == 1.0
    assert row["break_even_cost_multiple"] == pytest.approx(1.0 + 0.5 * 4.5 / 6.0)
    assert (row["net_bps"], row["t_stat"]) == (4.5, 2.25)


def test_the_bracket_is_as_wide_as_its_rules_lie_apart_at_the_same_latency() -> None:
    nets = {"touch": 3.0, "queue": 1.0, "penetration": -2.0}
    row = passive(**{rule: {"net_bps": net} for rule, net in nets.items()})
    assert row["bracket_width_bps"] == 5.0
    assert honest()["bracket_width_bps"] == 0.0
    assert passive(queue={"net_bps": None})["bracket_width_bps"] is None


@pytest.mark.parametrize(
    ("touch", "worst", "told"),
    [
        (0.4, -0.5, True),
        (0.4, 0.0, True),
        (0.4, 0.1, False),
        (-0.1, -0.5, False),
        (None, 0.0, None),
    ],
)
def test_touch_is_called_optimistic_where_it_alone_marks_out_above_zero(
    touch: float | None, worst: float, told: bool | None
) -> None:
    row = passive(
        touch={"markout_5s_bps": touch},
        queue={"markout_5s_bps": 0.2},
        penetration={"markout_5s_bps": worst, "net_bps": -2.0},
    )
    assert row["touch_optimistic"] is told


def test_capacity_is_the_methods_golden_with_its_interval() -> None:
    """METHOD 6: sigma 400, Y 0.7, e - c = 10 bps: 0.0319 % break-even, 0.0142 % best."""
    way = ways_of(costs_of())[0]
    row = {**execution(way), "gross_bps": 22.0, "funding_bps": -3.0, "edge_se_bps": 1.0}
    found = capacity(row, costs_of())
    assert found["break_even_notional_usd"] == pytest.approx(0.000319 * 1e9, rel=1e-3)
    assert found["capacity_usd"] == pytest.approx(0.0001417 * 1e9, rel=1e-3)
    for name, surplus in (("capacity_low_usd", 8.04), ("capacity_high_usd", 11.96)):
        share = 4 / 9 * (surplus / (2 * 0.7 * 400)) ** 2
        assert found[name] == pytest.approx(share * 1e9, rel=1e-4)
    for gone in ("gross_bps", "sigma_d_bps", "volume_usd"):
        assert set(capacity({**row, gone: None}, costs_of()).values()) == {None}
    assert capacity({**row, "edge_se_bps": None}, costs_of())["capacity_low_usd"] is None
    assert capacity({**row, "gross_bps": 1.0}, costs_of())["capacity_usd"] == 0.0


figure_st = st.floats(0.01, 100)


@given(
    t=st.floats(-8, 8).filter(lambda t: abs(t) > 1e-6),
    fill=st.floats(0.01, 1),
    turnover=figure_st,
    size=st.floats(1, 1e8),
    by=st.floats(1.01, 3),
)
def test_the_score_never_falls_with_what_is_better(
    t: float, fill: float, turnover: float, size: float, by: float
) -> None:
    row = {
        "t_stat": t, "fill_rate": fill, "turnover_per_day": turnover, "capacity_usd": size,
        "notional_usd": 1e4,
    }  # fmt: skip

    def score(**changed: Any) -> float:
        found = executed_score({**row, **changed}, THRESHOLDS)
        assert found is not None
        return found

    assert score(fill_rate=fill / by) < score()
    assert score(turnover_per_day=turnover * by) < score()
    assert score(capacity_usd=size / by) < score()
    assert score(t_stat=t + by) > score()
    assert abs(score()) <= 2 * abs(t)
    assert (score() > 0) == (t > 0)


def test_the_scores_golden() -> None:
    row = {
        "t_stat": 3.0, "fill_rate": 0.9, "turnover_per_day": 16.0, "capacity_usd": 30_000.0,
        "notional_usd": 10_000.0,
    }  # fmt: skip
    assert executed_score(row, THRESHOLDS) == pytest.approx(3.0 * 0.9 * 0.75 * 0.75, rel=1e-12)
    lost = executed_score({**row, "t_stat": -3.0}, THRESHOLDS)
    assert lost == pytest.approx(-3.0 * (2 - 0.9 * 0.75 * 0.75), rel=1e-12)
    assert executed_score({**row, "capacity_usd": None}, THRESHOLDS) == 0.0
    assert executed_score({**row, "t_stat": None}, THRESHOLDS) is None


def test_the_table_is_the_reduction_of_its_executions_whatever_their_order() -> None:
    costs = costs_of(latency=LATENCIES)
    rows = executions(costs, {"touch": {"net_bps": 12.0}})
    both = [{**r, "strategy_id": s} for s in ("b", "a") for r in rows]
    schema = {c.name: c.dtype for c in BRIDGE_EXECUTIONS.columns}
    frame = BRIDGE_EXECUTIONS.validate(BRIDGE_EXECUTIONS.conform(pl.DataFrame(both, schema=schema)))
    survivors = pl.DataFrame({"candidate_id": ["b", "a"], "admissible": [False, True]})
    results = reduce_executions(survivors, frame, costs, THRESHOLDS)
    BRIDGE_RESULTS.validate(results)
    assert results.select("strategy_id", "status", "admissible").rows() == [
        ("a", "PASS", True),
        ("b", "PASS", False),
    ]
    shuffled = frame.sample(fraction=1.0, shuffle=True, seed=2)
    assert reduce_executions(survivors, shuffled, costs, THRESHOLDS).equals(results)
