from typing import NamedTuple

import numpy as np
import pytest

from quantlab_pipeline.kernels import execution
from quantlab_pipeline.kernels import quote_backtest as kernel
from quantlab_pipeline_tests.oracles import quote_backtest as oracle

HOSTILE = (np.nan, np.inf, 0.0, -1.0)
SECOND = 1_000_000


class World(NamedTuple):
    """A book with bad and repeated instants, settlements at quotes and between, three targets."""

    book: execution.Book
    calendar: kernel.Calendar
    decide_us: np.ndarray
    targets: np.ndarray
    terms: kernel.Terms
    limits: execution.Limits

    def run(self, threads=1):
        return kernel.run_quotes(*self, threads)

    def quotes(self):
        return list(zip(*(column.tolist() for column in self.book), strict=True))


def random_book(rng, seed):
    n = int(rng.choice([1, 5, 64, 130, 200]))
    steps = rng.choice([0, 1, 1, 1, 3, 20], n) * SECOND
    mid = 100 * np.exp(np.cumsum(rng.normal(0, 1e-3, n)))
    half = rng.uniform(-0.01, 0.05, n) if seed % 3 else np.full(n, 0.02)
    share = rng.choice([0, 0.02, 0.3])

    def spoiled(values):
        return np.where(rng.random(n) < share, rng.choice(HOSTILE, n), values)

    return execution.Book(
        np.cumsum(steps) + SECOND,
        spoiled(mid - half),
        spoiled(rng.uniform(0.1, 5, n)),
        spoiled(mid + half),
        spoiled(rng.uniform(0.1, 5, n)),
        rng.choice([0, 0, 1, 9], n) * SECOND,
    )


def random_world(seed):
    rng = np.random.default_rng(seed)
    book = random_book(rng, seed)
    n, end = book.ts_us.size, int(book.ts_us[-1]) + 5 * SECOND
    m = int(rng.integers(1, 60))
    moves = np.repeat(rng.integers(-2, 3, (3, m)), rng.integers(1, 4), axis=1)[:, :m]
    stamps = np.unique(rng.choice(np.concatenate([book.ts_us, rng.integers(0, end, 8)]), 6))
    second = int(book.ts_us[n // 2])
    ends = [end // 3, second if second > end // 3 else end // 2, end + SECOND]
    return World(
        book,
        kernel.Calendar(
            stamps,
            rng.normal(0, 1e-4, stamps.size),
            np.where(rng.random(stamps.size) < 0.5, np.nan, 100.0),
            np.array(ends, dtype=np.int64),
        ),
        np.sort(rng.integers(0, end, m)),
        np.ascontiguousarray(moves.astype(np.int8)),
        kernel.Terms(
            int(rng.choice([0, 200_000, SECOND, 7 * SECOND])),
            int(rng.choice([0, 2 * SECOND, 60 * SECOND])),
            float(rng.choice([1.0, 0.3, 4.0])),
            float(rng.uniform(0, 10)),
            rng.choice([0.0, 1.0, np.nan], m, p=[0.5, 0.4, 0.1]) if seed % 2 else np.ones(1),
            0.5,
        ),
        execution.Limits(3 * SECOND, 2.0, float(rng.choice([1.0, 1.5])), 6.0),
    )


def test_every_statistic_of_200_hostile_worlds_equals_the_oracle_to_the_last_bit():
    filled = unfilled = 0
    for seed in range(200):
        world = random_world(seed)
        stats, quotes = world.run(), world.quotes()
        filled, unfilled = filled + stats.n_fills.sum(), unfilled + stats.n_unfilled.sum()
        for k, target in enumerate(world.targets):
            want = oracle.run(
                quotes, world.calendar, world.decide_us, target, world.terms, world.limits
            )
            for name in stats._fields:
                got = np.asarray(getattr(stats, name)[k])
                assert np.array_equal(got, np.asarray(want[name]), equal_nan=True), (seed, name)
    assert filled > 1000
    assert unfilled > 1000


def sent(world, target):
    log = kernel.order_log(target.size)
    count = kernel.send_orders(world.book, world.decide_us, target, world.terms, world.limits, log)
    return kernel.OrderLog(*(column[:count] for column in log))


def test_the_same_orders_fill_exactly_as_in_the_engines_kernel():
    for seed in range(60):
        world = random_world(seed)
        world = world._replace(terms=world.terms._replace(impact_bps=np.ones(1)))
        log = sent(world, world.targets[0])
        m = log.change.size
        orders = execution.Orders(
            log.arrive_us,
            np.sign(log.change).astype(np.int8),
            np.abs(log.change),
            np.ones(m),
            np.zeros(m),
            log.wait_us,
            np.full(m, world.terms.depth_share),
        )
        fills = execution.fill_on_quotes(world.book, orders, world.limits)
        for name in ("mid", "touch", "price"):
            assert np.array_equal(getattr(log, name), getattr(fills, name), equal_nan=True)
        filled = fills.state == execution.FILLED
        assert np.array_equal(log.at_us[filled], fills.at_us[filled])
        assert np.array_equal(np.isfinite(log.price), filled)


def test_marks_are_the_last_usable_mids():
    for seed in range(20):
        world = random_world(seed)
        marks = kernel.quote_marks(world.book, world.limits.max_age_us)
        at_us = np.sort(np.concatenate([world.decide_us, world.book.ts_us]))
        got = kernel.marks_at(world.book.ts_us, marks, at_us)
        want = [oracle.mark_at(world.quotes(), t, world.limits.max_age_us) for t in at_us]
        assert np.array_equal(got, want, equal_nan=True)


def test_threads_change_no_byte():
    world = random_world(4)
    many = world._replace(targets=np.concatenate([world.targets] * 5))
    once = [a.tobytes() for a in many.run()]
    assert [a.tobytes() for a in many.run(threads=2)] == once


def book_of(rows):
    columns = [np.array(c, dtype=np.float64) for c in zip(*rows, strict=True)]
    ts = (columns[0] * SECOND).astype(np.int64)
    return execution.Book(ts, *columns[1:5], np.zeros(ts.size, dtype=np.int64))


def hand_world(rows, decide_s, targets, latency_s=0.2, wait_s=60.0, settle=(), fee_bps=10.0):
    stamps = np.array([s * SECOND for s, _ in settle], dtype=np.int64)
    rates = np.array([r for _, r in settle], dtype=np.float64)
    return World(
        book_of(rows),
        kernel.Calendar(stamps, rates, np.full(stamps.size, 100.0), np.array([10**9])),
        np.array([d * SECOND for d in decide_s], dtype=np.int64),
        np.array([targets], dtype=np.int8),
        kernel.Terms(int(latency_s * SECOND), int(wait_s * SECOND), 2.0, fee_bps, np.zeros(1), 1.0),
        execution.Limits(15 * SECOND, 0.0, 1.0, 50.0),
    )


def test_a_hand_case_fills_at_the_delayed_quote_and_pays_fees_and_funding():
    rows = [(1, 99, 9, 101, 9), (2, 109, 9, 111, 9), (3, 119, 9, 121, 9), (9, 129, 9, 131, 9)]
    # The decision at 1.9 meets the quote of second 2; the one at 3 that of second 3.
    world = hand_world(rows, [1.9, 3], [1, 0], settle=[(2.05, 1e-3), (3, 1e-3), (5, 1e-3)])
    stats = world.run()
    paid = 2 * 111 - 2 * 119 + 10e-4 * 2 * (111 + 119) + 2 * 100.0 * 1e-3
    assert stats.equity[0] == pytest.approx(-paid, abs=1e-12)
    assert stats.funding[0] == pytest.approx(-0.2, abs=1e-15)
    assert stats.spread[0] == pytest.approx(4.0, abs=1e-12)
    assert (stats.n_fills[0], stats.n_unfilled[0]) == (2, 0)


@pytest.mark.parametrize(
    "bad",
    [
        (101, 9, 101, 9),  # locked
        (102, 9, 101, 9),  # crossed
        (np.nan, 9, 101, 9),
        (99, 0, 101, 9),
        (99, 9, 101, np.nan),
    ],
)
def test_an_invalid_quote_never_fills_and_never_marks(bad):
    rows = [(1, *bad), (2, *bad), (4, 99, 9, 101, 9), (5, *bad)]
    world = hand_world(rows, [1], [1], fee_bps=0.0)
    assert sent(world, world.targets[0]).at_us.tolist() == [4 * SECOND]
    assert world.run().equity[0] == -2.0
    late = hand_world(rows, [1], [1], wait_s=1.0)
    assert (late.run().n_fills[0], late.run().n_unfilled[0]) == (0, 1)


def test_a_stale_quote_does_not_fill():
    world = hand_world([(1, 99, 9, 101, 9), (40, 99, 9, 101, 9)], [30], [1])
    assert sent(world, world.targets[0]).at_us.tolist() == [40 * SECOND]


def test_an_order_that_expired_is_sent_anew_and_a_waiting_one_is_replaced():
    holes = [(t, np.nan, 9, 101, 9) for t in range(1, 9)]
    rows = [*holes, (9, 99, 9, 101, 9)]
    again = sent(hand_world(rows, [1, 5, 8], [1, 1, 1], wait_s=2.0), np.ones(3, dtype=np.int8))
    assert again.arrive_us.tolist() == [1_200_000, 5_200_000, 8_200_000]
    assert np.isfinite(again.price).tolist() == [False, False, True]
    world = hand_world(rows, [1, 5], [1, -1])
    replaced = sent(world, world.targets[0])
    assert replaced.change.tolist() == [2.0, -2.0]
    assert replaced.wait_us.tolist() == [4 * SECOND - 1, 60 * SECOND]


def test_an_empty_book_gives_nothing():
    world = hand_world([(1, 99, 9, 101, 9)], [1], [1])
    nothing = execution.Book(*(column[:0] for column in world.book))
    stats = world._replace(book=nothing).run()
    assert stats.equity.tolist() == [0.0]
    assert np.isnan(stats.sharpe[0])
