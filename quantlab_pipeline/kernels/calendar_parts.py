"""The calendar-time series of parts of a set of events, and their products with the whole.

Belongs here: the sums that say whether a part differs from the rest. The series itself and its
moments are those of `calendar_time`; which parts are looked at is the caller's matter.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit

from quantlab_pipeline.kernels.calendar_moments import PartSums, blocks_of, clear, moments
from quantlab_pipeline.kernels.calendar_time import (
    Events,
    Market,
    flag,
    lay,
    positions,
    units_of,
)

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


@njit(cache=True, nogil=True)
def part_sums(
    events: Events,
    members: IntArray,
    bounds: IntArray,
    horizon: int,
    world: Market,
    whole: FloatArray,
    y: FloatArray,
) -> FloatArray:
    """Moments (the fields of `PartSums`) of K parts and, in the last row, of the whole itself.

    float64[K + 1, 5]. Part k holds the events `members`[bounds[k] : bounds[k + 1]], indices in
    rising order. `whole` [T] is the series of all the events; y [T] is overwritten in their blocks.
    A part costs what its own minutes cost. Oracle: `calendar_time` and `cross_bartlett` of the
    tests.
    """
    n_parts = bounds.shape[0] - 1
    out = np.empty((n_parts + 1, 5))
    touched, bought = blocks_of(whole), units_of(events, world)
    held = positions(events.symbol, events.entry, bought, horizon)
    flag(held, touched)
    clear(y, touched)
    flag(held, touched)
    _keep(moments(whole, touched, whole), out[n_parts])
    touched[:] = False
    n = events.entry.shape[0]
    symbol, entry, mine = np.empty(n, np.int64), np.empty(n, np.int64), np.empty(n)
    for k in range(n_parts):
        size = bounds[k + 1] - bounds[k]
        for e in range(size):
            at = members[bounds[k] + e]
            symbol[e], entry[e], mine[e] = events.symbol[at], events.entry[at], bought[at]
        held = positions(symbol[:size], entry[:size], mine[:size], horizon)
        lay(held, world, y, touched)
        _keep(moments(y, touched, whole), out[k])
        clear(y, touched)
    return out


@njit(cache=True, nogil=True)
def _keep(sums: PartSums, out: FloatArray) -> None:
    out[0], out[1], out[2] = sums.total, sums.squares, sums.bartlett
    out[3], out[4] = sums.product, sums.near_product
