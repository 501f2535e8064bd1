"""A project of the repository's specs, with studies cut short, and the chain run on it."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from quantlab_pipeline.core.verdicts import Gate
from quantlab_pipeline.definitions import build_defs
from quantlab_pipeline.defs.runner import StudyRun, run_study
from quantlab_pipeline.storage.project_lake import project_of
from quantlab_pipeline.storage.waivers import Waiver

ALL_AFTER_E1 = (Gate.V1, Gate.B, Gate.S, Gate.P)


def project_with(root: Path, repository: Path, edits: dict[str, dict[str, Any]]) -> Path:
    """A copy of the repository's specs in `root` with keys of some documents replaced.

    A million resampled paths would take longer than the chain that is tested; some stand for them.
    """
    shutil.copytree(repository / "specs", root / "specs")
    for name, changes in {"backtest": {"monte_carlo": {"paths": 10_000}}, **edits}.items():
        path = root / "specs" / f"{name}.yaml"
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
        path.write_text(yaml.safe_dump({**document, **changes}), encoding="utf-8")
    return root


def run_chain(root: Path, study: str, waived: Sequence[Gate] = ()) -> StudyRun:
    """The chain of `study` in the project at `root`, its data beside the specs."""
    data = root / "data"
    project = project_of(root, data)
    chosen = project.study(study)
    market = project.market(chosen.market)
    definitions = build_defs(root, data, [market])
    waivers = [Waiver(gate, "to see the whole chain", "a test", study=study) for gate in waived]
    return run_study(project, data, chosen, market, definitions, waivers)
