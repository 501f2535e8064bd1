"""A tape looked up at a few instants says what a look at all of it would."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from quantlab_pipeline.simulation.tape import HOUR_US, MarketTables, tapes
from quantlab_pipeline_tests.simulation.builders import START, bars_of, quotes_of

MINUTE_US = 60_000_000
BARS = bars_of(np.full(12 * 60, 100.0))


def tape_of(prices):
    """Twelve hours of a quote every ten minutes from minute five on; None is a missing bid."""
    mid = np.array([np.nan if p is None else p for p in prices])
    whole = quotes_of(np.full(mid.size, 100.0), 1.0, start=START + timedelta(minutes=5), step_s=600)
    quotes = whole.with_columns(bid_px=pl.Series(mid), ask_qty=pl.Series(np.abs(mid)))
    return next(iter(tapes(MarketTables(BARS, quotes), ["BTC"])))


instants = st.lists(st.integers(-60, 13 * 60), min_size=1, max_size=8)
books = st.lists(st.sampled_from([99.9, 99.9, None, 101.0, 0.0]), min_size=0, max_size=72)


@settings(max_examples=40, deadline=None)
@given(books, instants)
def test_an_hour_has_a_book_where_any_of_its_quotes_has_both_prices(prices, minutes):
    tape = tape_of(prices)
    at = int(BARS["open_ts"].dt.epoch("us")[0]) + np.array(minutes, dtype=np.int64) * MINUTE_US
    both = np.isfinite(tape.bid) & np.isfinite(tape.ask)
    hours = {int(t) // HOUR_US for t in tape.quote_us[both]}
    assert tape.has_book(at).tolist() == [int(t) // HOUR_US in hours for t in at]


@settings(max_examples=40, deadline=None)
@given(books, instants)
def test_a_mid_is_that_of_the_newest_quote_if_it_is_usable_and_young(prices, minutes):
    tape, limit = tape_of(prices), 7 * MINUTE_US
    at = int(BARS["open_ts"].dt.epoch("us")[0]) + np.array(minutes, dtype=np.int64) * MINUTE_US
    for found, t in zip(tape.mid_at(at, limit), at, strict=True):
        known = np.flatnonzero(tape.quote_us <= t)
        expected = np.nan
        if known.size:
            i = known[-1]
            sane = 0 < tape.bid[i] < tape.ask[i] and tape.ask_qty[i] > 0
            if sane and t - tape.quote_us[i] <= limit:
                expected = (tape.bid[i] + tape.ask[i]) / 2
        np.testing.assert_equal(found, expected)
