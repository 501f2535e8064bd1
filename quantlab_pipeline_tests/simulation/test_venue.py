"""The venue's rules by hand, its refusals, and the properties that hold on any tape."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from quantlab_pipeline.core.instruments import Instrument
from quantlab_pipeline.simulation import venue
from quantlab_pipeline.simulation.account import AccountSpec, RateError, rate_e8
from quantlab_pipeline.simulation.accounting import AccountingError, fee_units
from quantlab_pipeline.simulation.venue import OrderError, Terms, VenueOrder, run_orders
from quantlab_pipeline.simulation.venue_tape import MarketError, bar_market, units_per_lot_tick
from quantlab_pipeline_tests.simulation.venue_builders import (
    COIN,
    FREE,
    MINUTE,
    PERP,
    SPOT,
    T0,
    UNIT,
    bars_in_ticks,
    filled,
    marks_in_ticks,
    moved,
    on_bars,
    on_quotes,
    outcomes,
)

SECOND = 1_000_000
QUIET = (1_000, 1_005, 995, 1_000)
BID = (1_000, 50, 1_001, 50)


def order(lots, kind="market", price=None, at=0, **rest):
    return VenueOrder(arrive_us=at, lots=lots, kind=kind, price_ticks=price, **rest)


def perp(leverage, maintenance=0, fee=0, cash=1_000_000):
    return AccountSpec(
        kind="perp_margin",
        cash_usd=Decimal(cash),
        leverage=Decimal(leverage),
        maintenance_bps=Decimal(maintenance),
        liquidation_fee_bps=Decimal(fee),
    )


# --- bars ----------------------------------------------------------------------------------------


def test_a_market_order_takes_the_first_open_at_or_after_its_arrival():
    run = on_bars([QUIET, QUIET, (1_010, 1_012, 1_008, 1_011)], [order(3), order(3, at=1)])
    assert filled(run) == [(0, 0, 3, 1_000), (1, MINUTE, 3, 1_000)]
    late = on_bars([QUIET, (None,) * 4, (1_010, 1_012, 1_008, 1_011)], [order(3, at=1)])
    assert filled(late) == [(0, 2 * MINUTE, 3, 1_010)]


def test_a_limit_is_filled_at_its_price_inside_the_bar_and_better_where_the_open_gaps_through():
    run = on_bars([QUIET], [order(2, "limit", 996)])
    assert filled(run) == [(0, MINUTE, 2, 996)]
    assert run.fills["liquidity"].to_list() == ["maker"]
    gap = on_bars([QUIET, (980, 985, 975, 980)], [order(2, "limit", 990)])
    assert filled(gap) == [(0, MINUTE, 2, 980)]
    assert gap.fills["liquidity"].to_list() == ["taker"]
    missed = on_bars([QUIET], [order(2, "limit", 994)])
    assert outcomes(missed) == [("live", None)]


def test_a_stop_pays_its_price_on_the_cross_and_the_open_on_a_gap():
    run = on_bars([QUIET], [order(2, "stop", 1_004)])
    assert filled(run) == [(0, MINUTE, 2, 1_004)]
    gap = on_bars([QUIET, (1_020, 1_022, 1_018, 1_020)], [order(2, "stop", 1_010)])
    assert filled(gap) == [(0, MINUTE, 2, 1_020)]


def test_inside_one_bar_the_stop_loss_comes_before_the_take_profit():
    wild = (1_000, 1_050, 950, 1_000)
    bracket = [
        order(5),
        order(-5, "limit", 1_040, parent=0, oco="exit"),
        order(-5, "stop", 960, parent=0, oco="exit"),
    ]
    run = on_bars([QUIET, wild], bracket)
    assert filled(run) == [(0, 0, 5, 1_000), (2, 2 * MINUTE, -5, 960)]
    assert outcomes(run)[1] == ("cancelled", "other_filled")


def test_an_order_that_arrives_or_ends_inside_a_bar_does_not_trade_inside_it():
    late = on_bars([QUIET, (1_000, 1_000, 1_000, 1_000)], [order(1, "limit", 996, at=1)])
    assert outcomes(late) == [("live", None)]
    early = on_bars([QUIET], [order(1, "limit", 996, expire_us=MINUTE - 1)])
    assert outcomes(early) == [("expired", None)]
    whole = on_bars([QUIET], [order(1, "limit", 996, expire_us=MINUTE)])
    assert outcomes(whole) == [("filled", None)]


def test_a_concession_is_paid_by_takers_in_whole_ticks_and_not_by_makers():
    # 12 bps of 1,000 ticks are 1.2 ticks: two, against the trader.
    costly = np.full(2, 12.0)
    orders = [order(4), order(-1, at=MINUTE), order(-1, "stop", 997, at=MINUTE)]
    orders.append(order(-1, "limit", 1_004, at=MINUTE))
    run = on_bars([QUIET, QUIET], orders, concession_bps=costly)
    assert filled(run) == [
        (0, 0, 4, 1_002),
        (1, MINUTE, -1, 998),
        (2, 2 * MINUTE, -1, 995),
        (3, 2 * MINUTE, -1, 1_004),
    ]


def test_a_child_waits_for_its_parent_and_the_latency_and_dies_with_it():
    terms = Terms(0.0, 0.0, latency_s=1.0)
    flat = (1_000, 1_000, 1_000, 1_000)
    orders = [order(1), order(-1, parent=0), order(1, "limit", 5), order(-1, parent=2)]
    run = on_bars([flat] * 3, orders, terms=terms)
    assert filled(run) == [(0, 0, 1, 1_000), (1, MINUTE, -1, 1_000)]
    assert run.orders["reached_us"].to_list() == [T0, T0 + SECOND, T0, None]
    assert outcomes(run)[3] == ("waiting", None)
    dead = on_bars([flat] * 3, [order(-9), order(1, parent=0)])
    assert outcomes(dead) == [("rejected", "no_position"), ("cancelled", "parent_ended")]


# --- quotes --------------------------------------------------------------------------------------


def test_a_market_order_waits_for_more_size_or_walks_to_the_level_of_its_last_lot():
    rows = [(0, *BID), (1, *BID), (2, *BID)]
    run = on_quotes(rows, [order(120)])
    assert filled(run) == [
        (0, 0, 50, 1_001),
        (0, SECOND, 50, 1_001),
        (0, 2 * SECOND, 20, 1_001),
    ]
    walks = on_quotes(rows, [order(120)], terms=Terms(0.0, 0.0, walk_ticks=3))
    assert filled(walks) == [(0, 0, 50, 1_001), (0, 0, 70, 1_007)]


def test_the_size_shown_is_eaten_once_whoever_comes():
    run = on_quotes([(0, *BID), (9, *BID)], [order(40), order(40, at=SECOND)])
    assert filled(run) == [(0, 0, 40, 1_001), (1, SECOND, 10, 1_001), (1, 9 * SECOND, 30, 1_001)]


def test_a_limit_takes_on_arrival_and_makes_at_its_own_price_when_it_rested():
    rows = [(0, *BID), (1, 990, 50, 991, 7), (2, 990, 50, 991, 7)]
    run = on_quotes(rows, [order(10, "limit", 995), order(60, "limit", 1_001)])
    assert filled(run) == [
        (1, 0, 50, 1_001),
        (0, SECOND, 7, 995),
        (0, 2 * SECOND, 3, 995),
        (1, 2 * SECOND, 4, 1_001),
    ]
    assert run.fills["liquidity"].to_list() == ["taker", "maker", "maker", "maker"]


def test_a_stop_is_triggered_by_the_touch_that_it_would_take():
    rows = [(0, *BID), (1, 1_002, 50, 1_004, 5), (2, 1_000, 50, 1_001, 50)]
    run = on_quotes(rows, [order(9, "stop", 1_003)])
    # Once triggered it is a market order: what was not there is taken from the next quote.
    assert filled(run) == [(0, SECOND, 5, 1_004), (0, 2 * SECOND, 4, 1_001)]


@pytest.mark.parametrize(
    "bad", [(1_001, 5, 1_001, 5), (1_002, 5, 1_001, 5), (1_000, 0, 1_001, 5), (0, 5, 1_001, 5)]
)
def test_an_unusable_quote_trades_nothing_and_an_old_one_neither(bad):
    run = on_quotes([(0, *bad), (1, *BID)], [order(1)])
    assert filled(run) == [(0, SECOND, 1, 1_001)]
    old = on_quotes([(0, *BID), (100, *BID)], [order(1, at=16 * SECOND)])
    assert filled(old) == [(0, 100 * SECOND, 1, 1_001)]


def test_a_reversal_goes_through_zero_and_a_reduce_only_order_stops_there():
    rows = [(0, *BID), (1, *BID), (2, *BID)]
    run = on_quotes(rows, [order(10), order(-25, at=SECOND)], PERP)
    assert run.lots == -15
    less = on_quotes(rows, [order(10), order(-25, at=SECOND, reduce_only=True)], PERP)
    assert (less.lots, filled(less)[1][2]) == (0, -10)
    assert outcomes(less)[1] == ("cancelled", "nothing_to_reduce")
    none = on_quotes(rows, [order(-25, reduce_only=True)], PERP)
    assert outcomes(none) == [("rejected", "nothing_to_reduce")]


# --- money ---------------------------------------------------------------------------------------


def test_cash_is_value_and_fees_to_the_unit_with_fees_as_the_accounts_round_them():
    terms = Terms(maker_bps=-0.25, taker_bps=4.4444)
    run = on_quotes(
        [(0, 1_000, 50, 1_001, 7), (1, 900, 9, 995, 9)],
        [order(7), order(3, "limit", 997)],
        terms=terms,
    )
    fees = [fee_units(COIN, 7, 1_001, 4.4444), fee_units(COIN, 3, 997, -0.25)]
    assert run.fills["fee_units"].to_list() == fees
    assert fees[1] < 0 < fees[0]
    spent = (7 * 1_001 + 3 * 997) * UNIT
    assert run.cash_units == run.opening_units - spent - sum(fees)


def test_spot_never_owes_and_never_sells_what_it_has_not():
    poor = SPOT.model_copy(update={"cash_usd": Decimal(1)})
    terms = Terms(0.0, 10.0)
    # One lot at 1,001 ticks is 0.1001 USD, with its fee 0.1002001: nine are within a dollar.
    run = on_quotes(
        [(0, *BID)], [order(10), order(9), order(-10), order(10, "limit", 999)], poor, terms
    )
    assert [why for _, why in outcomes(run)] == ["no_cash", None, "no_position", "no_cash"]
    assert run.lots == 9


def test_margin_is_asked_at_acceptance_of_all_that_could_be_filled():
    marks = marks_in_ticks([(SECOND, 1_000)])
    # 10,000 USD at 10x carry 100,000 USD: 1,000,000 lots at a mark of 100 USD.
    account = perp(10, cash=10_000)
    far = [order(600_000, "limit", 900, at=SECOND + 1)] * 2
    orders = [order(1, "limit", 900), *far, order(-600_000, "limit", 1_100, at=SECOND + 1)]
    run = on_quotes([(0, *BID), (2, *BID)], orders, account, marks=marks)
    assert [why for _, why in outcomes(run)] == ["no_mark", None, "no_margin", None]


def test_maintenance_is_held_against_the_mark_and_not_against_what_trades():
    account, terms = perp(10, 500, 100, cash=10_000), Terms(0.0, 5.0)
    crash = [(0, *BID), (1, 800, 10**6, 801, 10**6), (2, 970, 10**6, 971, 10**6)]
    calm = marks_in_ticks([(-1, 1_000), (SECOND, 999)])
    held = on_quotes(
        [(0, 1_000, 9, 1_001, 10**6), *crash[1:]], [order(900_000)], account, terms, marks=calm
    )
    assert held.liquidated_us is None
    low = marks_in_ticks([(-1, 1_000), (SECOND + 5, 900)])
    orders = [order(900_000), order(-1, "limit", 1_100), order(1, at=3 * SECOND)]
    run = on_quotes([(0, 1_000, 9, 1_001, 10**6), crash[2]], orders, account, terms, marks=low)
    assert run.liquidated_us == T0 + SECOND + 5
    # The quote of second 0 still stands: its bid shows 9 lots, the rest waits for the next.
    assert filled(run)[1:] == [(None, SECOND + 5, -9, 1_000), (None, 2 * SECOND, -899_991, 970)]
    assert run.fills["fee_units"][2] == fee_units(COIN, 899_991, 970, 105.0)
    assert [why for _, why in outcomes(run)] == [None, "liquidated", "liquidated"]
    assert run.lots == 0


def test_funding_is_paid_by_what_is_held_across_the_stamp_and_comes_first_at_its_instant():
    stamps = [T0, T0 + MINUTE, T0 + 2 * MINUTE]
    paid = pl.DataFrame(
        {"stamp_us": stamps, "rate": [1e-4, 1e-4, -2.5e-5], "mark_price": [100.0] * 3}
    )
    flat = (1_000,) * 4
    orders = [order(1_000), order(-1_000, at=MINUTE)]
    run = on_bars([flat] * 3, orders, PERP, settlements=paid)
    # Entered at the first stamp: not charged; left at the second: charged. 1 coin at 100 USD.
    assert run.payments.select("stamp_us", "lots", "cash_units").rows() == [
        (T0 + MINUTE, 1_000, -1_000_000)
    ]
    assert run.cash_units == run.opening_units - 1_000_000


def test_equity_is_noted_at_closes_with_the_last_price_known():
    rows = [QUIET, (1_000, 1_010, 990, 1_010), (None, None, None, None)]
    run = on_bars(rows, [order(10)], watch="closes")
    start = run.opening_units
    gained = [e - start for e in run.equity["equity_units"]]
    assert gained == [0, 10 * 10 * UNIT, 10 * 10 * UNIT]
    assert run.equity["at_us"].to_list() == [T0 + MINUTE * i for i in (1, 2, 3)]


# --- refusals ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("orders", "complaint"),
    [
        ([order(0)], "no size"),
        ([order(1, "market", 5)], "with a price"),
        ([order(1, "stop")], "without a price"),
        ([order(1, at=5), order(1)], "before its predecessor"),
        ([order(1, parent=0)], "before its parent"),
        ([order(10**10)], "too large"),
        ([order(9 * 10**9, "limit", 10**9)], "too large"),
    ],
)
def test_orders_that_no_venue_would_take_are_refused_with_their_place(orders, complaint):
    with pytest.raises(OrderError, match=complaint):
        on_bars([QUIET], orders)


def test_a_market_that_cannot_be_reckoned_exactly_is_refused():
    fine = Instrument(symbol="F", tick_size=Decimal("0.001"), lot_size=Decimal("0.000001"))
    with pytest.raises(MarketError, match="no whole number"):
        units_per_lot_tick(fine)
    twice = pl.concat([bars_in_ticks([QUIET])] * 2)
    with pytest.raises(MarketError, match="overlap"):
        bar_market(COIN, twice)
    gap = pl.DataFrame({"stamp_us": [T0], "rate": [None], "mark_price": [1.0]})
    with pytest.raises(MarketError, match="no rate"):
        bar_market(COIN, bars_in_ticks([QUIET]), settlements=gap)
    unmarked = bar_market(COIN, bars_in_ticks([QUIET]))
    with pytest.raises(OrderError, match="no mark"):
        run_orders(unmarked, moved([order(1)]), PERP, FREE)


def test_an_account_states_terms_that_fit_its_kind():
    with pytest.raises(ValidationError, match="no leverage"):
        AccountSpec(kind="spot_cash", cash_usd=Decimal(1), leverage=Decimal(2))
    with pytest.raises(ValidationError, match="below the initial margin"):
        perp(20, 500)
    assert perp(3).initial_e8 == 33_333_334
    assert rate_e8(4.4444, "fee") == 44_444
    with pytest.raises(RateError):
        rate_e8(0.00001, "fee")


def test_a_frame_of_orders_is_read_as_orders():
    frame = pl.DataFrame({"arrive_us": [T0], "lots": [2]})
    run = run_orders(bar_market(COIN, bars_in_ticks([QUIET])), frame, SPOT, FREE)
    assert filled(run) == [(0, 0, 2, 1_000)]


# --- properties ----------------------------------------------------------------------------------

ticks = st.integers(900, 1_100)
bar_rows = st.lists(
    st.tuples(ticks, ticks, ticks, ticks).map(lambda p: (p[0], max(p), min(p), p[3])),
    min_size=1,
    max_size=8,
)
any_order = st.builds(
    lambda at, kind, lots, price: order(
        lots, kind, None if kind == "market" else price, at * MINUTE // 2
    ),
    st.integers(0, 16),
    st.sampled_from(["market", "limit", "stop"]),
    st.sampled_from([-7, -2, 1, 5]),
    ticks,
)
any_orders = st.lists(any_order, max_size=8).map(lambda os: sorted(os, key=lambda o: o.arrive_us))


@settings(max_examples=40, deadline=None)
@given(bar_rows, ticks, st.sampled_from([1, -1]))
def test_a_limit_is_filled_exactly_when_a_bar_reaches_it(rows, price, side):
    run = on_bars(rows, [order(side, "limit", price)], PERP)
    reached = [low <= price if side > 0 else high >= price for _, high, low, _ in rows]
    assert (run.orders["status"][0] == "filled") == any(reached)
    if any(reached):
        _, at, _, paid = filled(run)[0]
        assert at // MINUTE - reached.index(True) in (0, 1)
        assert side * (paid - price) <= 0


@settings(max_examples=40, deadline=None)
@given(bar_rows, any_orders)
def test_no_fill_leaves_its_bar_and_no_stop_betters_its_price(rows, orders):
    run = on_bars(rows, orders, PERP)
    for j, at, lots, paid in filled(run):
        # A fill at an instant between two bars is the earlier one's close or the later one's open.
        near = [rows[i] for i in (at // MINUTE - 1, at // MINUTE) if 0 <= i < len(rows)]
        assert any(low <= paid <= high for _, high, low, _ in near)
        if orders[j].kind == "stop":
            assert (paid - orders[j].price_ticks) * lots >= 0


@settings(max_examples=30, deadline=None)
@given(bar_rows, any_orders, st.integers(0, 50_000), st.integers(0, 50_000))
def test_dearer_fees_never_leave_more_cash_and_change_no_fill(rows, orders, one, other):
    low, high = sorted((one, other))
    runs = [on_bars(rows, orders, PERP, Terms(0.0, f / 1e4)) for f in (low, high)]
    assert runs[0].cash_units >= runs[1].cash_units
    assert filled(runs[0]) == filled(runs[1])


@settings(max_examples=30, deadline=None)
@given(bar_rows, st.integers(0, 5), st.integers(0, 5), st.integers(0, 8))
def test_a_dearer_concession_never_pays_less_and_more_delay_never_fills_earlier(
    rows, base, k, delay
):
    volatility = np.abs(np.array([c / o - 1 for o, _, _, c in rows])) * 1e4
    there = [order(3), order(-3, at=MINUTE)]
    cheap, dear = (
        on_bars(rows, there, PERP, concession_bps=base + slope * volatility) for slope in (0, k)
    )
    if dear.fills.height == 2:
        assert dear.cash_units <= cheap.cash_units
    later = [order(3, at=delay * MINUTE // 3)]
    first, second = on_bars(rows, there[:1], PERP), on_bars(rows, later, PERP)
    if second.fills.height:
        assert second.fills["at_us"][0] >= first.fills["at_us"][0]


def test_an_account_whose_books_do_not_add_up_is_a_bug_and_raises():
    run = on_bars([QUIET], [order(1)])
    from quantlab_pipeline.kernels import venue_words as w
    from quantlab_pipeline.kernels.venue import run as run_kernel

    # A spot account below zero from the start: every law that could hold is broken.
    account = w.Account(False, -1, UNIT, 0, 0, 0, 0, 0, 0, 0, -1, 10)
    broken = run_kernel(run.market.tape, np.zeros((0, 8), dtype=np.int64), account, 0)
    with pytest.raises(AccountingError, match="do not add up"):
        venue._result(run.market, (), broken, SPOT, "none")


def test_no_orders_make_no_trades_and_keep_the_cash():
    run = on_bars([QUIET] * 3, [], PERP, watch="closes")
    assert (run.fills.height, run.cash_units, run.lots) == (0, run.opening_units, 0)
    assert run.equity["equity_units"].unique().to_list() == [run.opening_units]
