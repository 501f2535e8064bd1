"""An edge put into a market on its arrays, and the true effect that each candidate then has.

Belongs here: drift matrices float64[I, T] (the expected simple return that is added to each
minute), how large a drift must be, and the truth that follows for any candidate. A market without
drift is a martingale, so that this truth is exact: what multiplies the price is what is expected.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from quantlab_pipeline.calibration.certificate.bench import Market
from quantlab_pipeline.core.clocks import DAY_MINUTES
from quantlab_pipeline.core.errors import SpecError
from quantlab_pipeline.research.validation.cells import choose, kernel_events
from quantlab_pipeline.research.validation.family import Candidate
from quantlab_pipeline.research.validation.inputs import EventArrays
from quantlab_pipeline.research.validation.paths import long_returns
from quantlab_pipeline.research.validation.spec import CandidateFamily, horizon_minutes

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]
BPS = 1e4
ROUNDING_BPS = 1e-6
UNIT_BPS = 1.0
"""Drift by which one learns what a drift does to a candidate."""


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell of the grid: `where` names (event type, bucket), the rest how it is traded."""

    where: tuple[str, str]
    horizon: str
    template: str

    def events(self, arrays: EventArrays, family: CandidateFamily) -> Ints:
        """The events that it trades, int64[n] into `arrays`."""
        h = family.horizons.index(self.horizon)
        return choose(arrays, *self.where, h, self.template)[0]


@dataclass(frozen=True, slots=True)
class Effects:
    """What K candidates truly gain and cost per event, bps, NaN without events.

    `raw` float64[K] is the mean expected return of the events before costs; `contrast` what is left
    of it against the mean position of each symbol, which is all that the contrast can see; `cost`
    the mean cost of these events.
    """

    raw: Floats
    contrast: Floats
    cost: Floats

    @property
    def net(self) -> Floats:
        """What is left of `raw` after costs."""
        return self.raw - self.cost

    @property
    def truly_null(self) -> BoolArray:
        """Candidates whose net effect, raw or contrast, is not above zero."""
        return np.minimum(self.raw, self.contrast) - self.cost <= ROUNDING_BPS


def drifted(market: Market, family: CandidateFamily, drift: Floats) -> Market:
    """The same market with `drift` [I, T] added to every minute's expected simple return.

    Which paths count stays: prices move, none is gained or lost.
    """
    from quantlab_pipeline.kernels.calendar_time import market as market_of

    arrays, paths = market.arrays, market.arrays.paths
    prices = paths.observed.prices * np.cumprod(1.0 + drift, axis=1)
    observed = paths.observed._replace(prices=prices)
    long_return, _ = long_returns(observed, arrays.symbol, arrays.entry, family)
    world = market_of(prices, np.zeros_like(prices))
    moved = replace(paths, world=world, observed=observed, long_return=long_return)
    return Market(replace(arrays, paths=moved), market.candidates)


def no_drift(arrays: EventArrays) -> Floats:
    """A drift of nothing, float64[I, T]."""
    return np.zeros_like(arrays.paths.world.prices)


def even_drift(arrays: EventArrays, bps_day: float) -> Floats:
    """The same drift in every minute of every symbol; the first has no return."""
    drift = np.full_like(arrays.paths.world.prices, bps_day / BPS / DAY_MINUTES)
    drift[:, 0] = 0.0
    return drift


def edge_drift(arrays: EventArrays, rows: Ints, minutes: int, bps: float) -> Floats:
    """A drift over the `minutes` after each entry of the events `rows`, up where `bps` is above 0.

    Each event gains exactly `bps` (a simple return); where windows of one symbol overlap, the drift
    is that of one event.
    """
    drift = no_drift(arrays)
    step = math.expm1(math.log1p(bps / BPS) / minutes)
    for i, entry in zip(arrays.symbol[rows], arrays.entry[rows], strict=True):
        drift[i, entry + 1 : entry + minutes + 1] = step
    return drift


def true_effects(
    arrays: EventArrays, family: CandidateFamily, candidates: Sequence[Candidate], drift: Floats
) -> Effects:
    """What each of `candidates` truly gains under `drift`, and what it costs in `arrays`."""
    along = _along(drift)
    out = Effects(*np.full((3, len(candidates)), np.nan))
    for k, candidate in enumerate(candidates):
        bucket = candidate.event_type, candidate.bucket.name
        cell = Cell(bucket, candidate.horizon, candidate.template.name)
        rows = cell.events(arrays, family)
        if rows.size:
            sign = candidate.side * arrays.signs[cell.template][rows]
            found = _effect(arrays, rows, sign, horizon_minutes(cell.horizon), along)
            out.raw[k], out.contrast[k] = found
            h = family.horizons.index(cell.horizon)
            out.cost[k] = arrays.costs.total[h, rows].mean()
    return out


class _Along(NamedTuple):
    """A drift summed along the minutes, float64[I, T] each but the last: its log, the wealth that
    it makes of one, that wealth summed, and the drift of all minutes, float64[I].
    """

    log: Floats
    wealth: Floats
    held: Floats
    total: Floats


def _along(drift: Floats) -> _Along:
    log = np.cumsum(np.log1p(drift), axis=1)
    wealth = np.exp(log)
    return _Along(log, wealth, np.cumsum(wealth, axis=1), drift.sum(axis=1))


def _effect(
    arrays: EventArrays, rows: Ints, sign: Floats, minutes: int, along: _Along
) -> tuple[float, float]:
    """Per event: the compounded drift in its window; and the drift less the mean position's.

    A position is worth what its drift has made of it, as the estimator's weights are.
    """
    i, start = arrays.symbol[rows], arrays.entry[rows]
    end = start + minutes
    raw = float(np.dot(sign, np.expm1(along.log[i, end] - along.log[i, start])))
    worth = along.held[i, end - 1] - along.held[i, start] + along.wealth[i, start]
    held = np.bincount(i, weights=sign * worth / along.wealth[i, start], minlength=len(along.total))
    always = float(np.dot(held / arrays.paths.world.n_minutes, along.total))
    return BPS * raw / rows.size, BPS * (raw - always) / rows.size


def size_for_shift(
    market: Market, family: CandidateFamily, cell: Cell, side: int, rows: Ints, shift_se: float
) -> float:
    """The gain of each event in `rows`, bps, that moves both z of `cell` to `shift_se` or beyond.

    Standard errors are those of the market with the edge, whose drift adds to the variance. The two
    z are net of cost and expected over markets; the smaller one is then at `shift_se`. The contrast
    keeps a share of the effect and is charged the whole cost, so that it may ask for more.
    SpecError where no size is enough: the edge then is all that varies.
    """
    arrays = market.arrays
    h, minutes = family.horizons.index(cell.horizon), horizon_minutes(cell.horizon)
    chosen = cell.events(arrays, family)
    sign = arrays.signs[cell.template][chosen]
    drift = edge_drift(arrays, rows, minutes, UNIT_BPS)
    alone = drifted(_flat(market), family, drift).arrays
    unit = _effect(arrays, chosen, side * sign, minutes, _along(drift))
    cost = float(arrays.costs.total[h, chosen].sum()) / BPS
    sizes = [
        _reaching(shift_se, abs(gain) * chosen.size / BPS, cost, noise, own)
        for gain, noise, own in zip(
            unit,
            _variances(arrays, chosen, sign, minutes),
            _variances(alone, chosen, sign, minutes),
            strict=True,
        )
    ]
    if not all(math.isfinite(size) for size in sizes):
        raise SpecError(
            f"No edge after {cell.where[0]} reaches {shift_se} standard errors.",
            "Give the scenario more days or symbols.",
            event_type=cell.where[0],
        )
    return float(UNIT_BPS * max(sizes))


def _flat(market: Market) -> Market:
    """The same events where no price moves."""
    arrays = market.arrays
    observed = arrays.paths.observed
    prices = np.where(np.isfinite(observed.prices), 1.0, np.nan)
    paths = replace(arrays.paths, observed=observed._replace(prices=prices))
    return Market(replace(arrays, paths=paths), market.candidates)


def _variances(
    arrays: EventArrays, chosen: Ints, sign: Floats, minutes: int
) -> tuple[float, float]:
    """Variances of the raw and the contrast sum of the events `chosen`."""
    from quantlab_pipeline.kernels.calendar_time import calendar_sums

    y = np.empty(arrays.paths.world.prices.shape[1])
    events = kernel_events(arrays, chosen, sign)
    sums = calendar_sums(events, minutes, arrays.paths.world, y, np.empty_like(y))
    return sums.variance, sums.contrast_variance


def _reaching(z: float, unit: float, cost: float, noise: float, own: float) -> float:
    """How many units of an edge reach `z`: x unit - cost = z sqrt(noise + x^2 own); inf if none.

    A unit adds `unit` to the sum and `own` to its variance, beside that of the `noise`.
    """
    a = unit * unit - z * z * own
    if a <= 0.0:
        return math.inf
    within = (unit * cost) ** 2 - a * (cost * cost - z * z * noise)
    return (unit * cost + math.sqrt(within)) / a
