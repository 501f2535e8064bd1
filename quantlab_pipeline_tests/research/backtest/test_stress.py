"""Stresses: what each does to the planted market, and laws that no stress may break."""

from datetime import timedelta

import numpy as np
import polars as pl
import pytest

from quantlab_pipeline.research.backtest.backtest import Study, run_backtest
from quantlab_pipeline.research.backtest.blueprint import intents_of
from quantlab_pipeline.research.backtest.schema import STRESS_RESULTS
from quantlab_pipeline.research.backtest.spec import StressSpec
from quantlab_pipeline.research.backtest.stress import (
    _outages,
    lost_minutes,
    run_stress,
    shallower,
    thinner,
)
from quantlab_pipeline.simulation.engine import RunSettings
from quantlab_pipeline_tests.research.backtest.builders import plan_of, planted_market, study_of
from quantlab_pipeline_tests.research.bridge.test_execute import entries_of, market
from quantlab_pipeline_tests.simulation.builders import cost_model, quotes_of

OUTAGES = ("outage_entry_3min", "outage_exit_3min")
TOLD = ("funding_adverse", *OUTAGES, *(f"overlay_{x}bps" for x in (25, 50, 75, 100)))
JUDGED = (
    *("base", "costs_x1.5", "costs_x2", "spread_x3", "depth_x0.5", "volume_x0.5"),
    *("delay_1min", "drop_5pct"),
)


@pytest.fixture(scope="module")
def planted():
    return planted_market()


@pytest.fixture(scope="module")
def stressed(planted):
    study, entries = planted
    return STRESS_RESULTS.validate(run_stress([plan_of()], entries, study, StressSpec()))


def net_of(frame, segment="in_sample"):
    mine = frame.filter(pl.col("segment") == segment)
    return dict(mine.select("scenario", "net_bps").iter_rows())


def test_every_scenario_has_a_row_per_segment_and_says_whether_it_is_judged(stressed):
    judged = dict(stressed.select("scenario", "judged").iter_rows())
    assert judged == {**dict.fromkeys(JUDGED, True), **dict.fromkeys(TOLD, False)}
    assert stressed.group_by("scenario").len()["len"].unique().to_list() == [2]


def test_stresses_cost_what_they_say(stressed):
    net = net_of(stressed)
    assert net["base"] - net["overlay_25bps"] == pytest.approx(25.0, abs=1e-9)
    assert net["base"] - net["costs_x2"] == pytest.approx(10.0, abs=0.2)
    assert net["base"] - net["spread_x3"] == pytest.approx(4.0, abs=0.2)
    # One more minute of 40 bps over 30 minutes is lost, give or take the noise.
    assert abs(net["base"] - net["delay_1min"]) < 4.0
    shares = stressed.filter(pl.col("scenario") == "base")["share_of_base"].to_list()
    assert shares == [1.0, 1.0]
    assert abs(net["drop_5pct"] - net["base"]) < 8.0


def test_lost_minutes_are_seeded_and_independent_of_the_range(planted):
    study, _ = planted
    spec = StressSpec()
    whole = lost_minutes("BTC", study, spec)
    assert whole.size / (6 * 1440) == pytest.approx(0.05, abs=0.01)
    short = Study(study.tables, study.instruments, study.costs, study.days[3:], study.days[4])
    assert set(lost_minutes("BTC", short, spec)) <= set(whole.tolist())


@pytest.mark.parametrize("segment", ["in_sample", "holdout"])
def test_dearer_is_never_better(planted, segment):
    """Costs, surcharges and hostile funding only take: on every step the net falls or stays."""
    study, entries = planted
    spec = StressSpec(cost_multiples=(1.25, 1.5, 2.0, 4.0), overlay_bps=(10.0, 20.0, 40.0))
    net = net_of(run_stress([plan_of()], entries, study, spec), segment)
    for ladder in (
        ["base", *(f"costs_x{x:g}" for x in spec.cost_multiples)],
        ["base", *(f"overlay_{x:g}bps" for x in spec.overlay_bps)],
        ["base", "spread_x3"],
        ["base", "funding_adverse"],
    ):
        steps = [net[name] for name in ladder]
        assert steps == sorted(steps, reverse=True)
        assert steps[-1] < steps[0]


def test_hostile_funding_pays_what_it_says(planted):
    study, entries = planted
    payments = study.simulate(intents_of(plan_of(), entries), [RunSettings(1.0, "conservative")])[0]
    paid = payments.payments["funding_usd"]
    assert (paid < 0).any()
    mild = StressSpec(funding_paid=1.0, funding_received=1.0)
    hostile = StressSpec(funding_paid=3.0, funding_received=0.0)
    frames = [run_stress([plan_of()], entries, study, spec) for spec in (mild, hostile)]
    costs = [net_of(f)["base"] - net_of(f)["funding_adverse"] for f in frames]
    assert costs[0] == 0.0
    assert costs[1] > 0.0


def test_a_thinner_book_and_less_volume_cost_more_and_change_no_fill_time():
    bars, instants = market(40.0)
    mid = np.repeat(bars["open"].to_numpy(), 6)
    quotes = quotes_of(mid, spread_bps=2.0, size=0.15, step_s=10)
    study = study_of(bars, cost_model(fee_bps=4.0, impact_y=0.7), quotes=quotes)
    intents = intents_of(plan_of(costs=study.costs), entries_of(instants))
    way = [RunSettings(1.0, "conservative")]

    def slippage(damage):
        trades = study.simulate(intents, way, damage=damage)[0].trades
        return trades.select("entry_us", "exit_us"), trades["slippage_bps"].mean()

    for damage in (shallower, thinner):
        found = [slippage(damage(multiple)) for multiple in (1.0, 0.5, 0.05)]
        costs = [cost for _, cost in found]
        assert costs == sorted(costs)
        assert costs[0] < costs[-1]
        assert all(times.equals(found[0][0]) for times, _ in found)


def test_an_outage_makes_a_leg_late_or_leaves_it_out(planted):
    study, entries = planted
    plan = plan_of()
    intents = intents_of(plan, entries)
    gone = _outages(intents, "ts", 3)["BTC"]
    minute = intents["ts"][0].timestamp() // 60
    assert {minute - 1, minute, minute + 1, minute + 2} <= set(gone.tolist())
    assert gone.size == 4 * intents.height
    rows = run_stress([plan], entries, study, StressSpec(outage_min=3))
    net, counts = net_of(rows), dict(rows.select("scenario", "n_trades").iter_rows())
    # Three minutes late: a tenth of the drift is missed at the entry; at the exit it is long over.
    assert net["base"] - net["outage_entry_3min"] == pytest.approx(4.0, abs=2.5)
    assert net["base"] - net["outage_exit_3min"] == pytest.approx(0.0, abs=2.5)
    assert all(counts[name] == counts["base"] for name in OUTAGES)
    # Longer than an entry waits, it is cancelled; an exit is always made.
    long = run_stress([plan], entries, study, StressSpec(outage_min=20))
    assert net_of(long)["outage_entry_20min"] is None
    assert net_of(long)["outage_exit_20min"] is not None


def test_a_plan_alone_suffers_what_it_suffers_among_others(planted):
    study, entries = planted
    other = plan_of(candidate_id="other", horizon="15m")
    both = pl.concat(
        [entries, entries.with_columns(pl.lit("other").alias("candidate_id"))]
    ).with_columns(
        pl.when(pl.col("candidate_id") == "other")
        .then(pl.col("ts") + timedelta(minutes=3))
        .otherwise("ts")
    )
    among = run_stress([other, plan_of()], both, study, StressSpec())
    alone = run_stress([plan_of()], both, study, StressSpec())
    assert alone.equals(among.filter(pl.col("strategy_id") == "edge"))
    assert run_backtest([plan_of()], both, study).trades.height
