"""Every stage from raw files to the portfolio report: on a generated market always, on real data
where it is. Gates after E-1 are waived, so that every stage runs; what follows is inadmissible.
"""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import polars as pl
import pytest

from quantlab_pipeline.core.verdicts import ADMITTED, Gate, Outcome
from quantlab_pipeline.defs.bridge.assets import bridge_executions
from quantlab_pipeline.defs.factory import make
from quantlab_pipeline.defs.runner import StudyRun
from quantlab_pipeline.defs.stage_run import StageRun
from quantlab_pipeline.research.backtest.blueprint import read_blueprints
from quantlab_pipeline_tests.chain.builders import ALL_AFTER_E1, project_with, run_chain

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


def _every_stage_ran(run: StudyRun) -> None:
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


def _is_inadmissible(run: StudyRun) -> None:
    report = json.loads((run.artifacts / "portfolio_report.json").read_text(encoding="utf-8"))
    assert report["admissible"] is False
    assert report["portfolio"]
    for name in ("bridge_results", "blueprints"):
        table = run.outcome.table(name)
        assert table is not None
        assert not table["admissible"].any()


def test_a_generated_market(tmp_path: Path, repository: Path) -> None:
    symbols = ["AAAUSDT", "BBBUSDT"]
    last, holdout = date(2025, 1, 16), date(2025, 1, 12)
    days = {"symbols": symbols, "last_day": last}
    edits = {
        "markets/world_planted_edges": days,
        "studies/planted_edges": {**days, "holdout_from": holdout},
        "backtest": {"monte_carlo": {"paths": 10_000}},
    }
    run = run_chain(project_with(tmp_path, repository, edits), "planted_edges", ALL_AFTER_E1)
    _every_stage_ran(run)
    _is_inadmissible(run)
    returns = run.outcome.table("backtest_returns")
    assert returns is not None
    held_out = returns.filter(pl.col("segment") == "holdout")["day"]
    assert held_out.min() == holdout, "the holdout must begin where the study says"
    _executions_made_again_are_served(run)


def _executions_made_again_are_served(run: StudyRun) -> None:
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


def test_recorded_data(tmp_path: Path, repository: Path, real_data: Path) -> None:
    symbols = ["BTCUSDT", "ETHUSDT"]
    days = {"first_day": date(2025, 5, 24), "last_day": date(2025, 6, 4)}
    edits = {
        "markets/binance_freqtrade": {
            "symbols": symbols,
            **days,
            "source": {"kind": "freqtrade", "path": str(real_data / "freqtrade")},
        },
        "studies/real_btc_eth_2025": days,
    }
    run = run_chain(project_with(tmp_path, repository, edits), "real_btc_eth_2025", ALL_AFTER_E1)
    _every_stage_ran(run)
    _is_inadmissible(run)
    verdicts = {g.gate: g.outcome for g in run.outcome.gates}
    assert verdicts[Gate.D0] is Outcome.PASS
    assert verdicts[Gate.V1] is Outcome.WAIVED, "twelve days of two symbols are no evidence"
    bridge = run.outcome.table("bridge_results")
    assert bridge is not None
    traded = bridge.filter(pl.col("n_trades") > 0)
    assert set(traded["spread_source"]) == {"assumed"}, "candles have no book"
    executions = run.outcome.table("bridge_executions")
    assert executions is not None
    assert set(executions["measured_share"].drop_nulls()) == {0.0}


@pytest.mark.calibrate
def test_planted_types_survive_to_the_book(tmp_path: Path, repository: Path) -> None:
    run = run_chain(project_with(tmp_path, repository, {}), "planted_edges")
    assert run.exit_code == 0
    book = run.outcome.table("portfolio")
    assert book is not None
    kept = set(book["strategy_id"].str.replace(r"-[0-9a-f]+$", ""))
    assert "spread_blowout.all.1h.directional.with" in kept
    assert "oi_surge.all.1h.directional.against" in kept


@pytest.mark.calibrate
def test_the_null_twin_stops_at_v1(tmp_path: Path, repository: Path) -> None:
    run = run_chain(project_with(tmp_path, repository, {}), "null")
    verdicts = {g.gate: g.outcome for g in run.outcome.gates}
    assert verdicts[Gate.E1] is Outcome.PASS
    assert verdicts[Gate.V1] not in ADMITTED
    assert verdicts[Gate.B] is Outcome.NOT_EVALUABLE
