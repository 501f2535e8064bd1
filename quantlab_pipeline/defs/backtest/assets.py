"""Blueprints of B's survivors, their daily returns, and what remains of them under stress."""

from __future__ import annotations

from quantlab_pipeline.defs.bridge.assets import entries_of, market_tables
from quantlab_pipeline.defs.stage_run import Body, Made, StageRun
from quantlab_pipeline.research.backtest.backtest import Study, run_backtest
from quantlab_pipeline.research.backtest.blueprint import (
    Blueprint,
    make_blueprints,
    read_blueprints,
)
from quantlab_pipeline.research.backtest.stress import run_stress


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
    plans = plans_of(run)
    result = run_backtest(plans, entries_of(run, run.load("phase2_candidates")), study_of(run))
    return Made(result.returns, {"trades": result.trades.height})


def stress_results(run: StageRun) -> Made:
    """Every blueprint under every stress."""
    entries = entries_of(run, run.load("phase2_candidates"))
    frame = run_stress(plans_of(run), entries, study_of(run), run.project.backtest().stress)
    return Made(frame, {"scenarios": frame["scenario"].n_unique()})


def plans_of(run: StageRun) -> list[Blueprint]:
    """The study's blueprints as values."""
    return read_blueprints(run.load("blueprints")["blueprint"])


def study_of(run: StageRun) -> Study:
    """What the engine needs of the whole study."""
    return Study(
        market_tables(run),
        run.project.instruments().by_symbol(run.symbols, assume=run.assumes_instruments),
        run.costs,
        run.days,
        run.study.holdout_start,
    )


BODIES: dict[str, Body] = {
    "blueprints": blueprints,
    "backtest_returns": backtest_returns,
    "stress_results": stress_results,
}
