"""Does the effect hold everywhere? The same estimator on parts of a cell's events.

Belongs here: the partitions (halves and quarters of the window, regimes at t0, symbols), their
sums, and what they say of a side. "Negative" means that the gross effect itself has the other sign;
a slice that merely fails to earn its costs lowers the stability score and nothing else. Demanding
that every slice be positive would refuse a true effect of z = 4 two times in three over ten.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from quantlab_pipeline.core.clocks import DAY_MINUTES
from quantlab_pipeline.research.validation.inputs import EventArrays

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
KNOWN_REGIMES = ("low", "mid", "high")


@dataclass(frozen=True, slots=True)
class SliceTable:
    """The K slices with enough days: partition and label, events, gross sum, variance, cost."""

    partition: tuple[str, ...]
    label: tuple[str, ...]
    n_events: FloatArray
    total: FloatArray
    variance: FloatArray
    cost: FloatArray


def slice_table(
    arrays: EventArrays,
    chosen: IntArray,
    sign: FloatArray,
    cost: FloatArray,
    horizon_min: int,
    min_days: int,
    y: FloatArray,
) -> SliceTable:
    """Calendar-time sums of every slice of the chosen events with `min_days` decision days.

    `sign` and `cost` (in units of return) belong to `chosen`; `y` is overwritten. A part that holds
    all the events is no slice.
    """
    from quantlab_pipeline.kernels.calendar_time import Events, raw_sums

    names, rows = [], []
    symbol, entry, day = arrays.symbol[chosen], arrays.entry[chosen], arrays.day[chosen]
    for partition, label, member in _parts(arrays, chosen):
        part = np.flatnonzero(member)
        if part.size in {0, chosen.size} or np.unique(day[part]).size < min_days:
            continue
        events = Events(symbol[part], entry[part], sign[part])
        total, variance = raw_sums(events, horizon_min, arrays.paths.world, y)
        if variance > 0.0:
            names.append((partition, label))
            rows.append((part.size, total, variance, cost[part].sum()))
    columns = np.array(rows, dtype=np.float64).reshape(-1, 4).T
    return SliceTable(
        tuple(p for p, _ in names), tuple(label for _, label in names), *map(np.array, columns)
    )


def _parts(
    arrays: EventArrays, chosen: IntArray
) -> Iterator[tuple[str, str, npt.NDArray[np.bool_]]]:
    n_days = arrays.paths.world.prices.shape[1] // DAY_MINUTES
    for partition, parts in (("half", 2), ("quarter", 4)):
        which = arrays.day[chosen] * parts // n_days
        for k in range(parts):
            yield partition, str(k + 1), which == k
    for column, values in arrays.regimes.items():
        mine = values[chosen]
        for regime in KNOWN_REGIMES:
            yield column, regime, mine == regime
    symbol = arrays.symbol[chosen]
    for i, name in enumerate(arrays.symbols):
        yield "symbol", name, symbol == i


def summary(table: SliceTable, side: int) -> dict[str, Any]:
    """Columns of one side: stability, worst slice, Holm-adjusted p for negative, heterogeneity.

    Holm (1979): the smallest of K p-values, times K. Without slices the figures are None and the
    count is 0.
    """
    from scipy.special import ndtr

    k = len(table.label)
    q, p = heterogeneity(table)
    out: dict[str, Any] = {
        "n_slices": k,
        "stability": None,
        "worst_slice": None,
        "worst_slice_z": None,
        "slice_holm_p": None,
        "heterogeneity_q": q,
        "heterogeneity_p": p,
    }
    if k:
        z = side * table.total / np.sqrt(table.variance)
        worst = int(np.argmin(z))
        out["stability"] = float(np.mean(side * table.total > table.cost))
        out["worst_slice"] = f"{table.partition[worst]}={table.label[worst]}"
        out["worst_slice_z"] = float(z[worst])
        out["slice_holm_p"] = min(1.0, k * float(ndtr(z[worst])))
    return out


def heterogeneity(table: SliceTable) -> tuple[float | None, float | None]:
    """Cochran's Q of the partition with the smallest p; that p times the partitions.

    Q = sum w_k (m_k - m)^2 with m_k a slice's mean, w_k = n_k^2 / V_k and m their weighted mean:
    chi-square with K - 1 degrees of freedom for independent slices (Cochran 1954). Both are None
    where no partition has two slices.
    """
    from scipy.special import gammaincc

    found = []
    for partition in dict.fromkeys(table.partition):
        mine = np.array([name == partition for name in table.partition])
        degrees = int(mine.sum()) - 1
        if degrees < 1:
            continue
        mean = table.total[mine] / table.n_events[mine]
        weight = table.n_events[mine] ** 2 / table.variance[mine]
        q = float(np.sum(weight * (mean - np.sum(weight * mean) / np.sum(weight)) ** 2))
        found.append((float(gammaincc(degrees / 2.0, q / 2.0)), q))
    if not found:
        return None, None
    p, q = min(found, key=lambda pair: (pair[0], -pair[1]))
    return q, min(1.0, p * len(found)) if math.isfinite(p) else None
