"""Planted episodes are as many, as far apart, and as visible as the scenario says."""

from __future__ import annotations

from collections import Counter
from functools import cache

import numpy as np
import polars as pl
import pytest

from quantlab_pipeline.core.errors import SpecError
from quantlab_pipeline.worlds.market import generate
from quantlab_pipeline.worlds.placement import describe, place_episodes
from quantlab_pipeline_tests.worlds.builders import scenario, shipped

MINUTE = 60_000_000
KINDS = {
    "spread_burst": 5,
    "depth_drop": 5,
    "oi_jump": 300,
    "vol_burst": 6,
    "wick": 80,
    "funding_extreme": 20,
    "basis_dislocation": 40,
    "mark_dislocation": 40,
    "volume_spike": 20,
}


@cache
def world_of(kind):
    """Three quiet days with one kind of episode."""
    episode = {"kind": kind, "per_symbol_day": 1, "size": KINDS[kind], "duration_min": 10}
    return generate(
        scenario(2, 3, episodes=[episode], book={"change_mean_s": 10}, season_amplitude=0.0)
    )


def at_onset(made, frame, column):
    """Values of `column` in the row of each episode's first minute, and its median elsewhere."""
    onsets = pl.DataFrame(
        {
            "symbol": [e.symbol for e in made.truth.episodes],
            "minute": [e.onset_us + MINUTE for e in made.truth.episodes],
            "sign": [float(np.sign(e.size)) for e in made.truth.episodes],
        }
    )
    rows = frame.with_columns(minute=pl.col("ts").dt.epoch("us")).join(
        onsets, on=["symbol", "minute"], maintain_order="right"
    )
    assert rows.height == onsets.height
    return (rows[column] * rows["sign"]).to_numpy(), frame[column].abs().median()


def test_counts_are_exact_and_spacing_is_kept():
    planted = shipped("planted_edges")
    onsets = place_episodes(planted, 1)
    counts = Counter((o.row, o.spec.kind) for o in onsets)
    for row in range(4):
        for kind in {spec.kind for spec in planted.episodes}:
            rates = [spec.per_symbol_day for spec in planted.episodes if spec.kind == kind]
            assert counts[row, kind] == sum(round(44 * rate) for rate in rates)
        for lane in ("planted", "background"):
            minutes = [o.minute for o in onsets if o.row == row and o.spec.lane == lane]
            assert min(np.diff(minutes)) > 95


@pytest.mark.parametrize("seed", range(4))
def test_jumps_in_different_lanes_never_share_a_bucket(seed):
    crowded = scenario(
        2, 20, min_spacing_min=30,
        episodes=[
            {"kind": "oi_jump", "per_symbol_day": 9, "size": 300, "direction": way, "lane": way}
            for way in ("up", "down")
        ],
    )  # fmt: skip
    onsets = place_episodes(crowded, seed)
    for row in range(2):
        minutes = sorted(o.minute for o in onsets if o.row == row)
        assert len(minutes) == 360
        assert min(np.diff(minutes)) >= crowded.span_min("oi_jump") == 10


def test_symbols_share_few_onset_days_by_rule_only():
    planted = shipped("planted_edges")
    onsets = [o for o in place_episodes(planted, 1) if o.spec.kind == "vol_burst"]
    rows_at = Counter(o.minute for o in onsets)
    assert Counter(rows_at.values())[4] == round(0.3 * 44)
    bursts = [o for o in place_episodes(planted, 1) if o.spec.kind == "spread_burst"]
    assert max(Counter(o.minute for o in bursts).values()) <= 2
    per_day = np.bincount([o.minute // 1440 for o in bursts], minlength=44)
    assert per_day.var() / per_day.mean() < 1.5


def test_placement_does_not_depend_on_drift():
    planted, null = shipped("planted_edges"), shipped("null")
    ours = [(o.row, o.minute, o.spec.kind, o.direction) for o in place_episodes(planted, 9)]
    twin = [(o.row, o.minute, o.spec.kind, o.direction) for o in place_episodes(null, 9)]
    assert ours == twin


def test_a_full_lane_is_an_error_that_names_the_kind():
    crowded = scenario(
        1, duration_min=200, min_spacing_min=140,
        episodes=[{"kind": "wick", "per_symbol_day": 4.3, "size": 10}],
    ).model_copy(update={"min_spacing_min": 1000})  # fmt: skip
    many = crowded.episodes[0].model_copy(update={"per_symbol_day": 20.0})
    with pytest.raises(SpecError, match="No room is left for another wick"):
        place_episodes(crowded.model_copy(update={"episodes": (many,)}), 1)


@pytest.mark.parametrize("kind", KINDS)
def test_knowable_and_drift_follow_the_clock_of_the_kind(kind):
    drift = {"bps": 30, "over_min": 60, "sign": "against"}
    episode = {"kind": kind, "per_symbol_day": 1, "size": KINDS[kind], "drift": drift}
    small = scenario(2, 3, episodes=[episode])
    onsets = place_episodes(small, 3)
    assert len(onsets) == 6
    for episode in describe(small, onsets, 3):
        wait = episode.knowable_us - episode.onset_us
        if kind == "oi_jump":
            assert wait == 6 * MINUTE
            assert episode.onset_us % (5 * MINUTE) == 0
        elif kind == "funding_extreme":
            assert 0 <= wait <= 50_000
            assert episode.onset_us % (480 * MINUTE) == 0
        else:
            assert wait == MINUTE
        decided = -(-episode.knowable_us // MINUTE) * MINUTE
        assert episode.drift_from_us == decided + MINUTE
        assert episode.drift_to_us == episode.drift_from_us + 60 * MINUTE
        assert episode.drift_bps == -30 * np.sign(episode.size)


def test_a_spread_burst_widens_the_spread_and_thins_the_book_for_its_minutes():
    made = world_of("spread_burst")
    book = made.frames["book"].with_columns(
        ticks=(pl.col("ask_px") - pl.col("bid_px")) / pl.col("bid_px") * 1e4,
        lots=pl.col("bid_qty") + pl.col("ask_qty"),
    )
    for episode in made.truth.episodes:
        stamp = pl.col("ts").dt.epoch("us")
        mine = book.filter(pl.col("symbol") == episode.symbol)
        inside = mine.filter(stamp.is_between(episode.onset_us + 1, episode.onset_us + 10 * MINUTE))
        before = mine.filter(stamp.is_between(episode.onset_us - 10 * MINUTE, episode.onset_us))
        after = mine.filter(
            stamp.is_between(episode.onset_us + 10 * MINUTE + 1, episode.onset_us + 20 * MINUTE)
        )
        assert inside.height == before.height == 60
        assert inside["ticks"].mean() > 2.5 * before["ticks"].mean()
        assert inside["lots"].mean() < 0.35 * before["lots"].mean()
        assert inside["ticks"].mean() > 2.5 * after["ticks"].mean()


def test_a_depth_drop_leaves_the_spread():
    made, twin = world_of("depth_drop"), generate(
        world_of("depth_drop").scenario.model_copy(update={"episodes": ()})
    )  # fmt: skip
    ours, calm = made.frames["book"], twin.frames["book"]
    for episode in made.truth.episodes:
        mine = (pl.col("symbol") == episode.symbol) & pl.col("ts").dt.epoch("us").is_between(
            episode.onset_us + 1, episode.onset_us + 10 * MINUTE
        )
        thin, full = ours.filter(mine), calm.filter(mine)
        assert thin["bid_qty"].sum() == pytest.approx(full["bid_qty"].sum() / 5, rel=0.01)
        assert thin["ask_px"].equals(full["ask_px"])


def test_an_oi_jump_is_inside_one_bucket():
    made = world_of("oi_jump")
    oi = made.frames["open_interest"].with_columns(
        change=1e4 * pl.col("oi_base").log().diff().over("symbol"),
        start=pl.col("bucket_start").dt.epoch("us"),
    )
    for episode in made.truth.episodes:
        row = oi.filter(pl.col("symbol") == episode.symbol, pl.col("start") == episode.onset_us)
        assert row["change"].item() == pytest.approx(episode.size, abs=45)
    assert oi["change"].abs().median() < 20


def test_a_vol_burst_moves_prices():
    made = world_of("vol_burst")
    bars = made.frames["bars_1m_perp"].with_columns(
        range=1e4 * (pl.col("high") / pl.col("low")).log()
    )
    values, calm = at_onset(made, bars, "range")
    assert np.median(np.abs(values)) > 3 * calm


def test_a_wick_shows_in_bar_and_book_and_is_gone_at_the_close():
    made = world_of("wick")
    bars = made.frames["bars_1m_perp"].with_columns(
        wick=1e4
        * (
            (pl.col("high") / pl.max_horizontal("open", "close")).log()
            - (pl.min_horizontal("open", "close") / pl.col("low")).log()
        )
    )
    values, _ = at_onset(made, bars, "wick")
    assert (values > 60).all()
    for episode in made.truth.episodes:
        stamp = pl.col("ts").dt.epoch("us")
        quotes = made.frames["book"].filter(
            pl.col("symbol") == episode.symbol,
            stamp.is_between(episode.onset_us, episode.onset_us + MINUTE),
        )
        mid = (quotes["bid_px"] + quotes["ask_px"]).to_numpy() / 2
        reach = 1e4 * np.log(mid / mid[-1]) * np.sign(episode.size)
        assert reach.max() > 60


def test_a_funding_extreme_settles_high():
    made = world_of("funding_extreme")
    funding = made.frames["funding"].with_columns(at=pl.col("ts").dt.epoch("us"))
    for episode in made.truth.episodes:
        row = funding.filter(pl.col("symbol") == episode.symbol, pl.col("at") == episode.onset_us)
        assert 1e4 * row["settled_rate"].item() == pytest.approx(episode.size, abs=9)
        assert row["raw_ts"].dt.epoch("us").item() == episode.knowable_us


@pytest.mark.parametrize(
    ("kind", "tables", "columns"),
    [
        ("basis_dislocation", ("bars_1m_perp", "bars_1m_spot"), ("close", "close_right")),
        ("mark_dislocation", ("mark_index", "mark_index"), ("mark_price", "index_price_right")),
    ],
)
def test_a_dislocation_parts_two_prices(kind, tables, columns):
    made = world_of(kind)
    both = made.frames[tables[0]].join(made.frames[tables[1]], on=["symbol", "ts"])
    gap = both.with_columns(gap=1e4 * (pl.col(columns[0]) / pl.col(columns[1])).log())
    values, calm = at_onset(made, gap, "gap")
    assert values.min() > 25
    assert calm < 6


def test_a_volume_spike_trades_more():
    values, calm = at_onset(world_of("volume_spike"), world_of("volume_spike").frames[
        "bars_1m_perp"
    ].with_columns(usd=pl.col("volume_quote")), "usd")  # fmt: skip
    assert np.median(np.abs(values)) > 8 * calm


SWITCHING = {
    "family": "regime_switch",
    "calm_dwell_min": 300,
    "turbulent_dwell_min": 300,
    "turbulent_over_calm": 4,
}


def _edged(only_in, **changes):
    drift = {"bps": 30, "over_min": 60, "sign": "up", "only_in": only_in}
    episode = {"kind": "oi_jump", "per_symbol_day": 6, "size": 300, "drift": drift}
    return scenario(2, 6, dynamics=SWITCHING, episodes=[episode], season_amplitude=0.0, **changes)


def test_a_drift_may_follow_in_one_regime_alone():
    """Both halves together are the edge that follows everywhere, and one of them is louder."""
    worlds = {only_in: generate(_edged(only_in), 3) for only_in in ("calm", "turbulent", None)}
    carried = {
        name: np.array([e.drift_bps for e in made.truth.episodes]) for name, made in worlds.items()
    }
    assert set(carried["turbulent"]) == set(carried["calm"]) == {0.0, 30.0}
    np.testing.assert_array_equal(carried["calm"] + carried["turbulent"], carried[None])
    logs = [worlds[name].truth.drift_log for name in ("calm", "turbulent", None)]
    np.testing.assert_allclose(logs[0] + logs[1], logs[2], atol=1e-15)
    bars = worlds["turbulent"].frames["bars_1m_perp"].filter(symbol="AAAUSDT")
    moves = np.abs(np.diff(np.log(bars["close"].to_numpy())))
    loud = {}
    for name in ("calm", "turbulent"):
        mine = [e for e in worlds[name].truth.episodes if e.symbol == "AAAUSDT" and e.drift_bps]
        first = [(e.drift_from_us - worlds[name].truth.origin_us) // MINUTE for e in mine]
        loud[name] = np.mean([moves[k : k + 30].mean() for k in first])
    assert loud["turbulent"] > 2 * loud["calm"]


def test_a_regime_that_a_family_lacks_carries_no_drift():
    drift = {"bps": 30, "over_min": 60, "sign": "up", "only_in": "calm"}
    episode = {"kind": "oi_jump", "per_symbol_day": 1, "size": 300, "drift": drift}
    with pytest.raises(ValueError, match="needs the family regime_switch"):
        scenario(2, 3, episodes=[episode])
