"""The instants that are attacked: of every kind, seeded by the day, never outside it."""

from __future__ import annotations

from datetime import timedelta

import polars as pl

from quantlab_pipeline.core.clocks import MINUTE, day_end, day_start, days_between
from quantlab_pipeline.research.features.inputs import FeatureInputs
from quantlab_pipeline.research.features.leaks import KINDS
from quantlab_pipeline.research.features.plan import instants, lookback_begins
from quantlab_pipeline_tests.research.features.builders import FIRST, market

BARS = "bars_1m_perp"


def _holed(n_days: int) -> FeatureInputs:
    whole = market(n_days, ["AAA"])
    minute = pl.col("ts").dt.minute()
    return whole.with_tables({BARS: whole.bars_perp.filter((minute < 16) | (minute > 18))})


def test_each_kind_is_what_it_says() -> None:
    inputs = _holed(3)
    drawn = instants(inputs, FIRST, 40, seed=4)
    assert {i.kind for i in drawn} == set(KINDS)
    for instant in drawn:
        tau = instant.tau
        assert day_start(FIRST) < tau <= day_end(FIRST)
        if instant.kind == "settlement":
            assert tau.minute == 0
            assert tau.hour % 8 == 0
        elif instant.kind == "oi_bucket":
            assert tau.minute % 5 == 2
        elif instant.kind == "gap_end":
            assert tau.minute == 18
        elif instant.kind == "day_start":
            assert tau in (day_start(FIRST) + MINUTE, day_end(FIRST))


def test_they_are_seeded_by_the_day_and_sorted_and_never_the_same_twice() -> None:
    inputs = _holed(3)
    drawn = instants(inputs, FIRST, 30, seed=4)
    assert drawn == instants(inputs, FIRST, 30, seed=4)
    assert drawn != instants(inputs, FIRST, 30, seed=5)
    taus = [i.tau for i in drawn]
    assert taus == sorted(set(taus))
    assert len(taus) == 30


def test_a_few_instants_a_day_see_every_kind_within_a_week() -> None:
    inputs = _holed(8)
    days = days_between(FIRST, FIRST + timedelta(days=6))
    assert {i.kind for day in days for i in instants(inputs, day, 2, seed=1)} == set(KINDS)


def test_the_last_minute_is_attacked_only_where_a_tomorrow_could_be_seen() -> None:
    inputs = FeatureInputs(bars_perp=market(2, ["AAA"]).bars_perp)
    for day, wanted in ((FIRST, True), (FIRST + timedelta(days=1), False)):
        drawn = instants(inputs, day, 60, seed=1)
        assert (day_end(day) in [i.tau for i in drawn if i.kind == "day_start"]) is wanted


def test_a_market_of_bars_alone_has_instants_too() -> None:
    bars = FeatureInputs(bars_perp=market(1, ["AAA"]).bars_perp)
    drawn = instants(bars, FIRST, 12, seed=1)
    assert len(drawn) == 12
    assert {i.kind for i in drawn} == {"day_start", "oi_bucket", "any_minute"}


def test_memory_is_held_to_its_word_from_any_minute_and_from_inside_a_hole() -> None:
    inputs = _holed(2)
    begins = lookback_begins(inputs, FIRST, seed=4)
    assert begins == lookback_begins(inputs, FIRST, seed=4)
    assert begins != lookback_begins(inputs, FIRST, seed=5)
    assert sorted(i.kind for i in begins) == ["any_minute", "gap_end"]
    assert all(day_start(FIRST) < i.tau <= day_end(FIRST) for i in begins)
    assert [i.tau.minute for i in begins if i.kind == "gap_end"] == [18]
    whole = lookback_begins(market(2, ["AAA"]), FIRST, seed=4)
    assert [i.kind for i in whole] == ["any_minute"]
