"""Blueprints of B's survivors: trades, returns, risk, stress, and what assumptions are worth."""

from __future__ import annotations

from quantlab_pipeline.defs.backtest.moved import moved_entries
from quantlab_pipeline.defs.bridge.assets import entries_of, market_tables
from quantlab_pipeline.defs.served import shelf_of, told
from quantlab_pipeline.defs.stage_run import Body, Made, StageRun
from quantlab_pipeline.research.backtest.assumptions import assumption_rows
from quantlab_pipeline.research.backtest.backtest import BacktestRun, Study, run_backtest
from quantlab_pipeline.research.backtest.blueprint import (
    Blueprint,
    make_blueprints,
    read_blueprints,
)
from quantlab_pipeline.research.backtest.neighbourhood import neighbour_rows
from quantlab_pipeline.research.backtest.risk import build_risk
from quantlab_pipeline.research.backtest.stress import run_stress
from quantlab_pipeline.simulation.serving import Shelf


def blueprints(run: StageRun) -> Made:
    """One executable document per strategy that gate B admits."""
    frame = make_blueprints(
        run.load("bridge_results"),
        run.load("phase2_candidates"),
        run.symbols,
        run.project.backtest().overlap,
        run.costs,
    )
    return Made(frame, {"strategies": frame.height})


def backtest_returns(run: StageRun) -> Made:
    """Daily returns of every blueprint over the whole study, holdout apart."""
    shelf = shelf_of(run)
    result = _backtest(run, shelf)
    return told(Made(result.returns, {"trades": result.trades.height}), run, shelf)


def backtest_trades(run: StageRun) -> Made:
    """Every intent of every blueprint, and each trade's result taken apart."""
    shelf = shelf_of(run)
    result = _backtest(run, shelf)
    return told(Made(result.trades, {"trades": result.trades.height}), run, shelf)


def backtest_risk(run: StageRun) -> Made:
    """Ratios, falls and tails of every blueprint, and of its P&L resampled."""
    spec = run.project.backtest().monte_carlo
    shelf = shelf_of(run)
    hours = _backtest(run, shelf).bars
    returns, trades = run.load("backtest_returns"), run.load("backtest_trades")
    made = Made(build_risk(returns, trades, hours, spec), {"paths": spec.paths})
    return told(made, run, shelf)


def stress_results(run: StageRun) -> Made:
    """Every blueprint under every stress, and its neighbours."""
    entries = entries_of(run, run.load("phase2_candidates"))
    shelf = shelf_of(run)
    spec, plans, study = run.project.backtest(), plans_of(run), study_of(run, shelf)
    moved = moved_entries(run, plans, spec.neighbours)
    beside = neighbour_rows(plans, entries, study, spec.neighbours, moved)
    frame = run_stress(plans, entries, study, spec.stress, beside)
    return told(Made(frame, {"scenarios": frame["scenario"].n_unique()}), run, shelf)


def assumption_ledger(run: StageRun) -> Made:
    """What each assumption of every blueprint is worth."""
    entries = entries_of(run, run.load("phase2_candidates"))
    shelf = shelf_of(run)
    frame = assumption_rows(plans_of(run), entries, study_of(run, shelf), run.project.backtest())
    return told(Made(frame, {"assumptions": frame["assumption"].n_unique()}), run, shelf)


def _backtest(run: StageRun, shelf: Shelf) -> BacktestRun:
    entries = entries_of(run, run.load("phase2_candidates"))
    bar_min = run.project.backtest().monte_carlo.bar_min
    return run_backtest(plans_of(run), entries, study_of(run, shelf), bar_min)


def plans_of(run: StageRun) -> list[Blueprint]:
    """The study's blueprints as values."""
    return read_blueprints(run.load("blueprints")["blueprint"])


def study_of(run: StageRun, shelf: Shelf | None = None) -> Study:
    """What the engine needs of the whole study; what lies on the `shelf` is served."""
    return Study(
        market_tables(run),
        run.project.instruments().by_symbol(run.symbols, assume=run.assumes_instruments),
        run.costs,
        run.days,
        run.study.holdout_start,
        shelf,
    )


BODIES: dict[str, Body] = {
    "blueprints": blueprints,
    "backtest_returns": backtest_returns,
    "backtest_trades": backtest_trades,
    "backtest_risk": backtest_risk,
    "stress_results": stress_results,
    "assumption_ledger": assumption_ledger,
}
