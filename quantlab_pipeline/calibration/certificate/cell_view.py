"""A cell as a mutant sees it: the events, their returns, and what the estimator sums over them.

Belongs here: the estimator's sums through its own kernel, for any events and any shift of them.
What one can get wrong with them is `mutants`' matter.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from quantlab_pipeline.research.validation.cells import BPS
from quantlab_pipeline.research.validation.inputs import EventArrays

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Sums:
    """What the estimator sums over a cell's n events; the rule's own sign, in units of return."""

    n: int
    total: float
    variance: float
    contrast_total: float
    contrast_variance: float
    kept: float
    cost: float


@dataclass(frozen=True, slots=True)
class CellView:
    """A cell as a mutant sees it: events `rows` of `arrays` with their `sign`, held for `minutes`.

    `gross` float64[n] are their signed simple returns, `sums` what the estimator makes of them.
    """

    arrays: EventArrays
    h: int
    minutes: int
    rows: Ints
    sign: Floats
    gross: Floats
    sums: Sums

    def summed(self, rows: Ints, sign: Floats, shift_min: int = 0) -> Sums:
        """The estimator's sums of other events of the market, entered `shift_min` later."""
        return _sums(self.arrays, self.h, self.minutes, rows, sign, shift_min)


def _sums(
    arrays: EventArrays, h: int, minutes: int, rows: Ints, sign: Floats, shift_min: int = 0
) -> Sums:
    from quantlab_pipeline.kernels.calendar_time import Events, calendar_sums

    length = arrays.paths.world.prices.shape[1]
    start = arrays.entry[rows] + shift_min
    inside = (start >= 0) & (start + minutes < length)
    rows, sign, start = rows[inside], sign[inside], start[inside]
    y = np.empty(length)
    events = Events(arrays.symbol[rows], start, np.ascontiguousarray(sign))
    sums = calendar_sums(events, minutes, arrays.paths.world, y, np.empty_like(y))
    cost = float((arrays.costs.total[h, rows] / BPS).sum())
    return Sums(rows.size, *sums, cost)


def view_of(arrays: EventArrays, h: int, minutes: int, rows: Ints, sign: Floats) -> CellView:
    """The cell of the events `rows` with the rule's `sign`."""
    gross = sign * arrays.paths.long_return[h, rows]
    return CellView(arrays, h, minutes, rows, sign, gross, _sums(arrays, h, minutes, rows, sign))
