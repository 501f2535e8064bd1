"""Membership since when and why, what was known of liquidity, and the choice that it allows."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quantlab_pipeline.core.clocks import TS, day_end, day_of, day_start, days_between
from quantlab_pipeline.core.errors import SpecError
from quantlab_pipeline.core.verdicts import ItemVerdict, Outcome
from quantlab_pipeline.research.market_data import schema
from quantlab_pipeline.research.market_data.membership import NO_ROW, membership
from quantlab_pipeline.research.market_data.universe import (
    LIQUIDITY_DAYS,
    build_universe,
    top_liquid,
)
from quantlab_pipeline_tests.research.market_data import builders as b

DAYS = days_between(b.DAY, b.DAY + timedelta(days=11))
FLAT = np.full(1440, 100.0)


def trading(symbol: str, on: list[int], volumes: list[float] | None = None) -> pl.DataFrame:
    """Whole days of bars on the days of DAYS with these numbers, each with its volume a minute."""
    volumes = volumes or [1.0] * len(on)
    return pl.concat(
        [
            schema.BARS_1M_PERP.empty(),
            *(
                b.bars(FLAT, [DAYS[k]], symbol, volume)
                for k, volume in zip(on, volumes, strict=True)
            ),
        ]
    )


def admitted(bars: pl.DataFrame) -> pl.DataFrame:
    """As if D0 admitted every symbol's day that has bars."""
    return bars.select("symbol", day_of().cast(TS).dt.offset_by("1d").alias("ts")).unique()


def universe(*parts: pl.DataFrame, days=DAYS) -> pl.DataFrame:
    bars = pl.concat(parts)
    return schema.UNIVERSE.validate(build_universe(admitted(bars), bars, days))


def told(rows: pl.DataFrame, symbol: str, column: str) -> dict[int, object]:
    """Day's number -> value of `column`."""
    mine = rows.filter(pl.col("symbol") == symbol).with_columns(day_of().alias("day"))
    return {DAYS.index(day): value for day, value in mine.select("day", column).iter_rows()}


EVER = trading("EVER", list(range(12)))


def test_every_day_says_why_a_symbol_is_there():
    rows = universe(
        EVER,
        trading("LATE", [3, 4]),
        trading("BACK", [0, 1, 4, 5]),
        trading("AWAY", [0, 9]),
        trading("GONE", [0]).head(700),
    )
    ever = told(rows, "EVER", "reason")
    assert (ever.pop(0), set(ever.values())) == ("MARKET_START", {"D0_ADMITTED"})
    assert told(rows, "LATE", "reason") == {3: "LISTED", 4: "D0_ADMITTED"}
    assert told(rows, "BACK", "reason") == {
        0: "MARKET_START",
        1: "D0_ADMITTED",
        4: "BACK_AFTER_D0",
        5: "D0_ADMITTED",
    }
    assert told(rows, "AWAY", "reason") == {0: "MARKET_START", 9: "LISTED"}
    assert told(rows, "GONE", "reason") == {0: "DELISTED"}
    assert told(rows, "GONE", "valid_to") == {0: day_start(DAYS[0]) + timedelta(minutes=700)}


def test_membership_runs_from_the_first_bar_of_the_unbroken_days_that_are_known():
    rows = universe(EVER, trading("BACK", [0, 1, 4, 5, 6]))
    since = {k: day_start(DAYS[max(0, k - LIQUIDITY_DAYS)]) for k in range(12)}
    assert told(rows, "EVER", "valid_from") == since, "a week back is as far as a day can see"
    assert told(rows, "BACK", "valid_from") == {
        0: day_start(DAYS[0]),
        1: day_start(DAYS[0]),
        4: day_start(DAYS[4]),
        5: day_start(DAYS[4]),
        6: day_start(DAYS[4]),
    }
    assert rows["valid_to"].null_count() == rows.height


def test_a_symbol_listed_within_a_day_is_a_member_from_its_first_bar():
    rows = universe(EVER, trading("LATE", [3, 4]).tail(2000))
    assert set(told(rows, "LATE", "valid_from").values()) == {
        day_end(DAYS[4]) - timedelta(minutes=2000)
    }


@pytest.mark.parametrize(("missing", "ends"), [(59, False), (60, False), (61, True)])
def test_an_hour_without_bars_at_the_end_of_the_day_is_an_end(missing, ends):
    rows = universe(EVER, trading("GONE", [0, 1]).head(2880 - missing))
    gone = told(rows, "GONE", "valid_to")
    assert gone == {0: None, 1: day_end(DAYS[1]) - timedelta(minutes=missing) if ends else None}


def test_liquidity_is_the_median_of_the_week_before_and_never_of_the_day():
    volumes = [5.0, 1.0, 9.0, 3.0, 7.0, 2.0, 8.0, 4.0, 1000.0, 0.0, 6.0, 1.0]
    rows = universe(trading("ONE", list(range(12)), volumes))
    expected = {
        k: float(np.median(volumes[max(0, k - LIQUIDITY_DAYS) : k])) * 100 * 1440 if k else None
        for k in range(12)
    }
    assert told(rows, "ONE", "liquidity_usd") == expected


def test_days_without_bars_are_no_days_of_zero_volume():
    rows = universe(EVER, trading("BACK", [0, 3], [2.0, 7.0]))
    assert told(rows, "BACK", "liquidity_usd") == {0: None, 3: 2.0 * 100 * 1440}


def test_the_most_liquid_are_those_known_before_the_day_and_ties_go_by_name():
    rising = trading("AAA", [0, 1, 2, 3], [1.0, 9.0, 9.0, 9.0])
    rows = universe(
        trading("CCC", [0, 1, 2, 3], [2.0] * 4),
        trading("BBB", [0, 1, 2, 3], [2.0] * 4),
        rising,
        trading("NEW", [2, 3], [50.0, 50.0]),
        days=DAYS[:4],
    )
    best = top_liquid(rows, 2)
    held = {k: [] for k in range(4)}
    for symbol, day in best.with_columns(day_of().alias("day")).select("symbol", "day").iter_rows():
        held[DAYS.index(day)].append(symbol)
    assert held == {0: [], 1: ["BBB", "CCC"], 2: ["AAA", "BBB"], 3: ["AAA", "NEW"]}
    few = top_liquid(rows.filter(pl.col("symbol") != "AAA"), 1)
    assert few["symbol"].to_list() == ["BBB", "BBB", "NEW"], "of some symbols, the best of those"
    assert top_liquid(rows, 99).height == rows["liquidity_rank"].count()
    with pytest.raises(SpecError, match="at least 1"):
        top_liquid(rows, 0)


PRESENCE = st.lists(st.lists(st.booleans(), min_size=12, max_size=12), min_size=2, max_size=3)


@settings(max_examples=25)
@given(PRESENCE, st.integers(0, 11), st.integers(1, 12))
def test_a_day_does_not_depend_on_how_a_range_was_cut(presence, first, length):
    """A piece reads its own days and the declared lookback; more of the past changes nothing."""
    parts = [
        trading(f"S{i}", on, [1.0 + (i + k) % 3 for k in on])
        for i, row in enumerate(presence)
        if (on := [k for k, there in enumerate(row) if there])
    ]
    if not parts:
        return
    whole = universe(*parts)
    days = DAYS[first : first + length]
    seen = day_of() >= days[0] - timedelta(days=LIQUIDITY_DAYS)
    piece = universe(*(p.filter(seen & (day_of() <= days[-1])) for p in parts), days=days)
    assert piece.equals(whole.filter(day_of().is_in(days)))


# --- membership over a range ---------------------------------------------------------------------


def verdicts(rows: pl.DataFrame, refused: dict[tuple[int, str], ItemVerdict]) -> dict:
    """D0's verdicts on DAYS: PASS of every row, and `refused` beside."""
    passed = rows.with_columns(day_of().alias("day")).select("day", "symbol").rows()
    out = {day: [ItemVerdict(s, Outcome.PASS) for d, s in passed if d == day] for day in DAYS}
    for (number, _), verdict in refused.items():
        out[DAYS[number]].append(verdict)
    return out


def spells(rows: pl.DataFrame, refused=None) -> list[tuple]:
    made = membership(rows, verdicts(rows, refused or {}))
    return schema.MEMBERSHIP.validate(made).rows()


def no(symbol: str, *reasons: str, outcome=Outcome.FAIL) -> ItemVerdict:
    return ItemVerdict(symbol, outcome, reasons)


def test_a_symbols_life_is_told_in_spells():
    rows = universe(EVER, trading("GONE", [2, 3, 5, 6]).head(3 * 1440 + 480))
    absent = no("GONE", "DATASET_ABSENT:bars_1m_perp", outcome=Outcome.NOT_EVALUABLE)
    refused = {(k, "GONE"): absent for k in (0, 1, 7, 8, 9, 10, 11)}
    refused[4, "GONE"] = no("GONE", "GAPS:bars_1m_perp", "STALE:tob_perp")
    at = [day_start(day) for day in DAYS]
    eight = at[6] + timedelta(hours=8)
    lacking = "DATASET_ABSENT:bars_1m_perp"
    assert spells(rows, refused) == [
        ("EVER", at[0], None, True, "MARKET_START"),
        ("GONE", at[0], at[2], False, lacking),
        ("GONE", at[2], at[4], True, "LISTED"),
        ("GONE", at[4], at[5], False, "GAPS:bars_1m_perp, STALE:tob_perp"),
        ("GONE", at[5], eight, True, "BACK_AFTER_D0, DELISTED"),
        ("GONE", at[7], None, False, lacking),
    ]


def test_an_end_closes_a_spell_even_where_trading_resumes_the_next_day():
    halted = pl.concat([trading("HALT", [0, 1]).head(2 * 1440 - 120), trading("HALT", [2])])
    at = [day_start(day) for day in DAYS]
    told_of = [row[1:] for row in spells(universe(EVER, halted)) if row[0] == "HALT"]
    assert told_of == [
        (at[0], at[2] - timedelta(hours=2), True, "MARKET_START, DELISTED"),
        (at[2], at[3], True, "D0_ADMITTED"),
    ]


def test_another_reason_begins_another_spell():
    rows = universe(EVER)
    refused = {(k, "SICK"): no("SICK", "GAPS:bars_1m_perp") for k in (3, 4)}
    refused[5, "SICK"] = no("SICK", "OUTLIERS:bars_1m_perp")
    told_of = [row[1:] for row in spells(rows, refused) if row[0] == "SICK"]
    at = [day_start(day) for day in DAYS]
    assert told_of == [
        (at[3], at[5], False, "GAPS:bars_1m_perp"),
        (at[5], at[6], False, "OUTLIERS:bars_1m_perp"),
    ]


def test_a_day_that_d0_admits_and_the_universe_lacks_is_named():
    rows = universe(EVER)
    cut = rows.filter(day_of() != DAYS[5])
    made = membership(cut, verdicts(rows, {}))
    assert made["reason"].to_list() == ["MARKET_START", NO_ROW, "D0_ADMITTED"]
    assert membership(rows.clear(), {}).is_empty()
