"""False discovery rate over a budget of tests of which only some were run.

All procedures take the untested as p = 1, so that what was not run still counts. Nothing here
knows what a candidate is.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


def benjamini_hochberg(p: FloatArray, n_tests: int) -> FloatArray:
    """q-value of each p at `n_tests` in all, shape [n]; NaN p (untested) gives NaN and counts as 1.

    Controls the expected share of false discoveries at q under independence or positive regression
    dependence (Benjamini and Hochberg 1995). ValueError if `n_tests` is below the number of rows.
    """
    return _step_up(p, n_tests, 1.0)


def benjamini_yekutieli(p: FloatArray, n_tests: int) -> FloatArray:
    """The same under any dependence: times sum_{j<=n_tests} 1/j (Benjamini and Yekutieli 2001).

    Shape and NaN rule of `benjamini_hochberg`.
    """
    return _step_up(p, n_tests, float(np.sum(1.0 / np.arange(1, n_tests + 1))))


def hierarchical(p: FloatArray, group: IntArray) -> FloatArray:
    """Least level at which hierarchical BH takes each candidate, [n]; NaN where p is NaN.

    `group` int64[n] names each candidate's group by 0, 1, ...; a NaN p (untested) counts as 1 in
    its group. At level q BH at q first selects among the F groups by their Simes p; inside each of
    the S that it selects, BH is run at q S / F. That holds the false discovery rate inside a group,
    averaged over the selected ones, at q, under independence or positive regression dependence
    (Benjamini and Bogomolov 2014, "Selective inference on multiple families of hypotheses"). What
    is taken at q is taken at every larger level, so that the least one is an adjusted p.
    """
    n_groups = int(group.max()) + 1 if group.size else 0
    inside = np.full(p.shape, np.nan)
    simes = np.ones(n_groups)
    for g in range(n_groups):
        members = np.flatnonzero(group == g)
        inside[members] = benjamini_hochberg(p[members], members.size)
        tested = inside[members][np.isfinite(inside[members])]
        simes[g] = tested.min() if tested.size else 1.0
    if n_groups == 0:
        return inside
    rank = np.arange(1, n_groups + 1)
    selected_from = np.sort(benjamini_hochberg(simes, n_groups))
    # From its r-th smallest level on at least r groups are selected: r / F of the level remains.
    # A candidate's own group is among them, for its Simes p is no larger than `inside`.
    needed = np.maximum(selected_from, inside[:, None] * n_groups / rank)
    least: FloatArray = needed.min(axis=1)
    return least


def _step_up(p: FloatArray, n_tests: int, inflation: float) -> FloatArray:
    if n_tests < p.size:
        raise ValueError(f"{n_tests} tests cannot hold a family of {p.size}")
    tested = np.flatnonzero(np.isfinite(p))
    ranked = tested[np.argsort(p[tested], kind="stable")]
    steps = p[ranked] * (n_tests * inflation) / np.arange(1, ranked.size + 1)
    out = np.full(p.shape, np.nan)
    # What is untested stands at p = 1 behind every tested one, so it can lower no q below 1.
    out[ranked] = np.minimum(np.minimum.accumulate(steps[::-1])[::-1], 1.0)
    return out


def first_step_z(q: float, n_tests: int) -> float:
    """The z that the best of `n_tests` needs: the normal quantile of 1 - q / n_tests."""
    from scipy.special import ndtri

    return float(-ndtri(q / n_tests))
