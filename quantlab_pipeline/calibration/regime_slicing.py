"""The experiment on slices: an edge that lives in turbulent markets alone, and its honest twin.

Belongs here: worlds whose market switches between calm and turbulent hours, and what validation
says of the edge by the pipeline's own regime at t0. The edge of one regime must pass, be strong in
the high slice and nothing in the low one, and be flagged; the twin, the same mean effect wherever
the event occurs, must pass and not be flagged more often than the threshold says. Both are planted
at a shift of `SHIFT_SE` standard errors of the binding statistic, net of cost.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import polars as pl

from quantlab_pipeline.calibration.grade import grade_candidates
from quantlab_pipeline.calibration.in_memory import Documents, Progress, run_in_memory, silent
from quantlab_pipeline.calibration.planted import planted_types
from quantlab_pipeline.calibration.planted_edges import own_candidate
from quantlab_pipeline.core.errors import SpecError
from quantlab_pipeline.research.market_data.spec import MarketSpec
from quantlab_pipeline.research.study import StudySpec
from quantlab_pipeline.research.validation.evaluate import question_of
from quantlab_pipeline.research.validation.event_study import slice_rows
from quantlab_pipeline.research.validation.family import expand_family
from quantlab_pipeline.research.validation.inputs import prepare
from quantlab_pipeline.worlds.market import generate
from quantlab_pipeline.worlds.spec import Scenario

SHIFT_SE = 6.0
Where = Literal["turbulent", "everywhere"]
TRIAL_BPS: dict[Where, float] = {"turbulent": 60.0, "everywhere": 30.0}
"""Drift of the world in which the standard error and the share of carriers are measured."""

FIGURES = (
    "status", "n_events", "cost_bps", "gross_bps", "se_bps", "z_raw", "z_contrast",
    "heterogeneity_q", "heterogeneity_p", "strongest_slice", "flags",
)  # fmt: skip
SLICE_FIGURES = ("low_mean_bps", "low_z", "mid_mean_bps", "mid_z", "high_mean_bps", "high_z")


def run_regime_slicing(
    scenario: Scenario,
    documents: Documents,
    study: StudySpec,
    market: MarketSpec,
    seeds: Sequence[int],
    progress: Progress = silent,
) -> pl.DataFrame:
    """One row per seed and twin: where the edge lives, what was planted, what validation says.

    `scenario` plants one edge whose drift ends with a horizon of the family, and has regimes.
    Columns: seed, where, drift_bps, shift_se (of the binding z, by the truth), those of `FIGURES`,
    and the gross effect and its z in the slices of `vol_regime` (`SLICE_FIGURES`; null where a
    slice has too few days).
    """
    twins: tuple[Where, ...] = ("turbulent", "everywhere")
    rows = []
    for done, seed in enumerate(seeds):
        rows += [_one(scenario, where, documents, study, market, seed) for where in twins]
        progress(f"seed {seed}", done + 1, len(seeds))
    return pl.DataFrame(rows)


def _planted(scenario: Scenario, bps: float, where: Where) -> Scenario:
    """`scenario` with every drift of that size, in that regime. SpecError if it has no edge."""
    if not any(e.drift for e in scenario.episodes):
        raise SpecError(
            f"Scenario {scenario.name} plants no edge.", "Give one of its episodes a `drift`."
        )
    only_in = "turbulent" if where == "turbulent" else None
    episodes = tuple(
        e
        if e.drift is None
        else e.model_copy(
            update={"drift": e.drift.model_copy(update={"bps": bps, "only_in": only_in})}
        )
        for e in scenario.episodes
    )
    return scenario.model_copy(update={"episodes": episodes})


def _one(
    scenario: Scenario,
    where: Where,
    documents: Documents,
    study: StudySpec,
    market: MarketSpec,
    seed: int,
) -> dict[str, Any]:
    """A trial world tells what an event must gain for the shift; the world with that is judged."""
    start = TRIAL_BPS[where]
    trial, _ = _graded(_planted(scenario, start, where), documents, study, market, seed)
    true_bps, deviation_bps = _binding(trial)
    bps = start * (SHIFT_SE * deviation_bps + trial["cost_bps"]) / true_bps
    row, slices = _graded(_planted(scenario, bps, where), documents, study, market, seed)
    true_bps, deviation_bps = _binding(row)
    found = {f"{r['label']}_{k}": r[k] for r in slices for k in ("mean_bps", "z")}
    return {
        "seed": seed,
        "where": where,
        "drift_bps": bps,
        "shift_se": (true_bps - row["cost_bps"]) / deviation_bps,
        **{name: row[name] for name in FIGURES},
        **{name: found.get(name) for name in SLICE_FIGURES},
    }


def _binding(row: dict[str, Any]) -> tuple[float, float]:
    """What the binding statistic sees of the true effect, and its deviation; bps per event.

    The contrast keeps a share of the effect but is charged the whole cost, so that a shift of so
    many standard errors takes more than the reported standard error of the effect says.
    """
    gross, contrast = row["true_gross_bps"], row["true_contrast_net_bps"] + row["cost_bps"]
    if row["z_raw"] < row["z_contrast"]:
        return gross, row["se_bps"]
    return contrast, row["se_bps"] * contrast / gross


def _graded(
    scenario: Scenario, documents: Documents, study: StudySpec, market: MarketSpec, seed: int
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The planted candidate with its grade, and its slices by volatility."""
    world = generate(scenario, seed)
    result = run_in_memory(world, documents, study, market)
    own = own_candidate(result, planted_types(world.truth)[0])
    family, costs = documents.family, documents.costs
    row = grade_candidates(own, result.inputs, family, costs, world.truth).row(0, named=True)
    candidates = expand_family(family, question_of(result.inputs), costs)
    mine = next(c for c in candidates if c.candidate_id == row["candidate_id"])
    arrays = prepare(result.inputs, family, costs)
    slices = slice_rows(arrays, family, mine, documents.gates.v1.slice_min_days)
    by_volatility = slices.filter(pl.col("partition") == "vol_regime")
    return row, list(by_volatility.iter_rows(named=True))
