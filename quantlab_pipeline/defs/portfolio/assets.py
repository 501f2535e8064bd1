"""S's survivors as one book; gate P."""

from __future__ import annotations

import polars as pl

from quantlab_pipeline.core.verdicts import Gate
from quantlab_pipeline.defs.stage_run import Body, GateBody, Judged, Made, StageRun
from quantlab_pipeline.research.portfolio.book import build_portfolio
from quantlab_pipeline.research.portfolio.gate import judge_p
from quantlab_pipeline.simulation.trades import CLOSED


def portfolio(run: StageRun) -> Made:
    """Weights and figures of the book, on days that no fit has seen."""
    survivors = run.load("walkforward").select("strategy_id", "event_family", "horizon")
    capacity = run.load("bridge_results").select("strategy_id", "capacity_usd")
    strategies = survivors.join(capacity, on="strategy_id", how="left", maintain_order="left")
    (study,) = run.partitions
    trades = run.load("backtest_trades").filter(pl.col("status").is_in(CLOSED))
    spec, costs = run.project.portfolio(), run.costs
    impact_y = costs.profiles[costs.execution.profile].impact_y
    returns = run.load("backtest_returns")
    frame = build_portfolio(returns, trades, strategies, study, spec, impact_y)
    return Made(frame, {"strategies": frame.height})


def p(run: StageRun) -> Judged:
    """Gate P on the book."""
    (study,) = run.partitions
    return Judged({study: judge_p(run.own(), run.project.gates().p)})


BODIES: dict[str, Body] = {"portfolio": portfolio}
GATES: dict[Gate, GateBody] = {Gate.P: p}
