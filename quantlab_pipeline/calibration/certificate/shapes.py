"""The shapes in which one market is shown: untouched, with edges, with a drift; and their truths.

Belongs here: the choice of the planted cell, by the secret's preference and what the market holds,
and each shape's truth. The judge receives a shape's `blind` alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from quantlab_pipeline.calibration.certificate.bench import Bench, Market
from quantlab_pipeline.calibration.certificate.judging import Answer, Blind, shown
from quantlab_pipeline.calibration.certificate.planting import (
    Cell,
    Effects,
    drifted,
    edge_drift,
    even_drift,
    no_drift,
    size_for_shift,
    true_effects,
)
from quantlab_pipeline.calibration.certificate.sealing import (
    HORIZON,
    MDE_HORIZONS,
    TEMPLATE,
    Secret,
)
from quantlab_pipeline.core.errors import SpecError
from quantlab_pipeline.research.validation.family import Candidate
from quantlab_pipeline.research.validation.inputs import KNOWN_REGIMES
from quantlab_pipeline.research.validation.slices import days_of
from quantlab_pipeline.research.validation.spec import horizon_minutes

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
TURBULENT = "high"
LEAST_SHARE = 0.25
"""Turbulent times and all others each hold at least this share of the events in PT-26."""


@dataclass(frozen=True, slots=True)
class Planted:
    """The truth of a shape: `own` is the place among the questions of the edge's own candidate.

    It is None where there is no edge. `bps` is what each event of the edge gains, signed by its
    direction, and `effects` what every question truly gains.
    """

    own: int | None
    bps: float
    effects: Effects


@dataclass(frozen=True, slots=True)
class Shape:
    """A market in one shape: what the judge is shown, and the truth beside it."""

    blind: Blind
    truth: Planted


def null_shape(bench: Bench, market: Market) -> Shape:
    """The untouched market, free of costs: no effect anywhere."""
    return _whole(bench, market, no_drift(market.arrays), None, 0.0, free=True)


def drift_shape(bench: Bench, market: Market) -> Shape:
    """The market with the same drift in every symbol and minute, free of costs: no edge."""
    bps = bench.bands.drift_bps_day
    drift = even_drift(market.arrays, bps)
    return _whole(bench, market, drift, None, bps, free=True, sliced=False)


def planted_shapes(bench: Bench, market: Market, secret: Secret, null: Answer) -> dict[str, Shape]:
    """The market with an edge of `shift_se`, under the conservative costs and under none.

    `null` is the answer to the untouched market, free of costs. SpecError if no cell has events
    enough, which a scenario of too few days or symbols may cause.
    """
    cell = _first(bench, market, null, secret.places["power"], lambda _: True)
    side, rows = secret.sides["power"], cell.events(market.arrays, bench.family)
    size = size_for_shift(market, bench.family, cell, side, rows, bench.bands.shift_se)
    drift = edge_drift(market.arrays, rows, horizon_minutes(HORIZON), side * size)
    own = _own(market.candidates, cell, side)
    return {
        name: _whole(bench, market, drift, own, side * size, free=free, sliced=not free)
        for name, free in (("planted", False), ("planted_free", True))
    }


def mde_questions(bench: Bench, market: Market, secret: Secret, null: Answer) -> dict[str, int]:
    """Places of the candidates that are to be given their own MDE80, by the shape's name.

    SpecError as `planted_shapes`.
    """
    return {
        shape: _own(
            market.candidates,
            _first(bench, market, null, secret.places[shape], lambda _: True, horizon),
            secret.sides[shape],
        )
        for shape, horizon in MDE_HORIZONS.items()
    }


def mde_cell(bench: Bench, market: Market, question: int) -> Shape:
    """The untouched market under the conservative costs, asked of the cell of `question` alone."""
    cell, side = _cell_of(market.candidates[question]), market.candidates[question].side
    none = np.array([], dtype=np.int64)
    return _cell(bench, market, cell, side, none, 0.0, free=False)


def mde_shape(bench: Bench, market: Market, question: int, mde80_bps: float) -> Shape | None:
    """The market with an edge of the reported `mde80_bps` after costs, asked of the cell alone.

    Under the conservative costs. None where no MDE was told.
    """
    if not 0.0 < mde80_bps < np.inf:
        return None
    asked = market.candidates[question]
    cell = _cell_of(asked)
    rows = cell.events(market.arrays, bench.family)
    cost = market.arrays.costs.total[bench.family.horizons.index(cell.horizon), rows].mean()
    return _cell(bench, market, cell, asked.side, rows, mde80_bps + float(cost), free=False)


def regime_shapes(bench: Bench, market: Market, secret: Secret, null: Answer) -> dict[str, Shape]:
    """The market with an edge in turbulent times alone, and with one of the same shift everywhere.

    Under the conservative costs, and asked of the cell alone.
    """
    arrays, family = market.arrays, bench.family

    def in_both(cell: Cell) -> bool:
        rows = cell.events(arrays, family)
        return all(
            part.size >= LEAST_SHARE * rows.size
            and days_of(arrays.day[part]) >= bench.thresholds.slice_min_days
            for part in _by_turbulence(market, rows)
        )

    cell = _first(bench, market, null, secret.places["regime"], in_both)
    side, rows = secret.sides["regime"], cell.events(arrays, family)
    made = {}
    for name, members in (("regime", _by_turbulence(market, rows)[0]), ("twin", rows)):
        size = size_for_shift(market, family, cell, side, members, bench.bands.shift_se)
        made[name] = _cell(bench, market, cell, side, members, size, free=False)
    return made


def asked_alone(shape: Shape, which: Sequence[int]) -> Shape:
    """The same shape with some of its questions only; its own must be among them, if it has one."""
    truth, picked = shape.truth, np.array(which, dtype=np.int64)
    all_effects = truth.effects
    effects = Effects(
        all_effects.raw[picked], all_effects.contrast[picked], all_effects.cost[picked]
    )
    own = None if truth.own is None else list(which).index(truth.own)
    asked = tuple(shape.blind.candidates[k] for k in which)
    return Shape(replace(shape.blind, candidates=asked), replace(truth, own=own, effects=effects))


def _whole(
    bench: Bench,
    market: Market,
    drift: Floats,
    own: int | None,
    bps: float,
    *,
    free: bool,
    sliced: bool = True,
) -> Shape:
    made = drifted(market, bench.family, drift)
    blind = shown(bench, made.arrays, market.candidates, free=free, sliced=sliced)
    effects = true_effects(blind.arrays, bench.family, market.candidates, drift)
    return Shape(blind, Planted(own, bps, effects))


def _cell(
    bench: Bench, market: Market, cell: Cell, side: int, rows: Ints, size: float, *, free: bool
) -> Shape:
    """Both sides of one cell, with an edge of `size` bps after the events `rows`."""
    asked = tuple(c for c in market.candidates if _cell_of(c) == cell)
    drift = edge_drift(market.arrays, rows, horizon_minutes(cell.horizon), side * size)
    part = Market(market.arrays, asked)
    return _whole(bench, part, drift, _own(asked, cell, side), side * size, free=free)


def _first(
    bench: Bench,
    market: Market,
    null: Answer,
    places: Sequence[tuple[str, str]],
    suits: Callable[[Cell], bool],
    horizon: str = HORIZON,
) -> Cell:
    """The first of `places` whose cell could pass V1 at all, is not always on, and `suits`.

    Over a day an event type is nearly always on: there it may be.
    """
    minutes = market.arrays.paths.world.prices.size
    for place in places:
        cell = Cell(place, horizon, TEMPLATE)
        told = {name: null.figures[name][_own(market.candidates, cell, 1)] for name in _NEEDED}
        occupancy = told["n_events"] * horizon_minutes(HORIZON) / minutes
        if (
            told["active_days"] >= bench.thresholds.min_active_days
            and told["n_eff"] >= bench.thresholds.min_n_eff
            and (occupancy <= bench.bands.max_occupancy or horizon != HORIZON)
            and suits(cell)
        ):
            return cell
    raise SpecError(
        f"Scenario {bench.scenario.name} gives no event type events enough for an edge.",
        "Give it more days or symbols.",
        scenario=bench.scenario.name,
    )


_NEEDED = ("n_events", "active_days", "n_eff")


def _by_turbulence(market: Market, rows: Ints) -> tuple[Ints, Ints]:
    """The events that happen in turbulent times, by the pipeline's own regime at t0; the others."""
    turbulent = market.arrays.regimes["vol_regime"][rows] == KNOWN_REGIMES.index(TURBULENT)
    return rows[turbulent], rows[~turbulent]


def _cell_of(candidate: Candidate) -> Cell:
    where = candidate.event_type, candidate.bucket.name
    return Cell(where, candidate.horizon, candidate.template.name)


def _own(candidates: Sequence[Candidate], cell: Cell, side: int) -> int:
    """Place of the candidate that asks of `cell` on `side`. StopIteration if none does."""
    return next(k for k, c in enumerate(candidates) if c.side == side and _cell_of(c) == cell)
