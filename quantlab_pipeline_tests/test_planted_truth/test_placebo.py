"""PT-27: with events moved to other days V1 finds what chance finds, and the real edge is gone."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantlab_pipeline.calibration.placebo import (
    admissible_shifts,
    apart_days,
    rotated,
    run_placebo,
)
from quantlab_pipeline.core.clocks import DAY_MINUTES
from quantlab_pipeline.core.errors import SpecError
from quantlab_pipeline.research.validation.cells import choose
from quantlab_pipeline.research.validation.inputs import prepare
from quantlab_pipeline.research.validation.spec import V1Thresholds, horizon_minutes
from quantlab_pipeline_tests.research.validation import builders

LIMITS, BUDGET, LOOKBACK_DAYS = V1Thresholds(), 10_000, 2
FAMILY = builders.family(horizons=("15m", "1h", "4h"))
DAYS = 40


def _placebo(made, family=FAMILY, costs=None, **changes):
    inputs = builders.inputs_of(made)
    costs = costs or builders.free()
    return run_placebo(inputs, family, costs, LIMITS, BUDGET, LOOKBACK_DAYS, **changes)


@given(
    n_days=st.integers(1, 400),
    lookback=st.integers(0, 30),
    horizon=st.sampled_from([5, 60, 1440]),
    at_most=st.integers(1, 100),
)
def test_every_shift_moves_events_by_more_than_they_knew_and_did(
    n_days, lookback, horizon, at_most
):
    shifts = admissible_shifts(n_days, lookback, horizon, at_most)
    span = lookback + horizon / DAY_MINUTES
    assert all(k > span and n_days - k > span for k in shifts)
    assert len(shifts) == len(set(shifts)) <= at_most
    possible = sum(k > span and n_days - k > span for k in range(1, n_days))
    assert len(shifts) == min(at_most, possible)


def _signed_events(arrays, horizon="1h"):
    """(symbol, entry, sign, gross, cost) of the cell's events as a set of tuples."""
    h = FAMILY.horizons.index(horizon)
    chosen, _ = choose(arrays, "calm_drop", "all", h, "directional")
    return arrays.symbol[chosen], arrays.entry[chosen], arrays.paths.long_return[h, chosen]


def test_a_rotation_moves_all_events_together_and_what_follows_is_that_days():
    made = builders.world(3, n_days=12)
    arrays = prepare(builders.inputs_of(made), FAMILY, builders.cost_model())
    moved = rotated(arrays, FAMILY, 5)
    n = made.prices.shape[1]
    expected = {
        (i, (k + FAMILY.delta_min + 5 * DAY_MINUTES) % n) for i, k in made.events["calm_drop"]
    }
    symbol, entry, gross = _signed_events(moved)
    length = horizon_minutes("1h")
    whole = {(i, k) for i, k in expected if k + length < n}
    assert set(zip(symbol.tolist(), entry.tolist(), strict=True)) == whole
    prices = made.prices
    np.testing.assert_allclose(
        gross, prices[symbol, entry + length] / prices[symbol, entry] - 1.0, rtol=1e-10
    )
    order = np.lexsort((entry, symbol))
    assert (order == np.arange(entry.size)).all(), "the kernel needs them by symbol and entry"


def test_a_rotation_around_the_whole_window_changes_nothing():
    made = builders.world(4, n_days=12)
    arrays = prepare(builders.inputs_of(made), FAMILY, builders.cost_model())
    back = rotated(rotated(arrays, FAMILY, 5), FAMILY, 7)
    for name in ("symbol", "entry", "day"):
        np.testing.assert_array_equal(getattr(back, name), getattr(arrays, name))
    np.testing.assert_array_equal(back.usable, arrays.usable)
    np.testing.assert_allclose(back.paths.long_return, arrays.paths.long_return, rtol=1e-9)
    np.testing.assert_array_equal(back.costs.total, arrays.costs.total)
    np.testing.assert_array_equal(back.signs["directional"], arrays.signs["directional"])


def test_a_sign_and_a_context_travel_with_their_event():
    made = builders.world(5, n_days=12)
    bucket = builders.Bucket(name="vol_high", column="vol_regime", value="high")
    family = builders.shipped_family().model_copy(update={"buckets": (builders.ALL, bucket)})
    arrays = prepare(builders.inputs_of(made), family, builders.cost_model())
    moved = rotated(arrays, family, 4)
    n = made.prices.shape[1]
    for values in (
        lambda a: a.signs["mean_reversion"],
        lambda a: a.buckets["vol_high"],
        lambda a: a.regimes["vol_regime"],
        lambda a: a.costs.total[0],
    ):
        here = dict(zip(zip(arrays.symbol, arrays.entry, strict=True), values(arrays), strict=True))
        there = zip(moved.symbol, moved.entry, values(moved), strict=True)
        block = arrays.where["calm_drop"]
        for i, k, value in list(there)[block]:
            assert value == here[i, (k - 4 * DAY_MINUTES) % n]


def test_a_real_edge_outranks_every_placebo():
    made = builders.plant(builders.world(21, n_days=DAYS), "calm_drop", 40.0, 60)
    placebo = _placebo(made)
    assert placebo.counts["n_passed"][0] > 0
    assert placebo.counts["n_passed"][1:].sum() == 0
    assert placebo.rank("n_passed") == pytest.approx(1 / (placebo.n_rotations + 1))
    assert placebo.rank("best_z") == pytest.approx(1 / (placebo.n_rotations + 1))


def test_without_an_edge_the_study_is_one_placebo_among_others():
    ranks = []
    for seed in range(30, 36):
        placebo = _placebo(builders.world(seed, n_days=DAYS))
        assert placebo.counts["n_passed"].sum() == 0
        assert placebo.rank("n_passed") == 1.0
        ranks.append(placebo.rank("best_z"))
    # Six uniform ranks all below 0.25 have odds of 1 in 4,000.
    assert max(ranks) > 0.25


def test_placebos_show_how_much_a_plain_t_test_invents():
    """Where events overlap and cluster over symbols, the naive count is far beyond 5 % of all."""
    shares = {"n_naive": [], "n_nominal": []}
    for seed in range(40, 46):
        placebo = _placebo(builders.world(seed, n_days=DAYS), builders.family(("4h", "24h")))
        tested = placebo.typical("n_tested")
        for name, found in shares.items():
            found.append(placebo.typical(name) / tested)
    assert np.mean(shares["n_naive"]) > 0.15
    assert np.mean(shares["n_nominal"]) < 0.10


def test_a_short_window_is_refused_with_the_days_that_it_needs():
    with pytest.raises(SpecError, match="Give the study at least 6 days") as refused:
        _placebo(builders.world(1, n_days=5))
    assert refused.value.fields["needed_days"] == 2 * apart_days(LOOKBACK_DAYS, 240)


def test_at_most_so_many_rotations_are_made_and_told():
    told = []
    placebo = _placebo(
        builders.world(2, n_days=20),
        at_most=3,
        progress=lambda name, done, total: told.append((name, done, total)),
    )
    assert placebo.n_rotations == 3
    assert placebo.counts["shift_days"].to_list() == [0, 3, 10, 17]
    assert told[0] == ("the study itself", 1, 4)
    assert told[-1] == ("17 days", 4, 4)


def test_a_market_with_gaps_keeps_its_rules_under_rotation():
    made = builders.world(6, n_days=12)
    inputs = builders.inputs_of(made)
    holes = np.arange(inputs.bars_perp.height) % 7000 < 200
    gappy = replace(inputs, bars_perp=inputs.bars_perp.filter(~holes))
    arrays = prepare(gappy, FAMILY, builders.cost_model())
    moved = rotated(arrays, FAMILY, 5)
    symbol, entry, gross = _signed_events(moved)
    assert moved.paths.observed.fresh[symbol, entry].all()
    prices = moved.paths.world.prices
    end = entry + horizon_minutes("1h")
    expected = prices[symbol, end] / prices[symbol, entry] - 1.0
    np.testing.assert_allclose(gross, expected, rtol=1e-9)
    assert not math.isclose(gross.sum(), 0.0)
