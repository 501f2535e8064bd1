"""Bars of trades equal the slow twin bit for bit, however the stream is cut."""

from __future__ import annotations

import itertools
import math
from datetime import timedelta

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from quantlab_pipeline.core.clocks import day_start
from quantlab_pipeline.research.market_data.bars import RAW_BARS, build_bars
from quantlab_pipeline.research.market_data.schema import BARS_1M_PERP
from quantlab_pipeline.research.market_data.trades import TRADE_COLUMNS, minute_bars
from quantlab_pipeline_tests.oracles import trade_bars as oracle
from quantlab_pipeline_tests.research.market_data import builders as b

START = day_start(b.DAY)
PRICE = st.one_of(
    st.floats(min_value=1e-8, max_value=1e6),
    st.sampled_from([0.0, -1.0, math.nan, math.inf]),
)
TRADE = st.tuples(
    st.integers(0, 4),
    PRICE,
    st.floats(min_value=1e-8, max_value=1e9),
    st.integers(1, 5),
    st.sampled_from([True, False, False, None]),
)


def tape(trades) -> pl.DataFrame:
    """Trades from (minute, price, quantity, how many, buyer is maker)."""
    stamps = [START + timedelta(minutes=t[0], seconds=i % 60) for i, t in enumerate(trades)]
    values = zip(TRADE_COLUMNS, [stamps, *zip(*[t[1:] for t in trades], strict=True)], strict=True)
    return pl.DataFrame(dict(values), schema=TRADE_COLUMNS)


@settings(max_examples=150)
@given(st.lists(TRADE, min_size=1, max_size=40), st.lists(st.integers(0, 40), max_size=4))
def test_bars_equal_the_oracle_bit_for_bit_however_the_stream_is_cut(trades, cuts):
    whole = tape(trades)
    edges = [0, *sorted(min(c, whole.height) for c in cuts), whole.height]
    bars = minute_bars(whole[i:j] for i, j in itertools.pairwise(edges))
    assert dict(bars.schema) == RAW_BARS
    expected = oracle.minute_bars(trades)
    assert bars["open_ts"].to_list() == [START + timedelta(minutes=m) for m in sorted(expected)]
    for minute, row in zip(sorted(expected), bars.iter_rows(named=True), strict=True):
        del row["open_ts"]
        assert row == dict.fromkeys(row) | expected[minute]


def test_a_trade_on_the_boundary_opens_the_new_minute():
    stamps = [START + timedelta(seconds=59, milliseconds=999), START + timedelta(minutes=1)]
    trades = pl.DataFrame(
        {
            "ts": stamps,
            "price": [10.0, 11.0],
            "qty": [2.0, 3.0],
            "n_trades": [1, 4],
            "is_buyer_maker": [True, False],
        },
        schema=TRADE_COLUMNS,
    )
    bars = minute_bars(trades)
    assert bars["close"].to_list() == [10.0, 11.0]
    assert bars["n_trades"].to_list() == [1, 4]
    assert bars["taker_buy_base"].to_list() == [0.0, 3.0]
    assert bars["volume_quote"].to_list() == [20.0, 33.0]


def test_a_minute_with_an_unusable_trade_is_set_aside_and_counted():
    raw = minute_bars(
        tape([(0, 10.0, 1.0, 1, True), (1, 0.0, 0.0, 1, True), (1, 9.0, 1.0, 1, True)])
    )
    parsed = build_bars(raw, b.origin(), BARS_1M_PERP)
    assert parsed.frame["close"].to_list() == [10.0]
    assert [(f.check, f.count) for f in parsed.findings] == [("non_positive_price", 1)]


def test_no_trades_are_no_bars():
    empty = pl.DataFrame(schema=TRADE_COLUMNS)
    for nothing in (empty, [], [empty, empty]):
        assert minute_bars(nothing).is_empty()
        assert dict(minute_bars(nothing).schema) == RAW_BARS
