"""How often V1's test rejects where nothing is, by horizon and level, worlds as the unit.

Belongs here: size and its bands. Candidates of one world depend on each other, so that a standard
error is that of one figure a world. Counted are candidates that V1 could pass at all (enough days
and effective events), both sides. In the deep tail a mean over worlds is a handful of rejections:
there the band asks in how many worlds there is any, which holds under every dependence.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from quantlab_pipeline.calibration.certificate.bench import Bench
from quantlab_pipeline.calibration.certificate.limits import Held, Mean, margin, mean_over, most

Floats = npt.NDArray[np.float64]
ALL = "all"
"""Every horizon together."""


@dataclass(frozen=True, slots=True)
class World:
    """The tested candidates of one null world: `horizon` [K] by name, `p` of the final rule and
    `p_raw` of the raw statistic alone, float64[K].
    """

    horizon: npt.NDArray[np.str_]
    p: Floats
    p_raw: Floats


@dataclass(frozen=True, slots=True)
class Size:
    """Size at one level and horizon: of the final rule, of the raw statistic, and in how many
    worlds the final rule rejects anything (`hit`). `cases` candidates in all, over all worlds.
    """

    horizon: str
    level: float
    final: Mean
    raw: Mean
    hit: int
    cases: int


def null_world(bench: Bench, figures: Mapping[str, Floats], horizon: Sequence[str]) -> World:
    """The candidates of a null world, from the figures of an answer, that V1 could pass."""
    from scipy.special import ndtr

    limits = bench.thresholds
    enough = figures["active_days"] >= limits.min_active_days
    enough &= figures["n_eff"] >= limits.min_n_eff
    enough &= np.isfinite(figures["p"])
    names = np.array(horizon, dtype=np.str_)
    return World(names[enough], figures["p"][enough], ndtr(-figures["z_raw"][enough]))


def measure_sizes(
    worlds: Sequence[World], levels: Sequence[float], names: Sequence[str]
) -> list[Size]:
    """Size at every one of `levels` for each horizon of `names`, and for all together."""
    out = []
    for name in (*names, ALL):
        mine = [w.horizon == name if name != ALL else np.full(w.p.size, True) for w in worlds]
        p, raw = (
            [getattr(w, f)[m] for w, m in zip(worlds, mine, strict=True)] for f in ("p", "p_raw")
        )
        cases = sum(part.size for part in p)
        for level in levels:
            final, plain = (mean_over(_shares(parts, level)) for parts in (p, raw))
            hit = sum(bool((part < level).any()) for part in p)
            out.append(Size(name, level, final, plain, hit, cases))
    return out


def _shares(parts: Sequence[Floats], level: float) -> Floats:
    return np.array([np.mean(part < level) if part.size else np.nan for part in parts])


def hold_sizes(bench: Bench, sizes: Sequence[Size], experiment: str) -> list[Held]:
    """The bands of size: at each level the horizon that comes nearest to breaking its own.

    At the levels of `mean_levels` the mean over worlds must not exceed the level by more than its
    margin; below them no more worlds may hold a rejection than the level allows. The false alarm is
    shared out among all horizons and levels.
    """
    bands = bench.bands
    share = bands.false_alarm / len(sizes)
    out = []
    for level in sorted({s.level for s in sizes}, reverse=True):
        mine = [s for s in sizes if s.level == level]
        held = [
            _by_mean(s, share, experiment) if level in bands.mean_levels
            else _by_worlds(s, share, experiment)
            for s in mine
        ]  # fmt: skip
        out.append(max(held, key=lambda h: h.measured - (h.high or 0.0)))
    return out


def hold_from_below(bench: Bench, sizes: Sequence[Size], experiment: str) -> Held:
    """At the largest level no horizon's size may be far below it: a rule that is never wrong sees
    nothing. The horizon that comes nearest to breaking it.
    """
    bands = bench.bands
    level = max(bands.size_levels)
    mine = [s for s in sizes if s.level == level]
    held = []
    for s in mine:
        room = margin(s.final, level, s.cases, bands.false_alarm / len(mine))
        low = max(0.0, bands.size_least_share * level - room)
        name = f"least size at {level:g}, {_of(s.horizon)}"
        held.append(Held(experiment, name, s.final.value, low, None, s.final.worlds))
    return min(held, key=lambda h: h.measured - (h.low or 0.0))


def _by_mean(s: Size, false_alarm: float, experiment: str) -> Held:
    high = min(1.0, s.level + margin(s.final, s.level, s.cases, false_alarm))
    name = f"size at {s.level:g}, {_of(s.horizon)}"
    return Held(experiment, name, s.final.value, None, high, s.final.worlds)


def _by_worlds(s: Size, false_alarm: float, experiment: str) -> Held:
    worlds = s.final.worlds
    each = s.cases / worlds if worlds else 0.0
    high = most(worlds, each * s.level, false_alarm)
    name = f"worlds rejecting at {s.level:g}, {_of(s.horizon)}"
    return Held(experiment, name, float(s.hit), None, float(high), worlds)


def _of(horizon: str) -> str:
    return "all horizons" if horizon == ALL else horizon
