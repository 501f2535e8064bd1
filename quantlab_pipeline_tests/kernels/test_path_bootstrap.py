"""The bootstrap's paths against paths laid out bar by bar, and on hostile series."""

import numpy as np
import pytest

from quantlab_pipeline.kernels.path_bootstrap import (
    BlockPlan,
    Paths,
    bootstrap_paths,
    running_sums,
)
from quantlab_pipeline.simulation.metrics import max_drawdown
from quantlab_pipeline_tests.oracles import path_bootstrap as oracle


def drawn(bars, plan, n_paths, first=0):
    out = Paths(*(np.empty(n_paths) for _ in Paths._fields))
    centre = bars.mean() * plan.period
    bootstrap_paths(running_sums(bars, plan.block_max), plan, centre, first, out)
    return out


@pytest.mark.parametrize(
    ("n", "plan"),
    [
        (240, BlockPlan(20, 60, 24, 7)),
        (250, BlockPlan(20, 60, 24, 2**63 - 1)),
        (97, BlockPlan(1, 1, 1, 0)),
        (30, BlockPlan(40, 90, 7, 3)),
    ],
)
def test_every_path_shows_what_it_shows_when_it_is_laid_out(n, plan):
    bars = np.random.default_rng(n).standard_t(3, n) * 1e-3
    out = drawn(bars, plan, 30, first=5)
    for p in range(30):
        laid = oracle.path(bars, plan, 5 + p)
        days = oracle.days(laid, plan.period)
        assert out.mean[p] == pytest.approx(days.mean(), abs=1e-14)
        assert out.deviation[p] == pytest.approx(days.std(ddof=1), abs=1e-14)
        assert out.max_drawdown[p] == pytest.approx(max_drawdown(days).value, abs=1e-13)
        assert out.gained[p] == pytest.approx(laid[laid > 0].sum(), abs=1e-13)
        assert out.lost[p] == pytest.approx(-laid[laid < 0].sum(), abs=1e-13)


def test_a_path_is_the_same_wherever_its_part_begins():
    bars = np.random.default_rng(0).normal(size=200)
    plan = BlockPlan(20, 60, 24, 11)
    whole = drawn(bars, plan, 50)
    for first in (0, 17, 49):
        part = drawn(bars, plan, 50 - first, first)
        for name in Paths._fields:
            np.testing.assert_array_equal(getattr(part, name), getattr(whole, name)[first:])


def test_starts_and_lengths_are_drawn_evenly():
    plan = BlockPlan(20, 60, 24, 5)
    counts = np.zeros(1000)
    for p in range(200):
        np.add.at(counts, oracle.path(np.arange(1000.0), plan, p).astype(int), 1)
    # A block draws 40 neighbours at once: the counts are those of some 25 blocks a path.
    assert counts.mean() == 200
    assert abs(counts - 200).max() < 5 * np.sqrt(200)


def test_hostile_series_have_no_figure_that_is_not_theirs():
    plan = BlockPlan(20, 60, 24, 1)
    flat = drawn(np.zeros(100), plan, 5)
    assert (flat.deviation == 0).all()
    assert (flat.max_drawdown == 0).all()
    assert (flat.lost == 0).all()
    gains = drawn(np.full(100, 0.3), plan, 5)
    assert (gains.lost == 0).all()
    assert gains.deviation == pytest.approx(0.0, abs=1e-7)
    short = drawn(np.ones(30), plan, 3)
    assert np.isnan(short.mean).all()
    assert short.gained == pytest.approx([30.0] * 3)
    holed = np.ones(100)
    holed[50] = np.nan
    assert np.isnan(drawn(holed, plan, 5).mean).all()
