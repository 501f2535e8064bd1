"""The trigger language: what it means, and what it refuses."""

from __future__ import annotations

import math

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quantlab_pipeline.core.errors import SpecError
from quantlab_pipeline.research.events.expression import check_features, compile_expression, parse
from quantlab_pipeline_tests.oracles.event_onsets import evaluate

NUMBERS = st.one_of(
    st.sampled_from(["a", "b", "c"]), st.integers(0, 9).map(str), st.sampled_from(["0.5", "2.25"])
)


def _sums(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        st.tuples(inner, st.sampled_from("+-*/"), inner).map(lambda t: f"({t[0]} {t[1]} {t[2]})"),
        inner.map(lambda t: f"-{t}"),
        inner.map(lambda t: f"abs({t})"),
        st.tuples(inner, inner).map(lambda t: f"max({t[0]}, {t[1]})"),
        st.tuples(inner, inner).map(lambda t: f"min({t[0]}, {t[1]})"),
    )


NUMBER_TEXT = st.recursive(NUMBERS, _sums, max_leaves=6)
COMPARISON = st.tuples(NUMBER_TEXT, st.sampled_from([">=", "<=", ">", "<"]), NUMBER_TEXT).map(
    " ".join
)
TRUTH_TEXT = st.recursive(
    COMPARISON,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["and", "or"]), inner).map(
            lambda t: f"({t[0]}) {t[1]} ({t[2]})"
        ),
        inner.map(lambda t: f"not ({t})"),
    ),
    max_leaves=4,
)
VALUES = st.fixed_dictionaries({k: st.integers(-8, 8).map(lambda i: i / 4) for k in "abc"})


def _compiled(text: str, kind: str, values: dict[str, float | None]) -> object:
    frame = pl.DataFrame(values, schema=dict.fromkeys(values, pl.Float64))
    return frame.select(compile_expression(parse(text, kind)).alias("v"))["v"][0]


@given(NUMBER_TEXT, VALUES)
@settings(max_examples=150, deadline=None)
def test_numbers_equal_pythons(text: str, values: dict[str, float]) -> None:
    expected = evaluate(text, values)
    made = _compiled(text, "number", values)
    if expected is None:
        assert made is None
    else:
        assert math.isclose(made, expected, rel_tol=1e-12, abs_tol=1e-12)


@given(TRUTH_TEXT, VALUES)
@settings(max_examples=150, deadline=None)
def test_comparisons_equal_pythons(text: str, values: dict[str, float]) -> None:
    if "/" not in text:
        assert _compiled(text, "truth", values) is evaluate(text, values)


def test_chains_and_nulls() -> None:
    assert _compiled("0 < a <= 1", "truth", {"a": 1.0}) is True
    assert _compiled("0 < a <= 1", "truth", {"a": 1.1}) is False
    assert _compiled("a >= 1", "truth", {"a": None}) is None
    assert _compiled("max(a, b)", "number", {"a": 1.0, "b": None}) is None
    assert _compiled("a / b", "number", {"a": 1.0, "b": 0.0}) is None


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').system('true')",
        "a.b >= 1",
        "a[0] >= 1",
        "(lambda: 1)() >= 1",
        "[x for x in a] >= 1",
        "a ** 2 >= 1",
        "a == 1",
        "a in b",
        "'text' >= a",
        "True",
        "a if b else c",
        "abs(a, b) >= 1",
        "max(a) >= 1",
        "abs(a=b) >= 1",
        "(a >= 1) + 1 >= 1",
        "a and b",
        "not a",
        "(a >= 1) >= 1",
        "a >=",
        "",
        "a := 1",
        "f'{a}' >= 1",
    ],
)
def test_everything_else_is_refused(text: str) -> None:
    with pytest.raises(SpecError):
        parse(text, "truth")


def test_a_number_is_no_trigger_and_a_comparison_no_severity() -> None:
    with pytest.raises(SpecError, match="true or false"):
        parse("a + 1", "truth")
    with pytest.raises(SpecError, match="a number is asked for"):
        parse("a >= 1", "number")


def test_mistakes_name_the_nearest_word() -> None:
    with pytest.raises(SpecError, match="Did you mean 'abs'"):
        parse("abz(a) >= 1", "truth")
    node = parse("spred_bps >= 1", "truth")
    with pytest.raises(SpecError, match=r"'spred_bps'.*Did you mean 'spread_bps'"):
        check_features(node.features, ["spread_bps", "depth_usd"], "Event type 'x'")


def test_features_are_listed_once_and_sorted() -> None:
    assert parse("b >= a and b < abs(c) / 2", "truth").features == ("a", "b", "c")
