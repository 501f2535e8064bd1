"""A planted market, its study and blueprint, for the backtest's tests."""

from datetime import timedelta

from quantlab_pipeline.research.backtest.backtest import Study
from quantlab_pipeline.research.backtest.blueprint import compile_blueprint
from quantlab_pipeline.simulation.tape import MarketTables
from quantlab_pipeline_tests.research.bridge.test_execute import entries_of, market
from quantlab_pipeline_tests.simulation.builders import BTC, START, cost_model, funding_of

COSTS = cost_model(fee_bps=4.0, half_bps=1.0)
CANDIDATE = {
    "candidate_id": "edge",
    "event_type": "shock",
    "bucket": "all",
    "template": "up",
    "side": 1,
    "horizon": "1h",
}


def study_of(bars, costs=COSTS, funding=None, n_days=6, holdout=4, quotes=None):
    days = [START.date() + timedelta(days=i) for i in range(n_days)]
    tables = MarketTables(bars, quotes, funding)
    return Study(tables, {"BTC": BTC}, costs, days, days[holdout])


def plan_of(overlap="skip", costs=COSTS, horizon="1h", **candidate):
    return compile_blueprint(
        {**CANDIDATE, "horizon": horizon, **candidate}, ["BTC"], overlap, costs
    )


def planted_market():
    """The study of a market with 40 bps after each event and funding every 8 h, and its entries."""
    bars, instants = market(40.0)
    stamps = [START + timedelta(hours=8 * i, minutes=30) for i in range(1, 18)]
    return study_of(bars, funding=funding_of(stamps, 1e-4)), entries_of(instants)
