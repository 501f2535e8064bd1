"""What the account-and-orders machine costs: compiling from cold, a quote, a bar."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

from quantlab_pipeline.kernels import venue_words as w
from quantlab_pipeline.kernels.venue import run
from quantlab_pipeline_tests.benchmarks.measure import compare

pytestmark = pytest.mark.benchmark
N = 1_000_000
ACCOUNT = w.Account(True, 10**15, 10_000, 10**7, 0, 0, 50_000, 0, 0, 10**7, 1, 10**9)
PRICE = 1_000 + np.arange(N) // 7 % 13
AT = np.arange(N) * 1_000_000
MARK = np.array([[-1, 10_000_000]])
NOTHING = np.zeros((0, 4), dtype=np.int64)

FIRST_CALL = """
import time
import numpy as np
from quantlab_pipeline.kernels import venue_words as w
from quantlab_pipeline.kernels.venue import run
empty = [np.zeros((0, n), dtype=np.int64) for n in (6, 7, 2, 4, 8)]
start = time.perf_counter()
run(w.Tape(*empty[:4]), empty[4], w.Account(True, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1), 0)
print(time.perf_counter() - start)
"""


def test_the_first_call_compiles_in_five_seconds_and_comes_from_the_cache_after(tmp_path):
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    command = [sys.executable, "-c", FIRST_CALL]
    cold, warm = (
        float(subprocess.run(command, env=environment, capture_output=True, check=True).stdout)
        for _ in range(2)
    )
    print(f"\nfirst call: cold {cold:.2f} s, from cache {warm:.2f} s")
    assert cold < 5.0
    assert warm < 0.6


def orders(n, kind, price, until):
    rows = np.zeros((n, w.N_ORDER), dtype=np.int64)
    rows[:, w.O_ARRIVES] = np.linspace(0, until, n)
    rows[:, w.O_KIND], rows[:, w.O_PRICE] = kind, price
    rows[:, w.O_LOTS] = np.where(np.arange(n) % 2 == 0, 10, -10)
    rows[:, w.O_EXPIRES] = w.NEVER
    rows[:, [w.O_PARENT, w.O_GROUP]] = -1
    return rows


@pytest.mark.parametrize("case", ["a thousand market orders", "one resting limit"])
@pytest.mark.parametrize("tier", ["quotes", "bars"])
def test_a_row_of_the_tape_costs_little(tier, case):
    size, zero = np.full(N, 50), np.zeros(N, dtype=np.int64)
    quotes = np.column_stack([AT, PRICE, size, PRICE + 1, size, zero])
    bars = np.column_stack([AT, AT + 1_000_000, PRICE, PRICE + 2, PRICE - 2, PRICE, zero])
    market = case == "a thousand market orders"
    sent = orders(1_000, w.MARKET, 0, AT[-1]) if market else orders(1, w.LIMIT, 5, 0)
    if tier == "quotes":
        tape = w.Tape(quotes, bars[:0], MARK, NOTHING)
    else:
        tape = w.Tape(quotes[:0], bars, MARK, NOTHING)
    ratio = compare(
        f"venue on {tier}, {case}, per row",
        N,
        lambda: run(tape, sent, ACCOUNT, w.NO_WATCH),
        (quotes if tier == "quotes" else bars).sum,
    )
    assert ratio.ours_s / N < 100e-9
