"""A single candidate's curve, days and slices: they add up to its row of V1."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantlab_pipeline.core.clocks import DAY_MINUTES
from quantlab_pipeline.research.validation.evaluate import evaluate_family, question_of
from quantlab_pipeline.research.validation.event_study import (
    candidate_curve,
    day_rows,
    holm,
    slice_rows,
    traded,
)
from quantlab_pipeline.research.validation.family import expand_family
from quantlab_pipeline.research.validation.inputs import prepare
from quantlab_pipeline.research.validation.spec import V1Thresholds
from quantlab_pipeline_tests.oracles.calendar_time import calendar_time
from quantlab_pipeline_tests.research.validation import builders

FEW_DAYS = 3
HORIZONS = ("15m", "1h")


@pytest.fixture(scope="module")
def asked():
    """A planted world's arrays, its candidates by name, and their rows of V1."""
    made = builders.plant(builders.world(6, n_days=12), "calm_drop", 40.0, 60)
    inputs, family, costs = (
        builders.inputs_of(made),
        builders.family(HORIZONS),
        builders.cost_model(),
    )
    limits = V1Thresholds(slice_min_days=FEW_DAYS)
    frame = evaluate_family(inputs, family, costs, limits, 10_000)
    arrays = prepare(inputs, family, costs)
    rows = {r["candidate_id"]: r for r in frame.iter_rows(named=True)}
    return arrays, family, expand_family(family, question_of(inputs), costs), rows, inputs.days


def test_the_curve_ends_at_the_candidates_effect_and_passes_its_entry_at_zero(asked):
    arrays, family, candidates, rows, _ = asked
    for candidate in candidates:
        points = candidate_curve(arrays, family, traded(arrays, family, candidate))
        minutes = [p.minute for p in points]
        assert minutes == sorted(set(minutes))
        assert (minutes[0], minutes[-1]) == ((-15, 15) if candidate.horizon == "15m" else (-60, 60))
        assert points[-1].mean_bps == pytest.approx(
            rows[candidate.candidate_id]["gross_bps"], abs=1e-9
        )
        (here,) = [p for p in points if p.minute == 0]
        assert here[1:5] == (0.0, 0.0, 0.0, 0.0)
        assert all(p.low_bps < p.mean_bps < p.high_bps for p in points if p.minute)


def test_before_the_entry_the_curve_is_minus_the_way_that_led_to_it(asked):
    arrays, family, candidates, _, _ = asked
    events = traded(arrays, family, candidates[0])
    prices = arrays.paths.world.prices
    symbol, entry = arrays.symbol[events.chosen], arrays.entry[events.chosen]
    (point,) = [p for p in candidate_curve(arrays, family, events) if p.minute == -15]
    start = prices[symbol, entry - 15]
    led = events.sign * (prices[symbol, entry] / start - 1.0)
    assert point.n_events == entry.size
    assert point.mean_bps == pytest.approx(-1e4 * led.mean(), abs=1e-9)


def test_mirrored_sides_have_mirrored_curves(asked):
    arrays, family, candidates, _, _ = asked
    long, short = (
        candidate_curve(arrays, family, traded(arrays, family, c)) for c in candidates[:2]
    )
    assert [p.mean_bps for p in long] == pytest.approx([-p.mean_bps for p in short], abs=1e-9)
    assert [p.se_bps for p in long] == pytest.approx([p.se_bps for p in short], abs=1e-12)


def test_days_add_up_to_all_events_and_to_the_slow_series(asked):
    arrays, family, candidates, rows, days = asked
    candidate = candidates[0]
    events = traded(arrays, family, candidate)
    held = [
        (int(arrays.symbol[k]), int(arrays.entry[k]), float(s))
        for k, s in zip(events.chosen, events.sign, strict=True)
    ]
    world = arrays.paths.world
    funding = np.zeros_like(world.prices)
    slow = np.array(calendar_time(world.prices, funding, held, events.horizon_min)[0])
    frame = day_rows(arrays, events, slow, days)
    row = rows[candidate.candidate_id]
    assert frame["day"].to_list() == list(days)
    assert frame["gross_bps"].sum() == pytest.approx(row["gross_bps"] * row["n_events"], rel=1e-9)
    assert frame["cost_bps"].sum() == pytest.approx(row["cost_bps"] * row["n_events"], rel=1e-9)
    assert frame["net_so_far_bps"][-1] == pytest.approx(row["net_bps"] * row["n_events"], rel=1e-9)
    assert frame["gross_bps"][3] == pytest.approx(
        1e4 * slow[3 * DAY_MINUTES : 4 * DAY_MINUTES].sum(), abs=1e-9
    )


def test_slices_say_what_v1_judged_by(asked):
    arrays, family, candidates, rows, _ = asked
    for candidate in candidates:
        row, slices = rows[candidate.candidate_id], slice_rows(arrays, family, candidate, FEW_DAYS)
        assert slices.height == row["n_slices"] > 4
        assert slices["holm_p"].min() == pytest.approx(row["slice_holm_p"], rel=1e-12)
        assert slices["z"].min() == pytest.approx(row["worst_slice_z"], rel=1e-12)
        assert (slices["net_bps"] > 0.0).mean() == pytest.approx(row["stability"])
        assert slices["days"].min() >= FEW_DAYS
        halves = slices.filter(partition="half")
        assert halves["n_events"].sum() == row["n_events"]
        assert halves["days"].sum() == row["active_days"]


@pytest.mark.parametrize("n", [1, 2, 17])
def test_holm_equals_statsmodels(n):
    from statsmodels.stats.multitest import multipletests

    p = np.random.default_rng(n).random(n) ** 6
    p[n // 2] = p[0]
    np.testing.assert_allclose(holm(p), multipletests(p, method="holm")[1], rtol=1e-12, atol=0)


@given(st.lists(st.floats(0.0, 1.0), min_size=1, max_size=20))
def test_holm_keeps_the_order_and_multiplies_the_least_by_all(values):
    p = np.array(values)
    adjusted = holm(p)
    assert adjusted.min() == min(1.0, p.size * p.min())
    assert (np.diff(adjusted[np.argsort(p, kind="stable")]) >= 0.0).all()
    assert (adjusted >= p).all()


def test_without_events_there_is_no_curve_and_no_slice(asked):
    arrays, family, candidates, _, _ = asked
    events = traded(arrays, family, candidates[0])
    none = events._replace(chosen=events.chosen[:0], sign=events.sign[:0])
    assert candidate_curve(arrays, family, none) == []
    assert holm(np.array([])).size == 0
