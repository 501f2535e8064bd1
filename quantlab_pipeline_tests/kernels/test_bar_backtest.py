import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quantlab_pipeline.kernels import bar_backtest as kernel
from quantlab_pipeline.kernels.bar_targets import crossing_targets
from quantlab_pipeline_tests.oracles import bar_backtest as oracle

HOSTILE = (np.nan, np.inf, -np.inf, 0.0, -1.0)
FREE = kernel.BarCosts(0.0, np.zeros(1), np.zeros(1), 0.0)


def spoiled(rng, values, share):
    return np.where(rng.random(values.size) < share, rng.choice(HOSTILE, values.size), values)


@dataclasses.dataclass
class World:
    """A tape with holes, skipped days and settlements; costs that may be unknown; three targets."""

    tape: kernel.BarTape
    targets: np.ndarray
    costs: kernel.BarCosts


def random_world(seed):
    rng = np.random.default_rng(seed)
    n = int(rng.choice([1, 2, 63, 64, 65, 129, 400, 700]))
    close = 100 * np.exp(np.cumsum(rng.normal(0, 1e-3, n)))
    opened = np.concatenate([[100.0], close[:-1]]) * np.exp(rng.normal(0, 1e-4, n))
    holes = rng.choice([0, 0.05, 0.5])
    rate = np.where(rng.random(n) < 0.03, rng.normal(0, 1e-4, n), 0.0)
    if seed % 10 == 0:
        rate[rng.random(n) < 0.01] = np.nan
    day = np.cumsum(rng.random(n) < 0.02) * rng.integers(1, 3)
    held = int(rng.integers(1, 200))
    moves = np.repeat(rng.integers(-1, 2, (3, n // held + 1)), held, axis=1)[:, :n]
    half = rng.uniform(0, 3, 1) if seed % 2 else spoiled(rng, rng.uniform(0, 3, n), 0.1)
    slippage = spoiled(rng, rng.uniform(0, 3, n), 0.1)
    return World(
        kernel.BarTape(
            spoiled(rng, opened, holes),
            spoiled(rng, close, holes),
            spoiled(rng, close * 1.0001, 0.3),
            rate,
            day.astype(np.int64),
        ),
        np.ascontiguousarray(moves.astype(np.int8)),
        kernel.BarCosts(rng.uniform(0, 10), half, slippage, float(rng.choice([0.0, 0.5]))),
    )


def test_every_statistic_of_200_hostile_worlds_equals_the_oracle_to_the_last_bit():
    for seed in range(200):
        world = random_world(seed)
        stats = kernel.sweep(world.tape, world.targets, world.costs)
        for k, target in enumerate(world.targets):
            want = oracle.run(world.tape, target, world.costs)
            for name in stats._fields:
                got = np.asarray(getattr(stats, name)[k])
                assert np.array_equal(got, np.asarray(want[name]), equal_nan=True), (seed, name)


def test_the_traced_path_and_orders_are_those_of_the_oracle():
    for seed in range(60):
        world = random_world(seed)
        want = oracle.run(world.tape, world.targets[0], world.costs)
        traced = kernel.trace(world.tape, world.targets[0], world.costs)
        assert np.array_equal(traced.equity, want["path"], equal_nan=True)
        assert list(zip(*(c.tolist() for c in traced[1:]), strict=True)) == want["fills"]


def test_threads_change_no_byte():
    world = random_world(6)
    targets = np.concatenate([random_world(6).targets] * 9)[:, ::-1].copy()
    once = [a.tobytes() for a in kernel.sweep(world.tape, targets, world.costs)]
    for threads in (1, 2, 3, 40):
        again = kernel.sweep(world.tape, targets, world.costs, threads)
        assert [a.tobytes() for a in again] == once


def hand_tape(price, rate):
    return kernel.BarTape(price, price, price, rate, np.zeros(price.size, dtype=np.int64))


def test_a_hand_case_pays_every_cost_on_both_sides_and_funding_inside():
    tape = hand_tape(np.array([100.0, 100.0, 110.0, 121.0]), np.array([0.0, 0.0, 1e-4, 1e-4]))
    target = np.array([[1, 1, 0, 0]], dtype=np.int8)
    costs = kernel.BarCosts(10.0, np.full(1, 5.0), np.array([0.0, 2.0, 0.0, 4.0]), 0.0)
    stats = kernel.sweep(tape, target, costs)
    # Bought at 100, sold at the open of bar 3 (121); the settlement at bar 2's close is met, the
    # one at bar 3's close is not.
    slippage = 1.0 * 2e-4 + 1.21 * 4e-4
    assert stats.equity[0] == pytest.approx(0.21 - 2.21 * 15e-4 - slippage - 1.1e-4, abs=1e-15)
    assert stats.slippage[0] == pytest.approx(slippage, abs=1e-18)
    assert stats.funding[0] == pytest.approx(-1.1e-4, abs=1e-18)
    assert (stats.n_orders[0], stats.n_fills[0]) == (1 + 1, 2)


def test_a_position_of_fixed_quantity_reverses_at_twice_its_value():
    price = np.array([100.0, 100.0, 110.0, 99.0])
    stats = kernel.sweep(
        hand_tape(price, np.zeros(4)),
        np.array([[1, -1, -1, -1]], dtype=np.int8),
        kernel.BarCosts(10.0, np.zeros(1), np.zeros(1), 3.0),
    )
    assert stats.equity[0] == pytest.approx(3 * (10 + 11) - 1e-3 * 3 * (100 + 220), abs=1e-12)
    assert (stats.n_orders[0], stats.n_fills[0]) == (2, 3)


def test_where_the_cost_is_unknown_an_order_waits():
    price = np.array([100.0, 101.0, 102.0, 103.0, 104.0])
    costs = kernel.BarCosts(0.0, np.zeros(1), np.array([0, np.nan, np.inf, 0.0, 0]), 0.0)
    target = np.ones((1, 5), dtype=np.int8)
    assert kernel.trace(hand_tape(price, np.zeros(5)), target[0], costs).bar.tolist() == [3]
    assert kernel.sweep(hand_tape(price, np.zeros(5)), target, costs).equity[0] > 0.0


def test_a_settlement_without_a_mark_is_paid_on_the_last_close():
    price = np.array([100.0, 100.0, 110.0])
    tape = hand_tape(price, np.array([0.0, 0.0, 1e-4]))._replace(mark=np.full(3, np.nan))
    stats = kernel.sweep(tape, np.ones((1, 3), dtype=np.int8), FREE)
    assert stats.funding[0] == pytest.approx(-1.1e-4, abs=1e-18)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32), st.floats(0, 5), st.floats(0, 5))
def test_equity_never_rises_with_a_cost(seed, cost, more):
    world = random_world(seed)
    tape = world.tape._replace(funding_rate=np.zeros(world.tape.open.size))

    def equity(fee, half, slip):
        return kernel.sweep(
            tape, world.targets, kernel.BarCosts(fee, np.full(1, half), np.full(1, slip), 0.0)
        ).equity

    for part in range(3):
        cheap, dear = [1.0, 1.0, 1.0], [1.0, 1.0, 1.0]
        cheap[part], dear[part] = cost, cost + more
        assert (equity(*dear) <= equity(*cheap) + 1e-12).all()


def test_never_trading_costs_nothing_and_has_no_sharpe():
    stats = kernel.sweep(random_world(4).tape, np.zeros((1, 700), dtype=np.int8)[:, :400], FREE)
    assert stats.equity[0] == 0.0
    assert np.isnan(stats.sharpe[0])


def test_no_bars_and_no_variants_give_empty_results():
    empty = kernel.BarTape(*(np.zeros(0) for _ in range(4)), np.zeros(0, dtype=np.int64))
    stats = kernel.sweep(empty, np.zeros((2, 0), dtype=np.int8), FREE, threads=2)
    assert stats.equity.tolist() == [0.0, 0.0]
    none = kernel.sweep(random_world(2).tape, np.zeros((0, 700), dtype=np.int8), FREE, threads=2)
    assert none.equity.size == 0


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 2**32),
    st.lists(st.tuples(st.integers(1, 30), st.integers(1, 90)), min_size=1, max_size=4),
    st.sampled_from([1, 50, 2047, 2048, 2049, 4500]),
)
def test_crossing_targets_are_the_signs_of_the_averages(seed, pairs, n):
    # Whole prices: sums are exact, so that ties are ties for both.
    close = 100.0 + np.cumsum(np.random.default_rng(seed).integers(-2, 3, n))
    windows = [1 << (w % 7) for pair in pairs for w in pair]
    fast, slow = np.array(windows[::2]), np.array(windows[1::2])
    got = crossing_targets(close, fast, slow)
    for k in range(fast.size):
        assert got[k].tolist() == oracle.crossings(close.tolist(), int(fast[k]), int(slow[k]))


def test_averages_that_tie_on_a_grid_of_ticks_change_nothing():
    # 0.1 has no exact binary form: the two sums round differently, the averages are equal.
    close = np.array([0.3, 0.1, 0.2, 0.3, 0.1, 0.2, 0.3, 0.1, 0.2] * 40) + 100.0
    got = crossing_targets(close, np.array([3, 2]), np.array([6, 3]))
    assert not got[0].any()
    assert set(got[1, 2:].tolist()) == {-1, 1}


def test_crossing_targets_refuse_holes():
    with pytest.raises(ValueError, match="finite"):
        crossing_targets(np.array([1.0, np.nan]), np.array([1]), np.array([2]))


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 99), st.sampled_from([1, -1])), max_size=15),
    st.integers(1, 40),
    st.booleans(),
)
def test_hold_targets_equal_the_oracle(signals, hold, extend):
    signals = sorted(dict(signals).items())
    entry = np.array([s[0] for s in signals], dtype=np.int64)
    side = np.array([s[1] for s in signals], dtype=np.int8)
    got = kernel.hold_targets(entry, side, np.array([hold]), 100, extend)
    assert got[0].tolist() == oracle.hold(entry, side, hold, 100, extend)
