"""Opening the sealed truth: what was planted, and which of a study's survivors are real.

Belongs here: the rows that `quantlab world reveal` prints, as a pure function of the truth's bytes
and a study's tables. Whoever calls it has finished his study: nothing here goes back into a stage.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import polars as pl

from quantlab_pipeline.calibration.grade import GRADES, grade_candidates
from quantlab_pipeline.calibration.planted import planted_types
from quantlab_pipeline.core.verdicts import Outcome
from quantlab_pipeline.research.validation.inputs import ValidationInputs
from quantlab_pipeline.research.validation.spec import CandidateFamily
from quantlab_pipeline.simulation.costs import CostModel
from quantlab_pipeline.worlds.truth import truth_from_json

PLANTED = {
    "event_type": pl.String,
    "kind": pl.String,
    "side": pl.Int64,
    "drift_bps": pl.Float64,
    "over_min": pl.Int64,
    "horizon": pl.String,
    "n_episodes": pl.Int64,
}
SURVIVOR = (
    "candidate_id", "event_type", "bucket", "horizon", "template", "side", "n_events", "net_bps",
    *GRADES,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Revealed:
    """The truth of a world and what it says of a study.

    `planted`: one row per planted edge (event type, kind of episode, side, injected bps, minutes,
    horizon, episodes in the whole world), none for a null world. `survivors`: every V1 pass with
    its measured and its true net effect; `truly_null` marks a false discovery. `seal` is the
    truth's digest, as published before the run.
    """

    scenario: str
    seed: int
    seal: str
    planted: pl.DataFrame
    survivors: pl.DataFrame

    @property
    def false_discoveries(self) -> int:
        """Survivors that are truly null."""
        return int(self.survivors["truly_null"].sum())


def reveal(
    truth: bytes,
    candidates: pl.DataFrame,
    inputs: ValidationInputs,
    family: CandidateFamily,
    costs: CostModel,
) -> Revealed:
    """Grade the V1 passes in `candidates` by `truth`, the canonical bytes as they were sealed.

    `inputs`, `family` and `costs` are those that made the candidates. SchemaError if they are not.
    """
    opened = truth_from_json(truth)
    passed = candidates.filter(pl.col("status") == Outcome.PASS.value)
    graded = grade_candidates(passed, inputs, family, costs, opened).select(SURVIVOR)
    planted = pl.DataFrame([asdict(p) for p in planted_types(opened)], schema=PLANTED)
    return Revealed(opened.scenario, opened.seed, opened.digest(), planted, graded)


def naive_discoveries(candidates: pl.DataFrame, level: float = 0.05) -> pl.DataFrame:
    """The candidates that a one-sided t-test of their net returns would call significant."""
    from scipy.special import ndtri

    return candidates.filter(pl.col("z_naive") > float(-ndtri(level)))
