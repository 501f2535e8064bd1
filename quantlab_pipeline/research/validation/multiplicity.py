"""False discovery rate over a budget of tests of which only some were run.

Both procedures take the untested as p = 1, so that what was not run still counts. Nothing here
knows what a candidate is.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]


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
