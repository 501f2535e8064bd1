"""What planted episodes do to a market, as arrays per symbol and minute. `placement` says where.

Sizes: a spread burst multiplies the spread and divides the depth; a depth drop divides the depth
alone; a volatility burst multiplies the deviation and a volume spike the volume; a wick is an
excursion inside one minute; dislocations fade in a straight line; open interest jumps within its
bucket; a funding extreme adds to the settled rate.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quantlab_pipeline.core.clocks import MINUTE_US
from quantlab_pipeline.worlds.endings import fall_log
from quantlab_pipeline.worlds.placement import Onset
from quantlab_pipeline.worlds.spec import BUCKET_MIN, Scenario
from quantlab_pipeline.worlds.timing import origin_us
from quantlab_pipeline.worlds.truth import Episode

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Effects:
    """Arrays [I, T] unless said otherwise: factors are 1 and additions 0 where nothing happens.

    `wick`, `basis`, `mark` and `drift` in log units, `oi` [I, buckets] in log units, `funding` as
    a rate, for the settlement at a minute's close.
    """

    spread: Floats
    depth: Floats
    volatility: Floats
    volume: Floats
    wick: Floats
    basis: Floats
    mark: Floats
    drift: Floats
    oi: Floats
    funding: Floats


def lay_out(scenario: Scenario, onsets: list[Onset], episodes: tuple[Episode, ...]) -> Effects:
    """The effects of `onsets`; `episodes` are the same ones as the truth records them."""
    shape = (len(scenario.symbols), scenario.duration_min)
    effects = Effects(
        spread=np.ones(shape),
        depth=np.ones(shape),
        volatility=np.ones(shape),
        volume=np.ones(shape),
        wick=np.zeros(shape),
        basis=np.zeros(shape),
        mark=np.zeros(shape),
        drift=fall_log(scenario),
        oi=np.zeros((shape[0], shape[1] // BUCKET_MIN)),
        funding=np.zeros(shape),
    )
    for onset, episode in zip(onsets, episodes, strict=True):
        _lay_out_one(onset, effects)
        first = (episode.drift_from_us - origin_us(scenario)) // MINUTE_US
        last = (episode.drift_to_us - origin_us(scenario)) // MINUTE_US
        if episode.drift_bps:
            step = np.log1p(1e-4 * episode.drift_bps) / (last - first)
            effects.drift[onset.row, first:last] += step
    return effects


def _lay_out_one(onset: Onset, effects: Effects) -> None:
    spec, row = onset.spec, onset.row
    span = (row, slice(onset.minute, onset.minute + spec.duration_min))
    signed = 1e-4 * spec.size * onset.direction
    fade = 1.0 - np.arange(spec.duration_min) / spec.duration_min
    match spec.kind:
        case "spread_burst":
            effects.spread[span] *= spec.size
            effects.depth[span] /= spec.size
        case "depth_drop":
            effects.depth[span] /= spec.size
        case "vol_burst":
            effects.volatility[span] *= spec.size
        case "volume_spike":
            effects.volume[span] *= spec.size
        case "wick":
            effects.wick[row, onset.minute] = signed
        case "basis_dislocation":
            effects.basis[span] += signed * fade
        case "mark_dislocation":
            effects.mark[span] += signed * fade
        case "oi_jump":
            effects.oi[row, onset.minute // BUCKET_MIN] += signed
        case "funding_extreme":
            effects.funding[row, onset.minute - 1 : onset.minute - 1 + spec.duration_min] += signed
