"""Units: what may meet what in a trigger, and how a mixture is told."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quantlab_pipeline.core.errors import SpecError
from quantlab_pipeline.research.events.checks import check_registry
from quantlab_pipeline.research.events.expression import parse
from quantlab_pipeline.research.events.units import check_units
from quantlab_pipeline_tests.research.events.builders import (
    event_type,
    feature_specs,
    project_registry,
    registry,
)
from quantlab_pipeline_tests.research.events.test_expression import NUMBER_TEXT

UNITS = {
    "ret": "bps",
    "rv": "bps",
    "depth": "USD",
    "impact": "bps/MUSD",
    "due": "min",
    "rank": "1",
    "z": "1",
    "calm": "flag",
    "loud": "flag",
}


def check(text: str) -> None:
    check_units(parse(text, "truth"), UNITS, "Event type 'x'")


@pytest.mark.parametrize(
    "text",
    [
        "ret >= 9 * rv",
        "abs(ret) <= rv and due > 0",
        "ret / rv >= z",
        "ret / max(9 * rv, 0.01) >= rank",
        "ret * depth / (rv * depth) >= rank",
        "impact / impact <= z * rank",
        "impact * ret >= impact * rv",
        "5 <= due <= 30",
        "2 + 3 * 4 >= 1 / 2",
        "calm + loud >= 1",
        "ret * calm >= rv",
        "z * calm / loud >= rank",
        "not (ret + rv >= 3) or due < 1",
        "1 / depth >= 2 / (depth * rank)",
        "ret * rank >= -rv",
        "min(ret, rv, 4) > 0",
    ],
)
def test_like_meets_like(text: str) -> None:
    check(text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("ret >= depth", "compares `ret` in bps and `depth` in USD"),
        ("due <= ret", "compares `due` in min and `ret` in bps"),
        ("ret + due >= 3", "adds `ret` in bps and `due` in min"),
        ("3 * ret - depth >= 0", r"subtracts `3 \* ret` in bps and `depth` in USD"),
        ("ret / depth >= rank", "compares `ret / depth` in bps/USD and `rank` in 1"),
        ("ret * rv >= ret", r"compares `ret \* rv` in bps\^2 and `ret` in bps"),
        ("impact * depth >= ret", r"`impact \* depth` in USD bps/MUSD and `ret` in bps"),
        ("1 / ret >= rv", "compares `1 / ret` in 1/bps and `rv` in bps"),
        ("max(ret, 1, depth) > 0", "takes the largest of `ret` in bps and `depth` in USD"),
        ("min(due, rank) > 0", "takes the least of `due` in min and `rank` in 1"),
        ("calm >= rank", "compares `calm` in flag and `rank` in 1"),
        ("ret >= 1 and (due > 3 or not depth < rv)", "compares `depth` in USD and `rv` in bps"),
        ("0 < ret < depth", "compares `ret` in bps and `depth` in USD"),
        ("abs(-(ret + depth)) > 1", "adds `ret` in bps and `depth` in USD"),
    ],
)
def test_a_mixture_is_refused_and_named(text: str, said: str) -> None:
    with pytest.raises(SpecError, match=f"Event type 'x' .*{said}") as caught:
        check(text)
    assert "divide each by its own mean" in str(caught.value)
    assert len(caught.value.fields["units"]) == 2


def test_the_shipped_registry_mixes_nothing() -> None:
    check_registry(project_registry(), feature_specs().features)


@pytest.mark.parametrize(
    ("trigger", "severity", "said"),
    [
        ("ret_1m_bps >= 1", "ret_1m_bps + depth_usd", "adds `ret_1m_bps` in bps and `depth_usd`"),
        ("funding_due_min <= basis_bps", "basis_bps", "compares `funding_due_min` in min"),
        ("expansion_flag >= rv_1h_rank_7d", "expansion_flag", "`expansion_flag` in flag"),
        (
            "amihud_1h_bps_per_musd >= ret_1h_bps / depth_usd",
            "ret_1h_bps",
            "in bps/MUSD and `ret_1h_bps / depth_usd` in bps/USD",
        ),
    ],
)
def test_a_registry_that_mixes_units_is_refused(trigger: str, severity: str, said: str) -> None:
    names = {*parse(trigger, "truth").features, *parse(severity, "number").features}
    mixed = event_type(trigger=trigger, severity=severity, required_fields=sorted(names))
    with pytest.raises(SpecError, match=f"Event type 'jump' .*{said}"):
        check_registry(registry(mixed), feature_specs().features)


@given(NUMBER_TEXT, st.sampled_from([1, 7, 1000]))
@settings(max_examples=150, deadline=None)
def test_what_is_let_through_does_not_depend_on_the_scale_of_a_unit(text: str, scale: int) -> None:
    """A number that is let through is homogeneous: a, b, c in other units scale it as one power.

    Sums with a plain number have no such power (the number is in the unit then), so they are
    left out.
    """
    units = dict.fromkeys("abc", "bps")
    tree = parse(text, "number")
    plain = any(
        n.op in ("+", "-", "min", "max") and not all(c.features for c in n.children)
        for n in tree.walk()
    )
    try:
        check_units(tree, units, "x")
    except SpecError:
        return
    if plain or not tree.features:
        return
    at = {"a": Fraction(3), "b": Fraction(5), "c": Fraction(11)}
    words = {"abs": abs, "min": min, "max": max}
    try:
        small = eval(text, {"__builtins__": {}}, {**words, **at})
        large = eval(text, {"__builtins__": {}}, {**words, **{k: v * scale for k, v in at.items()}})
    except ZeroDivisionError:
        return
    powers = [small * Fraction(scale) ** p for p in range(-6, 7)]
    assert any(abs(large - p) <= abs(p) * 1e-9 for p in powers)
