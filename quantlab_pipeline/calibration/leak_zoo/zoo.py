"""The experiment PT-06: the whole zoo before gate PIT-1, on a fresh market.

Belongs here: the run. Every leak must be red with its input named, every twin green on values that
were compared; the gate sees columns, specs and inputs alone.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import chain

import polars as pl

from quantlab_pipeline.calibration.in_memory import Progress, silent
from quantlab_pipeline.calibration.leak_zoo.animals import PAIRS, zoo_build, zoo_specs
from quantlab_pipeline.calibration.leak_zoo.grade import grade_zoo
from quantlab_pipeline.calibration.leak_zoo.market import JUDGED_DAYS, SYMBOLS, zoo_market
from quantlab_pipeline.research.features.gate import judge_pit1
from quantlab_pipeline.research.features.leaks import Pit1Report
from quantlab_pipeline.research.features.spec import Pit1Thresholds

HERD = 8
"""Pairs that are judged together: of so many leaks at once the gate measures how far each saw."""


@dataclass(frozen=True, slots=True)
class ZooRun:
    """What the gate said of the zoo on one market: its reports, and the grade of each animal."""

    seed: int
    reports: tuple[Pit1Report, ...]
    graded: pl.DataFrame

    @property
    def wrong(self) -> pl.DataFrame:
        """Leaks that were missed or whose input was not named, and twins that were accused."""
        return self.graded.filter(~pl.col("right"))


def herds() -> list[tuple[str, ...]]:
    """Every animal once, a leak with its twin, those that look far back by themselves."""
    pairs = sorted(PAIRS, key=lambda p: max(p.lookback_min, p.twin_lookback_min or 0))
    names = [(pair.leak.__name__, pair.twin.__name__) for pair in pairs]
    return [tuple(chain.from_iterable(names[k : k + HERD])) for k in range(0, len(names), HERD)]


def run_zoo(
    thresholds: Pit1Thresholds,
    seed: int,
    chosen: Sequence[Collection[str]] | None = None,
    *,
    days: Collection[date] = JUDGED_DAYS,
    full: bool = False,
    progress: Progress = silent,
) -> ZooRun:
    """The herds `chosen` (default: all) on a fresh market of `seed`, before the gate.

    Each herd of names is judged by itself on `days`; `full` is the gate's own. Same arguments, same
    run.
    """
    inputs, judged, symbols = zoo_market(seed), sorted(days), list(SYMBOLS)
    before = herds() if chosen is None else chosen
    reports = []
    for done, names in enumerate(before, 1):
        specs = zoo_specs(names)
        stored = zoo_build(inputs, specs, judged, symbols)
        reports.append(
            judge_pit1(
                inputs, specs, stored, judged, symbols, thresholds, seed, zoo_build, full=full
            )
        )
        progress(f"{len(names)} animals", done, len(before))
    return ZooRun(seed, tuple(reports), pl.concat([grade_zoo(report) for report in reports]))
