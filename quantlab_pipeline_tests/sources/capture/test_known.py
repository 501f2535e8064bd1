"""When a message could be known: never before it came, nor before it happened."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from quantlab_pipeline.core.clocks import TS, to_us
from quantlab_pipeline.sources.capture.known import Knowledge, delays
from quantlab_pipeline.sources.capture.offsets import MinuteOffset
from quantlab_pipeline_tests.sources.capture import builders as b

MINUTE = timedelta(minutes=1)


def off(seconds: float, median_ms: int) -> MinuteOffset:
    return MinuteOffset(to_us(b.at(seconds)), median_ms, 9)


def behind(own, other=()) -> dict:
    rows = delays(list(own), list(other))
    return {row["minute"]: row["behind_us"] for row in rows.iter_rows(named=True)}


def test_a_clock_behind_is_moved_and_one_ahead_is_not():
    found = behind([off(0, -1270), off(60, 40)])
    assert (found[b.at(0)], found[b.at(60)]) == (1_270_000, 0)


def test_a_minute_takes_its_own_leg_then_the_other_then_the_last_one_of_its_hour():
    found = behind([off(0, -100), off(180, -400)], [off(60, -200), off(180, -900)])
    assert [found[b.at(60 * k)] for k in range(5)] == [100_000, 200_000, 200_000, 400_000, 400_000]
    assert found[b.at(3540)] == 400_000
    assert b.at(3600) not in found


def test_before_the_first_measured_minute_of_an_hour_nothing_is_known_of_the_clock():
    found = behind([off(3600 + 120, -500)])
    assert [found[b.at(3600 + 60 * k)] for k in range(3)] == [0, 0, 500_000]


def test_a_stamp_is_the_later_of_arrival_and_event():
    rows = pl.DataFrame(
        {"local": [b.at(1), b.at(2), b.at(3)], "event": [b.at(0.5), b.at(2.5), None]},
        schema={"local": TS, "event": TS},
    )
    stamped = Knowledge(delays([], [])).stamped(rows)
    assert stamped["ts"].to_list() == [b.at(1), b.at(2.5), b.at(3)]


def test_where_the_offset_shrinks_no_message_is_known_before_the_one_before_it():
    knowledge = Knowledge(delays([off(0, -1270), off(60, -1200)], []))
    local = pl.Series([b.at(59.99), b.at(60.01), b.at(61)], dtype=TS)
    assert knowledge.known(local).tolist() == [
        to_us(b.at(61.26)), to_us(b.at(61.26)), to_us(b.at(62.2)),
    ]  # fmt: skip


def test_a_clock_that_was_set_back_is_not_papered_over():
    local = pl.Series([b.at(10), b.at(5), b.at(6)], dtype=TS)
    known = Knowledge(delays([], [])).known(local)
    assert known.tolist() == [to_us(b.at(s)) for s in (10, 5, 6)]


STAMPS = st.lists(st.integers(0, 7200 * 10**6), max_size=40)
MEDIANS = st.dictionaries(st.integers(0, 119), st.integers(-5000, 5000), max_size=30)


@given(STAMPS, MEDIANS, MEDIANS, st.integers(0, 40))
def test_pieces_change_nothing_and_no_message_is_known_before_it_came(stamps, own, other, cut):
    tables = [[off(60 * m, ms) for m, ms in sorted(d.items())] for d in (own, other)]
    table = delays(*tables)
    local = pl.Series([b.at(us / 10**6) for us in stamps], dtype=TS)
    whole = Knowledge(table).known(local)
    parts = Knowledge(table)
    pieces = np.concatenate([parts.known(local[:cut]), parts.known(local[cut:])])
    assert whole.tolist() == pieces.tolist()
    arrived = local.dt.epoch("us").to_numpy()
    assert (whole >= arrived).all()
    forward = np.diff(arrived) >= 0
    assert (np.diff(whole)[forward] >= 0).all()
