"""PT-12: funding to the cent through the engine and its books, with the mutants that it kills.

The market stands still at 50,000 with a mark of 60,000 and costs nothing, so that all cash that one
coin earns or loses is funding, on the mark: 6.00 at each settlement of one basis point.
"""

from dataclasses import replace
from datetime import timedelta

import numpy as np
import polars as pl
import pytest

from quantlab_pipeline.core.clocks import to_us
from quantlab_pipeline.core.records import FundingPayment
from quantlab_pipeline.simulation.accounting import keep_books, records_of
from quantlab_pipeline.simulation.engine import RunSettings, simulate
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

DAY, HOUR, MINUTE = timedelta(days=1), timedelta(hours=1), timedelta(minutes=1)
LAST, MARK, RATE = 50_000.0, 60_000.0, 1e-4
COSTS = cost_model(fee_bps=0.0, half_bps=0.0, max_quote_age_s=120.0).model_copy(
    update={"notional_usd": LAST}
)
BOUGHT = START + 13 * HOUR
"""The first decision: before noon of the first day, liquidity is unknown."""


def every(hours, until_h, start_h=0):
    """Stamps every so many hours after `start_h`."""
    return [START + h * HOUR for h in range(start_h + hours, until_h + 1, hours)]


def market(stamps, n_hours=8 * 24, interval_h=8, quotes=None):
    bars = bars_of(np.full(n_hours * 60, LAST))
    funding = funding_of(stamps, RATE, MARK, interval_h=interval_h)
    return next(tapes(MarketTables(bars, quotes, funding), ["BTC"]))


def held(tape, *rows):
    """One coin held by each of (from, to, side), by the engine."""
    way = RunSettings(1.0, "base")
    return simulate(intents_of(rows), [tape], {"BTC": BTC}, COSTS, [way])[0]


def cash(simulation):
    """What the books say, in dollars and whole units."""
    records = records_of(simulation, "s", {"BTC": BTC}, COSTS)
    books = keep_books(records, {"BTC": BTC})
    assert books.lots.get("BTC", 0) == 0
    assert sum(r.cash_units for r in records if isinstance(r, FundingPayment)) == books.cash_units
    return books.cash_units / 1e8


WEEK = (BOUGHT, BOUGHT + 7 * DAY)


@pytest.mark.parametrize(("side", "golden"), [(1, -126.00), (-1, 126.00)])
def test_a_coin_held_for_seven_days_pays_126_dollars_exactly(side, golden):
    """METHOD section 4: +1 BTC, mark 60,000, one basis point every eight hours, seven days."""
    simulation = held(market(every(8, 8 * 24)), (*WEEK, side))
    assert cash(simulation) == golden
    assert simulation.trades["funding_usd"].item() == pytest.approx(golden, abs=1e-9)
    assert simulation.trades["net_usd"].item() == pytest.approx(golden, abs=1e-9)


def fewer(tape, kept):
    return replace(tape, **{n: getattr(tape, n)[kept] for n in ("stamp_us", "rate", "mark")})


def more(tape):
    """The last rate charged on for every later interval of eight hours."""
    later = tape.stamp_us[-1] + np.arange(1, 9) * 8 * 3_600_000_000
    return replace(
        tape,
        stamp_us=np.append(tape.stamp_us, later),
        rate=np.append(tape.rate, np.full(8, tape.rate[-1])),
        mark=np.append(tape.mark, np.full(8, tape.mark[-1])),
        unsettled_us=tape.unsettled_us[:0],
    )


MUTANTS = {
    "the other sign": (lambda tape: replace(tape, rate=-tape.rate), 126.00),
    "on the last price, not the mark": (
        lambda tape: replace(tape, mark=np.full(tape.mark.size, LAST)),
        -105.00,
    ),
    "once a day": (lambda tape: fewer(tape, slice(None, None, 3)), -42.00),
    "at the rate of a year": (lambda tape: replace(tape, rate=tape.rate * 3 * 365), -137_970.00),
}


@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_market_that_pays_otherwise_misses_the_golden_sum(mutant):
    break_, wrong = MUTANTS[mutant]
    assert cash(held(break_(market(every(8, 8 * 24))), (*WEEK, 1))) == wrong


def test_a_position_that_is_closed_a_second_before_the_stamp_pays_nothing():
    """On a quoted book, at the second: out at 15:59:59 is free, out at 16:00:00 pays."""
    quotes = quotes_of(np.full(24 * 60, LAST), 1e-6, step_s=60)
    tape = market(every(8, 24), n_hours=24, quotes=quotes)
    stamp, second = START + 16 * HOUR, timedelta(seconds=1)
    simulation = held(tape, (BOUGHT, stamp - 2 * second, 1), (BOUGHT, stamp - second, 1))
    assert simulation.trades["exit_us"].to_list() == [to_us(stamp) - 1_000_000, to_us(stamp)]
    np.testing.assert_allclose(simulation.trades["funding_usd"], [0.0, -6.0], atol=1e-6)


def test_a_position_that_is_opened_at_the_stamp_pays_from_the_next_one_on():
    stamp = START + 16 * HOUR
    simulation = held(market(every(8, 48), 48), (stamp - MINUTE, stamp + 8 * HOUR, 1))
    assert simulation.trades["entry_us"].item() == to_us(stamp)
    assert cash(simulation) == -6.0


def test_an_interval_that_switches_is_paid_as_it_was_published():
    """Eight hours, then four, then one, then eight again: 2 + 3 + 4 + 2 settlements."""
    stamps = [*every(8, 24), *every(4, 36, 24), *every(1, 40, 36), *every(8, 56, 40)]
    hours = [8] * 3 + [4] * 3 + [1] * 4 + [8] * 2
    simulation = held(market(stamps, 58, hours), (BOUGHT, START + 57 * HOUR, 1))
    assert cash(simulation) == -6.0 * 11


def test_a_gap_fails_closed_for_whoever_is_held_across_it_and_for_nobody_else():
    stamps = [s for s in every(8, 48) if s != START + 24 * HOUR]
    rows = [
        (BOUGHT, START + 23 * HOUR, 1),
        (START + 20 * HOUR, START + 30 * HOUR, 1),
        (START + 20 * HOUR, START + 30 * HOUR, -1),
        (START + 25 * HOUR, START + 41 * HOUR, 1),
    ]
    simulation = held(market(stamps, 48), *rows)
    unknown = ["filled", "unknown_funding", "unknown_funding", "filled"]
    assert simulation.trades["status"].to_list() == unknown
    assert simulation.trades["net_usd"].null_count() == 2
    assert cash(simulation) == -6.0 + -12.0
    assert simulation.payments["event_id"].to_list() == ["e0", "e3", "e3"]


def test_after_the_data_ends_no_rate_is_charged_on_and_the_result_is_not_known():
    """A stale rate would be charged for ever; nothing at all would be a free ride."""
    tape = market(every(8, 3 * 24))
    simulation = held(tape, (BOUGHT, START + 71 * HOUR, 1), (*WEEK, 1))
    assert simulation.trades["status"].to_list() == ["filled", "unknown_funding"]
    assert cash(simulation) == -6.0 * 7
    assert held(more(tape), (*WEEK, 1)).trades["funding_usd"].item() < -6.0 * 8


def test_a_delisted_symbol_is_settled_up_to_its_last_bar_and_not_after():
    """It ends at 20:00, nothing is due at 24:00; a position that would outlive it is not traded."""
    tape = market(every(8, 16), n_hours=20)
    assert not tape.unsettled_us.size
    simulation = held(tape, (BOUGHT, START + 19 * HOUR, 1), (BOUGHT, START + 25 * HOUR, 1))
    assert simulation.trades["status"].to_list() == ["filled", "truncated"]
    assert cash(simulation) == -6.0


def test_a_market_that_stops_trading_is_left_at_its_last_price_and_pays_until_then():
    bars = bars_of(np.full(40 * 60, LAST))
    silent = pl.when(pl.col("ts") > START + 20 * HOUR).then(0.0).otherwise("volume_base")
    tables = MarketTables(
        bars.with_columns(volume_base=silent), funding=funding_of(every(8, 40), RATE, MARK)
    )
    (tape,) = tapes(tables, ["BTC"])
    simulation = held(tape, (BOUGHT, START + 26 * HOUR, 1))
    assert simulation.trades["status"].to_list() == ["forced"]
    assert cash(simulation) == -6.0 * 3


def test_on_daily_bars_a_day_still_settles_three_times():
    day = 86_400_000_000
    minutes = market(every(8, 10 * 24), n_hours=10 * 24)
    opened = to_us(START) + day * np.arange(10)
    flat = np.full(10, LAST)
    daily = replace(
        minutes,
        open_us=opened,
        close_us=opened + day,
        open=flat,
        close=flat,
        traded=np.ones(10, dtype=np.bool_),
    )
    # A daily bar opens at midnight, at the stamp: seven whole days lie between the two fills.
    at = START + 2 * DAY - timedelta(seconds=1)
    simulation = held(daily, (at, at + 7 * DAY, 1))
    assert simulation.trades["exit_us"].item() - simulation.trades["entry_us"].item() == 7 * day
    assert cash(simulation) == -126.00
