"""What must hold of a chain that was run to its end, whatever its market."""

from __future__ import annotations

import json

from quantlab_pipeline.core.verdicts import ADMITTED
from quantlab_pipeline.defs.bridge.assets import bridge_executions
from quantlab_pipeline.defs.factory import make
from quantlab_pipeline.defs.runner import StudyRun
from quantlab_pipeline.defs.stage_run import StageRun
from quantlab_pipeline.research.backtest.blueprint import read_blueprints

STUDY_TABLES = (
    "event_quality",
    "phase2_candidates",
    "bridge_executions",
    "bridge_results",
    "blueprints",
    "backtest_returns",
    "backtest_trades",
    "backtest_risk",
    "stress_results",
    "assumption_ledger",
    "walkforward",
    "portfolio",
)
ARTIFACTS = {
    "events.parquet",
    "features_pt.parquet",
    "labels_fwd.parquet",
    "phase2_candidates.csv",
    "phase2_candidates.parquet",
    "bridge_executions.csv",
    "bridge_executions.parquet",
    "bridge_results.csv",
    "blueprints.jsonl",
    "backtest_returns.parquet",
    "backtest_trades.parquet",
    "backtest_risk.csv",
    "stress_results.csv",
    "assumption_ledger.csv",
    "walkforward_summary.json",
    "portfolio_report.json",
    "gate_verdicts.json",
    "run_manifest.json",
    "gate_board.html",
    "events.html",
    "features.html",
}


def every_stage_ran(run: StudyRun) -> None:
    """Every table is there, every artifact lies in its place, every gate lets through."""
    for name in STUDY_TABLES:
        table = run.outcome.table(name)
        assert table is not None, f"{name} is not current"
        assert table.height, f"{name} is empty"
    assert {path.name for path in run.artifacts.iterdir()} >= ARTIFACTS
    assert all(g.outcome in ADMITTED for g in run.outcome.gates), run.outcome.gates
    assert run.exit_code == 0
    lines = (run.artifacts / "blueprints.jsonl").read_text(encoding="utf-8").splitlines()
    strategies = run.outcome.table("bridge_results")
    assert strategies is not None
    assert {p.strategy_id for p in read_blueprints(lines)} == set(strategies["strategy_id"])


def is_inadmissible(run: StudyRun) -> None:
    """What was waived says so in report, strategies and blueprints."""
    report = json.loads((run.artifacts / "portfolio_report.json").read_text(encoding="utf-8"))
    assert report["admissible"] is False
    assert report["portfolio"]
    for name in ("bridge_results", "blueprints"):
        table = run.outcome.table(name)
        assert table is not None
        assert not table["admissible"].any()


def executions_made_again_are_served(run: StudyRun) -> None:
    """To the same bytes, told in the metadata, the manifest and the outcome."""
    outcome, name = run.outcome, "bridge_executions"
    before = outcome.table(name)
    assert before is not None
    strategies = before["strategy_id"].n_unique()
    assert outcome.served[name] == (0, strategies)
    stage = StageRun(
        outcome.project, outcome.market, outcome.lake, outcome.lake.graph.spec(name),
        (outcome.study.name,), outcome.data_root, outcome.clock,
    )  # fmt: skip
    batch = make(stage, bridge_executions, {})
    assert batch.made.metadata["served"] == f"{strategies} of {strategies}"
    key = outcome.lake.manifests.key(name, f"study={outcome.study.name}")
    outcome.lake.objects.delete(key)
    again = outcome.lake.write(
        name, batch.made.frame, stage.partitions, reads=batch.lineage, observed=batch.made.observed
    )
    assert (again.written, again.unchanged) == (0, 1)
    assert outcome.served[name] == (strategies, strategies)
