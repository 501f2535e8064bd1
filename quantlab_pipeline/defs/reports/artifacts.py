"""A study's artifacts, under the names that people rely on.

Belongs here: which files are written, and where. What the lake says of a study is `outcome`'s
matter; what a file says is the reports' or a table's own. Artifacts of tables that are not current
are removed: a stale file would be a lie.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl

from quantlab_pipeline.core.errors import QuantlabError
from quantlab_pipeline.core.verdicts import ADMITTED, Gate, ItemVerdict
from quantlab_pipeline.defs.reports.outcome import StudyOutcome
from quantlab_pipeline.defs.reports.pages import PAGES
from quantlab_pipeline.defs.reports.strategy_pages import sheet_path
from quantlab_pipeline.defs.reports.study_page import write_page
from quantlab_pipeline.reports.gate_board import render_gate_board
from quantlab_pipeline.research.backtest.blueprint import to_jsonl
from quantlab_pipeline.storage.export import stream_days, write_frame
from quantlab_pipeline.storage.manifests import partition_key
from quantlab_pipeline.storage.objects import write_atomic

DAY_FILES = ("events", "features_pt", "labels_fwd")


def write_artifacts(outcome: StudyOutcome, folder: Path, run_id: str) -> Path:
    """Write every artifact that the chain reached, remove the others; the path of the board."""
    folder.mkdir(parents=True, exist_ok=True)
    with outcome.lake.one_look():
        _write_tables(outcome, folder)
        for name in DAY_FILES:
            _write_day_file(outcome, name, folder / f"{name}.parquet")
        _write_json(folder / "gate_verdicts.json", _verdicts_json(outcome))
        _write_json(folder / "run_manifest.json", _manifest_json(outcome, run_id))
        pages = [p for p in PAGES if write_page(outcome, p, folder) is not None]
        board = folder / "gate_board.html"
        sheets = {name: sheet_path(name) for name in sorted(outcome.executed)}
        content = outcome.board([(page.title, page.file) for page in pages], sheets)
        write_atomic(board, render_gate_board(content).encode())
    return board


def _write_day_file(outcome: StudyOutcome, table: str, path: Path) -> None:
    try:
        stream_days(outcome.lake, table, outcome.study.days, outcome.study.symbols, path)
    except QuantlabError:
        path.unlink(missing_ok=True)


def _write_tables(outcome: StudyOutcome, folder: Path) -> None:
    files = {
        "phase2_candidates": ("phase2_candidates.csv", "phase2_candidates.parquet"),
        "candidate_studies": ("candidate_studies.parquet",),
        "bridge_executions": ("bridge_executions.csv", "bridge_executions.parquet"),
        "bridge_results": ("bridge_results.csv",),
        "backtest_returns": ("backtest_returns.parquet",),
        "backtest_trades": ("backtest_trades.parquet",),
        "backtest_risk": ("backtest_risk.csv",),
        "stress_results": ("stress_results.csv",),
        "assumption_ledger": ("assumption_ledger.csv",),
    }
    for table, names in files.items():
        frame = outcome.table(table)
        for name in names:
            if frame is None:
                (folder / name).unlink(missing_ok=True)
            else:
                write_frame(_ranked(frame), folder / name)
    plans = outcome.table("blueprints")
    if plans is None:
        (folder / "blueprints.jsonl").unlink(missing_ok=True)
    else:
        write_atomic(folder / "blueprints.jsonl", to_jsonl(plans).encode())
    _write_json(folder / "walkforward_summary.json", _report(outcome, "walkforward", Gate.S))
    _write_json(folder / "portfolio_report.json", _report(outcome, "portfolio", Gate.P))


def _ranked(frame: pl.DataFrame) -> pl.DataFrame:
    """Candidates by their rank; other tables as they are."""
    return frame.sort("rank") if "rank" in frame.columns else frame


def _report(outcome: StudyOutcome, table: str, gate: Gate) -> dict[str, Any]:
    """A table's rows with the hash they came from; null and a reason where the chain stopped."""
    frame = outcome.table(table)
    stopped = next((g.gate.value for g in outcome.gates if g.outcome not in ADMITTED), None)
    report: dict[str, Any] = {
        "study": outcome.study.name,
        "market": outcome.market.name,
        "admissible": outcome.admissible,
        "gate": gate.value,
        "verdict": next(g.outcome.value for g in outcome.gates if g.gate is gate),
    }
    if frame is None:
        return {**report, table: None, "reason": f"not reached: {stopped} did not pass"}
    fingerprint = outcome.lake.fingerprint(table, outcome.study.name)
    return {**report, "source": fingerprint, table: frame.to_dicts()}


def _verdicts_json(outcome: StudyOutcome) -> dict[str, Any]:
    return {
        "study": outcome.study.name,
        "market": outcome.market.name,
        "admissible": outcome.admissible,
        "gates": [
            {
                "gate": g.gate.value,
                "verdict": g.outcome.value,
                "judged": g.judged,
                "passed": g.admitted,
                "reasons": dict(g.reasons),
                "waiver": g.waiver,
                "thresholds": outcome.project.gates().section(g.gate).model_dump(mode="json"),
                "items": [_item(v) for v in outcome.verdicts[g.gate]],
            }
            for g in outcome.gates
        ],
    }


def _item(verdict: ItemVerdict) -> dict[str, Any]:
    return {
        "item": verdict.item,
        "verdict": verdict.outcome.value,
        "reasons": list(verdict.reasons),
        "measured": {name: list(pair) for name, pair in verdict.measured.items()},
        **({"evidence": list(verdict.evidence)} if verdict.evidence else {}),
    }


def _manifest_json(outcome: StudyOutcome, run_id: str) -> dict[str, Any]:
    """What the study was made from: fingerprints, code, specs, lock, verdicts, ledger head."""
    tables: dict[str, dict[str, Any]] = {}
    for name, spec in outcome.lake.graph.tables.items():
        daily = spec.partition == "day"
        partitions: Sequence[date | str] = outcome.study.days if daily else [outcome.study.name]
        for partition in partitions:
            key = partition_key(spec.partition, partition)
            manifest = outcome.lake.manifests.current(name, key)
            if manifest is not None:
                entry = tables.setdefault(
                    name,
                    {
                        "code": manifest.code_hash,
                        "specs": dict(manifest.spec_hashes),
                        "schema": manifest.schema_hash,
                        "lock": manifest.lock_hash,
                        "partitions": {},
                    },
                )
                entry["partitions"][key] = manifest.fingerprint
    ledger = outcome.ledger.state()
    return {
        "study": outcome.study.name,
        "study_hash": outcome.study.spec_hash(),
        "market": outcome.market.name,
        "market_hash": outcome.market.spec_hash(),
        "tables": tables,
        "verdicts": {
            gate.value: {r.partition: r.digest for r in records}
            for gate, records in outcome.records.items()
        },
        "ledger": {"head": ledger.head, "trials": ledger.n_trials, "budget": ledger.budget},
        "observed": {"run_id": run_id, "written_at": outcome.clock().isoformat()},
    }


def _write_json(path: Path, value: Mapping[str, Any]) -> None:
    write_atomic(path, (json.dumps(value, indent=1, sort_keys=False, default=str) + "\n").encode())
