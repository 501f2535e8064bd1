"""Our backtests against vectorbt and hftbacktest: the same trades, the same money.

Neither library is a dependency of ours, and their pins conflict: each test is skipped where its
peer is not installed. The module needs numpy, numba and pytest beside the peer, so that it runs in
the peer's own environment:

    PYTHONPATH=. PEER/bin/python -m pytest --noconftest -m benchmark -s THIS_FILE

What agrees. vectorbt's `from_signals` at the next open, size 1, reversals and proportional fees:
equity at every bar, orders and fees. hftbacktest's market orders under a constant order latency on
level-one quotes: every fill, fees, the position and the final equity.

What differs, and why. vectorbt has no funding and takes spread and slippage into the price, where
we keep both apart; its Sharpe ratio is that of bars and its drawdown a share of equity (our P&L is
additive on a fixed size: its Sharpe is of days, its drawdown money). It fills at a bar whose price
is NaN not at all and forgets the signal; ours waits for the next open. hftbacktest fills a market
order on the book as it stands, however old; ours needs a young quote with both sides, waits for
one, and prices what lies beyond the size shown.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from quantlab_pipeline.kernels import bar_backtest, quote_backtest
from quantlab_pipeline.kernels.bar_targets import crossing_targets
from quantlab_pipeline.kernels.execution import Book, Limits

pytestmark = pytest.mark.benchmark
CASH, FEE_BPS, MINUTE_US = 1_000_000.0, 6.0, 60_000_000


def test_vectorbt_has_the_same_equity_at_every_bar() -> None:
    vectorbt = pytest.importorskip("vectorbt", reason="a peer, not a dependency")
    import pandas as pd

    n = 20_000
    close = 100 * np.exp(np.cumsum(np.random.default_rng(1).normal(0, 1e-3, n)))
    opens = np.concatenate([close[:1], close[:-1]])
    fast, slow = np.array([5, 20, 60]), np.array([60, 100, 240])
    targets = crossing_targets(close, fast, slow)
    wanted = np.concatenate([np.zeros((3, 1), dtype=np.int8), targets[:, :-1]], axis=1).T
    theirs = vectorbt.Portfolio.from_signals(
        pd.Series(close, pd.date_range("2025-01-01", periods=n, freq="1min")),
        entries=wanted > 0,
        short_entries=wanted < 0,
        price=opens[:, None],
        size=1.0,
        fees=1e-4 * FEE_BPS,
        init_cash=CASH,
        upon_opposite_entry="reverse",
        freq="1min",
    )
    path = np.asarray(theirs.value()) - CASH
    tape = bar_backtest.BarTape(
        opens, close, close, np.zeros(n), np.arange(n, dtype=np.int64) // 1_440
    )
    costs = bar_backtest.BarCosts(FEE_BPS, np.zeros(1), np.zeros(1), 1.0)
    stats = bar_backtest.sweep(tape, targets, costs)
    assert np.allclose(stats.equity, path[-1], rtol=1e-6)
    assert stats.n_orders.tolist() == np.asarray(theirs.orders.count()).tolist()
    assert np.allclose(stats.fees, np.asarray(theirs.orders.fees.sum()), rtol=1e-9)
    for k in range(3):
        ours = bar_backtest.trace(tape, targets[k], costs).equity
        assert np.abs(ours - path[:, k]).max() < 1e-6 * np.abs(path[:, k]).max()
        fallen = (np.maximum.accumulate(np.maximum(path[:, k], 0)) - path[:, k]).max()
        assert stats.max_drawdown[k] == pytest.approx(fallen, rel=1e-6)


def quotes(n: int) -> tuple[Book, np.ndarray]:
    """One quote a second on a grid of ticks, and random targets for every minute."""
    rng = np.random.default_rng(2)
    mid = 100 * np.exp(np.cumsum(rng.normal(0, 1e-4, n)))
    bid = np.round(mid / 0.01) * 0.01
    ask = bid + rng.integers(1, 6, n) * 0.01
    size = rng.integers(5, 50, n).astype(float)
    ts_us = np.arange(1, n + 1, dtype=np.int64) * 1_000_000
    targets = rng.integers(-1, 2, (1, n // 60 - 1)).astype(np.int8)
    return Book(ts_us, bid, size, ask, size, np.zeros(n, dtype=np.int64)), targets


def test_hftbacktest_has_the_same_fills_and_equity() -> None:
    peer = pytest.importorskip("hftbacktest", reason="a peer, not a dependency")
    book, targets = quotes(6 * 3_600)
    decide_us = np.arange(1, targets.shape[1] + 1, dtype=np.int64) * MINUTE_US + 500_000
    theirs = executed_by_hftbacktest(peer, book, decide_us, targets[0])
    nothing, log = np.zeros(0), quote_backtest.order_log(targets.shape[1])
    calendar = quote_backtest.Calendar(
        nothing.astype(np.int64), nothing, nothing, np.array([book.ts_us[-1]])
    )
    terms = quote_backtest.Terms(200_000, 30_000_000, 1.0, FEE_BPS, np.zeros(1), 1.0)
    limits = Limits(15_000_000, 2.0, 1.0, 50.0)
    stats = quote_backtest.run_quotes(book, calendar, decide_us, targets, terms, limits)
    count = quote_backtest.send_orders(book, decide_us, targets[0], terms, limits, log)
    assert stats.n_unfilled[0] == 0
    assert count == stats.n_fills[0] == len(theirs["price"]) > 100
    assert np.allclose(log.price[:count], theirs["price"], rtol=0, atol=1e-9)
    assert stats.fees[0] == pytest.approx(theirs["fee"], rel=1e-9)
    assert stats.equity[0] == pytest.approx(theirs["equity"], rel=1e-6)


def executed_by_hftbacktest(
    peer: Any, book: Book, decide_us: np.ndarray, target: np.ndarray
) -> dict[str, Any]:
    """The same targets through hftbacktest: prices of its fills, its fees and final equity."""
    from hftbacktest import types

    n = book.ts_us.size
    events = np.zeros(4 * n, types.event_dtype)
    kind = types.DEPTH_EVENT | types.EXCH_EVENT | types.LOCAL_EVENT
    gone = [np.concatenate([p[:1], p[:-1]]) for p in (book.bid, book.ask)]
    rows = [
        (types.BUY_EVENT, gone[0], np.where(gone[0] != book.bid, 0.0, book.bid_qty)),
        (types.SELL_EVENT, gone[1], np.where(gone[1] != book.ask, 0.0, book.ask_qty)),
        (types.BUY_EVENT, book.bid, book.bid_qty),
        (types.SELL_EVENT, book.ask, book.ask_qty),
    ]
    for k, (side, price, size) in enumerate(rows):
        part = events[k::4]
        part["ev"], part["px"], part["qty"] = kind | side, price, size
        part["exch_ts"] = part["local_ts"] = 1_000 * book.ts_us
    asset = peer.BacktestAsset().data([events]).linear_asset(1.0).tick_size(0.01).lot_size(1.0)
    asset = asset.constant_order_latency(200_000_000, 0).risk_adverse_queue_model()
    fee = 1e-4 * FEE_BPS
    asset = asset.no_partial_fill_exchange().trading_value_fee_model(fee, fee)
    venue = peer.HashMapMarketDepthBacktest([asset])
    held, balance, prices, now_us = 0, 0.0, [], int(book.ts_us[0])
    for at_us, want in zip(decide_us.tolist(), target.tolist(), strict=True):
        venue.elapse(1_000 * (at_us - now_us))
        now_us = at_us
        venue.clear_inactive_orders(0)
        if want == held:
            continue
        depth, size = venue.depth(0), float(abs(want - held))
        send = venue.submit_buy_order if want > held else venue.submit_sell_order
        near = depth.best_ask if want > held else depth.best_bid
        send(0, at_us, near, size, peer.GTC, peer.MARKET, False)
        venue.elapse(1_000_000_000)
        now_us += 1_000_000
        after = venue.state_values(0).balance
        prices.append((balance - after) / (want - held))
        held, balance = want, after
    venue.elapse(1_000 * (int(book.ts_us[-1]) - now_us))
    state = venue.state_values(0)
    mid = 0.5 * (book.bid[-1] + book.ask[-1])
    money = {"fee": state.fee, "equity": state.balance + state.position * mid - state.fee}
    venue.close()
    return {"price": np.array(prices), **money}
