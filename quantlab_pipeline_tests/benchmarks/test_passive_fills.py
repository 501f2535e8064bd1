"""Resting orders on a day of one-second quotes, per quote waited through, against plain reading."""

from __future__ import annotations

import numpy as np
import pytest

from quantlab_pipeline.kernels.execution import Book
from quantlab_pipeline.kernels.passive_fills import (
    PENETRATION,
    QUEUE,
    TOUCH,
    Resting,
    rest_on_quotes,
)
from quantlab_pipeline_tests.benchmarks.measure import compare

pytestmark = pytest.mark.benchmark
QUOTES, ORDERS, WAIT_S = 86_400, 50_000, 60


@pytest.mark.parametrize(
    ("name", "rule", "share"),
    [("touch", TOUCH, 1.0), ("queue", QUEUE, 0.0), ("penetration", PENETRATION, 1.0)],
)
def test_a_resting_order_costs_a_few_nanoseconds_a_quote(name, rule, share):
    rng = np.random.default_rng(0)
    # Sizes only grow and prices stand, so that every order waits for all of its quotes.
    size = 5.0 + np.arange(QUOTES) * 1e-3
    stamps = np.arange(QUOTES, dtype=np.int64) * 1_000_000
    book = Book(
        stamps, np.full(QUOTES, 100.0), size, np.full(QUOTES, 100.1), size, np.zeros_like(stamps)
    )
    arrive = np.sort(rng.integers(0, (QUOTES - WAIT_S) * 1_000_000, ORDERS))
    orders = Resting(
        arrive,
        arrive + WAIT_S * 1_000_000,
        rng.choice([-1, 1], ORDERS).astype(np.int8),
        np.ones(ORDERS),
        np.full(ORDERS, np.nan),
        np.ones(ORDERS),
        np.ones(ORDERS),
        np.zeros(ORDERS),
    )
    assert rest_on_quotes(book, orders, rule, 15_000_000, share).state.sum() == 0
    columns = [book.bid, book.bid_qty, book.ask, book.ask_qty]
    first = arrive // 1_000_000

    def read_each_wait() -> float:
        return sum(float(c[i : i + WAIT_S].sum()) for i in first for c in columns)

    ratio = compare(
        f"{name}, per quote waited through",
        ORDERS * WAIT_S,
        lambda: rest_on_quotes(book, orders, rule, 15_000_000, share),
        read_each_wait,
        rounds=3,
    )
    assert ratio.value < 0.2
