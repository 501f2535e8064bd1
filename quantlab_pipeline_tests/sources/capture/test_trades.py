"""Bars from trades: only of minutes heard whole, against a plain loop over all trades."""

from __future__ import annotations

import itertools
import math
from datetime import timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantlab_pipeline.core.clocks import TS, to_us
from quantlab_pipeline.sources.capture.trades import Heard, MinuteTrades
from quantlab_pipeline_tests.sources.capture import builders as b


def us(*seconds: float) -> np.ndarray:
    return np.array([to_us(b.at(s)) for s in seconds], np.int64)


def heard(*seconds: float) -> Heard:
    stretch = Heard()
    stretch.hear(us(*seconds))
    return stretch


def opens(stretch: Heard, upto: int = 1440) -> list[int]:
    found = stretch.minutes([b.DAY])
    return [m for m in ((t - b.START) // timedelta(minutes=1) for t in found) if m < upto]


def test_a_minute_is_heard_from_its_first_instant_to_a_second_after_its_close():
    assert opens(heard(0, 30, 61)) == [0]
    assert opens(heard(0, 30, 60.9)) == []
    assert opens(heard(0.001, 30, 61, 121)) == [1]


def test_a_silence_of_more_than_a_minute_ends_a_stretch():
    assert opens(heard(0, 60, 120, 180, 181)) == [0, 1, 2]
    assert opens(heard(0, 60, 121, 180, 240, 241)) == [3]


def test_pieces_of_a_stretch_are_one_stretch():
    stretch = Heard()
    for seconds in ((0, 30), (60,), (), (61,)):
        stretch.hear(us(*seconds))
    assert opens(stretch) == [0]


def test_what_was_lost_takes_every_minute_it_touches():
    stretch = heard(*range(0, 302, 2), 302)
    assert opens(stretch) == [0, 1, 2, 3, 4]
    stretch.break_between(*us(70, 130).tolist())
    assert opens(stretch) == [0, 3, 4]


def test_a_first_trade_from_before_the_minute_tells_that_it_was_heard_whole():
    stretch = heard(0.004, 30, 61)
    assert opens(stretch) == []
    stretch.heard_since(b.at(-0.001))
    assert opens(stretch) == [0]
    far = heard(0.004, 30, 61)
    far.heard_since(b.at(-5))
    assert opens(far) == []


def rows(trades: list[tuple[int, float, float, float, bool]]) -> pl.DataFrame:
    """(id, second, price, base, taker buys), a message each."""
    return pl.DataFrame(
        {
            "traded": pl.Series([b.at(t[1]) for t in trades], dtype=TS),
            "id": pl.Series([t[0] for t in trades], dtype=pl.Int64),
            "n": pl.Series([1] * len(trades), dtype=pl.Int64),
            "price": pl.Series([t[2] for t in trades], dtype=pl.Float64),
            "base": pl.Series([t[3] for t in trades], dtype=pl.Float64),
            "taker_buys": pl.Series([t[4] for t in trades], dtype=pl.Boolean),
            "market": pl.Series([True] * len(trades), dtype=pl.Boolean),
        }
    )


def summed(frames: list[pl.DataFrame], stretch: Heard):
    tally = MinuteTrades()
    for frame in frames:
        tally.take(frame)
    tally.finish()
    return tally, {
        r["open_ts"]: r for r in tally.bars(stretch.minutes([b.DAY], tally.lost)).to_dicts()
    }


def test_a_minute_without_a_trade_is_a_bar_at_the_carried_price():
    stretch = heard(*range(0, 300, 10))
    _, bars = summed([rows([(1, 70, 5.0, 2.0, True)])], stretch)
    assert sorted(bars) == [b.at(60), b.at(120), b.at(180)]
    quiet = bars[b.at(120)]
    assert [quiet[c] for c in ("open", "high", "low", "close")] == [5.0] * 4
    assert [quiet[c] for c in ("volume_base", "volume_quote", "n_trades")] == [0, 0, 0]


def test_no_price_is_carried_over_a_hole():
    stretch = heard(*range(0, 600, 10))
    stretch.break_between(*us(130, 135).tolist())
    _, bars = summed([rows([(1, 70, 5.0, 2.0, True), (2, 310, 6.0, 1.0, True)])], stretch)
    assert sorted(bars) == [b.at(s) for s in (60, 300, 360, 420, 480)]


def test_a_missing_id_breaks_every_minute_from_the_trade_before_to_the_trade_after():
    stretch = heard(*range(0, 400, 10))
    trades = [(1, 10, 5.0, 1.0, True), (2, 70, 5.0, 1.0, True), (5, 130, 5.0, 1.0, True)]
    tally, bars = summed([rows([*trades, (6, 190, 5.0, 1.0, True)])], stretch)
    assert sorted(bars) == [b.at(s) for s in (0, 180, 240, 300)]
    assert dict(tally.faults) == {b.at(120): 2}


def test_a_trade_sent_twice_counts_once_and_late_ones_count_where_they_happened():
    stretch = heard(*range(0, 400, 10))
    first, second, third = (1, 10, 5.0, 1.0, True), (2, 59, 6.0, 1.0, True), (3, 61, 7.0, 1.0, True)
    tally, bars = summed([rows([first, third, third]), rows([second]), rows([first])], stretch)
    assert bars[b.at(0)]["volume_base"] == 2.0
    assert bars[b.at(0)]["close"] == 6.0
    assert bars[b.at(60)]["volume_base"] == 1.0
    assert dict(tally.faults) == {b.at(0): 1, b.at(60): 1}


def test_a_trade_that_comes_again_after_its_minute_was_summed_changes_nothing():
    stretch = heard(*range(0, 620, 10))
    trades = [(k + 1, 60.0 * k + 5, 5.0, 1.0, True) for k in range(10)]
    tally, bars = summed([rows(trades), rows(trades[:2])], stretch)
    assert [bar["volume_base"] for bar in bars.values()] == [1.0] * 10
    assert dict(tally.faults) == {b.at(0): 1, b.at(60): 1}


TRADES = st.lists(
    st.tuples(st.integers(0, 59_999), st.integers(1, 50), st.integers(1, 9), st.booleans()),
    min_size=1,
    max_size=40,
)


@given(TRADES, st.data())
def test_bars_equal_a_plain_loop_over_the_trades(steps, data):
    clock, trades = 0.0, []
    for number, (gap_ms, price, base, buys) in enumerate(steps):
        clock += gap_ms / 1000
        trades.append((number, clock, price / 4, base / 8, buys))
    cuts = data.draw(st.lists(st.integers(0, len(trades)), max_size=3))
    edges = [0, *sorted(cuts), len(trades)]
    frames = [rows(trades[a:z]) for a, z in itertools.pairwise(edges)]
    end = math.ceil(clock / 60) * 60 + 61
    _, bars = summed(frames, heard(*range(0, end + 30, 30)))
    for minute in range(int(clock // 60) + 1):
        inside = [t for t in trades if minute * 60 <= t[1] < minute * 60 + 60]
        if not inside:
            continue
        prices = [t[2] for t in inside]
        bar = bars[b.at(minute * 60)]
        assert [bar[c] for c in ("open", "high", "low", "close")] == [
            prices[0], max(prices), min(prices), prices[-1],
        ]  # fmt: skip
        assert bar["volume_base"] == pytest.approx(sum(t[3] for t in inside), abs=1e-12)
        assert bar["volume_quote"] == pytest.approx(sum(t[2] * t[3] for t in inside), abs=1e-12)
        assert bar["taker_buy_base"] == pytest.approx(sum(t[3] for t in inside if t[4]), abs=1e-12)
        assert bar["n_trades"] == len(inside)
