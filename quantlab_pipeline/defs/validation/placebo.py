"""The placebo on a stored study (PT-27), beside its verdicts; no trial is charged for it.

Belongs here: what is read, and where the counts are kept. How events are moved is `calibration`'s.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from quantlab_pipeline.calibration.placebo import COUNTS, Placebo, run_placebo
from quantlab_pipeline.core.errors import MissingPartitionError
from quantlab_pipeline.defs.stage_run import StageRun
from quantlab_pipeline.defs.validation.assets import validation_inputs
from quantlab_pipeline.storage.objects import write_atomic

CANDIDATES = "phase2_candidates"
FILE = "placebo.json"
Progress = Callable[[str, int, int], None]


def study_placebo(run: StageRun, progress: Progress = lambda *_: None) -> Placebo:
    """The placebo of the study whose `phase2_candidates` `run` would make, from its own inputs.

    MissingPartitionError where the candidates are not current; SpecError for too short a window.
    """
    (study,) = run.partitions
    with run.lake.one_look():
        if not run.lake.is_current(CANDIDATES, study):
            raise MissingPartitionError(
                f"The candidates of study {study} are not current.",
                f"Run it first: quantlab run {study}.",
                study=study,
            )
        inputs = validation_inputs(run)
    return run_placebo(
        inputs,
        run.project.family(run.study.family),
        run.costs,
        run.project.gates().v1,
        run.market.trial_budget,
        lookback_days(run),
        progress,
    )


def lookback_days(run: StageRun) -> int:
    """How far back any feature looks, in whole days."""
    return max(run.project.features().lookback_days_by_table.values(), default=0)


def placebo_summary(run: StageRun, placebo: Placebo) -> dict[str, Any]:
    """What the file and `--json` say: the study's counts, the placebos' mean, rank, every row."""
    (study,) = run.partitions
    names = (*COUNTS, "best_z")
    return {
        "study": study,
        "market": run.market.name,
        "made_from": run.lake.fingerprint(CANDIDATES, study),
        "rotations": placebo.n_rotations,
        "apart_days": placebo.apart_days,
        "actual": {name: placebo.counts[name][0] for name in names},
        "placebo_mean": {name: placebo.typical(name) for name in names},
        "rank": {name: placebo.rank(name) for name in names},
        "rows": placebo.counts.to_dicts(),
    }


def write_placebo(summary: dict[str, Any], folder: Path) -> Path:
    """Keep the summary among the study's artifacts."""
    folder.mkdir(parents=True, exist_ok=True)
    write_atomic(folder / FILE, (json.dumps(summary, indent=1) + "\n").encode())
    return folder / FILE


def current_placebo(folder: Path, fingerprint: str) -> dict[str, Any] | None:
    """The summary that was made from the candidates of `fingerprint`; None without one."""
    path = folder / FILE
    if not path.is_file():
        return None
    summary: dict[str, Any] = json.loads(path.read_bytes())
    return summary if summary.get("made_from") == fingerprint else None


def placebo_facts(summary: dict[str, Any] | None) -> tuple[tuple[str, str], ...]:
    """What the gate board says of a placebo; how to make one where there is none."""
    if summary is None:
        return (("placebo", "not made: quantlab calibrate --placebo"),)
    actual, mean, rank = summary["actual"], summary["placebo_mean"], summary["rank"]
    return (
        ("placebo", f"{summary['rotations']} rotations of the events"),
        ("V1 passes", _beside(actual["n_passed"], mean["n_passed"], rank["n_passed"])),
        ("p below 5 %", _beside(actual["n_nominal"], mean["n_nominal"], rank["n_nominal"])),
        ("naive t-test", _beside(actual["n_naive"], mean["n_naive"], rank["n_naive"])),
    )


def _beside(actual: int, mean: float, rank: float) -> str:
    return f"{actual:,} against {mean:,.1f} (rank {rank:.2f})"
