"""S's survivors as one book; gate P."""

from __future__ import annotations

from quantlab_pipeline.core.verdicts import Gate
from quantlab_pipeline.defs.stage_run import Body, GateBody, Judged, Made, StageRun
from quantlab_pipeline.research.portfolio.book import build_portfolio
from quantlab_pipeline.research.portfolio.gate import judge_p


def portfolio(run: StageRun) -> Made:
    """Weights and figures of the book, on days that no fit has seen."""
    survivors = run.load("walkforward").select("strategy_id", "event_family", "horizon")
    capacity = run.load("bridge_results").select("strategy_id", "capacity_usd")
    strategies = survivors.join(capacity, on="strategy_id", how="left", maintain_order="left")
    (study,) = run.partitions
    spec = run.project.portfolio()
    frame = build_portfolio(run.load("backtest_returns"), strategies, study, spec)
    return Made(frame, {"strategies": frame.height})


def p(run: StageRun) -> Judged:
    """Gate P on the book."""
    (study,) = run.partitions
    return Judged({study: judge_p(run.own(), run.project.gates().p)})


BODIES: dict[str, Body] = {"portfolio": portfolio}
GATES: dict[Gate, GateBody] = {Gate.P: p}
