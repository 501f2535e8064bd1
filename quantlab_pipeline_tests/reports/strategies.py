"""A strategy that was really executed, backtested and stressed on a planted market, as tables.

Every table comes from the engine's own runs, so that what a tear sheet says can be held against
them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import polars as pl

from quantlab_pipeline.core.clocks import day_of
from quantlab_pipeline.reports.strategy_data import Prices, StrategyFacts, StrategyTables
from quantlab_pipeline.research.backtest.assumptions import assumption_rows
from quantlab_pipeline.research.backtest.backtest import Study, run_backtest, simulate_blueprints
from quantlab_pipeline.research.backtest.blueprint import make_blueprints, read_blueprints
from quantlab_pipeline.research.backtest.neighbourhood import neighbour_rows
from quantlab_pipeline.research.backtest.risk import build_risk
from quantlab_pipeline.research.backtest.schema import (
    ASSUMPTION_LEDGER,
    BACKTEST_RISK,
    BACKTEST_TRADES,
    STRESS_RESULTS,
)
from quantlab_pipeline.research.backtest.spec import BacktestSpec, MonteCarloSpec
from quantlab_pipeline.research.backtest.stress import run_stress
from quantlab_pipeline.research.bridge.execute import run_bridge
from quantlab_pipeline.research.bridge.schema import (
    BRIDGE_EXECUTIONS,
    BRIDGE_RESULTS,
    ENTRY_COLUMNS,
)
from quantlab_pipeline.research.bridge.spec import BThresholds
from quantlab_pipeline.simulation.engine import RunSettings, Simulation
from quantlab_pipeline.simulation.tape import MarketTables
from quantlab_pipeline_tests.simulation.builders import (
    BTC,
    START,
    bars_of,
    cost_model,
    funding_of,
    quotes_of,
)

SPEC = BacktestSpec(monte_carlo=MonteCarloSpec(paths=500))
THRESHOLDS = BThresholds(min_trades=10)
NAME = "calm_drop.all.1h.directional.with"
LOSER = "calm_drop.all.1h.directional.against"
SILENT = "oi_surge.all.1h.directional.with"
INSTRUMENTS = {"BTC": BTC}
MINUTE = timedelta(minutes=1)


@dataclass(frozen=True)
class Executed:
    """A study with its tables, and the simulation behind the backtest's."""

    study: Study
    tables: StrategyTables
    base: Simulation


def candidates() -> pl.DataFrame:
    """Three candidates of one family."""
    names = [name.split(".") for name in (NAME, LOSER, SILENT)]
    return pl.DataFrame(
        {
            "candidate_id": [NAME, LOSER, SILENT],
            "event_type": [n[0] for n in names],
            "bucket": [n[1] for n in names],
            "horizon": [n[2] for n in names],
            "template": [n[3] for n in names],
            "side": [1, -1, 1],
            "candidate_hash": ["sha256:edge", "sha256:mirror", "sha256:silent"],
            "admissible": [True, True, True],
        }
    )


def planted(n_days: int, every_min: int, drift_bps: float = 40.0, step_s: int = 0) -> Executed:
    """Six days or more of one symbol that rises after each event; the last third is held out.

    With `step_s` there is a book, else every spread is assumed.
    """
    n = n_days * 1440
    moves = np.random.default_rng(5).normal(0, 3e-4, n)
    at = np.arange(8 * 60, n - 120, every_min)
    for t in at:
        moves[t + 2 : t + 32] += drift_bps / 30 / 1e4
    close = 50_000 * np.exp(np.cumsum(moves))
    bars = bars_of(close)
    stamps = [START + timedelta(hours=8 * i, minutes=30) for i in range(1, 3 * n_days)]
    quotes = None
    if step_s:
        mid = np.interp(np.arange(0, n * 60, step_s), np.arange(1, n + 1) * 60.0, close)
        quotes = quotes_of(mid, 1.0, step_s=step_s)
    days = [START.date() + timedelta(days=i) for i in range(n_days)]
    costs = cost_model(fee_bps=4.0, impact_y=0.3, half_bps=1.0, latency=(1.0, 2.0, 5.0))
    funding = funding_of(stamps, 1e-4)
    study = Study(
        MarketTables(bars, quotes, funding), INSTRUMENTS, costs, days, days[2 * n_days // 3]
    )
    return executed(study, entries_at([START + int(t) * MINUTE for t in at]))


def entries_at(instants: list) -> pl.DataFrame:
    """Long entries of the edge and the mirror's short ones at the same instants."""
    rows = [
        (name, "BTC", t, side, 60, f"{name}-{i}")
        for name, side in ((NAME, 1), (LOSER, -1))
        for i, t in enumerate(instants)
    ]
    return pl.DataFrame(rows, schema=ENTRY_COLUMNS, orient="row")


def executed(study: Study, entries: pl.DataFrame) -> Executed:
    """All tables of a study from its entries, before the holdout for the bridge."""
    before = [day for day in study.days if day < study.holdout_from]
    early = entries.filter(day_of() < study.holdout_from)
    survivors = candidates().select("candidate_id", "admissible")
    ran = run_bridge(survivors, early, study.tables, INSTRUMENTS, study.costs, THRESHOLDS, before)
    passed = ran.results.filter(pl.col("status") == "PASS")
    plans = make_blueprints(passed, candidates(), ["BTC"], "skip", study.costs)
    blueprints = read_blueprints(plans["blueprint"])
    backtest = run_backtest(blueprints, entries, study, SPEC.monte_carlo.bar_min)
    beside = neighbour_rows(blueprints, entries, study, SPEC.neighbours, {})
    way = RunSettings(5.0, "conservative")
    tables = StrategyTables(
        BRIDGE_RESULTS.validate(ran.results),
        candidates(),
        BRIDGE_EXECUTIONS.validate(ran.executions),
        plans,
        backtest.returns,
        BACKTEST_TRADES.validate(backtest.trades),
        BACKTEST_RISK.validate(
            build_risk(backtest.returns, backtest.trades, backtest.bars, SPEC.monte_carlo)
        ),
        STRESS_RESULTS.validate(run_stress(blueprints, entries, study, SPEC.stress, beside)),
        ASSUMPTION_LEDGER.validate(assumption_rows(blueprints, entries, study, SPEC)),
    )
    base = simulate_blueprints(blueprints, entries, study, [way])[0]
    return Executed(study, tables, base)


def facts_of(
    study: Study, *, synthetic: bool = False, waived: tuple[str, ...] = ()
) -> StrategyFacts:
    """The facts of a study, its tables named by fingerprints."""
    return StrategyFacts(
        "study_x",
        "market_y",
        synthetic,
        ("BTC",),
        (study.days[0], study.days[-1]),
        study.holdout_from,
        (1, study.costs.spec_hash()),
        waived,
        (("bridge_results", "sha256:one"), ("backtest_returns", "sha256:two")),
    )


def prices_of(study: Study) -> Callable[[str], Prices]:
    """A source of the study's own closes."""

    def found(symbol: str) -> Prices:
        bars = study.tables.bars.filter(symbol=symbol).sort("ts")
        return Prices(symbol, bars["ts"].dt.epoch("us").to_list(), bars["close"].to_list())

    return found
