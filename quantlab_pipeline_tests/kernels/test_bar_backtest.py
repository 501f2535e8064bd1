import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from quantlab_pipeline.kernels import bar_backtest as kernel
from quantlab_pipeline_tests.oracles import bar_backtest as oracle


def random_tape(seed, n=400, holes=True):
    rng = np.random.default_rng(seed)
    close = 100 * np.exp(np.cumsum(rng.normal(0, 1e-3, n)))
    open_ = np.concatenate([[100.0], close[:-1]]) * np.exp(rng.normal(0, 1e-4, n))
    if holes:
        open_[rng.random(n) < 0.05] = np.nan
        close[rng.random(n) < 0.05] = np.nan
    rate = np.where(rng.random(n) < 0.02, rng.normal(0, 1e-4, n), 0.0)
    mark = np.where(np.isfinite(close), close, 100.0) * 1.0001
    return kernel.BarTape(open_, close, mark, rate, np.arange(n, dtype=np.int64) // 100)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.floats(0, 10), st.floats(0, 5))
def test_every_statistic_equals_the_oracle(seed, fee, half):
    tape = random_tape(seed)
    rng = np.random.default_rng(seed + 1)
    moves = rng.integers(-1, 2, (3, 40)).astype(np.int8)
    targets = np.repeat(moves, 10, axis=1)
    path = np.zeros(400)
    stats = kernel.sweep(tape, targets, fee, half, path)
    for k in range(3):
        want = oracle.run(tape, targets[k], fee, half)
        for name in ("equity", "fees", "spread", "funding", "max_drawdown", "daily"):
            np.testing.assert_allclose(getattr(stats, name)[k], want[name], atol=1e-12)
        assert stats.n_fills[k] == want["n_fills"]
        daily = np.array(want["daily"])
        if daily.std() > 1e-12:
            ratio = daily.mean() / daily.std(ddof=1) * np.sqrt(365)
            np.testing.assert_allclose(stats.sharpe[k], ratio, rtol=1e-7)
    np.testing.assert_allclose(path, want["path"], atol=1e-12)


def test_a_hand_case_pays_spread_and_fee_on_both_sides_and_funding_inside():
    price = np.array([100.0, 100.0, 110.0, 121.0])
    rate = np.array([0.0, 0.0, 1e-4, 1e-4])
    tape = kernel.BarTape(price, price, price, rate, np.zeros(4, dtype=np.int64))
    target = np.array([[1, 1, 0, 0]], dtype=np.int8)
    stats = kernel.sweep(tape, target, 10.0, 5.0, np.zeros(0))
    # Bought at 100, sold at the open of bar 3 (121); the settlement at bar 2's close is met, the
    # one at bar 3's close is not.
    costs = (1.0 + 1.21) * 15e-4
    assert np.isclose(stats.equity[0], 0.21 - costs - 1.1e-4, atol=1e-15)
    assert stats.n_fills[0] == 2


def test_never_trading_costs_nothing_and_has_no_sharpe():
    tape = random_tape(1, holes=False)
    stats = kernel.sweep(tape, np.zeros((1, 400), dtype=np.int8), 5.0, 1.0, np.zeros(0))
    assert stats.equity[0] == 0.0
    assert np.isnan(stats.sharpe[0])


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
