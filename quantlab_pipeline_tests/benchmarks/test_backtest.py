"""The backtest tiers: a year of minutes in a hundred variants, a month of quotes, cold starts.

Floors are numpy on the same arrays in the same run. The bars: 8 ns a bar and variant with every
cost on two threads, 6 ns a quote, half a gigabyte, 5 s for a first call. Other people's libraries
are no dependency of ours: `test_backtest_peers` meets them where they are installed.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from quantlab_pipeline.kernels import quote_backtest
from quantlab_pipeline.kernels.bar_backtest import BarCosts, BarTape, sweep
from quantlab_pipeline.kernels.bar_targets import crossing_targets
from quantlab_pipeline.kernels.execution import Book, Limits
from quantlab_pipeline_tests.benchmarks.measure import compare

pytestmark = pytest.mark.benchmark
YEAR, VARIANTS, DAY_S = 525_600, 100, 86_400
RNG = np.random.default_rng(0)
CLOSE = 100 * np.exp(np.cumsum(RNG.normal(0, 7e-4, YEAR)))
FAST, SLOW = (
    grid.ravel()
    for grid in np.meshgrid(
        np.arange(5, 55, 5), np.linspace(60, 240, 10).astype(int), indexing="ij"
    )
)


def year_tape() -> BarTape:
    rate = np.zeros(YEAR)
    rate[479::480] = 1e-4
    opens = np.concatenate([CLOSE[:1], CLOSE[:-1]])
    return BarTape(opens, CLOSE, CLOSE, rate, np.arange(YEAR, dtype=np.int64) // 1_440)


def every_cost() -> BarCosts:
    return BarCosts(5.0, np.full(YEAR, 0.5), RNG.uniform(0.1, 1.0, YEAR), 0.0)


@pytest.mark.parametrize("threads", [1, 2])
def test_a_sweep_with_every_cost_and_statistic_beats_numpy_with_none(threads: int) -> None:
    tape, costs = year_tape(), every_cost()
    targets = crossing_targets(CLOSE, FAST, SLOW, threads)
    moves = np.diff(CLOSE, prepend=CLOSE[0])
    room = np.empty(YEAR)

    def equity_alone() -> list[float]:
        return [np.multiply(target, moves, out=room).sum() for target in targets]

    ratio = compare(
        f"100 crossings, a year of minutes, every cost, {threads} threads, per bar and variant",
        VARIANTS * YEAR,
        lambda: sweep(tape, targets, costs, threads),
        equity_alone,
    )
    assert ratio.ours_s * 1e9 / (VARIANTS * YEAR) < 8.0
    assert ratio.value < 8.0


def test_crossing_targets_cost_less_than_comparing_ready_averages() -> None:
    fast, slow = CLOSE * 1.0001, CLOSE[::-1].copy()
    ratio = compare(
        "targets of 100 crossings from closes, per bar and variant",
        VARIANTS * YEAR,
        lambda: crossing_targets(CLOSE, FAST, SLOW),
        lambda: [(fast > slow).astype(np.int8) - (fast < slow) for _ in range(VARIANTS)],
    )
    assert ratio.value < 1.5


def month_of_quotes() -> Book:
    n = 30 * DAY_S
    mid = 100 * np.exp(np.cumsum(RNG.normal(0, 8e-5, n)))
    half = RNG.integers(1, 6, n) * 0.005
    size = RNG.exponential(10.0, n) + 0.1
    bid = np.where(RNG.random(n) < 0.001, np.nan, mid - half)
    ts_us = np.arange(1, n + 1, dtype=np.int64) * 1_000_000
    return Book(ts_us, bid, size, mid + half, size[::-1].copy(), np.zeros(n, dtype=np.int64))


def test_quotes_are_executed_at_the_pace_of_reading_them() -> None:
    book, nothing = month_of_quotes(), np.zeros(0)
    n = book.ts_us.size
    minutes = np.arange(1, n // 60, dtype=np.int64) * 60_000_000
    ends = np.arange(1, 31, dtype=np.int64) * DAY_S * 1_000_000
    calendar = quote_backtest.Calendar(nothing.astype(np.int64), nothing, nothing, ends)
    terms = quote_backtest.Terms(200_000, 30_000_000, 1.0, 5.0, np.zeros(1), 1.0)
    limits = Limits(15_000_000, 2.0, 1.0, 50.0)

    def ours() -> quote_backtest.QuoteStats:
        marks = quote_backtest.quote_marks(book, limits.max_age_us)
        mid = quote_backtest.marks_at(book.ts_us, marks, minutes)
        targets = crossing_targets(mid, np.array([20]), np.array([100]))
        return quote_backtest.run_quotes(
            book, calendar, minutes, targets, terms, limits, marks=marks
        )

    assert ours().n_fills[0] > 300
    ratio = compare(
        "a month of quotes, an order at each crossing, falls at every quote, per quote",
        n,
        ours,
        lambda: (
            0.5 * (book.bid + book.ask)
            + 0.0 * (book.bid_qty + book.ask_qty)
            + (book.ts_us + book.age_us)
        ),
    )
    assert ratio.ours_s * 1e9 / n < 6.0
    assert ratio.value < 2.0


ALONE = """
import json, sys, time
began = time.perf_counter()
import numpy as np
import polars as pl
from quantlab_pipeline.kernels.bar_targets import crossing_targets
from quantlab_pipeline.simulation.simulator import Simulator
from quantlab_pipeline.simulation.slippage import SlippageModel
from quantlab_pipeline_tests.simulation.builders import bars_of, cost_model
tier, n, v = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
close = 100 * np.exp(np.cumsum(np.random.default_rng(0).normal(0, 7e-4, n)))
bars = bars_of(close)
pairs = [(f, s) for f in range(5, 55, 5) for s in range(60, 260, 20)][:v]
targets = crossing_targets(close, *(np.array(w) for w in zip(*pairs)), 2)
slippage = SlippageModel(base_bps=0.5, vol_multiple=0.1)
stats = Simulator(cost_model(), {}, 2).sweep(bars, targets, tier, slippage=slippage)
assert np.isfinite(stats.equity).all() and stats.n_orders.min() > 0
took = {"seconds": time.perf_counter() - began, "cpu_s": time.process_time()}
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
print(json.dumps({**took, "peak_mb": int(status["VmHWM"].split()[0]) / 1024}))
"""


def alone(tier: str, bars: int, variants: int, cache: Path | None = None) -> dict[str, float]:
    """Seconds, imports and all, and peak memory of one sweep in a process of its own.

    The peak is read from /proc: what getrusage says begins with the parent's.
    """
    command = [sys.executable, "-c", ALONE, tier, str(bars), str(variants)]
    place = {} if cache is None else {"NUMBA_CACHE_DIR": str(cache)}
    done = subprocess.run(
        command, env={**os.environ, **place}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    told: dict[str, float] = json.loads(done.stdout)
    return told


def test_a_hundred_variants_of_a_year_need_less_than_half_a_gigabyte() -> None:
    told = alone("T1", YEAR, VARIANTS)
    print(f"\n100 variants x 1 year, a process of its own: {told}")
    assert told["peak_mb"] < 500


@pytest.mark.parametrize(("tier", "bars", "limit_s"), [("T0", 1_000, 5.0), ("T1", 50_000, 30.0)])
def test_a_fresh_process_answers_soon(tier: str, bars: int, limit_s: float, tmp_path: Path) -> None:
    cold = alone(tier, bars, 1, tmp_path)
    warm = alone(tier, bars, 1, tmp_path)
    print(f"\n{tier} on {bars} bars: cold {cold}, warm {warm}")
    assert cold["cpu_s"] < limit_s
    assert warm["cpu_s"] < limit_s / 2


COMPILE = """
import time
from quantlab_pipeline.simulation import warming
for kernels in (warming._bars, warming._quotes, warming._orders):
    began, spent = time.perf_counter(), time.process_time()
    kernels()
    took = time.perf_counter() - began, time.process_time() - spent
    print(kernels.__name__, "took %.2f s, of the processor %.2f s" % took)
"""


def test_kernels_compile_in_seconds_and_load_in_an_instant(tmp_path: Path) -> None:
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    for limit_s in (5.0, 1.0):
        done = subprocess.run(
            [sys.executable, "-c", COMPILE],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        print(f"\n{done.stdout}")
        spent = [float(line.split()[-2]) for line in done.stdout.splitlines()]
        assert max(spent) < limit_s
