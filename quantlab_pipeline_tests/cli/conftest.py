"""The command line, an empty data folder, and one small generated market that was really run."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from quantlab_pipeline_tests.cli import builders

SCENARIO = """\
name: tiny
first_day: 2025-03-01
duration_min: 5760
seed: 5
symbols:
  - {symbol: AAAUSDT, start_price: 100.0, tick_size: 0.01, lot_size: 0.01}
dynamics: {family: vol_cluster, alpha: 0.04, beta: 0.95}
episodes:
  - {kind: volume_spike, per_symbol_day: 2, size: 8, duration_min: 5,
     drift: {bps: 40, over_min: 60, sign: up}}
"""

FAMILY = """\
family_id: few
version: 1
buckets: [{name: all}]
horizons: [15m, 1h]
templates: [{name: directional, rule: constant}]
sides: [1, -1]
delta_min: 1
max_missing_frac: 0.05
max_exit_gap_min: 3
q: 0.1
procedure: benjamini_hochberg
cost_profile: conservative
"""


@dataclass(frozen=True)
class Ran:
    """A project with one generated market, its data, and what the commands said."""

    project: Path
    data: Path
    folder: Path
    made: str
    run: subprocess.CompletedProcess[str]

    @property
    def summary(self) -> dict[str, Any]:
        return json.loads(self.run.stdout)

    @property
    def places(self) -> tuple[str, ...]:
        return ("--project", str(self.project), "--data", str(self.data))


@pytest.fixture
def quantlab(capfd: pytest.CaptureFixture[str]) -> builders.Command:
    return builders.command(capfd)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture(scope="session")
def ran(tmp_path_factory: pytest.TempPathFactory, repository: Path) -> Ran:
    """`world make`, then `run` on what it made, each as a person types it."""
    root = tmp_path_factory.mktemp("command")
    project, data, folder = root / "project", root / "data", root / "world"
    shutil.copytree(repository / "specs", project / "specs")
    (project / "specs" / "scenarios" / "tiny.yaml").write_text(SCENARIO, encoding="utf-8")
    (project / "specs" / "candidate_family.yaml").write_text(FAMILY, encoding="utf-8")
    places = ("--project", project, "--data", data)
    made = typed("world", "make", "tiny", "--out", folder, *places)
    assert made.returncode == 0, made.stderr
    source = ("--source", "binance_archive", "--path", folder)
    run = typed("run", *source, "--json", *places)
    return Ran(project, data, folder, made.stdout, run)


def typed(*args: str | Path) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own."""
    command = [sys.executable, "-m", "quantlab_pipeline.cli", *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ)
