"""The grader of damage: exact in count and place, and no finding goes unexplained."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantlab_pipeline.calibration.damage import (
    SIGNS,
    ageing,
    grade_damage,
    hours,
    messages,
    mute,
    signs_of,
    standing,
)
from quantlab_pipeline.core.clocks import day_end, from_us, to_us
from quantlab_pipeline.research.market_data.schema import QA_REPORT
from quantlab_pipeline.worlds.damage.apply import VERBS
from quantlab_pipeline.worlds.truth import Damage

DAY = date(2025, 2, 3)
NOON = to_us(datetime(2025, 2, 3, 12, tzinfo=UTC))
SECOND, MINUTE = 1_000_000, 60_000_000


def damage(kind="duplicate_rows", dataset="bars_1m_perp", places=(), spans=(), leg=""):
    return Damage(kind, dataset, "AAAUSDT", DAY.isoformat(), leg, len(places), tuple(places), spans)


def report(*rows, day=DAY):
    """A QA report of (dataset, check, count, places)."""
    told = []
    for dataset, check, count, places in rows:
        instants = [from_us(p) for p in sorted(places)]
        first = instants[0] if instants else None
        told.append(("AAAUSDT", day_end(day), dataset, check, count, first, None, instants))
    types = {c.name: c.dtype for c in QA_REPORT.columns}
    frame = pl.DataFrame(told, schema=types, orient="row")
    return QA_REPORT.conform(frame)


def at(*minutes):
    return tuple(NOON + m * MINUTE for m in minutes)


PLANTED = damage(places=at(1, 2, 7))


def test_what_was_planted_and_found_is_exact():
    grade = grade_damage([PLANTED], report(("bars_1m_perp", "duplicates", 3, at(1, 2, 7))))
    assert grade.missed.is_empty()
    assert grade.unexplained.is_empty()
    assert grade.found.rows() == [
        ("duplicate_rows", "bars_1m_perp", "AAAUSDT", DAY, "duplicates", False, 3, 3, True)
    ]


@pytest.mark.parametrize(
    ("said", "found", "equal"),
    [
        (("bars_1m_perp", "duplicates", 2, at(1, 2, 7)), 2, True),
        (("bars_1m_perp", "duplicates", 3, at(1, 2, 8)), 3, False),
        (("bars_1m_perp", "duplicates", 3, at(1, 2)), 3, False),
        (("bars_1m_perp", "duplicates", 0, ()), 0, False),
        (("bars_1m_spot", "duplicates", 3, at(1, 2, 7)), 0, False),
        (("bars_1m_perp", "gaps", 3, at(1, 2, 7)), 0, False),
    ],
)
def test_a_wrong_count_place_table_or_check_is_missed(said, found, equal):
    grade = grade_damage([PLANTED], report(said))
    assert grade.missed.select("found", "places_equal").rows() == [(found, equal)]


def test_another_day_or_symbol_does_not_count():
    said = report(("bars_1m_perp", "duplicates", 3, at(1, 2, 7)), day=DAY + timedelta(days=1))
    grade = grade_damage([PLANTED], said)
    assert grade.missed.height == grade.unexplained.height == 1


def test_what_nothing_explains_is_named():
    said = report(
        ("bars_1m_perp", "duplicates", 3, at(1, 2, 7)), ("funding", "misaligned", 1, at(60))
    )
    grade = grade_damage([PLANTED], said)
    assert grade.missed.is_empty()
    assert grade.unexplained.rows() == [
        ("funding", "AAAUSDT", DAY, "misaligned", 1, from_us(at(60)[0]))
    ]


def test_a_perhaps_is_explained_only_within_the_places_of_its_damage():
    still = damage("frozen_price", places=at(1, 2, 3))
    own = ("bars_1m_perp", "frozen_price", 3, at(1, 2, 3))
    inside = grade_damage([still], report(own, ("tob_perp", "tob_mismatch", 2, at(2, 3))))
    beyond = grade_damage([still], report(own, ("tob_perp", "tob_mismatch", 2, at(3, 4))))
    assert inside.unexplained.is_empty()
    assert beyond.unexplained["check"].to_list() == ["tob_mismatch"]
    assert inside.missed.is_empty()


def test_a_row_set_aside_is_missed_unless_its_hole_is_found_too():
    moved = damage("off_grid", places=(at(5)[0] + 7 * SECOND,))
    said = [("bars_1m_perp", "misaligned", 1, moved.places_us)]
    assert set(grade_damage([moved], report(*said)).missed["check"]) == {
        "gaps",
        "totals_uncovered",
    }
    said += [("bars_1m_perp", "gaps", 1, at(5)), ("bars_1m_perp", "totals_uncovered", 1, at(60))]
    assert grade_damage([moved], report(*said)).missed.is_empty()


def test_every_kind_of_damage_has_its_signs_and_each_kind_a_sure_one_first():
    assert set(SIGNS) == set(VERBS)
    assert all(signs[0].sure for signs in SIGNS.values())
    assert signs_of(damage("gap", "mark_index"))[0].check == "mark_index_gap"


def test_an_hour_owns_its_last_minute_and_a_minute_its_last_instant():
    touched = damage(places=at(-59, 0, 1, 60))
    assert hours(touched, 1).places == set(at(0, 60))
    quotes = damage("late_quotes", "book", (NOON, NOON + 1, NOON + 2), leg="perp")
    assert messages(quotes, 1).count == 3
    assert messages(quotes, 1).places == set(at(0, 1))


spans = st.tuples(st.integers(0, 10**9), st.integers(1, 10**9)).map(
    lambda s: ((NOON + s[0], NOON + s[0] + s[1]),)
)


@given(span=spans, grid_s=st.sampled_from([1, 5, 60]))
def test_seconds_and_minutes_of_a_stretch_are_those_counted_one_by_one(span, grid_s):
    (a, b), grid = span[0], grid_s * SECOND
    item = damage("stale_burst", "book", spans=span, leg="perp")
    instants = [t for t in range(a // grid * grid, b + grid, grid) if a <= t < b]
    assert standing(item, grid_s).count == len(instants)
    assert ageing(item, grid_s).count == sum(t - a > 3 * grid for t in instants)
    assert standing(item, grid_s).places == {-(-t // MINUTE) * MINUTE for t in instants}
    whole = [m for m in range(a // MINUTE * MINUTE, b, MINUTE) if m - MINUTE >= a and m < b]
    assert mute(item, grid_s).places == set(whole)
