"""Does the effect hold everywhere? The same estimator on parts of a cell's events.

Belongs here: the partitions (halves and quarters of the window, regimes at t0, symbols), their
sums, and what they say of a side. "Negative" means that the gross effect itself has the other sign;
a slice that merely fails to earn its costs lowers the stability score and nothing else. Demanding
that every slice be positive would refuse a true effect of z = 4 two times in three over ten.

Whether a partition differs is asked of each slice against the rest of the events, as one series in
calendar time: what both share (a shock that hits them in the same minute) cancels or adds up as it
did in the market. Cochran's Q takes slices as independent. Measured on 300 homogeneous worlds with
common shocks, nominal 5 % and 1e-3: by symbol its size was 0 to 0.7 % where all positions have one
sign and 6 to 12 % (up to 2.3 % at 1e-3) where signs oppose; the contrast's was 3.3 to 5.3 % (0 to
0.7 %).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from quantlab_pipeline.core.clocks import DAY_MINUTES
from quantlab_pipeline.research.validation.inputs import KNOWN_REGIMES, EventArrays

if TYPE_CHECKING:
    from quantlab_pipeline.kernels.calendar_moments import PartSums

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
HETEROGENEITY = (
    "heterogeneity_q", "heterogeneity_p",
    "strongest_slice", "strongest_bps", "weakest_slice", "weakest_bps",
)  # fmt: skip
ROUNDING = 1e-12
"""Share of its terms below which a variance is the rounding of a zero."""


class Heterogeneity(NamedTuple):
    """The partition with the smallest p, its largest squared z, and that p over all partitions."""

    partition: str
    q: float
    p: float


@dataclass(frozen=True, slots=True)
class SliceTable:
    """The K slices with enough days: partition and label, events, gross sum, variance, cost.

    `excess_z` is the z of a slice's mean over that of all other events of the cell; NaN where the
    two are one series up to a factor. All signs are the rule's. `differs` is what they say of
    homogeneity; None where no partition has two slices.
    """

    partition: tuple[str, ...]
    label: tuple[str, ...]
    n_events: FloatArray
    total: FloatArray
    variance: FloatArray
    cost: FloatArray
    excess_z: FloatArray
    differs: Heterogeneity | None

    @property
    def names(self) -> list[str]:
        """`partition=label` of each slice."""
        return [f"{p}={label}" for p, label in zip(self.partition, self.label, strict=True)]


def slice_table(
    arrays: EventArrays,
    chosen: IntArray,
    sign: FloatArray,
    cost: FloatArray,
    horizon_min: int,
    min_days: int,
    whole: FloatArray,
    space: tuple[FloatArray, ...],
) -> SliceTable:
    """Calendar-time sums of every slice of the chosen events with `min_days` decision days.

    `sign` and `cost` (in units of return) belong to `chosen`, `whole` [T] is their series; the
    first array [T] of `space` is overwritten. A part that holds all the events is no slice.
    """
    from quantlab_pipeline.kernels.calendar_moments import PartSums
    from quantlab_pipeline.kernels.calendar_parts import part_sums
    from quantlab_pipeline.kernels.calendar_time import Events

    names, parts = [], []
    for partition, label, members in parts_of(arrays, chosen, min_days):
        names.append((partition, label))
        parts.append(members)
    bounds = np.cumsum([0, *(part.size for part in parts)])
    members = np.concatenate(parts) if parts else np.empty(0, np.int64)
    events = Events(arrays.symbol[chosen], arrays.entry[chosen], sign)
    world = arrays.paths.world
    sums = [
        PartSums(*row)
        for row in part_sums(events, members, bounds, horizon_min, world, whole, space[0]).tolist()
    ]
    rows, kept = [], []
    for name, part, own in zip(names, parts, sums[:-1], strict=True):
        variance = max(own.squares, own.bartlett)
        if variance > 0.0:
            kept.append(name)
            excess = _excess_z(own, part.size, sums[-1], chosen.size)
            rows.append((part.size, own.total, variance, cost[part].sum(), excess))
    partitions, labels = tuple(p for p, _ in kept), tuple(label for _, label in kept)
    n, gross, squares, costs, excess_z = np.array(rows, dtype=np.float64).reshape(-1, 5).T.copy()
    differs = heterogeneity(partitions, excess_z)
    return SliceTable(partitions, labels, n, gross, squares, costs, excess_z, differs)


def days_of(day: IntArray) -> int:
    """How many different days (counted from the window's first) there are among `day` [n]."""
    return int(np.count_nonzero(np.bincount(day)))


def _excess_z(part: PartSums, n: int, whole: PartSums, n_all: int) -> float:
    """The z of the part's mean minus the rest's: the series x / n - (y - x) / (n_all - n).

    That is a x - b y with a = 1/n + 1/(n_all - n) and b = 1/(n_all - n); its variance by the rule
    of the estimator, the larger of sum of squares and Bartlett's. NaN if nothing varies.
    """
    b = 1.0 / (n_all - n)
    a = 1.0 / n + b
    scale = a * a * part.squares + b * b * whole.squares
    variance = max(
        scale - 2.0 * a * b * part.product,
        a * a * part.bartlett - 2.0 * a * b * part.near_product + b * b * whole.bartlett,
    )
    if variance <= ROUNDING * scale:
        return math.nan
    return (a * part.total - b * whole.total) / math.sqrt(variance)


def parts_of(
    arrays: EventArrays, chosen: IntArray, min_days: int
) -> Iterator[tuple[str, str, IntArray]]:
    """Partition, label and members (places in `chosen`, rising) of every part that is a slice."""
    n_days = arrays.paths.world.prices.shape[1] // DAY_MINUTES
    day = arrays.day[chosen]
    for partition, labels, code in _partitions(arrays, chosen, n_days):
        known = np.flatnonzero(code >= 0)
        order = known[np.argsort(code[known], kind="stable")]
        ends = np.cumsum(np.bincount(code[known], minlength=len(labels)))
        by_day = np.bincount(code[known] * n_days + day[known], minlength=len(labels) * n_days)
        days = np.count_nonzero(by_day.reshape(len(labels), n_days), axis=1)
        for k, label in enumerate(labels):
            members = order[ends[k - 1] if k else 0 : ends[k]]
            if members.size not in {0, chosen.size} and days[k] >= min_days:
                yield partition, label, members


def _partitions(
    arrays: EventArrays, chosen: IntArray, n_days: int
) -> Iterator[tuple[str, Sequence[str], IntArray]]:
    """Name, labels, and which of them each chosen event has; -1 for none."""
    for name, parts in (("half", 2), ("quarter", 4)):
        labels = [str(k + 1) for k in range(parts)]
        yield name, labels, arrays.day[chosen] * parts // n_days
    for name, codes in arrays.regimes.items():
        yield name, KNOWN_REGIMES, codes[chosen]
    yield "symbol", arrays.symbols, arrays.symbol[chosen]


def summary(table: SliceTable, side: int) -> dict[str, Any]:
    """Columns of one side: stability, worst slice, Holm-adjusted p for negative, heterogeneity.

    Holm (1979): the smallest of K p-values, times K. Without slices the figures are None and the
    count is 0.
    """
    from scipy.special import ndtr

    k = len(table.label)
    out: dict[str, Any] = {
        "n_slices": k,
        "stability": None,
        "worst_slice": None,
        "worst_slice_z": None,
        "slice_holm_p": None,
        **_heterogeneity_columns(table, side),
    }
    if k:
        z = side * table.total / np.sqrt(table.variance)
        worst = int(np.argmin(z))
        out["stability"] = float(np.mean(side * table.total > table.cost))
        out["worst_slice"] = table.names[worst]
        out["worst_slice_z"] = float(z[worst])
        out["slice_holm_p"] = min(1.0, k * float(ndtr(z[worst])))
    return out


def _heterogeneity_columns(table: SliceTable, side: int) -> dict[str, Any]:
    """Q and p of the least homogeneous partition, its strongest and its weakest slice."""
    found = table.differs
    if found is None:
        return dict.fromkeys(HETEROGENEITY)
    mine = [k for k, name in enumerate(table.partition) if name == found.partition]
    excess = side * table.excess_z[mine]
    figures: list[Any] = [found.q, found.p]
    for at in (np.nanargmax(excess), np.nanargmin(excess)):
        k = mine[at]
        figures += [table.names[k], 1e4 * side * float(table.total[k] / table.n_events[k])]
    return dict(zip(HETEROGENEITY, figures, strict=True))


def heterogeneity(partitions: Sequence[str], excess_z: FloatArray) -> Heterogeneity | None:
    """Which partition's slices differ most from the rest; None where none has two slices.

    Both arguments [K] are those of a `SliceTable`. Within a partition q is the largest squared
    `excess_z`: Cochran's Q, where two independent slices hold all the events. Its p is two-sided
    normal times the number of slices (1 where two mirror each other), and the smallest of all
    partitions, times their number (Bonferroni): the chance that a homogeneous effect shows as much
    is at most p.
    """
    by_partition: dict[str, list[float]] = {}
    for partition, z in zip(partitions, excess_z.tolist(), strict=True):
        by_partition.setdefault(partition, []).append(abs(z))
    tried = []
    for partition, sizes in by_partition.items():
        known = [z for z in sizes if not math.isnan(z)]
        if len(sizes) < 2 or not known:
            continue
        largest = max(known)
        mirrored = len(sizes) == 2 and math.isclose(sizes[0], sizes[1], rel_tol=1e-6)
        p = math.erfc(largest / math.sqrt(2.0)) * (1 if mirrored else len(sizes))
        tried.append(Heterogeneity(partition, largest**2, p))
    if not tried:
        return None
    least = min(tried, key=lambda h: (h.p, -h.q))
    return least._replace(p=min(1.0, least.p * len(tried)))
