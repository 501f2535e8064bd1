"""The median of a clock's offset, minute by minute, whatever the order and the cut."""

from __future__ import annotations

import statistics

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from quantlab_pipeline.sources.capture.offsets import MinuteOffset, Offsets

MINUTE = 60_000_000
MESSAGES = st.lists(
    st.tuples(st.integers(0, 3 * MINUTE - 1), st.integers(-(10**7), 10**7)), min_size=1, max_size=60
)


@given(MESSAGES, st.integers(0, 60))
def test_it_is_the_lower_median_of_whole_milliseconds(messages, cut):
    tally = Offsets()
    for part in (messages[:cut], messages[cut:]):
        local = np.array([a for a, _ in part], np.int64)
        tally.take(local, local - np.array([b for _, b in part], np.int64))
    expected = []
    for minute in range(3):
        behind = [off // 1000 for at, off in messages if at // MINUTE == minute]
        if behind:
            median = statistics.median_low(behind)
            expected.append(MinuteOffset(minute * MINUTE, median, len(behind)))
    assert tally.medians() == expected


def test_a_minute_that_ended_is_given_once_and_forgotten():
    tally = Offsets()
    tally.take(np.array([0, MINUTE]), np.array([0, MINUTE]))
    assert [m.minute_us for m in tally.finish_before(MINUTE)] == [0]
    assert tally.finish_before(MINUTE) == []
    assert [m.minute_us for m in tally.medians()] == [MINUTE]


def test_a_clock_that_is_years_off_is_counted_at_the_edge():
    tally = Offsets()
    tally.take(np.array([10**16]), np.array([0]))
    assert tally.medians()[0].median_ms == 2**31 - 1
