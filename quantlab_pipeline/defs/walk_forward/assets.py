"""Every strategy refitted fold by fold; gate S."""

from __future__ import annotations

from quantlab_pipeline.core.verdicts import Gate
from quantlab_pipeline.defs.backtest.assets import plans_of, study_of
from quantlab_pipeline.defs.bridge.assets import entries_of
from quantlab_pipeline.defs.stage_run import Body, GateBody, Judged, Made, StageRun
from quantlab_pipeline.defs.validation.assets import ledger
from quantlab_pipeline.research.walk_forward.gate import judge_s
from quantlab_pipeline.research.walk_forward.walk import (
    History,
    build_walkforward,
    trials_of,
    variant_trades,
)


def walkforward(run: StageRun) -> Made:
    """One row per strategy: chosen on the past of each fold, judged in it."""
    spec = run.project.walk_forward()
    study = study_of(run)
    plans = plans_of(run)
    candidates = run.load("phase2_candidates", gated=False)
    entries = entries_of(run, run.load("phase2_candidates"))
    trades = variant_trades(plans, entries, study.window(), run.simulator, spec)
    n_days = len(run.study.evaluation_days)
    history = History(
        run.load("backtest_returns"),
        run.load("stress_results"),
        {t.name: t.family for t in run.project.events().event_types},
        trials_of(candidates, ledger(run).state_of(run.study.name).n_trials, n_days),
    )
    frame = build_walkforward(plans, trades, history, run.days, run.study.holdout_start, spec)
    return Made(frame, {"strategies": frame.height})


def s(run: StageRun) -> Judged:
    """Gate S on every strategy."""
    (study,) = run.partitions
    return Judged({study: judge_s(run.own(), run.project.gates().s)})


BODIES: dict[str, Body] = {"walkforward": walkforward}
GATES: dict[Gate, GateBody] = {Gate.S: s}
