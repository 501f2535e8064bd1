"""Snapshots, minutes and the basis as tables."""

from __future__ import annotations

import math
from datetime import timedelta

import numpy as np
import polars as pl
import pytest

from quantlab_pipeline.core.clocks import day_start
from quantlab_pipeline.research.market_data import schema
from quantlab_pipeline.research.market_data.basis import basis_state
from quantlab_pipeline.research.market_data.book import aggregate_book, snapshot_book
from quantlab_pipeline_tests.research.market_data import builders as b

START = day_start(b.DAY)


def minute(agg: pl.DataFrame, at: int) -> dict:
    return agg.filter(pl.col("ts") == START + timedelta(minutes=at)).row(0, named=True)


def steady(day=b.DAY, leg="perp", price=100.0, every=1.0, **gaps) -> pl.DataFrame:
    """One quote every `every` seconds of the first five minutes."""
    rows = [(s, price - 0.5, 1, price + 0.5, 3) for s in np.arange(0.25, 300, every)]
    return b.quotes(rows, leg=leg, day=day)


def test_a_sample_is_the_last_quote_known_and_says_how_old_it_is():
    quotes = b.quotes([(1.0, 99, 1, 101, 2), (1.5, 98, 1, 101, 2), (3.25, 97, 1, 101, 2)])
    parsed = snapshot_book(quotes, [b.DAY])
    first = schema.TOB_SNAPSHOTS.validate(parsed.frame).head(4)
    assert first["ts"][0] == START + timedelta(seconds=1), "no row before the first quote"
    assert first["bid_px"].to_list() == [99.0, 98.0, 98.0, 97.0]
    assert first["quote_age_s"].to_list() == [0.0, 0.5, 1.5, 0.75]
    assert first["n_updates"].to_list() == [1, 1, 0, 1]
    assert parsed.frame["quote_age_s"][-1] == 86_400 - 3.25


def test_planted_crossed_locked_invalid_and_stale_seconds_are_counted_exactly():
    quotes = steady()
    crossed = pl.col("ts").dt.second().is_in([7, 8]) & (pl.col("ts").dt.minute() == 1)
    locked = (pl.col("ts").dt.second() == 20) & (pl.col("ts").dt.minute() == 1)
    empty = (pl.col("ts").dt.second() == 30) & (pl.col("ts").dt.minute() == 1)
    quotes = quotes.with_columns(
        pl.when(crossed).then(102.0).when(locked).then(100.5).otherwise("bid_px").alias("bid_px"),
        pl.when(empty).then(0.0).otherwise("ask_qty").alias("ask_qty"),
    )
    burst = (pl.col("ts") > START + timedelta(seconds=130)) & (
        pl.col("ts") < START + timedelta(seconds=140)
    )
    parsed = snapshot_book(quotes.filter(~burst), [b.DAY])
    agg = schema.TOB_1M_AGG.validate(aggregate_book(parsed.frame))
    second = minute(agg, 2)
    assert (second["n_crossed"], second["n_locked"], second["n_invalid"]) == (2, 1, 1)
    assert second["valid_frac"] == 56 / 60
    third = minute(agg, 3)
    assert third["n_stale"] == 8, "quotes of 130.25 to 139.25 are gone: ages 3.75 to 10.75"
    assert {f.check: f.count for f in parsed.findings} == {
        "crossed_quotes": 2,
        "locked_quotes": 1,
        "invalid_quotes": 1,
    }
    assert minute(agg, 1)["spread_bps_median"] == pytest.approx(100.0)


def test_an_absent_second_is_invalid_and_a_minute_adds_up():
    agg = aggregate_book(snapshot_book(b.quotes([(30.0, 99, 1, 101, 2)]), [b.DAY]).frame)
    first = minute(agg, 1)
    assert first["n_invalid"] == 29
    assert first["valid_frac"] == 4 / 60
    assert first["n_stale"] == 27
    assert minute(agg, 9)["spread_bps_mean"] is None


def test_late_quotes_are_skipped_and_counted():
    parsed = snapshot_book(
        b.quotes([(5.0, 99, 1, 101, 2), (2.0, 1, 1, 101, 2), (6.0, 98, 1, 101, 2)]), [b.DAY]
    )
    assert [(f.dataset, f.check, f.count) for f in parsed.findings] == [
        ("tob_perp", "non_monotone", 1)
    ]
    assert parsed.frame["bid_px"].head(2).to_list() == [99.0, 98.0]


def test_a_quote_stands_overnight_but_not_over_a_day_without_quotes():
    after = b.DAY + timedelta(days=1)
    later = b.DAY + timedelta(days=3)
    quotes = pl.concat(
        [b.quotes([(80_000.0, 99, 1, 101, 2)], day=d) for d in (b.DAY, after, later)]
    )
    days = [b.DAY, after, later]
    frame = snapshot_book(quotes, days).frame
    per_day = frame.group_by(pl.col("ts").dt.offset_by("-1us").dt.date()).len().sort("ts")
    assert per_day["len"].to_list() == [6401, 86_400, 6401]
    assert snapshot_book(quotes.filter(pl.col("ts").dt.date() <= after), [after]).frame.equals(
        frame.filter(
            pl.col("ts").is_between(day_start(after), day_start(later), closed="right")
        ).filter(pl.col("ts") <= day_start(after) + timedelta(days=1))
    )


def test_pieces_of_a_stream_give_what_the_whole_gives():
    quotes = pl.concat([steady(), steady(leg="spot", every=2.0)]).sort("ts")
    whole = snapshot_book(quotes, [b.DAY]).frame
    pieces = [quotes[i : i + 7] for i in range(0, quotes.height, 7)]
    assert snapshot_book(iter(pieces), [b.DAY]).frame.equals(whole)


def test_a_skew_of_five_seconds_is_not_simultaneous():
    """Spot's last valid sample lies 5 s before the perpetual's: closes are taken, and said so."""
    perp = steady()
    spot = steady(leg="spot", price=99.0)
    cut = spot.filter(pl.col("ts") < START + timedelta(seconds=52))
    samples = snapshot_book(pl.concat([perp, cut]), [b.DAY]).frame
    closes = b.bars(np.full(1440, 100.0))
    spot_bars = b.bars(np.full(1440, 98.0))
    state = schema.BASIS_STATE.validate(basis_state(samples, closes, spot_bars))
    first = state.row(0, named=True)
    assert first["basis_source"] == "close"
    assert first["skew_s"] is None
    assert first["basis_bps"] == pytest.approx(1e4 * math.log(100 / 98))
    both = basis_state(
        snapshot_book(pl.concat([perp, spot]), [b.DAY]).frame, closes, spot_bars
    ).row(0, named=True)
    assert (both["basis_source"], both["skew_s"]) == ("mid", 0.0)
    assert both["basis_bps"] == pytest.approx(1e4 * math.log(100 / 99))


def test_a_carried_close_is_no_price_of_its_minute():
    idle = pl.when(pl.int_range(pl.len()) == 3).then(0.0).otherwise("volume_base")
    perp = b.bars(np.full(1440, 100.0)).with_columns(idle.alias("volume_base"))
    state = basis_state(schema.TOB_SNAPSHOTS.empty(), perp, b.bars(np.full(1440, 99.0)))
    assert state.height == 1439
    assert aggregate_book(schema.TOB_SNAPSHOTS.empty()).is_empty()


def test_the_order_of_the_samples_does_not_matter():
    rows = [(s + 0.5, 99 + s % 3, 1 + s % 7, 103, 2) for s in range(0, 300, 2)]
    parsed = [
        snapshot_book(b.quotes(rows, leg, symbol), [b.DAY]).frame.head(400)
        for symbol in ("AAA", "BBB")
        for leg in ("perp", "spot")
    ]
    whole = pl.concat(parsed)
    wanted = aggregate_book(whole)
    assert wanted.select("symbol", "leg").unique().height == 4
    for disorder in (
        whole.reverse(),
        whole.sort("ts"),
        whole.sample(fraction=1, shuffle=True, seed=3),
    ):
        assert aggregate_book(disorder).equals(wanted)
