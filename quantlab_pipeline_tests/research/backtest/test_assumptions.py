"""The assumption ledger: each worth is the difference of two runs made by hand."""

import dataclasses

import numpy as np
import polars as pl
import pytest

from quantlab_pipeline.research.backtest.assumptions import TERMS, assumption_rows
from quantlab_pipeline.research.backtest.backtest import run_backtest
from quantlab_pipeline.research.backtest.blueprint import intents_of
from quantlab_pipeline.research.backtest.schema import ASSUMPTION_LEDGER
from quantlab_pipeline.research.backtest.spec import BacktestSpec
from quantlab_pipeline.simulation.costs import CostModel, CostProfile, CostScale
from quantlab_pipeline.simulation.engine import RunSettings
from quantlab_pipeline.simulation.fees import FeeAssumption
from quantlab_pipeline.simulation.trades import CLOSED
from quantlab_pipeline_tests.research.backtest.builders import plan_of, planted_market, study_of
from quantlab_pipeline_tests.research.bridge.test_execute import entries_of, market
from quantlab_pipeline_tests.simulation.builders import cost_model, quotes_of

SPEC = BacktestSpec()


def two_profiles():
    """Costs whose conservative profile is dearer in every term, tried at 1 s and 61 s."""
    costs = cost_model(fee_bps=5.0, impact_y=0.5, half_bps=1.0, latency=(1.0, 61.0))
    (dear,) = costs.fees["here"].tiers
    cheap = dear.model_copy(update={"volume_from_usd": 1e6, "taker_bps": 3.0})
    schedule = costs.fees["here"].model_copy(update={"tiers": (dear, cheap)})
    careful = costs.profiles["conservative"]
    small = careful.spread_tiers[0].model_copy(update={"half_spread_bps": 2.5})
    base = careful.model_copy(update={"fees": FeeAssumption(volume_30d_usd=1e6)})
    careful = careful.model_copy(
        update={"impact_y": 1.0, "stress_spread_multiplier": 3.0, "spread_tiers": (small,)}
    )
    profiles = {"base": base, "conservative": careful}
    return costs.model_copy(update={"fees": {"here": schedule}, "profiles": profiles})


@pytest.fixture(scope="module")
def planted():
    study, entries = planted_market()
    return dataclasses.replace(study, costs=two_profiles()), entries


@pytest.fixture(scope="module")
def plan(planted):
    return plan_of(costs=planted[0].costs)


@pytest.fixture(scope="module")
def ledger(planted, plan):
    study, entries = planted
    frame = ASSUMPTION_LEDGER.validate(assumption_rows([plan], entries, study, SPEC))
    return {row["assumption"]: row for row in frame.iter_rows(named=True)}


def by_hand(study, intents, way, costs=None):
    run = study.simulate(intents, [way], costs)[0]
    return run.trades.filter(pl.col("status").is_in(CLOSED))["net_bps"].mean()


def mixed(costs: CostModel, **values):
    base = costs.profiles["base"].model_copy(update=values)
    return costs.model_copy(update={"profiles": {**costs.profiles, "base": base}})


def test_each_worth_is_the_difference_of_two_runs(planted, plan, ledger):
    study, entries = planted
    intents = intents_of(plan, entries)
    fast = RunSettings(1.0, "base")
    careful = study.costs.profiles["conservative"]
    hostile = CostScale(funding_paid=2.0, funding_received=0.0)
    changed = {
        "fee": (fast, mixed(study.costs, fees=careful.fees)),
        "spread": (fast, mixed(study.costs, spread_tiers=careful.spread_tiers)),
        "impact": (fast, mixed(study.costs, impact_y=1.0)),
        "stress": (
            dataclasses.replace(fast, stressed=True),
            mixed(study.costs, stress_spread_multiplier=3.0),
        ),
        "latency": (RunSettings(61.0, "base"), study.costs),
        "funding": (RunSettings(1.0, "base", hostile), study.costs),
        "decision_delay": (RunSettings(1.0, "base", delay_s=60.0), study.costs),
    }
    kind = by_hand(study, intents, fast)
    for name, (way, costs) in changed.items():
        row = ledger[name]
        assert row["net_bps_base"] == pytest.approx(kind, abs=1e-12), name
        worth = kind - by_hand(study, intents, way, costs)
        assert row["worth_bps"] == pytest.approx(worth, abs=1e-12), name
        assert abs(row["worth_bps"]) > 0.01, name
        assert row["worth_usd"] == pytest.approx(row["worth_bps"] * row["n_trades"], rel=0.02), name


def test_terms_are_worth_what_the_profiles_differ_by(ledger):
    # Two sides each: 2 bps of fee, 1.5 bps of half-spread.
    assert ledger["fee"]["worth_bps"] == pytest.approx(4.0, abs=0.05)
    assert ledger["spread"]["worth_bps"] == pytest.approx(3.0, abs=0.05)
    assert ledger["stress"]["worth_bps"] == pytest.approx(4.0, abs=0.05)
    assert "2.5 from 0 USD a day" in ledger["spread"]["conservative"]
    assert ledger["fee"]["base"] == "maker 0, taker 3 bps"


def test_all_at_once_is_worth_more_than_any_alone(ledger):
    everything = ledger.pop("all")
    assert everything["net_bps_conservative"] < min(
        row["net_bps_conservative"] for row in ledger.values()
    )
    assert everything["worth_bps"] > max(row["worth_bps"] for row in ledger.values())
    ledger["all"] = everything


def test_every_field_of_a_profile_is_someones_assumption():
    """But for slippage, which only a sweep of bars that models no impact reads."""
    told = {field for fields in TERMS.values() for field in fields}
    assert told == set(CostProfile.model_fields) - {"slippage"}


def test_what_the_market_does_not_have_is_worth_nothing():
    """No settlement, no book: funding, marks and depth cannot have cost anything."""
    bars, instants = market(40.0)
    study = study_of(bars, two_profiles())
    frame = assumption_rows([plan_of(costs=study.costs)], entries_of(instants), study, SPEC)
    worth = dict(frame.select("assumption", "worth_bps").iter_rows())
    assert worth["funding"] == worth["mark"] == worth["depth"] == 0.0


def test_a_mark_that_nobody_published_is_priced_by_its_payment(planted, plan, ledger):
    study, entries = planted
    intents = intents_of(plan, entries)
    run = study.simulate(intents, [RunSettings(1.0, "base")])[0]
    assumed = run.payments.filter("mark_assumed")
    assert assumed.height
    lost = float(np.abs(assumed["funding_usd"].to_numpy()).sum()) * 50e-4
    assert ledger["mark"]["worth_usd"] == pytest.approx(lost, rel=1e-9)


def test_a_measured_book_is_made_wider_and_shallower():
    bars, instants = market(40.0)
    mid = np.repeat(bars["open"].to_numpy(), 6)
    quotes = quotes_of(mid, spread_bps=4.0, size=0.1, step_s=10)
    study = study_of(bars, cost_model(fee_bps=4.0, impact_y=0.0), quotes=quotes)
    frame = assumption_rows([plan_of(costs=study.costs)], entries_of(instants), study, SPEC)
    worth = dict(frame.select("assumption", "worth_bps").iter_rows())
    # Half of 4 bps, once and a half as wide, on two sides.
    assert worth["spread"] == pytest.approx(2.0, abs=0.02)
    assert worth["depth"] > 0.01
    assert worth["fee"] == worth["impact"] == 0.0


def test_a_strategy_that_rests_is_run_by_its_rule_and_told_what_the_rule_is_worth(planted):
    study, entries = planted
    execution = study.costs.execution.model_copy(update={"order": "passive"})
    study = dataclasses.replace(
        study, costs=study.costs.model_copy(update={"execution": execution})
    )
    plan = plan_of(costs=study.costs).model_copy(update={"entry": "penetration"})
    intents = intents_of(plan, entries)
    fast = RunSettings(1.0, "base", entry="touch")
    passed = dataclasses.replace(fast, entry="penetration")
    frame = assumption_rows([plan], entries, study, SPEC)
    (row,) = frame.filter(assumption="fill").iter_rows(named=True)
    worth = by_hand(study, intents, fast) - by_hand(study, intents, passed)
    assert row["worth_bps"] == pytest.approx(worth, abs=1e-12)
    makers = run_backtest([plan], entries, study).trades.filter(pl.col("status").is_in(CLOSED))
    takers = run_backtest([plan_of(costs=study.costs)], entries, study).trades
    taken = takers.filter(pl.col("status").is_in(CLOSED))
    assert 0 < makers.height < taken.height
    assert makers["spread_usd"].mean() < taken["spread_usd"].mean()


def test_who_takes_has_no_row_of_fills(ledger):
    assert "fill" not in ledger
