"""Damage is exactly what the truth says, and nothing else differs from the clean twin."""

from __future__ import annotations

from datetime import date, timedelta
from functools import cache
from itertools import pairwise

import numpy as np
import polars as pl
import pytest
from pydantic import ValidationError

from quantlab_pipeline.core.clocks import day_of
from quantlab_pipeline.core.errors import SpecError
from quantlab_pipeline.worlds.damage.apply import VERBS
from quantlab_pipeline.worlds.damage.pick import FILED_ON
from quantlab_pipeline.worlds.market import generate
from quantlab_pipeline_tests.worlds.builders import scenario, shipped

MINUTE, HOUR = 60_000_000, 3_600_000_000
OHLC = ["open", "high", "low", "close"]


@cache
def twins():
    return generate(shipped("damaged")), generate(shipped("damaged_clean"))


def record(kind, dataset=None):
    return next(
        d for d in twins()[0].truth.damage if d.kind == kind and dataset in {None, d.dataset}
    )


def part(world, damage, whole_day=True):
    """The rows of the damaged (dataset, leg, symbol, day)."""
    frame = world.frames[damage.dataset]
    frame = frame.filter(pl.col(FILED_ON).is_null()) if FILED_ON in frame.columns else frame
    wanted = pl.col("symbol") == damage.symbol
    if whole_day:
        wanted &= day_of() == date.fromisoformat(damage.day)
    if damage.leg:
        wanted &= pl.col("leg") == damage.leg
    return frame.filter(wanted).drop(FILED_ON, strict=False)


def both(kind, dataset=None):
    """(truth, damaged rows, clean rows)."""
    damaged, clean = twins()
    truth = record(kind, dataset)
    return truth, part(damaged, truth), part(clean, truth)


def stamps(frame):
    return frame["ts"].dt.epoch("us").to_list()


def touched(frame, truth):
    return frame.filter(pl.col("ts").dt.epoch("us").is_in(truth.places_us))


def changed(damaged, clean, columns):
    """Stamps of rows, which stand in the same places, whose `columns` differ; all else is equal."""
    assert damaged.drop(columns).equals(clean.drop(columns))
    differs = pl.any_horizontal((damaged[c].ne_missing(clean[c])).alias(c) for c in columns)
    return stamps(damaged.filter(differs))


def test_every_kind_is_planted_and_none_in_the_clean_twin():
    assert {d.kind for d in twins()[0].truth.damage} == set(VERBS)
    assert twins()[1].truth.damage == ()


def test_counts_are_those_of_the_scenario():
    counts = {(d.kind, d.dataset): d.count for d in twins()[0].truth.damage}
    asked = {
        (i.kind, i.dataset): next(
            (getattr(i, n) for n in ("n_rows", "n_pairs", "length_min", "length_buckets")
             if hasattr(i, n)), None,
        )
        for i in twins()[0].scenario.damage
        if i.kind != "book_apart"
    }  # fmt: skip
    exact = {at: n for at, n in asked.items() if n is not None}
    assert {at: counts[at] for at in exact} == exact
    assert counts["crossed_quotes", "book"] == round(0.01 * 11_520)
    assert counts["book_apart", "book"] == 20 * 8
    assert counts["unit_error", "bars_1m_perp"] == counts["time_shift", "bars_1m_spot"] == 1440
    assert counts["volume_unit", "bars_1m_perp"] == 60


def test_places_ascend_and_are_as_many_as_the_count():
    for item in twins()[0].truth.damage:
        assert len(item.places_us) == item.count > 0
        assert list(item.places_us) == sorted(set(item.places_us)), item.kind
        assert all(a < b for a, b in item.spans_us), item.kind


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
        own = frame.filter(pl.col(FILED_ON).is_null()) if FILED_ON in frame.columns else frame
        untouched = own.drop(FILED_ON, strict=False).filter(~hit)
        assert untouched.equals(clean.frames[name].filter(~hit)), name


# --- rows that are not where they belong --------------------------------------------------------


@pytest.mark.parametrize(
    "kind", ["gap", "late_listing", "early_end", "oi_hole", "missing_funding", "stale_burst"]
)
def test_rows_that_are_gone_are_the_places(kind):
    truth, damaged, clean = both(kind)
    kept = set(stamps(damaged))
    assert [s for s in stamps(clean) if s not in kept] == list(truth.places_us)
    assert clean.height - damaged.height == truth.count == len(truth.places_us)


def test_a_gap_is_one_run_and_a_short_day_lacks_its_end():
    assert set(np.diff(record("gap").places_us)) == {MINUTE}
    late, early = both("late_listing"), both("early_end")
    assert stamps(late[1]) == stamps(late[2])[120:]
    assert stamps(early[1]) == stamps(early[2])[:-150]


@pytest.mark.parametrize("dataset", ["bars_1m_perp", "mark_index", "open_interest", "funding"])
def test_duplicates_follow_their_originals(dataset):
    truth, damaged, clean = both("duplicate_rows", dataset)
    twice = damaged.filter(pl.struct(pl.all()) == pl.struct(pl.all()).shift(1))
    assert stamps(twice) == list(truth.places_us)
    assert damaged.unique(maintain_order=True).equals(clean)


@pytest.mark.parametrize(
    ("kind", "dataset"),
    [
        ("non_monotone", "bars_1m_perp"),
        ("non_monotone", "open_interest"),
        ("non_monotone", "funding"),
        ("late_quotes", "book"),
    ],
)
def test_disorder_is_at_its_places(kind, dataset):
    truth, damaged, clean = both(kind, dataset)
    order = np.array(stamps(damaged))
    late = order[1:][np.diff(order) < 0]
    assert late.tolist() == list(truth.places_us)
    assert damaged.sort("ts").equals(clean)


@pytest.mark.parametrize(
    ("dataset", "step_us", "offset_us"),
    [
        ("bars_1m_perp", MINUTE, 7_000_000),
        ("open_interest", 5 * MINUTE, 90_000_000),
        ("funding", HOUR, 420_000_000),
    ],
)
def test_rows_off_the_grid_are_named_by_the_stamp_that_they_show(dataset, step_us, offset_us):
    truth, damaged, clean = both("off_grid", dataset)
    off = damaged.filter(pl.col("ts").dt.epoch("us") % step_us != 0)
    assert stamps(off) == list(truth.places_us)
    instants = [c for c, t in off.schema.items() if t == pl.Datetime("us", "UTC")]
    mended = off.with_columns(pl.col(instants).dt.offset_by(f"-{offset_us}us"))
    assert mended.equals(clean.filter(pl.col("ts").is_in(mended["ts"].implode())))
    assert damaged.height == clean.height


@pytest.mark.parametrize("dataset", ["bars_1m_spot", "open_interest"])
def test_foreign_rows_are_those_of_the_day_before_at_the_head_of_the_file(dataset):
    truth = record("foreign_rows", dataset)
    day = date.fromisoformat(truth.day)
    frame = twins()[0].frames[dataset].with_row_index()
    strangers = frame.filter(pl.col(FILED_ON).is_not_null())
    assert strangers[FILED_ON].unique().to_list() == [day]
    assert stamps(strangers) == list(truth.places_us)
    assert strangers.select(day_of()).to_series().unique().to_list() == [day - timedelta(days=1)]
    after = frame.filter(pl.col("index") == strangers["index"].max() + 1)
    first = part(twins()[1], truth).head(1)
    assert after.select(first.columns).equals(first)
    assert np.diff(strangers["index"].to_numpy()).tolist() == [1] * (truth.count - 1)


# --- values that are not what they should be ----------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "dataset", "column"),
    [
        ("missing_value", "bars_1m_perp", "close"),
        ("missing_value", "open_interest", "oi_base"),
        ("missing_value", "funding", "settled_rate"),
        ("index_gap", "mark_index", "index_price"),
    ],
)
def test_a_value_is_missing_at_its_places_alone(kind, dataset, column):
    truth, damaged, clean = both(kind, dataset)
    assert changed(damaged, clean, [column]) == list(truth.places_us)
    assert touched(damaged, truth)[column].is_null().all()


def test_broken_extremes_have_a_high_below_everything():
    truth, damaged, clean = both("broken_extremes")
    assert changed(damaged, clean, ["high"]) == list(truth.places_us)
    hit = touched(damaged, truth)
    assert (hit["high"] < hit.select(pl.min_horizontal("open", "low", "close")).to_series()).all()


def test_a_negative_volume_has_its_size():
    truth, damaged, clean = both("negative_volume")
    assert changed(damaged, clean, ["volume_base"]) == list(truth.places_us)
    honest = touched(clean, truth)["volume_base"]
    assert touched(damaged, truth)["volume_base"].to_list() == (-honest).to_list()


@pytest.mark.parametrize(
    ("kind", "dataset", "columns", "factor"),
    [
        ("unit_error", "bars_1m_perp", OHLC, 1000),
        ("volume_unit", "bars_1m_perp", ["volume_base"], 1000),
        ("oi_unit", "open_interest", ["oi_base"], 1000),
        ("perp_apart", "bars_1m_perp", OHLC, 1.05),
        ("spot_apart", "bars_1m_spot", OHLC, 1.06),
        ("mark_apart", "mark_index", ["mark_price"], 1.05),
        ("index_apart", "mark_index", ["index_price"], 1.05),
        ("wrong_funding_rate", "funding", ["settled_rate"], 100),
        ("book_apart", "book", ["bid_px", "ask_px"], 1.05),
    ],
)
def test_values_are_scaled_at_their_places_alone(kind, dataset, columns, factor):
    truth, damaged, clean = both(kind, dataset)
    assert changed(damaged, clean, columns) == list(truth.places_us)
    ours, honest = (touched(f, truth).select(columns).to_numpy() for f in (damaged, clean))
    np.testing.assert_allclose(ours, factor * honest, rtol=1e-9)


def test_a_volume_in_another_unit_fills_one_hour_of_the_clock():
    places = np.array(record("volume_unit").places_us)
    assert places[-1] % HOUR == 0
    assert places.tolist() == list(range(places[-1] - 59 * MINUTE, places[-1] + 1, MINUTE))


def test_the_largest_rate_of_the_day_is_the_wrong_one():
    truth, _, clean = both("wrong_funding_rate")
    assert touched(clean, truth)["settled_rate"].abs()[0] == clean["settled_rate"].abs().max()


def test_a_wrong_interval_is_not_the_spacing():
    truth, damaged, clean = both("wrong_interval")
    assert changed(damaged, clean, ["interval_h"]) == list(truth.places_us)
    assert touched(damaged, truth)["interval_h"].to_list() == [8, 8]
    assert set(np.diff(stamps(clean))) == {4 * HOUR}


@pytest.mark.parametrize(("kind", "minutes"), [("time_shift", 60), ("late_clock", 1)])
def test_a_shift_carries_values_of_some_minutes_before(kind, minutes):
    truth, damaged, _ = both(kind)
    whole = part(twins()[1], truth, whole_day=False)
    keys = ["symbol", "ts", "available_at", "open_ts"]
    earlier = whole.with_columns(pl.col("ts") + pl.duration(minutes=minutes)).filter(
        pl.col("ts").is_in(damaged["ts"].implode())
    )
    assert damaged.drop(keys).equals(earlier.drop(keys))
    assert damaged.height == 1440


def test_outliers_are_lone_and_at_their_places():
    truth, damaged, clean = both("price_outlier")
    odd = damaged.filter((damaged["close"] / clean["close"] - 1).abs() > 0.1)
    assert stamps(odd) == list(truth.places_us)
    assert min(np.diff(truth.places_us)) >= 10 * MINUTE
    assert (damaged["high"] >= damaged["close"]).all()


@pytest.mark.parametrize(
    ("kind", "dataset", "columns"),
    [
        ("zero_volume_run", "bars_1m_perp", OHLC),
        ("frozen_price", "bars_1m_spot", OHLC),
        ("frozen_price", "mark_index", ["mark_price"]),
    ],
)
def test_a_price_that_stands_is_the_one_before_its_run(kind, dataset, columns):
    truth, damaged, clean = both(kind, dataset)
    before = clean.filter(pl.col("ts").dt.epoch("us") == truth.places_us[0] - MINUTE)
    for column in columns:
        assert touched(damaged, truth)[column].unique().to_list() == before[columns[-1]].to_list()
    assert set(np.diff(truth.places_us)) == {MINUTE}
    volumes = ["volume_base", "volume_quote", "n_trades", "taker_buy_base"]
    if kind == "zero_volume_run":
        assert stamps(damaged.filter(pl.col("volume_base") == 0)) == list(truth.places_us)
        assert touched(damaged, truth).select(volumes).sum().row(0) == (0, 0, 0, 0)
        assert clean["volume_base"].min() > 0
    else:
        assert damaged.drop(columns).equals(clean.drop(columns))


# --- quotes -------------------------------------------------------------------------------------


def test_crossed_quotes_are_at_their_places():
    truth, damaged, clean = both("crossed_quotes")
    crossed = damaged.filter(pl.col("bid_px") > pl.col("ask_px"))
    assert stamps(crossed) == list(truth.places_us)
    mended = crossed.rename({"bid_px": "ask_px", "ask_px": "bid_px"}).select(clean.columns)
    assert mended.equals(touched(clean, truth))


def test_locked_quotes_have_their_ask_at_their_bid():
    truth, damaged, clean = both("locked_quotes")
    assert changed(damaged, clean, ["ask_px"]) == list(truth.places_us)
    assert stamps(damaged.filter(pl.col("bid_px") == pl.col("ask_px"))) == list(truth.places_us)


def test_invalid_quotes_lack_one_of_four_values_in_eight_ways():
    truth, damaged, clean = both("invalid_quotes")
    fields = ["bid_px", "bid_qty", "ask_px", "ask_qty"]
    assert changed(damaged, clean, fields) == list(truth.places_us)
    hit = touched(damaged, truth).select(fields).to_numpy()
    nothing = np.isnan(hit) | (hit == 0)
    assert nothing.sum(axis=1).tolist() == [1] * truth.count
    ways = np.concatenate([np.isnan(hit).sum(axis=0), (hit == 0).sum(axis=0)])
    assert set(ways) <= {truth.count // 8, truth.count // 8 + 1}


@pytest.mark.parametrize("kind", ["crossed_quotes", "locked_quotes", "invalid_quotes"])
def test_a_damaged_quote_stands_until_the_next_sound_one(kind):
    truth, damaged, _ = both(kind)
    bad, order = set(truth.places_us), stamps(damaged)
    standing = []
    for now, after in pairwise(order):
        if now in bad:
            if standing and standing[-1][1] == now:
                standing[-1] = (standing[-1][0], after)
            else:
                standing.append((now, after))
    assert standing == list(truth.spans_us)


def test_stale_bursts_are_silent_stretches_of_their_length():
    truth, damaged, _ = both("stale_burst")
    times = np.array(stamps(damaged))
    silences = np.flatnonzero(np.diff(times) >= 600_000_000)
    spans = [(int(times[k]), int(times[k + 1])) for k in silences]
    assert spans == list(truth.spans_us)
    assert len(spans) == 3
    assert all(600e6 < b - a < 615e6 for a, b in spans)


def test_a_book_apart_is_apart_for_whole_minutes():
    truth, _, clean = both("book_apart")
    minutes = -(-np.array(truth.places_us) // MINUTE)
    assert np.unique(minutes).tolist() == list(range(minutes[0], minutes[0] + 20))
    inside = -(-np.array(stamps(clean)) // MINUTE)
    assert np.isin(inside, minutes).sum() == truth.count


# --- what cannot be done ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "item",
    [
        {"kind": "time_shift", "dataset": "bars_1m_perp"},
        {"kind": "late_clock", "dataset": "bars_1m_perp"},
        {"kind": "time_shift", "dataset": "bars_1m_perp", "symbol": "BBBUSDT"},
        {"kind": "foreign_rows", "dataset": "bars_1m_perp", "n_rows": 3},
        {"kind": "missing_funding", "n_rows": 9},
        {"kind": "wrong_funding_rate", "n_rows": 4},
        {"kind": "wrong_interval", "n_rows": 1, "interval_h": 8},
        {"kind": "oi_hole", "length_buckets": 200, "day": date(2025, 1, 7)},
        {"kind": "book_apart", "length_min": 1000, "day": date(2025, 1, 7)},
    ],
)
def test_damage_that_cannot_be_done_is_an_error(item):
    place = {"symbol": "AAAUSDT", "day": date(2025, 1, 6)}
    half = {"book": {"legs": ["perp"], "change_mean_s": 60}, "duration_min": 1440 + 600}
    with pytest.raises(SpecError):
        generate(scenario(2, 2, damage=[{**place, **item}], **half))


def test_a_shift_over_a_broken_end_is_an_error():
    place = {"symbol": "AAAUSDT", "dataset": "bars_1m_perp"}
    damage = [
        {"kind": "early_end", "day": date(2025, 1, 6), "length_min": 5, **place},
        {"kind": "late_clock", "day": date(2025, 1, 7), **place},
    ]
    with pytest.raises(SpecError, match="1 whole minutes before"):
        generate(scenario(1, 2, damage=damage))


@pytest.mark.parametrize(
    "item",
    [
        {"kind": "off_grid", "dataset": "bars_1m_perp", "n_rows": 1, "offset_s": 60},
        {"kind": "off_grid", "dataset": "open_interest", "n_rows": 1, "offset_s": 300},
        {"kind": "off_grid", "dataset": "funding", "n_rows": 1, "offset_s": 30},
        {"kind": "time_shift", "dataset": "bars_1m_perp", "shift_min": 45},
        {"kind": "late_clock", "dataset": "bars_1m_perp", "shift_min": 30},
        {"kind": "volume_unit", "dataset": "mark_index"},
        {"kind": "perp_apart", "dataset": "bars_1m_spot", "length_min": 5},
    ],
)
def test_damage_without_a_meaning_is_refused(item):
    place = {"symbol": "AAAUSDT", "day": date(2025, 1, 6)}
    with pytest.raises(ValidationError):
        scenario(1, 2, damage=[{**place, **item}])


def test_a_later_damage_leaves_what_an_earlier_one_emptied():
    """Nulls of one damage are not turned into numbers by the next one in the same column."""
    place = {"symbol": "AAAUSDT", "length_min": 10}
    damage = [
        {"kind": "index_gap", "day": date(2025, 1, 6), **place},
        {"kind": "index_apart", "day": date(2025, 1, 7), **place},
    ]
    made = generate(scenario(1, 2, damage=damage))
    index = made.frames["mark_index"]["index_price"]
    assert index.null_count() == 10
    assert not index.is_nan().any()
