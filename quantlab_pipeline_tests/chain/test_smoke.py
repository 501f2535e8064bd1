"""The smoke study: it says UNDERPOWERED, its artifacts are whole, and the notebook reads it."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import pytest

from quantlab_pipeline.core.verdicts import Gate, Outcome
from quantlab_pipeline.defs.runner import StudyRun
from quantlab_pipeline_tests.chain.builders import project_with, run_chain


@pytest.fixture(scope="module")
def smoke(tmp_path_factory: pytest.TempPathFactory, repository: Path) -> tuple[Path, StudyRun]:
    root = project_with(tmp_path_factory.mktemp("smoke"), repository, {})
    return root, run_chain(root, "smoke")


def test_a_week_of_two_symbols_is_underpowered_never_a_pass(smoke: tuple[Path, StudyRun]) -> None:
    _, run = smoke
    verdicts = {g.gate: g.outcome for g in run.outcome.gates}
    assert verdicts[Gate.D0] == verdicts[Gate.PIT1] == verdicts[Gate.E1] == Outcome.PASS
    assert verdicts[Gate.V1] is Outcome.UNDERPOWERED
    assert {verdicts[g] for g in (Gate.B, Gate.S, Gate.P)} == {Outcome.NOT_EVALUABLE}
    assert run.exit_code == 3


def test_artifacts_say_where_the_chain_stopped(smoke: tuple[Path, StudyRun]) -> None:
    _, run = smoke
    names = {path.name for path in run.artifacts.iterdir()}
    assert {"events.parquet", "features_pt.parquet", "labels_fwd.parquet"} <= names
    assert {"phase2_candidates.csv", "phase2_candidates.parquet", "gate_board.html"} <= names
    assert {"candidate_studies.parquet", "candidates.html", "candidates"} <= names
    unreached = {"bridge_results.csv", "blueprints.jsonl", "backtest_returns.parquet"}
    assert not {*unreached, "strategies.html"} & names
    report = json.loads((run.artifacts / "portfolio_report.json").read_text(encoding="utf-8"))
    assert report["portfolio"] is None
    assert report["reason"] == "not reached: V1 did not pass"
    manifest = json.loads((run.artifacts / "run_manifest.json").read_text(encoding="utf-8"))
    assert set(manifest["tables"]["features_pt"]) >= {"code", "specs", "lock", "partitions"}
    assert manifest["ledger"]["trials"] == run.outcome.candidates.height


def test_the_notebook_runs_as_it_stands(
    smoke: tuple[Path, StudyRun],
    repository: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    root, _ = smoke
    monkeypatch.chdir(root)
    monkeypatch.setenv("QUANTLAB_DATA", str(root / "data"))
    notebook = repository / "quantlab_pipeline_tests" / "notebooks" / "first_look.py"
    runpy.run_path(str(notebook))
    said = capsys.readouterr().out
    assert "funding_window" in said
    assert "T1 net bps" in said
    assert "GATE_NOT_PASSED" in said
