"""Our kernels and event study as peers of the shared benchmark of others' libraries.

That benchmark is a script, `peers.py`; this file is its `--plugin`. It gives each peer the data and
expects a function to time, whose result holds the sums that all peers must agree on. Its ranks are
those of the last row among 1 to n, over n; ours are midranks, half a row lower.

Backtests (W1): signals are made inside the timed part, by every peer. A sweep is always one with
all costs and statistics; its Sharpe ratio is of days where theirs is of minutes, and its drawdown
is in money where theirs is a share of equity, so that neither is compared. Their orders are our
`n_orders`: a reversal is one. W1.exec decides on the quotes before the minute: one microsecond
earlier, with a microsecond more latency.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
from peers import CASH, COST, F1, LAT, S1, peer

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Check = dict[str, float]
OURS = "quantlab"
THREADS = 2
MINUTE_US, DAY_US = 60_000_000, 86_400_000_000


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


def _paid(fee_bps: float) -> Any:
    from quantlab_pipeline.kernels.bar_backtest import BarCosts

    return BarCosts(fee_bps, np.zeros(1), np.zeros(1), 1.0)


def _bar_tape(bars: Floats) -> Any:
    from quantlab_pipeline.kernels.bar_backtest import BarTape

    n = bars.shape[1]
    return BarTape(bars[0], bars[3], bars[3], np.zeros(n), np.arange(n, dtype=np.int64) // 1_440)


def _sweep(fast: Ints, slow: Ints, threads: int) -> Callable[[Any], Callable[[], Check]]:
    def prepare(data: Any) -> Callable[[], Check]:
        from quantlab_pipeline.kernels.bar_backtest import sweep
        from quantlab_pipeline.kernels.bar_targets import crossing_targets

        tape = _bar_tape(data.bars())

        def run() -> Check:
            targets = crossing_targets(tape.close, fast, slow, threads)
            stats = sweep(tape, targets, _paid(1e4 * COST), threads)
            equity = CASH + stats.equity
            orders = float(stats.n_orders[0])
            return {"equity": equity[0], "eqsum": equity.sum(), "orders": orders}

        return run

    return prepare


def _many_symbols(data: Any) -> Callable[[], Check]:
    from quantlab_pipeline.kernels.bar_backtest import sweep
    from quantlab_pipeline.kernels.bar_targets import crossing_targets

    tapes = [_bar_tape(data.bars(symbol)) for symbol in range(data.p["multi"])]

    def one(tape: Any) -> float:
        targets = crossing_targets(tape.close, np.array([F1]), np.array([S1]))
        return float(CASH + sweep(tape, targets, _paid(1e4 * COST)).equity[0])

    def run() -> Check:
        with ThreadPoolExecutor(THREADS) as pool:
            equity = list(pool.map(one, tapes))
        return {"equity": equity[0], "eqsum": sum(equity)}

    return run


def _crossing() -> Callable[[Floats, Ints], None]:
    """The job's signal, with its own running sums: on a grid of ticks averages tie, and rounding
    decides.
    """
    from numba import njit

    @njit
    def crossing(mid: Floats, out: Ints) -> None:
        fast, slow, held = 0.0, 0.0, 0
        for k in range(mid.size):
            fast += mid[k]
            slow += mid[k]
            fast -= mid[k - F1] if k >= F1 else 0.0
            slow -= mid[k - S1] if k >= S1 else 0.0
            if k >= S1 - 1 and fast / F1 != slow / S1:
                held = 1 if fast / F1 > slow / S1 else -1
            out[k] = held

    return crossing


def _executed(data: Any) -> Callable[[], Check]:
    from quantlab_pipeline.kernels import quote_backtest as kernel
    from quantlab_pipeline.kernels.execution import Book, Limits

    ts_ms, bid, bid_qty, ask, ask_qty = data.quotes()
    book = Book(ts_ms * 1_000, bid, bid_qty, ask, ask_qty, np.zeros_like(ts_ms))
    first, last = book.ts_us[0] // MINUTE_US + 1, book.ts_us[-1] // MINUTE_US
    decide_us = np.arange(first, last + 1) * MINUTE_US - 1
    ends = (np.unique(decide_us // DAY_US) + 1) * DAY_US
    nothing = np.zeros(0)
    calendar = kernel.Calendar(np.zeros(0, dtype=np.int64), nothing, nothing, ends)
    nothing_more = np.zeros(1)
    terms = kernel.Terms(1_000 * LAT + 1, MINUTE_US // 2, 1.0, 5.0, nothing_more, 1.0)
    limits = Limits(15_000_000, 0.0, 1.0, 50.0)
    targets, crossing = np.zeros((1, decide_us.size), dtype=np.int8), _crossing()

    def run() -> Check:
        marks = kernel.quote_marks(book, limits.max_age_us)
        mid = kernel.marks_at(book.ts_us, marks, decide_us)
        crossing(mid, targets[0])
        stats = kernel.run_quotes(book, calendar, decide_us, targets, terms, limits, marks=marks)
        return {"equity": float(CASH + stats.equity[0]), "orders": float(stats.n_fills[0])}

    return run


def _pairs_sweep(data: Any) -> Callable[[], Check]:
    fast, slow, i, j = data.pairs()
    return _sweep(fast[i], slow[j], THREADS)(data)


needs = ["quantlab_pipeline", "numba"]
peer("W1.single", OURS, needs)(_sweep(np.array([F1]), np.array([S1]), 1))
peer("W1.sweep", f"{OURS}, {THREADS} threads", needs)(_pairs_sweep)
peer("W1.sweep_stats", f"{OURS}, {THREADS} threads", needs)(_pairs_sweep)
peer("W1.multi", f"{OURS}, {THREADS} threads", needs)(_many_symbols)
peer("W1.exec", OURS, needs)(_executed)
peer("W3.rank1440", OURS, needs)(_rank(1_440))
peer("W3.rank10080", OURS, needs)(_rank(10_080))
peer("W3.quant10080", OURS, needs)(_quantile)
peer("W3.meanstd1440", OURS, needs)(_moments)
peer("W5.study", OURS, needs)(_study)
