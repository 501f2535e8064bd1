"""The account of ids against a plain loop; the cut into batches changes nothing."""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from quantlab_pipeline.sources.capture.sequence import Sequence

IDS = st.lists(st.tuples(st.integers(0, 12), st.integers(0, 50)), max_size=40)


def plain(seen: list[tuple[int, int]]) -> tuple[int, int, int, int, list[bool]]:
    highest = None
    repeats = backwards = missing = silence = 0
    marks = []
    for i, (number, us) in enumerate(seen):
        silence = max(silence, us - seen[i - 1][1]) if i else 0
        marks.append(highest is not None and number <= highest)
        if highest is None or number > highest:
            missing += 0 if highest is None else number - highest - 1
            highest = number
        elif number == highest:
            repeats += 1
        else:
            backwards += 1
    return repeats, backwards, missing, silence, marks


@given(IDS, st.lists(st.integers(0, 40), max_size=4))
def test_batches_count_what_a_loop_counts(seen, cuts):
    account = Sequence(consecutive=True)
    marks: list[bool] = []
    edges = [0, *sorted(min(c, len(seen)) for c in cuts), len(seen)]
    for first, last in itertools.pairwise(edges):
        part = np.array(seen[first:last], np.int64).reshape(-1, 2)
        marks += account.take(part[:, 0], part[:, 1]).tolist()
    found = (account.repeats, account.backwards, account.missing, account.longest_silence_us)
    assert (*found, marks) == plain(seen)
    assert account.messages == len(seen)


def test_ids_of_quotes_leave_gaps_by_nature():
    account = Sequence()
    account.take(np.array([5, 900]), np.array([0, 1]))
    assert (account.missing, account.highest) == (0, 900)
