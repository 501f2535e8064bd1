"""A leak in words: how far it saw, through what, two values apart, and advice that fits."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantlab_pipeline.reports.pit_story import (
    Declared,
    attack_of,
    leak_of,
    reason_text,
    remedy,
    saw_text,
    source_text,
    span_text,
    values_text,
)
from quantlab_pipeline.research.features.leaks import ATTACKS, Leak
from quantlab_pipeline_tests.reports.pit_builders import (
    CODES,
    DAY,
    DECLARED,
    HOUR,
    LEAKS,
    MINUTE,
    evidence,
    leak,
)

BARS = "bars_1m_perp.close"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"), (0.31, "310 ms"), (0.0001, "1 ms"), (1, "1 s"), (59.9, "59 s"),
        (6 * MINUTE, "6 min"), (90, "1 min 30 s"), (HOUR, "1 h"), (HOUR + 59, "1 h"),
        (12 * HOUR + 5 * MINUTE, "12 h 5 min"), (3 * DAY, "3 d"), (3 * DAY + HOUR, "3 d 1 h"),
    ],
)  # fmt: skip
def test_a_span_is_told_in_at_most_two_units(seconds: float, text: str) -> None:
    assert span_text(seconds) == text


UNITS = {"d": DAY, "h": HOUR, "min": MINUTE, "s": 1.0, "ms": 0.001}


@given(st.integers(0, 400 * 86_400))
def test_a_span_is_never_told_longer_than_it_is(seconds: int) -> None:
    words = span_text(seconds).split()
    told = sum(int(n) * UNITS[unit] for n, unit in zip(words[::2], words[1::2], strict=True))
    assert told <= seconds
    assert seconds - told < max(60, told / 24)


@pytest.mark.parametrize(
    ("found", "saw"),
    list(zip(
        LEAKS,
        (
            "6 min ahead", "6 min ahead", "1 h ahead", "at least 3 d ahead", "17 min ahead",
            "12 h older than the declared 1 h", "further back than it declares",
            "ahead, unmeasured",
        ),
        strict=True,
    )),
)  # fmt: skip
def test_how_far_a_row_saw(found: Leak, saw: str) -> None:
    assert saw_text(found, DECLARED[found.feature]) == saw


def test_without_a_spec_the_whole_reach_is_told() -> None:
    assert saw_text(leak("x", "lookback", BARS, reach_s=13 * HOUR), None) == (
        "13 h back, more than it declares"
    )
    far = leak("x", "lookback", BARS, reach_s=13 * HOUR, open_ended=True)
    assert saw_text(far, Declared(60)) == "at least 12 h older than the declared 1 h"


def test_the_input_is_named_or_said_to_be_none_alone() -> None:
    assert source_text(leak("x", "prefix", BARS)) == BARS
    assert source_text(leak("x", "prefix", None)) == "no table alone"
    assert source_text(leak("x", "warmup", None)) == "its own beginning"


@given(st.floats(allow_nan=False), st.floats(allow_nan=False))
def test_two_values_that_differ_are_told_apart(a: float, b: float) -> None:
    left, right = values_text(a, b)
    assert (left == right) == (a == b and math.copysign(1, a) == math.copysign(1, b))


def test_a_value_that_is_none_is_a_word() -> None:
    assert values_text(None, 1.25) == ("no value", "1.25")
    assert values_text(1.0, None) == ("1", "no value")


@pytest.mark.parametrize(
    ("found", "red", "words"),
    [
        (leak("x", "prefix", "open_interest.oi_base"), {"prefix"}, "Join open_interest on avail"),
        (leak("x", "prefix", "funding.settled_rate"), {"prefix"}, "raw stamp"),
        (leak("x", "prefix", BARS), {"prefix"}, "shift backwards only"),
        (leak("x", "prefix", "mark_index.mark_price"), {"prefix"}, "Join mark_index on available"),
        (leak("x", "prefix", BARS, open_ended=True), {"prefix"}, "end of what was built"),
        (leak("x", "poison", BARS, reach_s=19 * HOUR + 58 * MINUTE), {"poison"}, "was built"),
        (leak("x", "prefix", BARS, reach_s=19 * HOUR), {"prefix"}, "shift backwards only"),
        (leak("x", "prefix", "bars_1m_perp"), {"prefix"}, "take no count"),
        (leak("x", "prefix", None), {"prefix"}, "No table alone"),
        (leak("x", "poison", BARS), {"poison"}, "later revision"),
        (leak("x", "poison", BARS), {"poison", "prefix"}, "shift backwards only"),
        (leak("x", "lookback", BARS), {"lookback"}, "lookback_min"),
        (leak("x", "warmup", None, reach_s=None), {"warmup"}, "verb's warm-up"),
    ],
)
def test_the_advice_fits_the_attack_and_the_input(found: Leak, red: set, words: str) -> None:
    assert words in remedy(found, red)


@pytest.mark.parametrize("found", LEAKS)
def test_evidence_is_the_leak(found: Leak) -> None:
    assert leak_of(evidence(found)) == found


def test_evidence_of_something_else_is_refused() -> None:
    with pytest.raises(KeyError, match="tau"):
        leak_of({k: v for k, v in evidence(LEAKS[0]).items() if k != "tau"})


def test_every_reason_has_words() -> None:
    codes = (*CODES.values(), "NOT_REPRODUCED", "NOT_BUILT", "UPSTREAM_EMPTY")
    assert all(" " in reason_text(code) for code in codes)
    assert reason_text("DATASET_ABSENT:funding") == "funding has no rows on these days"
    lacking = reason_text("DATASET_ABSENT:mark_index.index_price")
    assert lacking == "mark_index.index_price has no values on these days"
    assert reason_text("SOMETHING_NEW") == "SOMETHING_NEW"


def test_a_leaks_code_names_its_attack() -> None:
    assert [attack_of(CODES[attack]) for attack in ATTACKS] == list(ATTACKS)
    assert attack_of("NOT_BUILT") is None
