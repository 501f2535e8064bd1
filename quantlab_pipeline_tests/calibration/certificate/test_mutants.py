"""The broken rules: the control equals our own to the last digits, and each is wrong as it says."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from scipy.special import ndtr

from quantlab_pipeline.calibration.certificate.judging import (
    FIGURES,
    Answer,
    answer_of,
    measure,
    shown,
)
from quantlab_pipeline.calibration.certificate.mutants import CONTROL, MUTANTS
from quantlab_pipeline.calibration.certificate.mutation import mutate
from quantlab_pipeline_tests.calibration.certificate.builders import small_bench, small_market

BENCH = small_bench()
RULES = (CONTROL, *MUTANTS)


@cache
def answers(*, free: bool) -> tuple[Answer, dict[str, Answer]]:
    """Our own answer to the small market, and those of every rule."""
    market = small_market()
    asked = [c for c in market.candidates if c.event_type in {"down_shock", "vol_fade"}]
    blind = shown(BENCH, market.arrays, asked, free=free)
    rows = measure(BENCH, blind)
    return answer_of(BENCH, rows), mutate(BENCH, blind, rows, RULES)


def figure(name: str, of: str, *, free: bool = False) -> np.ndarray:
    ours, theirs = answers(free=free)
    values = (ours if of == "ours" else theirs[of]).figures[name]
    return values[np.isfinite(ours.z)]


@pytest.mark.parametrize("free", [True, False])
def test_the_control_is_our_own_rule(free: bool) -> None:
    ours, theirs = answers(free=free)
    control = theirs[CONTROL.name]
    for name in FIGURES:
        np.testing.assert_allclose(control.figures[name], ours.figures[name], rtol=1e-9, atol=1e-9)
    np.testing.assert_array_equal(control.passed, ours.passed)
    assert control.status == ours.status


def test_every_mutant_says_something_else() -> None:
    ours, theirs = answers(free=False)
    for mutant in MUTANTS:
        other = theirs[mutant.name]
        figures = any(
            not np.allclose(other.figures[name], ours.figures[name], rtol=1e-6, equal_nan=True)
            for name in FIGURES
        )
        assert figures or mutant.name == "counted_after_filtering", mutant.name


def test_iid_t_is_the_naive_t() -> None:
    np.testing.assert_allclose(figure("z_raw", "iid_t"), figure("z_naive", "ours"), rtol=0.2)
    n, n_eff = figure("n_events", "ours"), figure("n_eff", "iid_t")
    np.testing.assert_allclose(n_eff, n - 1, rtol=1e-9)


def test_costs_are_charged_as_often_as_is_said() -> None:
    gross, cost = figure("gross_bps", "ours"), figure("cost_bps", "ours")
    np.testing.assert_allclose(figure("net_bps", "cost_twice"), gross - 2 * cost, atol=1e-9)
    np.testing.assert_allclose(figure("net_bps", "cost_never"), gross, atol=1e-9)


def test_a_flipped_sign_mirrors_the_gross_effect() -> None:
    np.testing.assert_allclose(figure("gross_bps", "sign_flipped"), -figure("gross_bps", "ours"))


def test_log_returns_are_below_simple_ones_for_longs() -> None:
    ours, _ = answers(free=True)
    log, simple = figure("gross_bps", "log_returns", free=True), ours.figures["gross_bps"]
    simple = simple[np.isfinite(ours.z)]
    market = small_market()
    asked = [c for c in market.candidates if c.event_type in {"down_shock", "vol_fade"}]
    long = np.array([c.side == 1 and c.template.name == "directional" for c in asked])
    long = long[np.isfinite(ours.z)]
    assert (log[long] < simple[long]).all()


def test_a_missing_contrast_leaves_the_raw_z() -> None:
    raw = figure("z_raw", "ours")
    np.testing.assert_allclose(figure("z_contrast", "contrast_missing"), raw, rtol=1e-9)
    np.testing.assert_allclose(figure("p", "contrast_missing"), ndtr(-raw), rtol=1e-9)


def test_filtering_makes_what_looks_significant_pass() -> None:
    ours, theirs = answers(free=True)
    loose = theirs["counted_after_filtering"]
    # Five per cent of nothing, counted alone, is below any q that counts it.
    assert loose.passed_budget.sum() >= ours.passed_budget.sum()
    looks = np.isfinite(ours.figures["p"]) & (ours.figures["p"] < 0.05)
    assert np.isfinite(loose.q).tolist() == looks.tolist()


def test_mutants_have_names_of_their_own_and_something_that_is_meant_to_refuse_them() -> None:
    assert len({m.name for m in RULES}) == len(RULES)
    assert all(m.meant_for for m in MUTANTS)
