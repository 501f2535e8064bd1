"""Our rolling kernels and event study as peers of the shared benchmark of others' libraries.

That benchmark is a script, `peers.py`; this file is its `--plugin`. It gives each peer the data and
expects a function to time, whose result holds the sums that all peers must agree on. Its ranks are
those of the last row among 1 to n, over n; ours are midranks, half a row lower.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
from peers import peer

Floats = npt.NDArray[np.float64]
Check = dict[str, float]
OURS = "quantlab"


def _volume(data: Any) -> Floats:
    return np.ascontiguousarray(data.bars()[4])


def _of(values: Floats) -> Check:
    return {"s": float(np.nansum(values)), "last": float(values[-1])}


def _rank(window: int) -> Callable[[Any], Callable[[], Check]]:
    def prepare(data: Any) -> Callable[[], Check]:
        from quantlab_pipeline.kernels.rolling_rank import rolling_rank

        x = _volume(data)
        return lambda: _of(rolling_rank(x, window, window) + 0.5 / window)

    return prepare


def _quantile(data: Any) -> Callable[[], Check]:
    from quantlab_pipeline.kernels.rolling_quantile import rolling_quantile

    x = _volume(data)
    return lambda: _of(rolling_quantile(x, 10_080, 0.9, 10_080))


def _moments(data: Any) -> Callable[[], Check]:
    from quantlab_pipeline.kernels.rolling_moments import rolling_mean_deviation

    x = _volume(data)

    def run() -> Check:
        mean, deviation = rolling_mean_deviation(x, 0, 1_440, 1_440)
        return {"m": float(np.nansum(mean)), "s": float(np.nansum(deviation))}

    return run


def _study(data: Any) -> Callable[[], Check]:
    from quantlab_pipeline_tests.benchmarks.test_event_study import Study, day_sums, judged

    order, starts, context, _, outcome, _ = data.events()
    fired = [order[a:b] for a, b in pairwise(starts)]
    cells = [at[context[at] == c] for at in fired for c in range(10)]
    made, draws = Study(cells, np.ascontiguousarray(outcome)), data.p["boot"]

    def run() -> Check:
        net, events = day_sums(made)
        judged(net, events, draws)
        return {"mean": float((net.sum(axis=1) / events.sum(axis=1)).sum())}

    return run


needs = ["quantlab_pipeline", "numba"]
peer("W3.rank1440", OURS, needs)(_rank(1_440))
peer("W3.rank10080", OURS, needs)(_rank(10_080))
peer("W3.quant10080", OURS, needs)(_quantile)
peer("W3.meanstd1440", OURS, needs)(_moments)
peer("W5.study", OURS, needs)(_study)
