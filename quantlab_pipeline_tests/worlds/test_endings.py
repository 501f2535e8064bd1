"""Symbols that end: nothing of them after, all of them before, and a truth that says so."""

from __future__ import annotations

from datetime import date, timedelta
from functools import cache

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from quantlab_pipeline.core.clocks import from_us, to_us
from quantlab_pipeline.core.errors import SpecError
from quantlab_pipeline.worlds.endings import alive, calm_min, fall_log, lives_min
from quantlab_pipeline.worlds.market import generate
from quantlab_pipeline.worlds.spec import Scenario
from quantlab_pipeline.worlds.truth import true_contrast_drift, true_net_drift, truth_from_json
from quantlab_pipeline_tests.worlds.builders import document, scenario

FIRST = date(2025, 1, 6)
END = {"day": FIRST + timedelta(days=1), "minute": 485, "return_bps": -6000, "over_min": 240}
LAST_MINUTE = 1440 + 485
EPISODES = [
    {
        "kind": "spread_burst",
        "per_symbol_day": 4,
        "size": 5,
        "drift": {"bps": 20, "over_min": 30, "sign": "up"},
    },
    {"kind": "oi_jump", "per_symbol_day": 2, "size": 300},
    {"kind": "funding_extreme", "per_symbol_day": 0.5, "size": 8},
]


def dying(end=END, symbol=0, **changes) -> Scenario:
    """Two symbols, three days with a book; one of them ends."""
    made = document(2, 3, book={"legs": ["perp", "spot"], "change_mean_s": 20}, **changes)
    if end is not None:
        made["symbols"][symbol]["ends"] = end
    return Scenario.model_validate(made)


@cache
def twins():
    """The dying world and the one in which nobody dies."""
    return generate(dying()), generate(dying(None))


def end_us(world) -> int:
    return to_us(world.scenario.start + timedelta(minutes=LAST_MINUTE))


def test_after_its_end_a_symbol_has_no_row_in_any_table():
    world, _ = twins()
    last = {n: f.filter(symbol="AAAUSDT")["ts"].max() for n, f in world.frames.items()}
    end = from_us(end_us(world))
    assert last.pop("book") < end, "the last quote is in force at the end"
    assert last.pop("funding") == end - timedelta(minutes=5), "the settlement of 08:00"
    hourly = {last.pop(f"bars_1h_{leg}") for leg in ("perp", "spot")}
    assert hourly == {end - timedelta(minutes=5)}, "its last whole hour"
    assert set(last.values()) == {end}
    assert set(last) == {"bars_1m_perp", "bars_1m_spot", "mark_index", "open_interest"}


def test_up_to_its_fall_it_is_the_twin_that_lives_and_its_neighbour_always_is():
    world, immortal = twins()
    calm = world.scenario.start + timedelta(minutes=LAST_MINUTE - END["over_min"])
    for name, frame in world.frames.items():
        twin = immortal.frames[name]
        before = (pl.col("symbol") == "AAAUSDT") & (pl.col("ts") <= calm)
        assert frame.filter(before).equals(twin.filter(before)), name
        neighbour = pl.col("symbol") == "BBBUSDT"
        assert frame.filter(neighbour).equals(twin.filter(neighbour)), name


def test_the_fall_is_what_separates_it_from_the_twin_that_lives():
    world, immortal = twins()
    close = [
        w.frames["bars_1m_perp"].filter(symbol="AAAUSDT")["close"][LAST_MINUTE - 1]
        for w in (world, immortal)
    ]
    # Closes bounce by a tick of one basis point of the starting price.
    assert close[0] / close[1] == pytest.approx(0.4, rel=2e-3)


def test_a_fall_within_one_minute_is_no_impossible_path():
    world = generate(dying({**END, "over_min": 1}))
    close = world.frames["bars_1m_perp"].filter(symbol="AAAUSDT")["close"]
    assert close[-1] / close[-2] == pytest.approx(0.4, rel=1e-2)


def test_the_truth_names_the_end_and_its_drift_and_survives_its_bytes():
    truth = twins()[0].truth
    (ending,) = truth.endings
    assert (ending.symbol, ending.end_us, ending.return_bps) == (
        "AAAUSDT", end_us(twins()[0]), -6000,
    )  # fmt: skip
    first = (ending.fall_from_us - truth.origin_us) // 60_000_000
    assert np.flatnonzero(truth.drift_log[0]).tolist() == list(range(first, LAST_MINUTE))
    assert np.expm1(truth.drift_log[0].sum()) == pytest.approx(-0.6)
    assert not truth.drift_log[1].any()
    back = truth_from_json(truth.to_json())
    assert back.endings == truth.endings
    assert back.digest() == truth.digest()


def test_no_position_outlives_its_symbol():
    truth = twins()[0].truth
    t0 = np.array([end_us(twins()[0]) - m * 60_000_000 for m in (62, 61, 60)])
    drift = true_net_drift(truth, "AAAUSDT", t0, 60, 1)
    assert np.isnan(drift).tolist() == [False, False, True]
    assert drift[1] == pytest.approx(1e4 * (0.4 ** (60 / 240) - 1))
    window = (truth.origin_us, truth.origin_us + 3 * 1440 * 60_000_000)
    assert np.isnan(true_contrast_drift(truth, {"AAAUSDT": t0[2:]}, 60, 1, window))
    assert np.isfinite(true_contrast_drift(truth, {"AAAUSDT": t0[:1]}, 60, 1, window))


def test_a_trend_stops_with_its_symbol():
    truth = generate(dying(dynamics={"family": "trend", "drift_bps_per_day": 100})).truth
    assert np.flatnonzero(truth.drift_log[0]).max() == LAST_MINUTE - 1
    assert truth.drift_log[1].all()


def test_episodes_are_over_before_the_fall_and_as_many_as_its_days_allow():
    world = generate(dying(episodes=EPISODES, min_spacing_min=60))
    calm = world.truth.endings[0].fall_from_us
    onsets = {
        s: [e for e in world.truth.episodes if (e.symbol, e.kind) == (s, "spread_burst")]
        for s in world.truth.symbols
    }
    assert len(onsets["BBBUSDT"]) == 4 * 3
    assert len(onsets["AAAUSDT"]) == round(4 * LAST_MINUTE / 1440)
    mine = [e for e in world.truth.episodes if e.symbol == "AAAUSDT"]
    assert max(e.drift_to_us for e in mine) < calm


def test_damage_after_the_end_finds_no_row():
    gap = {"kind": "gap", "dataset": "bars_1m_perp", "symbol": "AAAUSDT", "length_min": 5}
    with pytest.raises(SpecError, match="finds no bars_1m_perp rows"):
        generate(dying(damage=[{**gap, "day": FIRST + timedelta(days=2)}]))


@pytest.mark.parametrize(
    "end",
    [
        {**END, "day": FIRST - timedelta(days=1)},
        {**END, "day": FIRST + timedelta(days=3)},
        {**END, "day": FIRST, "minute": 239},
        {**END, "minute": 0},
        {**END, "return_bps": -10_000},
        {**END, "return_bps": 10},
    ],
)
def test_an_end_outside_the_world_or_below_nothing_is_refused(end):
    with pytest.raises(ValidationError):
        dying(end)


def test_an_episode_of_the_whole_market_wants_the_whole_market():
    wide = [{"kind": "vol_burst", "per_symbol_day": 1, "size": 2, "market_wide_share": 0.5}]
    assert dying(None, episodes=wide).episodes
    with pytest.raises(ValidationError, match="do not end"):
        dying(episodes=wide)


@settings(max_examples=30)
@given(st.integers(0, 2), st.integers(1, 1440), st.integers(1, 1440), st.floats(-9900, 0))
def test_a_fall_of_any_shape_adds_up_and_stops_at_the_end(day, minute, over_min, return_bps):
    end = {
        "day": FIRST + timedelta(days=day),
        "minute": minute,
        "return_bps": return_bps,
        "over_min": over_min,
    }
    if over_min > 1440 * day + minute:
        with pytest.raises(ValidationError):
            dying(end)
        return
    world = dying(end)
    life = 1440 * day + minute
    assert lives_min(world).tolist() == [life, 3 * 1440]
    assert calm_min(world).tolist() == [life - over_min, 3 * 1440]
    assert alive(world).sum(axis=1).tolist() == [life, 3 * 1440]
    fall = fall_log(world)
    assert not fall[0, : life - over_min].any()
    assert not fall[0, life:].any()
    assert not fall[1].any()
    assert np.expm1(fall.sum()) == pytest.approx(return_bps / 1e4, abs=1e-9)


def test_a_world_without_ends_writes_them_empty():
    world = generate(scenario(1, duration_min=100))
    assert world.truth.endings == ()
    assert b'"endings":[]' in world.truth.to_json()
