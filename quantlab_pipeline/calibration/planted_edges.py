"""The experiment on V1's power and its false discoveries: fresh worlds with two planted edges.

Belongs here: running a scenario and its null twin under many seeds and comparing each verdict with
the truth. On every seed both planted types must pass on their side, as their true effect over the
standard error promises; truly null survivors are at most what q allows; the twin keeps nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from quantlab_pipeline.calibration.grade import grade_candidates
from quantlab_pipeline.calibration.in_memory import (
    Documents,
    InMemoryResult,
    Progress,
    run_in_memory,
    silent,
)
from quantlab_pipeline.calibration.planted import Planted, planted_types
from quantlab_pipeline.core.errors import SpecError
from quantlab_pipeline.core.seeds import child_seed
from quantlab_pipeline.core.verdicts import Outcome
from quantlab_pipeline.research.market_data.spec import MarketSpec
from quantlab_pipeline.research.study import StudySpec
from quantlab_pipeline.research.validation.multiplicity import first_step_z
from quantlab_pipeline.worlds.market import generate
from quantlab_pipeline.worlds.spec import Scenario

FALSE_ALARM = 1e-3
"""How often a band may refuse what is right."""


@dataclass(frozen=True, slots=True)
class Experiment:
    """What came of all seeds.

    `planted`: one row per seed and planted type, the candidate that was planted: `true_net_bps`,
    `multiple` of the study's own MDE80, `probability` of a pass at the family's first step, and the
    status. `survivors`: every V1 pass with its grade and seed. `null_survivors`: those of the
    twins.
    """

    seeds: tuple[int, ...]
    planted: pl.DataFrame
    survivors: pl.DataFrame
    null_survivors: pl.DataFrame

    @property
    def missed(self) -> pl.DataFrame:
        """Planted candidates that did not pass."""
        return self.planted.filter(pl.col("status") != Outcome.PASS.value)

    @property
    def truly_null(self) -> int:
        """False discoveries among the survivors of all seeds."""
        return int(self.survivors["truly_null"].sum())

    def by_type(self) -> pl.DataFrame:
        """One row per planted type: how many of the seeds passed, and the range of its figures."""
        multiple = pl.col("multiple")
        return (
            self.planted.group_by("event_type", "side", maintain_order=True)
            .agg(
                pl.len().alias("n_seeds"),
                (pl.col("status") == Outcome.PASS.value).sum().alias("n_passed"),
                pl.col("n_events", "cost_bps", "true_net_bps", "mde80_bps").mean(),
                multiple.min().alias("multiple_min"),
                multiple.mean().alias("multiple_mean"),
                multiple.max().alias("multiple_max"),
                pl.col("probability").min().alias("probability_min"),
            )
            .sort("event_type")
        )

    def allowed(self, q: float) -> int:
        """Most false discoveries among so many survivors at a rate of q, by the binomial."""
        from scipy.stats import binom

        return int(binom.ppf(1.0 - FALSE_ALARM, self.survivors.height, q))


def fresh_seeds(root: int, count: int) -> tuple[int, ...]:
    """`count` seeds of worlds that nobody has looked at, children of `root`."""
    return tuple(child_seed(root, "planted_edges", k) for k in range(count))


def run_planted_edges(
    load: Callable[[type[Scenario]], Scenario],
    documents: Documents,
    study: StudySpec,
    market: MarketSpec,
    seeds: Sequence[int],
    progress: Progress = silent,
) -> Experiment:
    """The scenario that `load` reads and its null twin, once under each of `seeds`."""
    scenario = load(Scenario)
    twin = scenario.without_drift()
    z_first = first_step_z(documents.gates.v1.q, market.trial_budget)
    planted: list[dict[str, Any]] = []
    survivors, null_survivors = [], []
    for done, seed in enumerate(seeds):
        world = generate(scenario, seed)
        result = run_in_memory(world, documents, study, market)
        cells = [own_candidate(result, edge) for edge in planted_types(world.truth)]
        wanted = pl.concat([*cells, result.passed()])
        graded = grade_candidates(
            wanted, result.inputs, documents.family, documents.costs, world.truth
        )
        planted += [_row(seed, graded.row(k, named=True), z_first) for k in range(len(cells))]
        survivors.append(graded[len(cells) :].select(pl.lit(seed).alias("seed"), pl.all()))
        null = run_in_memory(generate(twin, seed), documents, study, market)
        null_survivors.append(null.passed().select(pl.lit(seed).alias("seed"), pl.all()))
        progress(f"seed {seed}", done + 1, len(seeds))
    return Experiment(
        tuple(seeds), pl.DataFrame(planted), pl.concat(survivors), pl.concat(null_survivors)
    )


def own_candidate(result: InMemoryResult, edge: Planted) -> pl.DataFrame:
    """The one candidate that says just what was planted, a frame of one row.

    SpecError if the study asks for none.
    """
    found = result.candidates.filter(
        pl.col("event_type") == edge.event_type,
        pl.col("bucket") == "all",
        pl.col("template") == "directional",
        pl.col("horizon") == edge.horizon,
        pl.col("side") == edge.side,
        pl.col("n_events") > 0,
    )
    if found.height != 1:
        raise SpecError(
            f"The world plants {edge.event_type} over {edge.over_min} minutes; no candidate asks.",
            "Let the study have this event type and the family this horizon, bucket `all` and "
            "template `directional`.",
            event_type=edge.event_type,
        )
    return found


def _row(seed: int, graded: dict[str, Any], z_first: float) -> dict[str, Any]:
    from scipy.special import ndtr

    figures = (
        "event_type", "horizon", "side", "n_events", "cost_bps", "net_bps", "se_bps", "mde80_bps",
        "z_raw", "z_contrast", "true_net_bps", "true_contrast_net_bps", "status",
    )  # fmt: skip
    shift = graded["true_net_bps"] / graded["se_bps"]
    return {
        "seed": seed,
        **{name: graded[name] for name in figures},
        "multiple": graded["true_net_bps"] / graded["mde80_bps"],
        "probability": float(ndtr(shift - z_first)),
    }
