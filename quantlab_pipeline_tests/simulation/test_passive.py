"""Entries that rest, through the engine: what they earn, what they pay, and the books they keep."""

from datetime import timedelta

import numpy as np
import polars as pl
import pytest

from quantlab_pipeline.core.clocks import TS, to_us
from quantlab_pipeline.core.records import Fill, Order
from quantlab_pipeline.simulation.accounting import fee_units, keep_books, records_of
from quantlab_pipeline.simulation.costs import CostScale
from quantlab_pipeline.simulation.engine import RunSettings, simulate
from quantlab_pipeline.simulation.fills import bracket
from quantlab_pipeline.simulation.tape import MarketTables, tapes
from quantlab_pipeline_tests.simulation.builders import (
    BTC,
    START,
    bars_of,
    cost_model,
    intents_of,
    quotes_of,
)

WARM = START + timedelta(hours=12)
RULES = ("touch", "queue", "penetration")
SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)


def run(intents, tables, costs, *ways):
    return simulate(intents, tapes(tables, ["BTC"]), {"BTC": BTC}, costs, ways)


def resting(rule="queue", **settings):
    return RunSettings(1.0, "base", entry=rule, **settings)


def with_maker_fee(costs, bps):
    ((name, schedule),) = costs.fees.items()
    tier = schedule.tiers[0].model_copy(update={"maker_bps": bps})
    return costs.model_copy(update={"fees": {name: schedule.model_copy(update={"tiers": (tier,)})}})


def book_of(rows, start=WARM):
    """Quotes one second apart from (bid, bid size, ask, ask size); the last stands for 20 min."""
    rows = [*rows, *[rows[-1]] * 1200]
    columns = dict(
        zip(("bid_px", "bid_qty", "ask_px", "ask_qty"), zip(*rows, strict=True), strict=True)
    )
    return pl.DataFrame(
        {
            "symbol": ["BTC"] * len(rows),
            "leg": ["perp"] * len(rows),
            "ts": pl.Series(to_us(start) + np.arange(len(rows)) * 1_000_000).cast(TS),
            **{name: [float(v) for v in values] for name, values in columns.items()},
            "quote_age_s": np.zeros(len(rows)),
        }
    )


FLAT = bars_of(np.full(13 * 60, 50_000.0))
ONE = intents_of([(WARM, WARM + 5 * MINUTE, 1)])


@pytest.fixture(scope="module")
def walk():
    """A tick walk with a book from 12:00 to 15:00; both sides enter in it, and on bars after it."""
    rng = np.random.default_rng(3)
    steps = rng.choice([-0.01, 0.0, 0.01], 18 * 3600, p=[0.02, 0.96, 0.02])
    bid = np.round(50_000 + np.cumsum(steps), 2)
    size = rng.uniform(0.1, 0.4, (2, bid.size))
    quotes = quotes_of(bid, 0.0).with_columns(
        ask_px=pl.Series(np.round(bid + 0.01, 2)),
        bid_qty=pl.Series(size[0]),
        ask_qty=pl.Series(size[1]),
    )
    book = quotes.filter(pl.col("ts").is_between(WARM, START + timedelta(hours=15), "left"))
    minutes = bid.reshape(-1, 60)
    bars = bars_of(minutes[:, -1]).with_columns(
        low=pl.Series(minutes.min(axis=1)), high=pl.Series(minutes.max(axis=1))
    )
    at = np.sort(rng.integers(12 * 3600, 17 * 3600, 400))
    sides = rng.choice([-1, 1], at.size)
    intents = intents_of(
        [
            (START + int(t) * SECOND, START + int(t + 900) * SECOND, int(s))
            for t, s in zip(at, sides, strict=True)
        ]
    )
    costs = with_maker_fee(cost_model(fee_bps=4.0, impact_y=0.1, half_bps=0.0002), 1.5)
    ways = [RunSettings(1.0, "base"), *(resting(rule) for rule in RULES)]
    return run(intents, MarketTables(bars, book), costs, *ways), costs


def test_parts_add_up_and_a_maker_earns_the_half_spread_and_pays_his_own_fee(walk):
    for simulation in walk[0][1:]:
        trades = simulation.trades.drop_nulls("net_usd")
        assert trades["measured"].n_unique() == 2
        gain = trades["gross_usd"] - trades["spread_usd"] - trades["slippage_usd"]
        np.testing.assert_allclose(gain - trades["fee_usd"], trades["net_usd"], atol=1e-9)
        paid = trades["entry_ticks"] * float(BTC.tick_size)
        got = trades["exit_ticks"] * float(BTC.tick_size)
        quantity = trades["lots"] * float(BTC.lot_size)
        np.testing.assert_allclose(
            trades["fee_usd"], quantity * (paid * 1.5e-4 + got * 4e-4), atol=1e-9
        )
        cash = trades["side"] * quantity * (got - paid) - trades["fee_usd"]
        np.testing.assert_allclose(cash, trades["net_usd"], atol=1e-6)
        assert trades["entry_maker"].all()
    touch = walk[0][1].trades.drop_nulls("net_usd")
    price = touch["entry_ticks"] * float(BTC.tick_size)
    assert (touch["side"] * (touch["entry_mid"] - price) > 0.0).all()


def test_a_limit_price_is_a_tick_and_is_not_rounded():
    rows = [(49_999.99, 1, 50_000.01, 1)] * 3 + [(49_999.97, 1, 49_999.98, 1)]
    table = MarketTables(FLAT, book_of(rows))
    row = run(ONE, table, cost_model(), resting())[0].trades.row(0, named=True)
    assert row["entry_ticks"] == 4_999_999
    # The exit at the bid of a book that is deep enough slips by nothing either.
    assert row["slippage_usd"] == pytest.approx(0.0, abs=1e-9)
    # Earned a cent at the entry, paid half a cent at the exit.
    assert row["spread_usd"] == pytest.approx((-0.01 + 0.005) * row["lots"] * 1e-6, abs=1e-9)


def test_books_of_makers_are_kept_exactly(walk):
    simulations, costs = walk
    for simulation in simulations[1:]:
        records = records_of(simulation, "s", {"BTC": BTC}, costs)
        books = keep_books(records, {"BTC": BTC})
        assert books.lots == {"BTC": 0}
        assert books.cash_units / 1e8 == pytest.approx(simulation.trades["net_usd"].sum(), abs=1e-3)
        kinds = [r.kind for r in records if isinstance(r, Order)]
        ordered = simulation.trades.filter(pl.col("status").is_in(("filled", "not_filled")))
        assert kinds.count("limit") == ordered.height


def test_the_strict_rule_fills_a_subset_and_no_rule_fills_before_arrival_or_after_its_wait(walk):
    simulations, costs = walk
    touch, queue, through = (s.trades for s in simulations[1:])
    for strict, loose in ((through, queue), (queue, touch)):
        filled = strict["entry_us"].is_not_null()
        assert loose.filter(filled)["entry_us"].null_count() == 0
        assert (strict.filter(filled)["lots"] <= loose.filter(filled)["lots"]).all()
        whole = filled & (strict["lots"] == loose["lots"])
        assert (strict.filter(whole)["entry_us"] >= loose.filter(whole)["entry_us"]).all()
    for trades in (touch, queue, through):
        waited = (trades["entry_us"] - trades["decide_us"]).drop_nulls() / 1e6 - 1.0
        on_bars = costs.execution.fill.max_wait_bars * 60.0
        assert waited.min() > 0.0
        assert waited.max() <= on_bars
    rate = [t["entry_us"].is_not_null().mean() for t in (touch, queue, through)]
    assert rate[0] > rate[1] > rate[2] > 0.0
    assert (queue["lots"] < queue["ordered_lots"]).any()


PARTIAL = (
    [(50_000, 0.1, 50_001, 9)] * 3 + [(49_999, 5, 50_000, 0.05)] * 3 + [(50_000, 5, 50_001, 9)]
)
"""After 3 s a seller shows 0.05 at our bid, a quarter of what 10,000 USD buy, and goes again."""


def test_a_part_is_a_smaller_trade_and_the_rest_is_cancelled():
    costs = with_maker_fee(cost_model(fee_bps=4.0), 2.0)
    simulation = run(ONE, MarketTables(FLAT, book_of(PARTIAL)), costs, resting("penetration"))[0]
    row = simulation.trades.row(0, named=True)
    assert (row["status"], row["ordered_lots"], row["lots"]) == ("filled", 200_000, 50_000)
    assert row["entry_us"] == to_us(WARM + 3 * SECOND)
    assert row["notional_usd"] == pytest.approx(0.05 * 50_000.5)
    records = records_of(simulation, "s", {"BTC": BTC}, costs)
    orders = [(r.kind, r.lots) for r in records if isinstance(r, Order)]
    assert orders == [("limit", 200_000), ("market", -50_000)]
    fills = [r for r in records if isinstance(r, Fill)]
    assert [f.lots for f in fills] == [50_000, -50_000]
    # 2 bps of 2,500 USD, and 4 bps of the exit's 2,500 USD, in units of 1e-8.
    assert [f.fee_units for f in fills] == [50_000_000, 100_000_000]
    assert keep_books(records, {"BTC": BTC}).lots == {"BTC": 0}


def test_a_rebate_is_cash_received_and_no_scale_of_costs_raises_it():
    costs = with_maker_fee(cost_model(fee_bps=4.0), -0.5)
    ways = [resting("touch", scale=CostScale(fee=m)) for m in (0.0, 1.0, 3.0)]
    table = MarketTables(FLAT, book_of(PARTIAL))
    fees = [r.trades["fee_usd"][0] for r in run(ONE, table, costs, *ways)]
    np.testing.assert_allclose(fees, [0.0, -0.5 + 4.0, -0.5 + 12.0], atol=1e-6)
    assert fee_units(BTC, 200_000, 5_000_000, -0.5) == -50_000_000


def test_an_order_that_got_nothing_crosses_if_it_is_told_to():
    calm = MarketTables(FLAT, book_of([(50_000, 1, 50_001, 9)]))
    waits = {"max_wait_s": 20.0}
    given_up = run(ONE, calm, cost_model(passive=waits), resting())[0].trades.row(0, named=True)
    assert (given_up["status"], given_up["entry_maker"]) == ("not_filled", True)
    costs = with_maker_fee(cost_model(fee_bps=4.0, passive={**waits, "then": "cross"}), 0.0)
    simulation = run(ONE, calm, costs, resting())[0]
    row = simulation.trades.row(0, named=True)
    assert (row["status"], row["entry_maker"], row["entry_ticks"]) == ("filled", False, 5_000_100)
    assert row["entry_us"] == to_us(WARM + 21 * SECOND)
    assert row["spread_bps"] > 0.0
    records = records_of(simulation, "s", {"BTC": BTC}, costs)
    assert next(r for r in records if isinstance(r, Order)).kind == "limit"
    assert next(r for r in records if isinstance(r, Fill)).liquidity == "taker"
    assert next(r for r in records if isinstance(r, Fill)).fee_units > 0


def test_an_order_does_not_outlive_the_decision_to_leave():
    late = [(50_000, 1, 50_001, 9)] * 100 + [(49_990, 1, 49_991, 9)]
    costs = cost_model(passive={"max_wait_s": 300.0})
    rows = [(WARM, WARM + leave * SECOND, 1) for leave in (60, 180)]
    trades = run(intents_of(rows), MarketTables(FLAT, book_of(late)), costs, resting())[0].trades
    assert trades["status"].to_list() == ["not_filled", "filled"]


def test_dearer_spreads_move_no_limit_and_never_help_a_maker():
    table = MarketTables(FLAT, book_of(PARTIAL))
    ways = [resting("touch", scale=CostScale(spread=m)) for m in (0.0, 1.0, 2.0, 4.0)]
    trades = [r.trades.row(0, named=True) for r in run(ONE, table, cost_model(), *ways)]
    assert {t["entry_ticks"] for t in trades} == {5_000_000}
    net = [t["net_bps"] for t in trades]
    assert net == sorted(net, reverse=True)


def test_more_ahead_in_the_queue_fills_no_more():
    shrinking = [(50_000, 1.0 - 0.04 * k, 50_001, 9) for k in range(20)]
    table = MarketTables(FLAT, book_of(shrinking))
    lots = []
    for multiple in (0.0, 0.2, 0.5, 1.0):
        costs = cost_model(passive={"queue_multiple": multiple, "traded_share": 1.0})
        trades = run(ONE, table, costs, resting())[0].trades
        lots.append(trades["lots"][0] if trades["status"][0] == "filled" else 0)
    assert lots == sorted(lots, reverse=True)
    assert lots[0] == 200_000
    assert lots[-1] == 0


def test_a_bracket_is_its_worst_and_an_unknown_figure_is_worse_than_any():
    found = bracket({"touch": 0.4, "queue": -0.1, "penetration": -0.3})
    assert (found.worst, found.figure, found.optimistic) == ("penetration", -0.3, ("touch",))
    assert found.width == pytest.approx(0.7)
    assert bracket({"touch": 0.4, "queue": 0.1}).optimistic == ()
    unknown = bracket({"touch": 0.4, "queue": float("nan"), "penetration": -0.3})
    assert unknown.worst == "queue"
    assert not unknown.figure > -1e9
    with pytest.raises(ValueError, match="at least one rule"):
        bracket({})
