"""Neighbours of a rule: which definitions they are, what they earn on bars, how flat that is."""

from datetime import timedelta

import polars as pl
import pytest

from quantlab_pipeline.research.backtest.backtest import run_backtest
from quantlab_pipeline.research.backtest.neighbourhood import (
    BASE_ON_BARS,
    MovedEntries,
    neighbour_rows,
)
from quantlab_pipeline.research.backtest.schema import STRESS_RESULTS
from quantlab_pipeline.research.backtest.spec import NeighbourSpec, StressSpec
from quantlab_pipeline.research.backtest.stress import run_stress
from quantlab_pipeline.research.backtest.thresholds import Moved, moved_definitions
from quantlab_pipeline.research.events.spec import EventType
from quantlab_pipeline.research.walk_forward.plateau import ground_of
from quantlab_pipeline_tests.research.backtest.builders import plan_of, planted_market
from quantlab_pipeline_tests.research.events.builders import event_type, project_registry

SPEC = NeighbourSpec()
FEW = NeighbourSpec(hold_multiples=(0.5,), threshold_multiples=(0.9, 1.1), delays_min=(1,))


@pytest.fixture(scope="module")
def planted():
    return planted_market()


def moved(name, entries, missing=""):
    return MovedEntries(Moved(name, 0.9, event_type("shock"), "x >= 0.9"), entries, missing)


def rules(kind, multiples=(0.9, 1.1), ranks=()):
    return [(m.parameter, m.multiple, m.rule) for m in moved_definitions(kind, multiples, ranks)]


def test_each_number_is_moved_alone_and_the_rest_of_the_rule_stands():
    kind = event_type(trigger="x >= 2.5 * y and not x > 40", required_fields=["x", "y"])
    assert rules(kind, (0.5,)) == [
        ("trigger number 1: 2.5", 0.5, "x >= 1.25 * y and not x > 40"),
        ("trigger number 2: 40", 0.5, "x >= 2.5 * y and not x > 20.0"),
        ("cooldown", 0.5, "cooldown_min 15"),
    ]


def test_a_rank_is_moved_as_the_tail_that_it_leaves():
    kind = event_type(trigger="x >= 0.99 and y <= 0.1 and z > 0", required_fields=["x", "y", "z"])
    found = rules(kind, (0.9, 1.25), ranks=("x", "y"))
    assert [rule for _, _, rule in found] == [
        "x >= 0.991 and y <= 0.1 and z > 0",
        "x >= 0.9875 and y <= 0.1 and z > 0",
        "x >= 0.99 and y <= 0.09 and z > 0",
        "x >= 0.99 and y <= 0.125 and z > 0",
        "cooldown_min 27",
        "cooldown_min 38",
    ]


def test_signs_stay_and_what_does_not_move_is_no_neighbour():
    kind = event_type(trigger="x <= -3.5", severity="-x", cooldown_min=1)
    assert [rule for _, _, rule in rules(kind)] == ["x <= -3.15", "x <= -3.85"]


@pytest.mark.parametrize("kind", project_registry().event_types, ids=lambda t: t.name)
def test_every_type_of_the_registry_has_neighbours_that_are_types(kind):
    found = list(moved_definitions(kind, SPEC.threshold_multiples, ("rv_1h_rank_7d",)))
    assert len(found) >= 8
    for other in found:
        whole = EventType.model_validate(other.event_type.model_dump())
        assert whole != kind
        changed = {f for f in EventType.model_fields if getattr(whole, f) != getattr(kind, f)}
        assert changed in ({"trigger"}, {"cooldown_min"})


def test_the_bar_kernel_and_the_engine_agree_where_there_is_no_book(planted):
    """Two engines, one market: the rule unmoved on bars equals the engine's trades."""
    study, entries = planted
    run = run_backtest([plan_of()], entries, study)
    rows = neighbour_rows([plan_of()], entries, study, FEW, {})
    base = [r for r in rows if r["scenario"] == BASE_ON_BARS]
    assert run.trades.height == sum(r["n_trades"] for r in base)
    on_bars = sum(r["net_bps"] * r["n_trades"] for r in base) / run.trades.height
    assert on_bars == pytest.approx(run.trades["net_bps"].mean(), abs=0.05)


def test_a_neighbour_trades_its_own_signals_and_times(planted):
    study, entries = planted
    late = entries.with_columns(pl.col("ts") + timedelta(minutes=1))
    kinds = {"shock": [moved("t1", late), moved("t2", entries[::2])]}
    rows = {
        (r["scenario"], r["segment"]): r
        for r in neighbour_rows([plan_of()], entries, study, FEW, kinds)
    }
    base = rows[BASE_ON_BARS, "in_sample"]

    def total(scenario):
        both = (rows[scenario, segment] for segment in ("in_sample", "holdout"))
        return sum(r["n_trades"] * r["net_bps"] for r in both)

    # A signal that is known a minute later is a decision that comes a minute later.
    assert total("t1 x0.9") == pytest.approx(total("late_1min"), rel=1e-12)
    assert total("t1 x0.9") != total(BASE_ON_BARS)
    assert rows["t2 x0.9", "in_sample"]["n_trades"] == pytest.approx(base["n_trades"] / 2, abs=1)
    # The drift ends after 32 minutes; half an hour in it has hardly all been earned.
    assert rows["hold_x0.5", "in_sample"]["net_bps"] == pytest.approx(base["net_bps"], abs=6.0)


def test_rows_stand_beside_the_rule_on_bars_in_one_table(planted):
    study, entries = planted
    kinds = {"shock": [moved("t1", entries[::2]), moved("t2", None, "no x in features_pt")]}
    rows = neighbour_rows([plan_of()], entries, study, FEW, kinds)
    table = STRESS_RESULTS.validate(run_stress([plan_of()], entries, study, StressSpec(), rows))
    assert not table.filter(pl.col("model") == "bars", pl.col("judged")).height
    shares = dict(
        table.filter(pl.col("segment") == "in_sample").select("scenario", "share_of_base").rows()
    )
    assert shares["base"] == shares[BASE_ON_BARS] == 1.0
    lacking = table.filter(pl.col("scenario") == "t2 x0.9")
    assert lacking["note"].unique().to_list() == ["NOT_EVALUABLE: no x in features_pt"]
    for column in ("net_bps", "share_of_base", "net_bps_per_day", "sharpe", "max_drawdown_bps"):
        assert lacking[column].null_count() == 2


def ground(base, neighbours):
    """The ground of one strategy: (parameter, net, note) beside the rule's own mean."""
    rows = [(BASE_ON_BARS, None, base, None), *((p, p, net, note) for p, net, note in neighbours)]
    frame = pl.DataFrame(
        rows,
        schema={
            "scenario": pl.String,
            "parameter": pl.String,
            "net_bps": pl.Float64,
            "note": pl.String,
        },
        orient="row",
    ).with_columns(strategy_id=pl.lit("edge"), segment=pl.lit("in_sample"), model=pl.lit("bars"))
    return ground_of("edge", frame)


def test_the_ground_is_read_per_parameter():
    found = ground(
        10.0,
        [
            ("hold", 9.0, None),
            ("hold", 4.9, None),
            ("x", 5.0, None),
            ("x", -9.0, None),
            ("x", None, None),
        ],
    )
    assert found.ratios == {"hold": pytest.approx(0.695), "x": pytest.approx(-0.2)}
    assert found.plateau == 0.5


def test_what_is_not_known_is_no_plateau():
    lacking = ground(10.0, [("x", 9.0, None), ("x", None, "NOT_EVALUABLE: no x")])
    assert lacking.ratios == {"x": None}
    assert ground(10.0, [("x", None, None)]).ratios == {"x": None}
    losing = ground(-1.0, [("x", 9.0, None)])
    assert (losing.ratios, losing.plateau) == ({"x": None}, None)
