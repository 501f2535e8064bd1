"""Damage is exactly what the truth says, and nothing else differs from the clean twin."""

from __future__ import annotations

from datetime import date
from functools import cache

import numpy as np
import polars as pl
import pytest

from quantlab_pipeline.core.clocks import day_of
from quantlab_pipeline.core.errors import SpecError
from quantlab_pipeline.worlds.market import generate
from quantlab_pipeline_tests.worlds.builders import scenario, shipped


@cache
def twins():
    return generate(shipped("damaged")), generate(shipped("damaged_clean"))


def record(kind):
    return next(d for d in twins()[0].truth.damage if d.kind == kind)


def part(world, damage, whole_day=True):
    """The rows of the damaged (dataset, leg, symbol, day)."""
    frame = world.frames[damage.dataset]
    wanted = pl.col("symbol") == damage.symbol
    if whole_day:
        wanted &= day_of() == date.fromisoformat(damage.day)
    if damage.leg:
        wanted &= pl.col("leg") == damage.leg
    return frame.filter(wanted)


def both(kind):
    damaged, clean = twins()
    return record(kind), part(damaged, record(kind)), part(clean, record(kind))


def stamps(frame):
    return frame["ts"].dt.epoch("us").to_list()


def test_every_kind_is_planted_once():
    kinds = [d.kind for d in twins()[0].truth.damage]
    assert sorted(kinds) == [
        "crossed_quotes",
        "duplicate_rows",
        "gap",
        "missing_funding",
        "non_monotone",
        "price_outlier",
        "stale_burst",
        "time_shift",
        "unit_error",
        "zero_volume_run",
    ]
    assert twins()[1].truth.damage == ()


def test_counts_are_those_of_the_scenario():
    assert {d.kind: d.count for d in twins()[0].truth.damage} == {
        "gap": 45,
        "duplicate_rows": 7,
        "non_monotone": 5,
        "crossed_quotes": 173,
        "stale_burst": record("stale_burst").count,
        "unit_error": 1440,
        "time_shift": 1440,
        "price_outlier": 3,
        "zero_volume_run": 90,
        "missing_funding": 1,
    }


def test_all_else_equals_the_clean_twin():
    damaged, clean = twins()
    for name, frame in damaged.frames.items():
        hit = pl.lit(value=False)
        for item in damaged.truth.damage:
            if item.dataset == name:
                where = (pl.col("symbol") == item.symbol) & (
                    day_of() == date.fromisoformat(item.day)
                )
                hit |= where & (pl.col("leg") == item.leg) if item.leg else where
        assert frame.filter(~hit).equals(clean.frames[name].filter(~hit)), name


@pytest.mark.parametrize("kind", ["gap", "missing_funding", "stale_burst"])
def test_rows_that_are_gone_are_the_places(kind):
    truth, damaged, clean = both(kind)
    kept = set(stamps(damaged))
    assert [s for s in stamps(clean) if s not in kept] == list(truth.places_us)
    assert clean.height - damaged.height == truth.count == len(truth.places_us)


def test_a_gap_is_one_run():
    assert set(np.diff(record("gap").places_us)) == {60_000_000}


def test_duplicates_follow_their_originals():
    truth, damaged, clean = both("duplicate_rows")
    twice = damaged.filter(pl.struct(pl.all()) == pl.struct(pl.all()).shift(1))
    assert stamps(twice) == list(truth.places_us)
    assert damaged.unique(maintain_order=True).equals(clean)


def test_disorder_is_at_its_places():
    truth, damaged, clean = both("non_monotone")
    order = np.array(stamps(damaged))
    late = order[1:][np.diff(order) < 0]
    assert late.tolist() == list(truth.places_us)
    assert damaged.sort("ts").equals(clean)


def test_crossed_quotes_are_at_their_places():
    truth, damaged, clean = both("crossed_quotes")
    crossed = damaged.filter(pl.col("bid_px") > pl.col("ask_px"))
    assert stamps(crossed) == list(truth.places_us)
    assert truth.count == round(0.01 * clean.height)
    mended = crossed.rename({"bid_px": "ask_px", "ask_px": "bid_px"}).select(clean.columns)
    assert mended.equals(clean.filter(pl.col("ts").is_in(crossed["ts"].implode())))


def test_stale_bursts_are_silent_stretches_of_their_length():
    truth, damaged, _ = both("stale_burst")
    times = np.array(stamps(damaged))
    silences = np.flatnonzero(np.diff(times) >= 600_000_000)
    spans = [(int(times[k]), int(times[k + 1])) for k in silences]
    assert spans == list(truth.spans_us)
    assert len(spans) == 3
    assert all(600e6 < b - a < 615e6 for a, b in spans)


def test_a_unit_error_scales_every_price_of_the_day():
    _, damaged, clean = both("unit_error")
    prices = ["open", "high", "low", "close"]
    ratio = damaged.select(prices).to_numpy() / clean.select(prices).to_numpy()
    np.testing.assert_allclose(ratio, 1000, rtol=1e-12)
    assert damaged.drop(prices).equals(clean.drop(prices))


def test_a_time_shift_carries_values_of_an_hour_before():
    truth, damaged, _ = both("time_shift")
    whole = part(twins()[1], truth, whole_day=False)
    keys = ["symbol", "ts", "available_at", "open_ts"]
    earlier = whole.with_columns(pl.col("ts") + pl.duration(hours=1)).filter(
        pl.col("ts").is_in(damaged["ts"].implode())
    )
    assert damaged.drop(keys).equals(earlier.drop(keys))
    assert damaged.height == 1440


def test_outliers_are_lone_and_at_their_places():
    truth, damaged, clean = both("price_outlier")
    odd = damaged.filter((damaged["close"] / clean["close"] - 1).abs() > 0.1)
    assert stamps(odd) == list(truth.places_us)
    assert min(np.diff(truth.places_us)) > 60_000_000
    assert (damaged["high"] >= damaged["close"]).all()


def test_a_run_without_trades_carries_the_price():
    truth, damaged, clean = both("zero_volume_run")
    still = damaged.filter(pl.col("volume_base") == 0)
    assert stamps(still) == list(truth.places_us)
    before = clean.filter(pl.col("ts").dt.epoch("us") == truth.places_us[0] - 60_000_000)
    for column in ("open", "high", "low", "close"):
        assert still[column].unique().to_list() == before["close"].to_list()
    for column in ("volume_quote", "n_trades", "taker_buy_base"):
        assert still[column].sum() == 0
    assert clean["volume_base"].min() > 0


@pytest.mark.parametrize(
    "item",
    [
        {"kind": "time_shift", "dataset": "bars_1m_perp"},
        {"kind": "time_shift", "dataset": "bars_1m_perp", "symbol": "BBBUSDT"},
        {"kind": "missing_funding", "n_rows": 9},
    ],
)
def test_damage_that_cannot_be_done_is_an_error(item):
    place = {"symbol": "AAAUSDT", "day": date(2025, 1, 6)}
    with pytest.raises(SpecError):
        generate(scenario(2, 2, damage=[{**place, **item}]))
