"""A correction is known when it arrived; what it left alone was known before."""

from __future__ import annotations

from datetime import timedelta

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quantlab_pipeline.core.clocks import day_end
from quantlab_pipeline.research.market_data.corrections import known_since
from quantlab_pipeline_tests.research.market_data import builders as b

ARRIVED = day_end(b.DAY) + timedelta(days=3)
AGAIN = ARRIVED + timedelta(days=1)
FIRST = b.bars(b.path())


def changed(rows: pl.DataFrame, at: list[int], by: float = 1.01) -> pl.DataFrame:
    here = pl.int_range(pl.len()).is_in(at)
    return rows.with_columns(pl.col("high") * pl.when(here).then(by).otherwise(1.0))


def test_one_version_is_itself():
    assert known_since([(None, FIRST)]).equals(FIRST)


def test_changed_and_added_rows_are_known_from_the_arrival_on_and_the_others_as_before():
    held = FIRST.filter(pl.int_range(pl.len()) != 700)
    known = known_since([(None, held), (ARRIVED, changed(FIRST, [3]))])
    assert known.drop("available_at").equals(changed(FIRST, [3]).drop("available_at"))
    late = known.filter(pl.col("available_at") != FIRST["available_at"])
    assert late["ts"].to_list() == [FIRST["ts"][3], FIRST["ts"][700]]
    assert late["available_at"].to_list() == [ARRIVED, ARRIVED]


@pytest.mark.parametrize("held", [slice(0, 900), slice(200, 1440), slice(0, 0)])
def test_a_file_that_has_only_grown_corrects_nothing(held):
    assert known_since([(None, FIRST[held]), (ARRIVED, FIRST)]).equals(FIRST)


def test_a_row_that_is_changed_back_is_known_from_the_last_arrival_on():
    known = known_since([(None, FIRST), (ARRIVED, changed(FIRST, [3])), (AGAIN, FIRST)])
    assert known["available_at"][3] == AGAIN
    assert known["available_at"][4] == FIRST["ts"][4]


def test_an_unchanged_correction_stays_known_from_its_own_arrival_on():
    twice = [(None, FIRST), (ARRIVED, changed(FIRST, [3])), (AGAIN, changed(FIRST, [3, 9], 1.01))]
    known = known_since(twice)
    assert known["available_at"][3] == ARRIVED
    assert known["available_at"][9] == AGAIN


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 1439), max_size=20), st.lists(st.integers(0, 1439), max_size=20))
def test_rows_and_their_order_are_those_of_the_newest_version(one, other):
    newest = changed(FIRST, other, 1.03)
    known = known_since([(None, FIRST), (ARRIVED, changed(FIRST, one)), (AGAIN, newest)])
    assert known.drop("available_at").equals(newest.drop("available_at"))
    assert (known["available_at"] >= newest["available_at"]).all()
