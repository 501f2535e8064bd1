"""One market through all experiments: drawn, given its edges, shown to the judge and to mutants.

Belongs here: the order of that work in one process. What is shown is answered under random names;
the truth that belongs to it goes out apart, for the grader. No figure is compared with it here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import polars as pl

from quantlab_pipeline.calibration.certificate.bench import Bench, Market, fresh_bars, market_of
from quantlab_pipeline.calibration.certificate.copies import (
    Changed,
    compare,
    copied,
    only_symbol,
    second_venue,
)
from quantlab_pipeline.calibration.certificate.judging import (
    Answer,
    Blind,
    answer_of,
    figures_of,
    measure,
    shown,
)
from quantlab_pipeline.calibration.certificate.mutants import CONTROL, MUTANTS
from quantlab_pipeline.calibration.certificate.mutation import mutate
from quantlab_pipeline.calibration.certificate.sealing import Secret
from quantlab_pipeline.calibration.certificate.shapes import (
    Planted,
    Shape,
    asked_alone,
    drift_shape,
    mde_cell,
    mde_questions,
    mde_shape,
    null_shape,
    planted_shapes,
    regime_shapes,
)
from quantlab_pipeline.research.validation.cells import BPS, choose
from quantlab_pipeline.research.validation.family import Candidate
from quantlab_pipeline.research.validation.spec import horizon_minutes

Floats = npt.NDArray[np.float64]
RULES = (CONTROL, *MUTANTS)
EVERYWHERE = "all"
"""The bucket whose questions mutants are asked: with most events, and so with most overlap."""

Words = tuple[str, str, str, str, int]
"""Event type, bucket, horizon, template and side of a question."""


@dataclass(frozen=True, slots=True)
class Played:
    """What came of a market under one rule.

    `answers`, `truths` and `asked` (which of the questions) by name; `identity` is the largest
    distance of a gross effect from the events' own mean return, in mean absolute returns.
    """

    answers: Mapping[str, Answer]
    truths: Mapping[str, Planted]
    asked: Mapping[str, tuple[Words, ...]]
    identity: float
    copies: Mapping[str, Changed] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Round:
    """All that came of one market: under our rule by random name, under broken ones by shape."""

    number: int
    ours: Played
    mutants: Mapping[str, Played]


def play(bench: Bench, secret: Secret, *, copy: bool, mutants: bool) -> Round:
    """Take the market of `secret` through every experiment. Same arguments, same result.

    With `copy` it is copied (PT-04), with `mutants` shown to every broken rule.
    """
    bars = fresh_bars(bench, secret.seed)
    market = market_of(bench, bars, bench.symbols)
    null = null_shape(bench, market)
    null_rows = measure(bench, null.blind)
    first = answer_of(bench, null_rows)
    shapes = _shapes(bench, market, secret, first)
    answers = {"null": first} | {
        # In the order of the random names, so that no place tells what is shown.
        shape: answer_of(bench, measure(bench, shapes[shape].blind))
        for shape in sorted(shapes, key=lambda shape: secret.names[shape])
    }
    shapes["null"] = null
    copies = _copies(bench, secret, bars, shapes, answers) if copy else {}
    ours = _played(bench, secret.names, shapes, answers, copies)
    broken = _broken(bench, market, secret, shapes, first) if mutants else {}
    return Round(secret.number, ours, broken)


def play_size(bench: Bench, seed: int) -> dict[str, Floats]:
    """Figures of the whole family on a null market free of costs, without a look at slices."""
    market = market_of(bench, fresh_bars(bench, seed), bench.symbols)
    blind = shown(bench, market.arrays, market.candidates, free=True, sliced=False)
    return figures_of(measure(bench, blind))


def _shapes(bench: Bench, market: Market, secret: Secret, null: Answer) -> dict[str, Shape]:
    made = planted_shapes(bench, market, secret, null)
    made["drift"] = drift_shape(bench, market)
    for name, asked in mde_questions(bench, market, secret, null).items():
        before = mde_cell(bench, market, asked)
        told = answer_of(bench, measure(bench, before.blind)).figures["mde80_bps"]
        shape = mde_shape(bench, market, asked, float(told[before.truth.own]))
        assert shape is not None
        made[name] = shape
    return made | regime_shapes(bench, market, secret, null)


def _played(
    bench: Bench,
    names: Mapping[str, str],
    shapes: Mapping[str, Shape],
    answers: Mapping[str, Answer],
    copies: Mapping[str, Changed],
) -> Played:
    """Answers and truths under their names, in the order of the names."""
    order = sorted(answers, key=lambda shape: names[shape])
    gross = answers["null"].figures["gross_bps"]
    return Played(
        {names[s]: answers[s] for s in order},
        {names[s]: shapes[s].truth for s in order},
        {names[s]: tuple(words(c) for c in shapes[s].blind.candidates) for s in order},
        identity_gap(bench, shapes["null"].blind, gross),
        copies,
    )


def words(candidate: Candidate) -> Words:
    """What a question asks, in plain values."""
    return (
        candidate.event_type,
        candidate.bucket.name,
        candidate.horizon,
        candidate.template.name,
        candidate.side,
    )


def identity_gap(bench: Bench, blind: Blind, gross_bps: Floats) -> float:
    """The largest distance of `gross_bps` [K] from the mean simple return of the events themselves.

    In units of their mean absolute return, so that it is a rounding where the estimator sums what
    the events earn.
    """
    arrays, worst = blind.arrays, 0.0
    prices = arrays.paths.observed.prices
    for k, candidate in enumerate(blind.candidates):
        h = bench.family.horizons.index(candidate.horizon)
        template = candidate.template.name
        rows, _ = choose(arrays, candidate.event_type, candidate.bucket.name, h, template)
        if rows.size:
            i, start = arrays.symbol[rows], arrays.entry[rows]
            change = prices[i, start + horizon_minutes(candidate.horizon)] / prices[i, start] - 1.0
            own = candidate.side * arrays.signs[template][rows] * change
            gap, scale = abs(gross_bps[k] / BPS - own.mean()), np.abs(own).mean()
            worst = max(worst, float(gap / scale if scale > 0.0 else gap))
    return worst


def _copies(
    bench: Bench,
    secret: Secret,
    bars: pl.DataFrame,
    shapes: Mapping[str, Shape],
    answers: Mapping[str, Answer],
) -> dict[str, Changed]:
    """PT-04: the planted market and its copy, one symbol and its copy, and a second venue."""

    def told(blind: Blind) -> Answer:
        return answer_of(bench, measure(bench, blind))

    planted = shapes["planted"].blind
    one = only_symbol(planted.arrays, secret.number % len(bench.symbols))
    single, twice = (
        Blind(arrays, planted.candidates, planted.costs) for arrays in (one, copied(one))
    )
    whole = Blind(copied(planted.arrays), planted.candidates, planted.costs)
    return {
        "every_symbol": compare(answers["planted"], told(whole)),
        "one_symbol": compare(told(single), told(twice)),
        "second_venue": compare(answers["null"], told(second_venue(bench, bars))),
    }


def _broken(
    bench: Bench, market: Market, secret: Secret, shapes: Mapping[str, Shape], null: Answer
) -> dict[str, Played]:
    """What every broken rule says of the market, by its name, each shape under its plain name."""
    every = [k for k, c in enumerate(market.candidates) if c.bucket.name == EVERYWHERE]
    asked = {
        "null": asked_alone(shapes["null"], every),
        "planted": asked_alone(shapes["planted"], _near(shapes["planted"])),
        "drift": asked_alone(shapes["drift"], every),
    }
    told = {name: _all_rules(bench, shape.blind) for name, shape in asked.items()}
    mde = {
        name: _broken_mde(bench, market, question)
        for name, question in mde_questions(bench, market, secret, null).items()
    }
    copies = _broken_copies(bench, asked["planted"], told["planted"])
    made = {}
    for rule in RULES:
        answers = {name: told[name][rule.name] for name in asked}
        own = dict(asked)
        for name, told_of in mde.items():
            if rule.name in told_of:
                own[name], answers[name] = told_of[rule.name]
        plain = {name: name for name in own}
        made[rule.name] = _played(bench, plain, own, answers, {"every_symbol": copies[rule.name]})
    return made


def _all_rules(bench: Bench, blind: Blind) -> dict[str, Answer]:
    return mutate(bench, blind, measure(bench, blind), RULES)


def _near(planted: Shape) -> list[int]:
    """The questions of the planted event type and bucket."""
    asked = planted.blind.candidates
    assert planted.truth.own is not None
    own = asked[planted.truth.own]
    where = own.event_type, own.bucket.name
    return [k for k, c in enumerate(asked) if (c.event_type, c.bucket.name) == where]


def _broken_mde(bench: Bench, market: Market, question: int) -> dict[str, tuple[Shape, Answer]]:
    """Each broken rule on a market with an edge of the MDE80 that it reported itself, if it did."""
    before = mde_cell(bench, market, question)
    reported = _all_rules(bench, before.blind)
    made: dict[str, tuple[Shape, Answer]] = {}
    known: dict[float, tuple[Shape, dict[str, Answer]]] = {}
    for rule in RULES:
        size = float(reported[rule.name].figures["mde80_bps"][before.truth.own])
        shape = mde_shape(bench, market, question, size)
        if shape is None:
            continue
        if size not in known:
            known[size] = shape, _all_rules(bench, shape.blind)
        made[rule.name] = known[size][0], known[size][1][rule.name]
    return made


def _broken_copies(bench: Bench, planted: Shape, once: Mapping[str, Answer]) -> dict[str, Changed]:
    blind = planted.blind
    twice = Blind(copied(blind.arrays), blind.candidates, blind.costs)
    again = _all_rules(bench, twice)
    return {rule.name: compare(once[rule.name], again[rule.name]) for rule in RULES}
