"""Which columns say the same: rank correlations of all pairs, in the order of their clusters.

Pure functions of a sample. Drawing the map is `charts_heat`'s work.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

FloatArray = npt.NDArray[np.float64]

CORRELATION_ROWS = 20_000
"""Most rows from which correlations are taken."""


@dataclass(frozen=True, slots=True)
class Correlations:
    """Spearman's rank correlation of every pair, in the order of their clusters.

    `values` float[C, C], NaN where two features never have a value together; `apart` are features
    that never vary, and have no correlation.
    """

    names: tuple[str, ...]
    values: FloatArray
    apart: tuple[str, ...]
    n_rows: int

    def strongest(self, most: int) -> list[tuple[str, str, float]]:
        """The pairs of the largest |rho|, the largest first."""
        pairs = [
            (self.names[i], self.names[j], float(self.values[i, j]))
            for i in range(len(self.names))
            for j in range(i)
            if math.isfinite(self.values[i, j])
        ]
        return sorted(pairs, key=lambda pair: (-abs(pair[2]), *sorted(pair[:2])))[:most]


def correlations(
    names: Sequence[str], sample: FloatArray, most_rows: int = CORRELATION_ROWS
) -> Correlations:
    """Spearman's correlations of the rows of `sample` float64[F, n] (NaN: unknown), by cluster.

    At most `most_rows` evenly spaced columns of it are taken.

    Ranks are taken among each feature's own known values, and the correlation of two over the rows
    on which both are known. Clusters: average linkage on 1 - |rho|, leaves in the order that keeps
    neighbours nearest (Bar-Joseph, Gifford and Jaakkola 2001); rho is rounded first, so that the
    order never hangs on a last bit.
    """
    n = sample.shape[1]
    rows = np.unique(np.linspace(0, max(n - 1, 0), min(n, most_rows)).astype(np.int64))
    chosen = np.ascontiguousarray(sample[:, rows])
    kept = [f for f, row in enumerate(chosen) if _known(row).size and not _is_constant(row)]
    rho = rank_correlations(chosen[kept])
    order = cluster_order(rho)
    return Correlations(
        tuple(names[kept[i]] for i in order),
        rho[np.ix_(order, order)],
        tuple(n for n, row in zip(names, chosen, strict=True) if _is_constant(row)),
        len(rows),
    )


def _is_constant(values: FloatArray) -> bool:
    known = _known(values)
    return known.size > 0 and bool(np.all(known == known[0]))


def _known(values: FloatArray) -> FloatArray:
    return values[np.isfinite(values)]


def rank_correlations(values: FloatArray) -> FloatArray:
    """Spearman's rho of every pair of rows of float64[F, n] (NaN: unknown), float64[F, F].

    Equal values share their mean rank. Rounded to 1e-6; NaN where a pair has no variance together.
    """
    frame = pl.DataFrame({str(f): row for f, row in enumerate(values)}, nan_to_null=True)
    if not len(values) or frame.is_empty():
        return np.full((len(values), len(values)), np.nan)
    ranks = frame.select(pl.all().rank("average")).to_numpy().T
    known = np.isfinite(ranks)
    centred = np.where(known, ranks - np.nanmean(ranks, axis=1, keepdims=True), 0.0)
    mask = known.astype(np.float64)
    both = mask @ mask.T
    sums = centred @ mask.T
    squares = (centred**2) @ mask.T
    with np.errstate(invalid="ignore", divide="ignore"):
        shared = centred @ centred.T - sums * sums.T / both
        spread = squares - sums**2 / both
        rho = shared / np.sqrt(spread * spread.T)
    rho[(both < 2) | (spread <= 1e-9) | (spread.T <= 1e-9)] = np.nan
    rounded: FloatArray = np.clip(np.round(rho, 6), -1.0, 1.0) + 0.0
    return rounded


def cluster_order(rho: FloatArray) -> list[int]:
    """The rows of `rho` from one end of the tree of clusters to the other."""
    if len(rho) < 3:
        return list(range(len(rho)))
    from scipy.cluster.hierarchy import leaves_list, linkage
    from scipy.spatial.distance import squareform

    apart = 1.0 - np.abs(np.nan_to_num(rho, nan=0.0))
    apart = (apart + apart.T) / 2.0
    np.fill_diagonal(apart, 0.0)
    tree = linkage(squareform(apart, checks=False), method="average", optimal_ordering=True)
    return [int(i) for i in leaves_list(tree)]
