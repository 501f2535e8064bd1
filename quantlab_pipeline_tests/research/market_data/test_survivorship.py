"""Who is missing from a choice of symbols because it did not last, and where a symbol ended."""

from __future__ import annotations

from datetime import date, timedelta
from math import comb

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantlab_pipeline.core.clocks import TS, day_end, day_of, day_start, days_between, from_us
from quantlab_pipeline.research.market_data import schema
from quantlab_pipeline.research.market_data.listing import (
    beside_the_ends,
    ended_at,
    listing,
    listing_of,
    until_the_end,
)
from quantlab_pipeline.research.market_data.parsed import findings_frame
from quantlab_pipeline.research.market_data.survivorship import (
    SURVIVORSHIP,
    look_for_survivorship,
)
from quantlab_pipeline.research.market_data.tally import empty_tally, tally
from quantlab_pipeline.sources.archive.source import BinanceArchive
from quantlab_pipeline.sources.base import DiskTree
from quantlab_pipeline.sources.freqtrade import Freqtrade
from quantlab_pipeline.worlds.market import generate
from quantlab_pipeline_tests.worlds.builders import scenario

DAYS = days_between(date(2025, 1, 1), date(2025, 1, 10))


def listed(**spans: tuple[int, int]) -> pl.DataFrame:
    """A listing from the numbers of each symbol's first and last day."""
    ago = {s: tuple(DAYS[0] + timedelta(days=k) for k in span) for s, span in spans.items()}
    return listing_of(ago)


def ranked(**ranks: list[int | None]) -> pl.DataFrame:
    """A universe from each symbol's rank on every day; 0 is no member, None no rank."""
    rows = [
        (symbol, day_end(DAYS[k]), day_end(DAYS[k]), day_start(DAYS[k]), None, 1.0, rank, "LISTED")
        for symbol, of_days in ranks.items()
        for k, rank in enumerate(of_days)
        if rank != 0
    ]
    columns = {c.name: c.dtype for c in schema.UNIVERSE.columns}
    return schema.UNIVERSE.conform(pl.DataFrame(rows, schema=columns, orient="row"))


def test_a_symbol_that_traded_at_first_and_ended_is_hindsight():
    all_of = listed(LIVE=(-5, 12), DEAD=(-5, 4), ALSO=(0, 9))
    found = look_for_survivorship(["LIVE"], all_of, DAYS)
    assert found.reasons == (SURVIVORSHIP,)
    assert [(o.symbol, o.member_days, o.ended) for o in found.omitted] == [
        ("ALSO", 10, False),
        ("DEAD", 5, True),
    ]
    assert found.omitted_share == 15 / 25
    assert found.blind_odds == pytest.approx(2 / 3)
    (finding,) = found.findings()
    assert (finding.symbol, finding.day, finding.check) == ("DEAD", DAYS[4], "survivorship")
    assert finding.places == (day_end(DAYS[4]),) == (finding.first_ts,)
    kept = findings_frame([finding])
    assert schema.RAW_FINDINGS.validate(kept).height == 1, "as the QA report takes them"


@pytest.mark.parametrize(
    ("chosen", "spans"),
    [
        (["LIVE"], {"LIVE": (-5, 12), "LESS": (-9, 30)}),
        (["LIVE", "DEAD"], {"LIVE": (-5, 12), "DEAD": (-5, 4)}),
        (["LIVE"], {"LIVE": (-5, 12), "PAST": (-9, -1)}),
        (["LIVE"], {"LIVE": (-5, 12), "COMING": (11, 20)}),
        (["LIVE"], {"LIVE": (-5, 12), "LATE": (3, 5)}),
        (["LIVE"], {"LIVE": (-5, 12), "LAST": (0, 9)}),
        ([], {}),
    ],
)
def test_a_choice_that_omits_nobody_who_ended_is_silent(chosen, spans):
    found = look_for_survivorship(chosen, listed(**spans), DAYS)
    assert (found.reasons, found.findings(), found.ended) == ((), [], ())


def test_a_symbol_that_ended_on_the_first_day_belonged_on_it():
    found = look_for_survivorship(["LIVE"], listed(LIVE=(-5, 12), DEAD=(-5, 0)), DAYS)
    assert [(o.symbol, o.member_days) for o in found.ended] == [("DEAD", 1)]


def test_with_ranks_only_those_liquid_enough_then_belonged():
    all_of = listed(LIVE=(-5, 12), DEAD=(3, 6), TINY=(-5, 6))
    ranks = ranked(
        LIVE=[None, 1, 1, 1, 1, 2, 2, 1, 1, 1],
        DEAD=[0, 0, 0, None, 2, 1, 1, 0, 0, 0],
        TINY=[None, 2, 2, 2, 3, 3, 3, 0, 0, 0],
    )
    found = look_for_survivorship(["LIVE"], all_of, DAYS, ranks)
    assert [(o.symbol, o.first_day, o.member_days) for o in found.omitted] == [("DEAD", DAYS[5], 2)]
    assert found.reasons == (SURVIVORSHIP,)
    assert found.omitted_share == 2 / 9, "nobody belongs on a day without ranks"
    wider = look_for_survivorship(["LIVE"], all_of, DAYS, ranks, top_n=2)
    assert [(o.symbol, o.member_days) for o in wider.ended] == [("DEAD", 3), ("TINY", 3)]
    assert not look_for_survivorship(["LIVE", "DEAD"], all_of, DAYS, ranks, top_n=1).reasons


@given(st.sets(st.integers(0, 7)), st.sets(st.integers(0, 7), min_size=1))
def test_the_odds_are_those_of_drawing_blindly(ended, chosen):
    names = [f"S{i}" for i in range(8)]
    all_of = listed(**{name: (0, 4 if i in ended else 9) for i, name in enumerate(names)})
    found = look_for_survivorship([names[i] for i in chosen], all_of, DAYS)
    held = len(ended & chosen)
    ways = [comb(len(ended), k) * comb(8 - len(ended), len(chosen) - k) for k in range(held + 1)]
    assert found.blind_odds == pytest.approx(sum(ways) / comb(8, len(chosen)))
    assert bool(found.reasons) == bool(ended - chosen)
    assert 0 < found.blind_odds <= 1


def test_a_listing_is_the_first_and_last_day_with_a_bar():
    stamps = {"A": [DAYS[0], DAYS[3]], "B": [DAYS[2]]}
    rows = [(s, day_end(d)) for s, days in stamps.items() for d in days]
    bars = pl.DataFrame(rows, schema={"symbol": pl.String, "ts": TS}, orient="row")
    assert listing(bars).equals(listed(A=(0, 3), B=(2, 2))), "the last midnight is the day's own"
    assert listing_of({"A": None}).is_empty()


# --- ends ----------------------------------------------------------------------------------------


def dying_world():
    """Three symbols, four days: one ends at 08:05 of the second, one at its midnight."""
    made = scenario(3, 4)
    ends = [{"day": made.days[1], "minute": m, "over_min": 60} for m in (485, 1440)]
    ended = [
        {**symbol.model_dump(), "ends": end}
        for symbol, end in zip(made.symbols, [*ends, None], strict=True)
    ]
    return generate(scenario(3, 4, symbols=ended))


def test_the_ends_that_bars_tell_are_those_that_were_planted():
    world = dying_world()
    found = ended_at(world.frames["bars_1m_perp"])
    assert found.select("symbol", "ended_at").rows() == [
        (e.symbol, from_us(e.end_us)) for e in world.truth.endings
    ]
    assert found["day"].unique().to_list() == [world.scenario.days[1]]


def test_before_the_next_day_is_there_nothing_has_ended():
    bars = dying_world().frames["bars_1m_perp"]
    first_two = bars.filter(day_of() <= DAYS[0] + timedelta(days=6))
    assert first_two["ts"].max() == day_end(date(2025, 1, 7))
    assert ended_at(first_two).is_empty()
    assert ended_at(bars.clear()).is_empty()


def test_a_hole_inside_a_life_is_no_end():
    bars = dying_world().frames["bars_1m_perp"].filter(symbol="CCCUSDT")
    hole = pl.col("ts").is_between(bars["ts"][600], bars["ts"][1800])
    other = bars.with_columns(pl.lit("OTHER").alias("symbol"))
    assert ended_at(pl.concat([bars.filter(~hole), other])).is_empty()


def test_what_lies_after_an_end_is_not_looked_for():
    world = dying_world()
    ends = ended_at(world.frames["bars_1m_perp"])
    expected = pl.DataFrame(
        {
            "symbol": ["AAAUSDT", "AAAUSDT", "CCCUSDT"],
            "day": [world.scenario.days[1]] * 3,
            "ts": [
                day_start(world.scenario.days[1]) + timedelta(minutes=m) for m in (485, 486, 999)
            ],
        },
        schema_overrides={"ts": TS},
    )
    assert until_the_end(expected, ends).equals(expected[[0, 2]])


def test_absent_rows_after_an_end_are_no_fault_and_all_others_are():
    world = dying_world()
    bars, day = world.frames["bars_1m_perp"], world.scenario.days[1]
    start = day_start(day)
    at = [start + timedelta(minutes=m) for m in (100, 485, 486, 1440)]
    rows = [(symbol, day, ts) for symbol in ("AAAUSDT", "CCCUSDT") for ts in at]
    columns = {"symbol": pl.String, "day": pl.Date, "ts": TS}
    absent = pl.DataFrame(rows, schema=columns, orient="row")
    over = absent.filter(pl.col("ts") > at[1])
    found = pl.concat(
        [
            tally(absent, "bars_1m_perp", "gaps"),
            tally(absent, "bars_1m_perp", "outliers", "as it was"),
            tally(over, "funding", "missing_settlement"),
        ]
    )
    left = beside_the_ends(found, ended_at(bars))
    assert left.columns == found.columns
    assert left.schema == found.schema
    counts = {(s, c): n for s, c, n in left.select("symbol", "check", "count").iter_rows()}
    assert counts == {
        ("AAAUSDT", "gaps"): 2,
        ("CCCUSDT", "gaps"): 4,
        ("AAAUSDT", "outliers"): 4,
        ("CCCUSDT", "outliers"): 4,
        ("CCCUSDT", "missing_settlement"): 2,
    }
    first = left.filter(symbol="AAAUSDT", check="gaps").row(0, named=True)
    assert (first["places"], first["first_ts"]) == (at[:2], at[0])
    assert beside_the_ends(empty_tally(), ended_at(bars)).equals(empty_tally())


# --- real folders --------------------------------------------------------------------------------


def test_the_real_folders_hold_nobody_who_ended(real_data):
    """Both were recorded from live symbols: a choice among them omits no dead one."""
    archive = BinanceArchive(DiskTree(real_data / "binance_archive"))
    recorded = Freqtrade(DiskTree(real_data / "freqtrade"))
    for source, chosen, days in (
        (archive, archive.symbols(), (date(2026, 2, 1), date(2026, 2, 28))),
        (archive, archive.symbols()[:2], (date(2026, 2, 1), date(2026, 2, 28))),
        (recorded, ["BTCUSDT", "ETHUSDT"], (date(2025, 5, 20), date(2025, 6, 23))),
    ):
        all_of = listing_of({s: source.days("bars_1m_perp", s) for s in source.symbols()})
        assert all_of.height == 7
        found = look_for_survivorship(chosen, all_of, days_between(*days))
        assert found.reasons == ()
        assert found.findings() == []
