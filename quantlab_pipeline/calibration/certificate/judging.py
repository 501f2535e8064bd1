"""Our rule, blind: a market and a question in, figures and verdicts out. It sees no truth.

Belongs here: the calls of V1's own measuring and judging, and the compact form in which answers are
kept until the seal is opened. A broken rule (`mutants`) answers in the same form.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from quantlab_pipeline.calibration.certificate.bench import Bench, made_free
from quantlab_pipeline.core.verdicts import Outcome
from quantlab_pipeline.research.validation.evaluate import judge_rows, measure_family
from quantlab_pipeline.research.validation.family import Candidate
from quantlab_pipeline.research.validation.flags import HETEROGENEOUS, flags_of
from quantlab_pipeline.research.validation.inputs import EventArrays
from quantlab_pipeline.simulation.costs import CostModel

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Rows = list[dict[str, Any]]
NO_SLICES = {"slice_min_days": 1_000_000}
"""Thresholds under which no slice is looked at."""

FIGURES = (
    "n_events", "active_days", "n_eff", "gross_bps", "cost_bps", "net_bps", "se_bps", "mde80_bps",
    "z_raw", "z_contrast", "z_naive", "p", "heterogeneity_p", "ci95_low_bps", "ci95_high_bps",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Blind:
    """A market as it is shown: its arrays, the questions, and what trading costs in it.

    Where it is not `sliced` no slice is looked at: it then cannot stop a pass, which is the harder
    question where nothing should pass, and takes a third of the time.
    """

    arrays: EventArrays
    candidates: tuple[Candidate, ...]
    costs: CostModel
    sliced: bool = True


@dataclass(frozen=True, slots=True)
class Answer:
    """What a rule says of K candidates, in the order of the questions.

    `figures` [K] by name (columns of `phase2_candidates`; NaN for none), `passed` bool[K] with the
    family's own number of tests and `passed_budget` with the budget's, `heterogeneous` bool[K],
    `q` float64[K] at the budget and `status` its verdicts.
    """

    figures: Mapping[str, Floats]
    passed: Bools
    passed_budget: Bools
    heterogeneous: Bools
    q: Floats
    status: tuple[str, ...]

    @property
    def z(self) -> Floats:
        """The smaller z of each candidate, on which its p rests."""
        return np.minimum(self.figures["z_raw"], self.figures["z_contrast"])


def shown(
    bench: Bench,
    arrays: EventArrays,
    asked: Sequence[Candidate],
    *,
    free: bool,
    sliced: bool = True,
) -> Blind:
    """A market to judge, with the conservative costs or with none."""
    if free:
        return Blind(made_free(arrays), tuple(asked), bench.free, sliced)
    return Blind(arrays, tuple(asked), bench.costs, sliced)


def measure(bench: Bench, blind: Blind) -> Rows:
    """V1's own measured rows of the market, every candidate evaluable."""
    limits = bench.thresholds
    if not blind.sliced:
        limits = limits.model_copy(update=NO_SLICES)
    reasons = {(c.event_type, c.template.name): None for c in blind.candidates}
    return measure_family(
        blind.arrays,
        blind.candidates,
        reasons,
        bench.family,
        blind.costs,
        limits,
        bench.bands.m_budget,
        n_threads=1,
    ).rows


def judge(bench: Bench, blind: Blind) -> Answer:
    """V1's own answer."""
    return answer_of(bench, measure(bench, blind))


def answer_of(bench: Bench, rows: Rows) -> Answer:
    """Measured rows as an answer: V1's verdicts at the number of rows and at the budget."""
    own = judge_rows(rows, bench.thresholds, len(rows), clean=False)
    return answer_from(bench, own, judge_rows(rows, bench.thresholds, bench.bands.m_budget, False))


def answer_from(bench: Bench, own: Rows, budget: Rows) -> Answer:
    """The answer of judged rows: once with the family's own number of tests, once the budget's."""
    flags = [flags_of(row, bench.flags) for row in budget]
    return Answer(
        figures=figures_of(budget),
        passed=_passed(own),
        passed_budget=_passed(budget),
        heterogeneous=np.array([any(f.startswith(HETEROGENEOUS) for f in told) for told in flags]),
        q=_column(budget, "q_bh"),
        status=tuple(row["status"] for row in budget),
    )


def figures_of(rows: Rows) -> dict[str, Floats]:
    """The figures of measured rows, float64[K] by name; NaN for None."""
    return {name: _column(rows, name) for name in FIGURES}


def _column(rows: Rows, name: str) -> Floats:
    return np.array([np.nan if row.get(name) is None else row[name] for row in rows], np.float64)


def _passed(rows: Rows) -> Bools:
    return np.array([row["status"] == Outcome.PASS.value for row in rows], np.bool_)
