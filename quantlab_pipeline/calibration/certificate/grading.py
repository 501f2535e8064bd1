"""The seal opened: every figure of an experiment, against its band.

Belongs here: what each experiment asks of the answers, given the truth. The same functions grade
our rule and the broken ones, each on the worlds that it was shown.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from quantlab_pipeline.calibration.certificate.bench import Bench
from quantlab_pipeline.calibration.certificate.judging import Answer
from quantlab_pipeline.calibration.certificate.limits import (
    Held,
    limit_of_mean,
    mean_over,
    most,
    share_limits,
)
from quantlab_pipeline.calibration.certificate.rounds import Played, Words
from quantlab_pipeline.calibration.certificate.sealing import MDE_HORIZONS
from quantlab_pipeline.calibration.certificate.shapes import Planted
from quantlab_pipeline.calibration.certificate.sizes import (
    Size,
    World,
    hold_from_below,
    hold_sizes,
    measure_sizes,
    null_world,
)
from quantlab_pipeline.research.validation.bands import ShareBand
from quantlab_pipeline.research.validation.cells import BAND_Z
from quantlab_pipeline.research.validation.multiplicity import first_step_z

Floats = npt.NDArray[np.float64]
DAY = "24h"
DIRECTIONAL = "directional"
MAX_GAP = 1e-9
"""How far two ways to sum the same may lie apart: rounding."""


@dataclass(frozen=True, slots=True)
class Case:
    """One world in one shape: what was said of it, its truth, and the questions."""

    answer: Answer
    truth: Planted
    asked: tuple[Words, ...]

    @property
    def own(self) -> int:
        """Place of the edge's own question."""
        assert self.truth.own is not None
        return self.truth.own

    def figure(self, name: str) -> float:
        """A figure of the edge's own question."""
        return float(self.answer.figures[name][self.own])


Cases = Mapping[str, Sequence[Case]]
"""The worlds in each shape, in their order."""


@dataclass(frozen=True, slots=True)
class Graded:
    """All bands, and the tables behind them: `sizes` where nothing is, `drift_sizes` under a drift;
    `discoveries` maps each shape with edges to (passes, false ones) of each world.
    """

    held: tuple[Held, ...]
    sizes: tuple[Size, ...]
    drift_sizes: tuple[Size, ...]
    discoveries: Mapping[str, tuple[tuple[int, int], ...]]


def opened(played: Sequence[Played], names: Sequence[Mapping[str, str]]) -> Cases:
    """The worlds of `played` by shape; `names` are the random names of each world's shapes."""
    out: dict[str, list[Case]] = {}
    for world, own in zip(played, names, strict=True):
        for shape, name in own.items():
            if name in world.answers:
                case = Case(world.answers[name], world.truths[name], world.asked[name])
                out.setdefault(shape, []).append(case)
    return out


def grade(
    bench: Bench, cases: Cases, played: Sequence[Played], beside: Sequence[World] = ()
) -> Graded:
    """Every band that the shapes in `cases` allow; `beside` are null worlds of the tail alone."""
    horizons = bench.family.horizons
    levels = bench.bands.size_levels
    null = [_null(bench, case) for case in cases["null"]]
    sizes = measure_sizes([*null, *beside], levels, horizons)
    drift_sizes = measure_sizes([_drifting(bench, c) for c in cases["drift"]], levels, horizons)
    held = [
        *_no_pass(bench, cases["null"], "PT-01"),
        *hold_sizes(bench, sizes, "PT-01"),
        hold_from_below(bench, sizes, "PT-01"),
        _identity(played),
        *_power(bench, cases),
        *_false_discoveries(bench, cases),
        *(_mde(bench, cases.get(shape, ()), shape) for shape in MDE_HORIZONS),
        *_copies(bench, played),
        *_drift(bench, cases),
        *hold_sizes(bench, [s for s in drift_sizes if s.level in bench.bands.mean_levels], "PT-05"),
        *_regimes(bench, cases),
    ]
    found = {s: tuple(_found(c, s) for c in cases[s]) for s in _WITH_EDGES if s in cases}
    return Graded(tuple(held), tuple(sizes), tuple(drift_sizes), found)


_WITH_EDGES = ("planted", "planted_free")


def _null(bench: Bench, case: Case) -> World:
    return null_world(bench, case.answer.figures, [words[2] for words in case.asked])


def _drifting(bench: Bench, case: Case) -> World:
    """The candidates that a drift of every symbol favours most: always long."""
    figures = case.answer.figures
    long = np.array([words[3:] == (DIRECTIONAL, 1) for words in case.asked])
    own = {name: np.where(long, values, np.nan) for name, values in figures.items()}
    return null_world(bench, own, [words[2] for words in case.asked])


def _no_pass(bench: Bench, cases: Sequence[Case], experiment: str) -> list[Held]:
    """Worlds without an edge in which anything passes: at the family's own number of tests and at
    the budget. With m of M tests Benjamini and Hochberg allow q m / M of them.
    """
    q, false_alarm = bench.thresholds.q, bench.bands.false_alarm
    asked = max(len(case.asked) for case in cases)
    own = [bool(case.answer.passed.any()) for case in cases]
    budget = [bool(case.answer.passed_budget.any()) for case in cases]
    share = q * asked / bench.bands.m_budget
    return [
        _at_most(experiment, "worlds with any pass, own m", own, q, false_alarm),
        _at_most(experiment, "worlds with any pass, budget", budget, share, false_alarm),
    ]


def _at_most(
    experiment: str, name: str, happened: Sequence[bool], probability: float, false_alarm: float
) -> Held:
    n = len(happened)
    high = most(n, probability, false_alarm)
    return Held(experiment, name, float(sum(happened)), None, float(high), n)


def _share(
    experiment: str, name: str, happened: Sequence[bool], band: ShareBand, false_alarm: float
) -> Held:
    n = len(happened)
    low, high = share_limits(band, n, false_alarm)
    measured = sum(happened) / n if n else math.nan
    return Held(experiment, name, measured, low, None if high >= 1.0 else high, n)


def _identity(played: Sequence[Played]) -> Held:
    worst = max(world.identity for world in played)
    name = "distance from the events' own mean return"
    return Held("PT-01", name, worst, None, MAX_GAP, len(played))


def _power(bench: Bench, cases: Cases) -> list[Held]:
    """The edge's own question passes with its bucket's top z; intervals cover the truth."""
    bands = bench.bands
    planted = cases["planted"]
    right = [is_found(case) for case in planted]
    covered = [is_covered(case) for case in (*planted, *cases.get("mde", ()))]
    return [
        _share("PT-02", "own cell passes, top z", right, bands.power, bands.false_alarm),
        _share("PT-02", "95 % intervals that cover", covered, bands.coverage, bands.false_alarm),
        _bias(bench, planted),
        _charged(planted),
    ]


def _charged(planted: Sequence[Case]) -> Held:
    """Net and gross of every question differ by its events' own mean cost, once."""
    worst = 0.0
    for case in planted:
        figures, cost = case.answer.figures, case.truth.effects.cost
        worst = max(
            worst, float(np.nanmax(np.abs(figures["gross_bps"] - figures["net_bps"] - cost)))
        )
    return Held(
        "PT-02",
        "distance of the cost from the events' own, bps",
        worst,
        None,
        MAX_GAP,
        len(planted),
    )


def _bias(bench: Bench, planted: Sequence[Case]) -> Held:
    """The mean distance of the net effect from the truth, in standard errors: normal around 0."""
    off = [
        (case.figure("net_bps") - float(case.truth.effects.net[case.own])) / _half(case)
        for case in planted
    ]
    high = limit_of_mean(len(off), bench.bands.false_alarm)
    name = "bias of the net effect, standard errors"
    return Held("PT-02", name, float(np.mean(off)), -high, high, len(off))


def _half(case: Case) -> float:
    """The standard error that the interval of the edge's own question was made with."""
    return (case.figure("ci95_high_bps") - case.figure("ci95_low_bps")) / (2.0 * BAND_Z)


def is_found(case: Case) -> bool:
    """The edge's own question passes at the budget, and none of another horizon has a larger z."""
    kind, bucket, horizon = case.asked[case.own][:3]
    others = [
        k for k, words in enumerate(case.asked)
        if words[:2] == (kind, bucket) and words[2] != horizon
    ]  # fmt: skip
    z = case.answer.z
    beaten = bool((z[others] >= z[case.own]).any())
    return bool(case.answer.passed_budget[case.own]) and not beaten


def is_covered(case: Case) -> bool:
    """The 95 % interval of the edge's own question holds its true net effect."""
    truth = float(case.truth.effects.net[case.own])
    return case.figure("ci95_low_bps") <= truth <= case.figure("ci95_high_bps")


def _found(case: Case, shape: str) -> tuple[int, int]:
    """How many pass, and how many of them are truly null."""
    answer = case.answer
    passed = answer.passed_budget if shape == "planted" else answer.passed
    return int(passed.sum()), int((passed & case.truth.effects.truly_null).sum())


def _false_discoveries(bench: Bench, cases: Cases) -> list[Held]:
    """The mean over worlds of the false share among the passes; none where nothing passes.

    Its band: a sum of independent shares with mean q has no heavier tail than the binomial's
    (Hoeffding 1963, in the convex order), so that worlds are the unit and passes may depend.
    """
    told = {"planted": "at the budget, net of cost", "planted_free": "at own m, free of costs"}
    out = []
    for shape, words in told.items():
        if shape in cases:
            shares = np.array(
                [false / max(all_, 1) for all_, false in (_found(c, shape) for c in cases[shape])]
            )
            high = most(shares.size, bench.thresholds.q, bench.bands.false_alarm) / shares.size
            measured = mean_over(shares).value
            name = f"false discovery rate, {words}"
            out.append(Held("PT-02", name, measured, None, high, shares.size))
    return out


def _mde(bench: Bench, cases: Sequence[Case], shape: str) -> Held:
    """The smaller z of an edge of the reported MDE80 reaches the first step's."""
    bands = bench.bands
    z_first = first_step_z(bench.thresholds.q, bands.m_budget)
    reached = [bool(case.answer.z[case.own] >= z_first) for case in cases]
    name = f"z reaches the first step at MDE80, {MDE_HORIZONS[shape]}"
    return _share("PT-03", name, reached, bands.mde_power, bands.false_alarm)


def _copies(bench: Bench, played: Sequence[Played]) -> list[Held]:
    every = [(way, changed) for world in played for way, changed in world.copies.items()]
    high, out = bench.bands.copy_max_dz, []
    for way in dict.fromkeys(way for way, _ in every):
        mine = [changed for name, changed in every if name == way]
        told = way.replace("_", " ")
        for name, values in (
            ("change of z", [c.dz for c in mine]),
            ("change of q", [c.dq for c in mine]),
            ("verdicts changed", [float(c.verdicts) for c in mine]),
            ("naive t over root 2", [c.naive for c in mine]),
        ):
            limit = 0.0 if name == "verdicts changed" else high
            out.append(Held("PT-04", f"{told}: {name}", max(values), None, limit, len(mine)))
    return out


def _drift(bench: Bench, cases: Cases) -> list[Held]:
    """A drift is no edge: nothing passes, while it moves the raw z of long horizons."""
    moved = [
        float(np.nanmean(_raw_of_a_day(drift) - _raw_of_a_day(null)))
        for null, drift in zip(cases["null"], cases["drift"], strict=True)
    ]
    shift = Held(
        "PT-05", "shift of the raw z, 24h", float(np.mean(moved)), bench.bands.drift_min_shift,
        None, len(moved),
    )  # fmt: skip
    return [*_no_pass(bench, cases["drift"], "PT-05"), shift]


def _raw_of_a_day(case: Case) -> Floats:
    """Raw z of every type's directional long over a day, events of all contexts."""
    at = [k for k, words in enumerate(case.asked) if words[1:] == ("all", DAY, DIRECTIONAL, 1)]
    return case.answer.figures["z_raw"][at]


def _regimes(bench: Bench, cases: Cases) -> list[Held]:
    """An edge of one regime passes and is told so; its homogeneous twin is not told more often
    than the threshold says.
    """
    if "regime" not in cases:
        return []
    bands = bench.bands
    told = [
        bool(c.answer.passed_budget[c.own] and c.answer.heterogeneous[c.own])
        for c in cases["regime"]
    ]
    wrong = [bool(c.answer.heterogeneous[c.own]) for c in cases["twin"]]
    alarm = bench.flags.heterogeneity_p
    return [
        _share("PT-26", "passes and is told", told, bands.told, bands.false_alarm),
        _at_most("PT-26", "twins told as not the same", wrong, alarm, bands.false_alarm),
    ]
