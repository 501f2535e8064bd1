"""PT-21: one manifest, run by other processes with other threads and hash seeds, gives one answer.

The whole chain runs three times in processes of their own; what it leaves must be the same to the
byte: artifacts, verdicts, and the trial ledger. Wall-clock facts stand under `observed` alone.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from quantlab_pipeline_tests.chain.builders import ALL_AFTER_E1, project_with

WAYS: list[dict[str, str]] = [
    {"PYTHONHASHSEED": "0", "POLARS_MAX_THREADS": "1", "NUMBA_NUM_THREADS": "1"},
    {"PYTHONHASHSEED": "1", "POLARS_MAX_THREADS": "2", "NUMBA_NUM_THREADS": "2"},
    {"PYTHONHASHSEED": "4242", "POLARS_MAX_THREADS": "4", "OMP_NUM_THREADS": "1"},
]


def _run(root: Path, way: dict[str, str]) -> Path:
    waived = [arg for gate in ALL_AFTER_E1 for arg in ("--waive", gate.value)]
    command = [sys.executable, "-m", "quantlab_pipeline.cli", "run", "planted_edges", "--json"]
    command += [*waived, "--reason", "to see the whole chain", "--project", str(root)]
    done = subprocess.run(
        [*command, "--data", str(root / "data")],
        env={**os.environ, **way},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return Path(json.loads(done.stdout)["artifacts"])


def _known(value: Any) -> Any:
    """`value` without what was merely observed."""
    if isinstance(value, dict):
        return {k: _known(v) for k, v in value.items() if k != "observed"}
    return [_known(v) for v in value] if isinstance(value, list) else value


def _content(folder: Path) -> dict[str, bytes]:
    out = {}
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        data = path.read_bytes()
        if path.suffix == ".json":
            data = json.dumps(_known(json.loads(data)), sort_keys=True).encode()
        out[str(path.relative_to(folder))] = data
    return out


def _ledger(data: Path) -> list[tuple[Any, str]]:
    """Body and chained hash of every entry; its check covers the clock as well."""
    (path,) = data.rglob("trials.jsonl")
    entries = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [(e["body"], e["hash"]) for e in entries]


@pytest.mark.calibrate
def test_threads_hash_seeds_and_processes_change_no_byte(tmp_path: Path, repository: Path) -> None:
    days = {"symbols": ["AAAUSDT", "BBBUSDT"], "last_day": date(2025, 1, 16)}
    edits = {
        "markets/world_planted_edges": days,
        "studies/planted_edges": {**days, "holdout_from": date(2025, 1, 12)},
    }
    artifacts, ledgers = [], []
    for i, way in enumerate(WAYS):
        root = project_with(tmp_path / str(i), repository, edits)
        artifacts.append(_content(_run(root, way)))
        ledgers.append(_ledger(root / "data"))
    assert len(ledgers[0]) >= 2, "a registration and its results"
    for again, ledger in zip(artifacts[1:], ledgers[1:], strict=True):
        assert again.keys() == artifacts[0].keys()
        changed = [name for name, data in again.items() if data != artifacts[0][name]]
        assert not changed
        assert ledger == ledgers[0]
