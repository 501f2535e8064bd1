"""Grading: what counts as found, as covered and as a false pass, on answers made by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from quantlab_pipeline.calibration.certificate.grading import (
    Case,
    _at_most,
    _bias,
    _charged,
    _false_discoveries,
    _no_pass,
    _regimes,
    is_covered,
    is_found,
    opened,
)
from quantlab_pipeline.calibration.certificate.judging import FIGURES, Answer
from quantlab_pipeline.calibration.certificate.planting import Effects
from quantlab_pipeline.calibration.certificate.rounds import Played
from quantlab_pipeline.calibration.certificate.shapes import Planted
from quantlab_pipeline_tests.calibration.certificate.builders import bench

BENCH = bench()
ASKED = (
    ("down_shock", "all", "1h", "directional", 1),
    ("down_shock", "all", "4h", "directional", 1),
    ("down_shock", "all", "1h", "mean_reversion", -1),
    ("up_shock", "all", "4h", "directional", 1),
)


def case(z, passed, truth=(20.0, 0.0, 0.0, 0.0), cost=5.0, **figures) -> Case:
    """Four questions of which the first is the edge's own; true gross effects in bps."""
    z, n = np.array(z, dtype=np.float64), len(ASKED)
    known = {name: np.zeros(n) for name in FIGURES} | {"z_raw": z, "z_contrast": z + 1.0}
    net = np.array(truth) - cost
    known |= {"gross_bps": net + cost, "net_bps": net, "cost_bps": np.full(n, cost)}
    known |= {"ci95_low_bps": net - 1.96, "ci95_high_bps": net + 1.96}
    known |= {name: np.array(values) for name, values in figures.items()}
    passed = np.array(passed)
    told = Answer(known, passed, passed, np.zeros(n, np.bool_), np.zeros(n), ("FAIL",) * n)
    effects = Effects(np.array(truth), np.array(truth), np.full(n, cost))
    return Case(told, Planted(0, truth[0], effects), ASKED)


FOUND = case([6.0, 3.0, 5.0, 0.0], [True, False, True, False])


def test_an_edge_is_found_where_its_own_question_passes_and_names_the_horizon() -> None:
    assert is_found(FOUND)
    assert not is_found(case([6.0, 3.0, 5.0, 0.0], [False, False, True, False]))
    assert not is_found(case([6.0, 6.1, 5.0, 0.0], [True, True, True, False]))


def test_another_template_or_event_type_may_have_the_larger_z() -> None:
    assert is_found(case([6.0, 3.0, 7.0, 0.0], [True, False, True, False]))
    assert is_found(case([6.0, 3.0, 5.0, 9.0], [True, False, True, True]))


def test_an_untested_neighbour_does_not_hide_the_top() -> None:
    assert is_found(case([6.0, np.nan, 5.0, 0.0], [True, False, False, False]))


def test_an_interval_covers_the_true_net_effect_or_does_not() -> None:
    assert is_covered(FOUND)
    off = case([6.0, 3.0, 5.0, 0.0], [True] * 4, ci95_low_bps=[16.0] * 4, ci95_high_bps=[20.0] * 4)
    assert not is_covered(off)


def test_bias_is_told_in_standard_errors() -> None:
    assert _bias(BENCH, [FOUND]).measured == pytest.approx(0.0)
    # A standard error is 1 here: the net effect is 5 below what it should be.
    twice = replace(FOUND, truth=replace(FOUND.truth, effects=Effects(
        FOUND.truth.effects.raw + 5.0, FOUND.truth.effects.contrast, FOUND.truth.effects.cost
    )))  # fmt: skip
    held = _bias(BENCH, [twice])
    assert held.measured == pytest.approx(-5.0, rel=1e-4)
    assert not held.holds


def test_a_cost_that_is_not_the_events_own_is_seen() -> None:
    assert _charged([FOUND]).holds
    wrong = case([6.0, 3.0, 5.0, 0.0], [True] * 4, net_bps=[10.0, -10.0, -10.0, -10.0])
    held = _charged([wrong])
    assert held.measured == pytest.approx(5.0)
    assert not held.holds


def test_false_passes_are_those_whose_true_net_effect_is_not_above_zero() -> None:
    """In one world one of two passes is false, in the other three of four, in the last none."""
    worlds = [
        case([6.0] * 4, [True, False, True, False]),
        case([6.0] * 4, [True] * 4),
        case([6.0] * 4, [False] * 4),
    ]
    held = _false_discoveries(BENCH, {"planted": worlds})
    assert [h.measured for h in held] == [pytest.approx((0.5 + 0.75 + 0.0) / 3)]
    assert held[0].cases == 3


def test_an_effect_that_only_the_raw_mean_has_is_truly_null() -> None:
    effects = Effects(np.array([20.0, 20.0]), np.array([4.0, 6.0]), np.array([5.0, 5.0]))
    assert effects.truly_null.tolist() == [True, False]


def test_worlds_with_a_pass_are_counted_against_q_and_its_share_of_the_budget() -> None:
    quiet, loud = case([0.0] * 4, [False] * 4), case([6.0] * 4, [True] * 4)
    held = _no_pass(BENCH, [quiet] * 18 + [loud] * 2, "PT-01")
    assert [(h.measured, h.holds) for h in held] == [(2.0, True), (2.0, False)]
    # Four of ten thousand tests: q is worth 4e-5 of a world.
    assert held[1].high == _at_most("", "", [False] * 20, 0.1 * 4 / 10_000, 1e-3).high


def test_a_regime_must_be_told_by_a_question_that_passes() -> None:
    told = replace(FOUND, answer=replace(FOUND.answer, heterogeneous=np.array([True] * 4)))
    failed = replace(told, answer=replace(told.answer, passed_budget=np.zeros(4, np.bool_)))
    held = _regimes(BENCH, {"regime": [told, FOUND, failed, told], "twin": [FOUND] * 4})
    assert held[0].measured == 0.5
    assert held[1].measured == 0.0


def test_answers_are_opened_by_their_random_names() -> None:
    world = Played(
        {"a1": FOUND.answer, "b2": FOUND.answer},
        {"a1": FOUND.truth, "b2": replace(FOUND.truth, own=None)},
        {"a1": ASKED, "b2": ASKED},
        0.0,
    )
    cases = opened([world], [{"null": "b2", "planted": "a1", "mde": "c3"}])
    assert set(cases) == {"null", "planted"}
    assert cases["planted"][0].truth.own == 0
    assert cases["null"][0].truth.own is None
