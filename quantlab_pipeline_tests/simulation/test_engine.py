"""The engine on small markets: a still book's exact costs, exact books, fees, and what is refused.

What it must earn and lose on markets whose truth is known stands in `test_planted_truth`.
"""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantlab_pipeline.core.instruments import Instrument
from quantlab_pipeline.core.records import CashMovement, Fill, FundingPayment, chain_head
from quantlab_pipeline.simulation.accounting import AccountingError, keep_books, records_of
from quantlab_pipeline.simulation.costs import CostScale
from quantlab_pipeline.simulation.engine import RunSettings, _size, simulate
from quantlab_pipeline.simulation.fees import FeeRates
from quantlab_pipeline.simulation.tape import MarketTables, tapes
from quantlab_pipeline_tests.simulation.builders import (
    BTC,
    START,
    bars_of,
    cost_model,
    funding_of,
    intents_of,
    quotes_of,
)

WARM = START + timedelta(hours=12)
"""Earlier than this, liquidity is unknown and nothing is traded."""


def run(intents, tables, costs, *ways):
    ways = ways or (RunSettings(1.0, "base"),)
    return simulate(intents, tapes(tables, ["BTC"]), {"BTC": BTC}, costs, ways)


def random_walk(n, sigma_bps, seed):
    return 50_000 * np.exp(np.cumsum(np.random.default_rng(seed).normal(0, sigma_bps / 1e4, n)))


def random_intents(n_bars, seed, n, hold=60):
    rng = np.random.default_rng(seed)
    at = np.sort(rng.integers(12 * 60, n_bars - hold - 10, n))
    sides = rng.choice([-1, 1], n)
    minute = timedelta(minutes=1)
    return intents_of(
        [
            (START + int(a) * minute, START + int(a + hold) * minute, int(s))
            for a, s in zip(at, sides, strict=True)
        ]
    )


def test_on_a_still_book_a_round_trip_costs_the_spread_two_fees_and_the_funding_exactly():
    n = 16 * 60
    mid = np.full(n, 50_000.0)
    quotes = quotes_of(np.full(16 * 3600, 50_000.0), 2.0)
    tables = MarketTables(
        bars_of(mid), quotes, funding_of([START + timedelta(hours=14)], 1e-4, 50_000.0)
    )
    rows = [(WARM + timedelta(hours=1), WARM + timedelta(hours=3), s) for s in (1, -1)]
    trades = run(intents_of(rows), tables, cost_model(fee_bps=4.0))[0].trades
    assert trades["measured"].all()
    assert trades["gross_bps"].to_list() == [0.0, 0.0]
    np.testing.assert_allclose(trades["spread_bps"], 2.0, atol=1e-9)
    np.testing.assert_allclose(trades["fee_bps"], 8.0, atol=1e-9)
    np.testing.assert_allclose(trades["funding_bps"], [-1.0, 1.0], atol=1e-9)
    np.testing.assert_allclose(trades["net_bps"], [-11.0, -9.0], atol=1e-9)


@pytest.fixture(scope="module")
def busy():
    """Three days of overlapping long and short trades, half of them on a book, with funding."""
    n = 3 * 1440
    mid = random_walk(n, 6.0, 7)
    seconds = np.interp(np.arange(n * 60) / 60, np.arange(n), mid)
    book = quotes_of(seconds, 1.5, size=0.05).filter(
        pl.col("ts").dt.date() < (START + timedelta(days=2)).date()
    )
    stamps = [START + timedelta(hours=8 * i) for i in range(1, 9)]
    tables = MarketTables(bars_of(mid), book, funding_of(stamps, 2e-4))
    costs = cost_model(fee_bps=4.0, impact_y=0.7, max_wait_s=2.0)
    simulation = run(random_intents(n, 8, 150, 240), tables, costs)[0]
    return simulation, records_of(simulation, "s", {"BTC": BTC}, costs), costs


def test_parts_add_up_to_the_net_and_both_price_sources_are_used(busy):
    trades = busy[0].trades.drop_nulls("net_usd")
    net = trades["gross_usd"] - trades["spread_usd"] - trades["slippage_usd"] - trades["fee_usd"]
    np.testing.assert_allclose(net + trades["funding_usd"], trades["net_usd"], atol=1e-9)
    assert trades["measured"].n_unique() == 2
    assert (trades["slippage_usd"] > 0).all()


def test_books_are_kept_exactly_and_end_flat_with_the_trades_sum(busy):
    simulation, records, _ = busy
    books = keep_books(records, {"BTC": BTC})
    assert books.lots == {"BTC": 0}
    assert books.cash_units / 1e8 == pytest.approx(simulation.trades["net_usd"].sum(), abs=1e-3)
    assert any(isinstance(r, FundingPayment) for r in records)


def test_cash_plus_position_is_equity_at_every_event(busy):
    """Equity is reckoned apart: each fill's lots against every later price, in exact fractions."""
    _, records, _ = busy
    unit = Fraction(BTC.tick_size) * Fraction(BTC.lot_size) * 10**8
    cash = lots = 0
    last_ticks, equity = 0, Fraction(0)
    for record in records:
        if isinstance(record, Fill):
            equity += lots * (record.price_ticks - last_ticks) * unit
            lots, last_ticks = lots + record.lots, record.price_ticks
        elif isinstance(record, CashMovement):
            cash += record.cash_units
            if record.cause != "fill":
                equity += record.cash_units
            # Mid-fill the cash has moved but the fee has not; each is compared after its own step.
            assert abs(cash + lots * last_ticks * unit - equity) <= len(records)


def test_the_same_run_writes_the_same_chain_and_a_changed_fee_another(busy):
    simulation, records, costs = busy
    again = records_of(simulation, "s", {"BTC": BTC}, costs)
    assert chain_head(again) == chain_head(records)
    dearer = cost_model(fee_bps=4.1, impact_y=0.7, max_wait_s=2.0)
    assert chain_head(records_of(simulation, "s", {"BTC": BTC}, dearer)) != chain_head(records)


@pytest.mark.parametrize("fault", ["drop", "swap", "amount"])
def test_a_tampered_record_breaks_the_books(busy, fault):
    import dataclasses

    records = list(busy[1])
    if fault == "drop":
        del records[10]
    elif fault == "swap":
        records[10], records[11] = records[11], records[10]
    else:
        at = next(i for i, r in enumerate(records) if isinstance(r, CashMovement))
        records[at] = dataclasses.replace(records[at], cash_units=records[at].cash_units + 1)
    with pytest.raises(AccountingError):
        keep_books(records, {"BTC": BTC})


def test_higher_costs_and_later_fills_never_help_on_the_same_trades(busy):
    simulation = busy[0]
    n = 3 * 1440
    tables = MarketTables(bars_of(random_walk(n, 6.0, 7)))
    ways = [
        RunSettings(1.0, "base", CostScale(fee=m, spread=m, impact=m)) for m in (0.0, 1.0, 1.5, 2.0)
    ]
    runs = run(random_intents(n, 8, 150, 240), tables, busy[2], *ways)
    means = [r.trades["net_bps"].mean() for r in runs]
    assert means == sorted(means, reverse=True)
    assert runs[0].trades["fee_bps"].max() == 0.0
    assert simulation.trades.height == runs[0].trades.height


def test_a_fill_at_the_very_stamp_of_a_settlement_comes_after_it():
    """On bars a decision at T fills at T + 1 min: entered at the stamp is free, left at it pays."""
    tables = MarketTables(
        bars_of(np.full(16 * 60, 50_000.0)),
        funding=funding_of([START + timedelta(hours=14)], 1e-4, 50_000.0),
    )
    at = START + timedelta(hours=13, minutes=59)
    hour = timedelta(hours=1)
    intents = intents_of([(at, at + hour, 1), (at - hour, at, 1)])
    costs = cost_model(fee_bps=0.0)
    simulation = run(intents, tables, costs)[0]
    assert simulation.payments["event_id"].to_list() == ["e1"]
    records = records_of(simulation, "s", {"BTC": BTC}, costs)
    paid = [r for r in records if isinstance(r, FundingPayment)]
    assert len(paid) == 1
    assert keep_books(records, {"BTC": BTC}).cash_units / 1e8 == pytest.approx(
        simulation.trades["net_usd"].sum(), abs=1e-6
    )
    at_stamp = [type(r).__name__ for r in records if r.at_us == paid[0].at_us]
    assert at_stamp[0] == "FundingPayment"


@pytest.mark.parametrize(("own", "entry", "paid"), [
    (None, "taker", 8.0),
    (FeeRates(maker_bps=1.0, taker_bps=7.0), "taker", 14.0),
])  # fmt: skip
def test_trades_and_records_pay_the_symbol_s_own_fees(own, entry, paid):
    costs = cost_model(fee_bps=4.0, half_bps=0.0)
    if own is not None:
        schedule = costs.fees["here"].model_copy(update={"instruments": {"BTC": own}})
        costs = costs.model_copy(update={"fees": {"here": schedule}})
    tables = MarketTables(bars_of(np.full(16 * 60, 50_000.0)))
    way = RunSettings(1.0, "base", entry=entry)
    simulation = run(intents_of([(WARM, WARM + timedelta(hours=1), 1)]), tables, costs, way)[0]
    assert simulation.trades["fee_bps"].item() == pytest.approx(paid, abs=1e-9)
    books = keep_books(records_of(simulation, "s", {"BTC": BTC}, costs), {"BTC": BTC})
    assert books.cash_units / 1e8 == pytest.approx(-10_000 * paid * 1e-4, abs=1e-6)


def test_a_rebate_is_booked_as_a_negative_fee_to_the_unit():
    """The same trades, their entries marked as resting ones: 1 bp is received instead of 4 paid."""
    costs = cost_model(fee_bps=4.0, half_bps=0.0, maker_bps=-1.0)
    tables = MarketTables(bars_of(np.full(16 * 60, 50_000.0)))
    simulation = run(intents_of([(WARM, WARM + timedelta(hours=1), 1)]), tables, costs)[0]
    rested = simulation.trades.with_columns(entry_maker=pl.lit(True))
    records = records_of(replace(simulation, trades=rested), "s", {"BTC": BTC}, costs)
    fees = [r.fee_units for r in records if isinstance(r, Fill)]
    assert fees == [-100_000_000, 400_000_000]
    assert keep_books(records, {"BTC": BTC}).cash_units == -300_000_000


@given(st.floats(1e-3, 1e6), st.floats(1.0, 1e7), st.sampled_from(["0.001", "0.1", "7"]))
def test_a_trade_has_as_many_whole_lots_as_its_notional_holds(price, notional, lot):
    instrument = Instrument(symbol="X", tick_size=Decimal("0.01"), lot_size=Decimal(lot))
    prices = np.array([price, float("nan"), 0.0])
    lots, quantity = _size(prices, instrument, notional)
    expected = instrument.lots_within(notional / price)
    if instrument.quantity_base(expected) * price < 5.0:
        expected = 0
    assert lots.tolist() == [expected, 0, 0]
    assert quantity.tolist() == [pytest.approx(instrument.quantity_base(expected)), 0.0, 0.0]


def test_what_cannot_be_traded_says_why():
    n = 1440
    tables = MarketTables(bars_of(np.full(n, 50_000.0)))
    minute = timedelta(minutes=1)
    rows = [
        (START + 10 * minute, START + 70 * minute, 1),
        (START + 1400 * minute, START + 1460 * minute, 1),
        (START + 900 * minute, START + 960 * minute, 1),
    ]
    trades = run(intents_of(rows), tables, cost_model())[0].trades
    assert trades["status"].to_list() == ["unknown_liquidity", "filled", "truncated"]
    assert trades.filter(pl.col("status") != "filled")["net_bps"].null_count() == 2


def test_a_market_that_stops_trading_forces_the_exit_and_counts_it():
    n = 1440
    volume = np.where(np.arange(n) < 1000, 100.0, 0.0)
    bars = bars_of(np.full(n, 50_000.0)).with_columns(volume_base=pl.Series(volume))
    minute = timedelta(minutes=1)
    rows = [
        (START + 950 * minute, START + 1100 * minute, 1),
        (START + 1100 * minute, START + 1200 * minute, 1),
    ]
    costs = cost_model()
    simulation = run(intents_of(rows), MarketTables(bars), costs)[0]
    assert simulation.trades["status"].to_list() == ["forced", "not_filled"]
    books = keep_books(records_of(simulation, "s", {"BTC": BTC}, costs), {"BTC": BTC})
    assert books.lots == {"BTC": 0}
