"""The canonical encoding: one fact, one sequence of bytes."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantlab_pipeline.core.fingerprints import canonical_bytes, chain, digest, short

FLOATS = st.floats(allow_nan=False, allow_infinity=False)
SCALARS = st.none() | st.booleans() | st.integers() | FLOATS
FACTS = st.recursive(
    SCALARS | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4)
    ),
    max_leaves=12,
)


def test_golden_bytes() -> None:
    value = {"b": [1, 2.5, None], "a": date(2025, 1, 2), "c": Decimal("0.10"), "ä": True}
    assert canonical_bytes(value) == (
        '{"a":"2025-01-02","b":[1,2.5,null],"c":"0.10","ä":true}'.encode()
    )
    assert digest({}) == "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"


@given(st.dictionaries(st.text(max_size=5), FACTS, max_size=5))
def test_key_order_does_not_matter(value: dict[str, object]) -> None:
    reordered = dict(reversed(list(value.items())))
    assert canonical_bytes(value) == canonical_bytes(reordered)


@given(FACTS, FACTS)
def test_different_facts_have_different_bytes(left: object, right: object) -> None:
    if repr(left) != repr(right) and left != right:
        assert canonical_bytes(left) != canonical_bytes(right)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_numbers_that_are_not_there_are_refused(value: float) -> None:
    with pytest.raises(ValueError, match="null and a reason"):
        canonical_bytes({"x": value})


def test_what_has_no_order_or_place_is_refused() -> None:
    with pytest.raises(TypeError, match="set"):
        canonical_bytes({1, 2})


def test_digests_carry_their_algorithm() -> None:
    head = chain("blake3:" + "0" * 64, {"seq": 1})
    assert head.startswith("blake3:")
    assert head != chain("blake3:" + "0" * 64, {"seq": 2})
    assert short(digest(datetime(2025, 1, 1, tzinfo=UTC))).isalnum()
