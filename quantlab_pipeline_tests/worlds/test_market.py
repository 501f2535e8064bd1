"""Frames are what a venue would give: on the grid, of the schema, consistent, and reproducible."""

from __future__ import annotations

import hashlib
import io
import math
from datetime import timedelta
from decimal import Decimal
from functools import cache

import numpy as np
import polars as pl
import pytest

from quantlab_pipeline.research.market_data import schema
from quantlab_pipeline.worlds.bars import on_grid
from quantlab_pipeline.worlds.market import generate
from quantlab_pipeline_tests.worlds.builders import scenario, shipped

TABLES = (
    schema.BARS_1M_PERP,
    schema.BARS_1M_SPOT,
    schema.FUNDING,
    schema.MARK_INDEX,
    schema.OPEN_INTEREST,
)
EPISODES = [
    {"kind": "spread_burst", "per_symbol_day": 2, "size": 5},
    {"kind": "wick", "per_symbol_day": 2, "size": 40},
    {
        "kind": "oi_jump",
        "per_symbol_day": 2,
        "size": 300,
        "drift": {"bps": 80, "over_min": 60, "sign": "up"},
    },
]


@cache
def world(seed=3):
    return generate(
        scenario(2, 2, episodes=EPISODES, book={"legs": ["perp", "spot"], "change_mean_s": 10}),
        seed,
    )


def frame_digest(frame):
    buffer = io.BytesIO()
    frame.write_ipc(buffer)
    return hashlib.sha256(buffer.getvalue()).hexdigest()


def digests(made):
    return {name: frame_digest(frame) for name, frame in made.frames.items()}


def mids(frame):
    """The mid in force at each minute's close, by symbol and leg."""
    minute = (pl.col("ts").dt.epoch("us") // 60_000_000 + 1) * 60_000_000
    return (
        frame.group_by("symbol", "leg", minute.alias("minute"), maintain_order=True)
        .last()
        .with_columns(mid=(pl.col("bid_px") + pl.col("ask_px")) / 2)
    )


@pytest.mark.parametrize("table", TABLES, ids=lambda t: t.name)
def test_frames_are_of_their_schema_and_sorted(table):
    frame = world().frames[table.name]
    table.validate(frame)
    assert frame.equals(frame.sort(*table.key))
    assert frame["ts"].min() > world().scenario.start
    assert frame["ts"].max() == world().scenario.start + timedelta(days=2)


def test_frames_hold_every_row():
    rows = {name: frame.height for name, frame in world().frames.items()}
    assert rows == {
        "bars_1m_perp": 2 * 2880,
        "bars_1m_spot": 2 * 2880,
        "funding": 2 * 6,
        "mark_index": 2 * 2880,
        "open_interest": 2 * 576,
        "book": 2 * 2 * 2880 * 6,
        "bars_1h_perp": 2 * 48,
        "bars_1h_spot": 2 * 48,
    }


def test_same_scenario_and_seed_give_the_same_bytes():
    again = generate(world().scenario, 3)
    assert digests(again) == digests(world())
    assert again.truth.to_json() == world().truth.to_json()
    assert generate(world().scenario).truth.digest() == world().truth.digest()


def test_another_seed_gives_another_world():
    other = digests(world(4))
    assert all(other[name] != digest for name, digest in digests(world()).items())


def test_a_book_of_some_symbols_is_theirs_as_if_all_had_one():
    whole = world()
    second = whole.scenario.symbols[1].symbol
    book = whole.scenario.book.model_copy(update={"symbols": (second,)})
    some = generate(whole.scenario.model_copy(update={"book": book}), 3).frames["book"]
    assert some.height == whole.frames["book"].height / 2
    assert some.equals(whole.frames["book"].filter(symbol=second))


def test_a_symbol_does_not_depend_on_its_neighbours_book():
    blind = generate(world().scenario.model_copy(update={"book": None}), 3)
    assert blind.frames["book"].is_empty()
    assert frame_digest(blind.frames["bars_1m_perp"]) == digests(world())["bars_1m_perp"]


def test_the_null_twin_differs_in_price_alone():
    made, null = world(), generate(world().scenario.without_drift(), 3)
    assert not null.truth.drift_log.any()
    assert made.truth.drift_log.any()
    priced = {
        "book": ["bid_px", "ask_px"],
        "bars_1m_perp": ["open", "high", "low", "close", "volume_quote"],
        "bars_1m_spot": ["open", "high", "low", "close", "volume_quote"],
        "bars_1h_perp": ["open", "high", "low", "close", "volume_quote"],
        "bars_1h_spot": ["open", "high", "low", "close", "volume_quote"],
        "funding": ["mark_price"],
        "mark_index": ["mark_price", "index_price"],
        "open_interest": ["oi_usd"],
    }
    for name, columns in priced.items():
        ours, twin = made.frames[name], null.frames[name]
        assert ours.drop(columns).equals(twin.drop(columns)), name
        assert not ours.select(columns).equals(twin.select(columns)), name
    for mine, theirs in zip(made.truth.episodes, null.truth.episodes, strict=True):
        assert (mine.kind, mine.onset_us, mine.size) == (theirs.kind, theirs.onset_us, theirs.size)


def test_before_the_first_drift_the_null_twin_is_identical():
    null = generate(world().scenario.without_drift(), 3)
    first = min(e.drift_from_us for e in world().truth.episodes if e.drift_bps)
    early = pl.col("ts").dt.epoch("us") <= first
    for name, frame in world().frames.items():
        assert frame.filter(early).equals(null.frames[name].filter(early)), name


def test_the_drift_is_what_separates_the_twins():
    """Latent prices differ by exactly the cumulated drift; mids by that within a tick."""
    null = generate(world().scenario.without_drift(), 3)
    ours, twin = mids(world().frames["book"]), mids(null.frames["book"])
    for i, symbol in enumerate(world().truth.symbols):
        mine = ours.filter(pl.col("symbol") == symbol, pl.col("leg") == "perp")["mid"].to_numpy()
        other = twin.filter(pl.col("symbol") == symbol, pl.col("leg") == "perp")["mid"].to_numpy()
        moved = np.log(mine / other)
        np.testing.assert_allclose(moved, np.cumsum(world().truth.drift_log[i]), atol=1.5e-4)


@pytest.mark.parametrize(("leg", "table"), [("perp", "bars_1m_perp"), ("spot", "bars_1m_spot")])
def test_a_bar_closes_at_the_bid_or_ask_in_force(leg, table):
    bars = world().frames[table].with_columns(minute=pl.col("ts").dt.epoch("us"))
    joined = bars.join(mids(world().frames["book"]).filter(leg=leg), on=["symbol", "minute"])
    assert joined.height == bars.height
    at_bid = joined["close"] == joined["bid_px"]
    at_ask = joined["close"] == joined["ask_px"]
    assert (at_bid | at_ask).all()
    assert at_bid.mean() == pytest.approx(0.5, abs=0.03)
    assert (joined["high"] >= joined["close"]).all()


def test_bars_are_consistent():
    for name in ("bars_1m_perp", "bars_1m_spot"):
        bars = world().frames[name]
        low, high = pl.min_horizontal("open", "close"), pl.max_horizontal("open", "close")
        assert bars.select(((pl.col("low") <= low) & (pl.col("high") >= high)).all()).item()
        inside = pl.col("volume_quote").is_between(
            pl.col("volume_base") * pl.col("low") - 1e-6,
            pl.col("volume_base") * pl.col("high") + 1e-6,
        )
        assert bars.select(inside.all()).item()
        assert bars.select((pl.col("taker_buy_base") <= pl.col("volume_base")).all()).item()
        assert bars["n_trades"].min() >= 1


def test_prices_and_sizes_lie_on_their_grid_and_survive_text():
    book = world().frames["book"]
    back = pl.read_csv(io.StringIO(book.drop("ts").write_csv()))
    assert back.equals(book.drop("ts"))
    for symbol in world().scenario.symbols:
        for name, step in (("bid_px", symbol.tick_size), ("ask_qty", symbol.lot_size)):
            values = book.filter(pl.col("symbol") == symbol.symbol)[name][:500].to_list()
            assert all(Decimal(repr(v)) % step == 0 for v in values)


@pytest.mark.parametrize("step", [0.01, 0.0025, 0.5, 1.0, 5.0])
def test_on_grid_gives_the_nearest_float(step):
    steps = np.array([1, 7, 10_007, 123_457])
    expected = [float(Decimal(str(step)) * int(k)) for k in steps]
    assert on_grid(steps, step).tolist() == expected


def test_quotes_ascend_and_differ_and_never_cross():
    book = world().frames["book"]
    assert (book["ask_px"] > book["bid_px"]).all()
    group = ["symbol", "leg"]
    assert book.select((pl.col("ts").diff().over(group) > timedelta(0)).all()).item()
    values = pl.struct("bid_px", "bid_qty", "ask_px", "ask_qty")
    assert book.select((values != values.shift(1).over(group)).all()).item()


def test_the_book_keeps_to_its_window():
    first = world().scenario.first_day + timedelta(days=1)
    book = {"legs": ["perp"], "change_mean_s": 20, "first_day": first}
    part = generate(scenario(2, 2, episodes=EPISODES, book=book), 3).frames["book"]
    assert part.height == 2 * 1440 * 3
    assert set(part["leg"]) == {"perp"}
    assert part["ts"].min() - world().scenario.start == timedelta(days=1, milliseconds=1)


def test_spot_follows_the_perp_within_the_basis():
    both = (
        world()
        .frames["bars_1m_perp"]
        .join(world().frames["bars_1m_spot"], on=["symbol", "ts"], suffix="_spot")
    )
    basis = both.select(1e4 * (pl.col("close") / pl.col("close_spot")).log()).to_series()
    assert basis.std() < 6
    returns = both.select(
        a=pl.col("close").log().diff().over("symbol"),
        b=pl.col("close_spot").log().diff().over("symbol"),
    )
    assert returns.select(pl.corr("a", "b")).item() > 0.9


def test_funding_is_stamped_late_and_known_then():
    funding = world().frames["funding"]
    late = (funding["raw_ts"] - funding["ts"]).dt.total_milliseconds()
    assert late.is_between(0, 50).all()
    assert late.n_unique() > 3
    assert funding["available_at"].equals(funding["raw_ts"].alias("available_at"))
    assert funding["ts"].dt.hour().unique().sort().to_list() == [0, 8, 16]
    assert (funding["next_funding_ts"] - funding["ts"] == timedelta(hours=8)).all()


@pytest.mark.parametrize("interval_h", [1, 4])
def test_the_scenario_sets_the_funding_interval(interval_h):
    funding = generate(scenario(1, 1, funding={"interval_h": interval_h})).frames["funding"]
    assert funding.height == 24 // interval_h
    assert funding["interval_h"].unique().to_list() == [interval_h]


def test_open_interest_is_known_after_its_bucket():
    oi = world().frames["open_interest"]
    assert (oi["ts"] - oi["bucket_start"] == timedelta(minutes=5)).all()
    assert (oi["available_at"] - oi["ts"] == timedelta(seconds=60)).all()


def test_a_part_of_a_day_has_exactly_its_minutes():
    made = generate(scenario(1, duration_min=101))
    assert made.frames["bars_1m_perp"].height == 101
    assert made.frames["open_interest"].height == 20
    assert made.frames["funding"].height == 0
    assert made.frames["bars_1h_perp"].height == 1, "an hour is there when it is over"


@pytest.mark.parametrize("leg", ["perp", "spot"])
def test_an_hour_is_its_sixty_minutes(leg):
    minutes = world().frames[f"bars_1m_{leg}"]
    hours = world().frames[f"bars_1h_{leg}"]
    assert hours.columns == minutes.columns
    assert hours.equals(hours.sort("symbol", "ts"))
    assert (hours["ts"] - hours["open_ts"]).unique().to_list() == [timedelta(hours=1)]
    for row in hours.gather_every(17).iter_rows(named=True):
        own = minutes.filter(
            pl.col("symbol") == row["symbol"],
            pl.col("ts") > row["open_ts"],
            pl.col("ts") <= row["ts"],
        )
        assert own.height == 60
        assert row["open"] == own["open"][0]
        assert row["close"] == own["close"][-1]
        assert (row["high"], row["low"]) == (own["high"].max(), own["low"].min())
        assert row["n_trades"] == own["n_trades"].sum()
        for column in ("volume_base", "volume_quote", "taker_buy_base"):
            assert row[column] == round(math.fsum(own[column]), 8)


def test_no_frame_carries_the_truth():
    book = {"symbol", "leg", "ts", "bid_px", "bid_qty", "ask_px", "ask_qty"}
    hours = {"bars_1h_perp", "bars_1h_spot"}
    assert set(world().frames) == {t.name for t in TABLES} | {"book"} | hours
    assert set(world().frames["book"].columns) == book


def test_smoke_has_both_books_every_two_seconds():
    smoke = shipped("smoke")
    one_day = smoke.model_copy(update={"duration_min": 1440})
    book = generate(one_day).frames["book"]
    assert book.group_by("symbol", "leg").len()["len"].to_list() == [43_200] * 4
