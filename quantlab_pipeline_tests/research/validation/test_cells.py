"""One cell's figures: detectable effects of both statistics, intervals, mirrored sides, copies."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from quantlab_pipeline.kernels.calendar_time import CalendarSums
from quantlab_pipeline.research.validation.cells import POWER_Z, smallest_effect
from quantlab_pipeline.research.validation.evaluate import (
    evaluate_family,
    measure_family,
    question_of,
    reasons_of,
)
from quantlab_pipeline.research.validation.family import expand_family
from quantlab_pipeline.research.validation.inputs import prepare
from quantlab_pipeline.research.validation.multiplicity import first_step_z
from quantlab_pipeline.research.validation.spec import V1Thresholds
from quantlab_pipeline_tests.research.validation import builders

LIMITS, BUDGET = V1Thresholds(), 10_000


def _evaluate(made, family=None, costs=None):
    family, costs = family or builders.family(), costs or builders.cost_model(impact_y=0.0)
    return evaluate_family(builders.inputs_of(made), family, costs, LIMITS, BUDGET)


def _long(frame):
    return frame.filter(side=1).row(0, named=True)


# --- the smallest effect that can be found -----------------------------------------------------


def test_the_smallest_effect_by_hand():
    """10 events, cost 2 each, z = 4. Raw: V = 100, 4 x 10 / 10 = 4. Contrast: V = 64, half kept:
    (4 x 8 / 10 + 2) / 0.5 - 2 = 8.4: it sees half of the gross effect and pays the whole cost.
    """
    sums = CalendarSums(0.0, 100.0, 0.0, 64.0, 0.5)
    assert smallest_effect(sums, 10, 20.0, 4.0) == pytest.approx(8.4)
    assert smallest_effect(sums, 10, 0.0, 4.0) == pytest.approx(6.4)
    assert smallest_effect(sums._replace(kept=1.0), 10, 20.0, 4.0) == pytest.approx(4.0)


@pytest.mark.parametrize(
    "without", [{"kept": 0.0}, {"kept": -0.2}, {"variance": 0.0}, {"contrast_variance": 0.0}]
)
def test_no_effect_can_be_found_where_the_contrast_keeps_none_or_nothing_varies(without):
    sums = CalendarSums(0.0, 100.0, 0.0, 64.0, 0.5)._replace(**without)
    assert smallest_effect(sums, 10, 20.0, 4.0) is None


@pytest.mark.parametrize("horizon", ["1h", "4h"])
def test_an_effect_of_the_reported_size_brings_the_smaller_z_to_what_is_needed(horizon):
    """Planted net of cost on the same noise: what both z gain over the bare world before costs."""
    family, minutes = builders.family((horizon,)), {"1h": 60, "4h": 240}[horizon]
    made = builders.world(31, n_days=40)
    made = replace(made, events={"calm_drop": made.events["calm_drop"]})
    bare = _long(_evaluate(made, family))
    edge = bare["mde80_bps"] + bare["cost_bps"]
    edged = builders.plant(made, "calm_drop", edge, minutes)
    row = _long(_evaluate(edged, family))
    noise = _long(_evaluate(made, family, builders.free()))
    gained = [row[z] - noise[z] for z in ("z_raw", "z_contrast")]
    needed = first_step_z(LIMITS.q, BUDGET) + POWER_Z
    assert min(gained) == pytest.approx(needed, abs=0.3)


def test_a_candidate_that_is_always_on_is_underpowered():
    """Its contrast keeps next to nothing of an effect, and is charged the whole cost."""
    made = builders.world(32, n_symbols=1, n_days=30)
    minutes = np.arange(0, made.prices.shape[1] - 61, 60)
    always = np.stack([np.zeros_like(minutes), minutes], axis=1)
    row = _long(_evaluate(replace(made, events={"always": always})))
    assert row["mde80_bps"] is None or row["mde80_bps"] > 100 * row["cost_bps"]
    assert row["status"] == "UNDERPOWERED"
    assert "MDE_TOO_LARGE" in row["reason_codes"]


# --- the interval ------------------------------------------------------------------------------


def test_the_interval_is_the_calendar_times_own():
    made = builders.world(33, n_days=20)
    for row in _evaluate(made).iter_rows(named=True):
        half = 1.959963984540054 * abs(row["net_bps"] / row["z_raw"])
        assert row["ci95_low_bps"] == pytest.approx(row["net_bps"] - half, rel=1e-9)
        assert row["ci95_high_bps"] == pytest.approx(row["net_bps"] + half, rel=1e-9)


def test_without_events_every_figure_of_inference_is_null():
    made = builders.world(34, n_symbols=1, n_days=10)
    frame = _evaluate(replace(made, events={**made.events, "never": np.empty((0, 2), np.int64)}))
    row = frame.filter(event_type="calm_drop", side=1).row(0, named=True)
    assert row["z_hac"] is not None
    costs, inputs = builders.cost_model(), builders.inputs_of(made)
    empty = replace(inputs, events=inputs.events.filter(pl.col("event_type") == "none"))
    table = evaluate_family(empty, builders.family(), costs, LIMITS, BUDGET)
    names = ("z_raw", "z_hac", "z_two_way", "p", "se_bps", "mde80_bps", "ci95_low_bps")
    assert all(table[name].null_count() == table.height for name in names)


# --- copies and mirrors ------------------------------------------------------------------------


def _doubled(made):
    """Every symbol a second time under another name: a second venue with the same prices."""
    n = made.prices.shape[0]
    events = {t: np.vstack([rows, rows + np.array([n, 0])]) for t, rows in made.events.items()}
    return replace(
        made,
        returns=np.vstack([made.returns] * 2),
        prices=np.vstack([made.prices] * 2),
        events=events,
    )


@pytest.mark.parametrize("n_symbols", [1, 3])
def test_a_second_venue_moves_no_z_and_the_naive_t_by_the_root_of_two(n_symbols):
    made = builders.world(35, n_symbols=n_symbols, n_days=25)
    once, twice = (
        _evaluate(m, builders.shipped_family()).filter(pl.col("n_events") > 1)
        for m in (made, _doubled(made))
    )
    keys = ["event_type", "bucket", "horizon", "template", "side"]
    pairs = once.join(twice, on=keys, suffix="_2")
    assert pairs.height == once.height
    for name in ("z_raw", "z_contrast", "p", "q_bh"):
        assert (pairs[name] - pairs[f"{name}_2"]).abs().max() <= 1e-9
    for name in ("mde80_bps", "se_bps", "ci95_low_bps", "n_eff"):
        scale = pairs[name].abs() + 1.0
        assert ((pairs[name] - pairs[f"{name}_2"]).abs() / scale).max() <= 1e-9
    n = pairs["n_events"].to_numpy()
    # The deviation's own n - 1 moves it a little beside the root of two.
    root = np.sqrt(2.0) * np.sqrt((2 * n - 1) / (2 * n - 2))
    ratio = (pairs["z_naive_2"] / pairs["z_naive"]).to_numpy()
    np.testing.assert_allclose(ratio, root, rtol=1e-9)


def test_both_sides_of_every_template_mirror_their_gross_effect_exactly():
    """S3-49: four rules, each with its other side, opposite before costs and alike in cost."""
    frame = _evaluate(builders.world(36, n_days=12), builders.shipped_family())
    assert frame["template"].n_unique() == 4
    keys = ["event_type", "bucket", "horizon", "template"]
    pairs = frame.filter(side=1).join(frame.filter(side=-1), on=keys, suffix="_2")
    assert pairs.height * 2 == frame.height
    traded = pairs.filter(pl.col("n_events") > 0)
    assert traded["template"].n_unique() == 4
    assert (traded["gross_bps"] == -traded["gross_bps_2"]).all()
    for name in ("n_events", "n_dropped", "cost_bps", "sigma_h_bps", "n_eff", "mde80_bps"):
        assert traded[name].equals(traded[f"{name}_2"], check_names=False)


# --- threads -----------------------------------------------------------------------------------


def test_the_number_of_threads_changes_no_byte():
    made, family, costs = builders.world(37, n_days=12), builders.shipped_family(), builders.free()
    inputs = builders.inputs_of(made)
    arrays, candidates = (
        prepare(inputs, family, costs),
        expand_family(family, question_of(inputs), costs),
    )
    work = arrays, candidates, reasons_of(inputs, family), family, costs, LIMITS, BUDGET
    one, three = (measure_family(*work, n_threads=k) for k in (1, 3))
    assert one.rows == three.rows
    assert one.daily_net.tobytes() == three.daily_net.tobytes()
    tested = [k for k, row in enumerate(one.rows) if row["n_events"]]
    net = np.array([one.rows[k]["net_bps"] * one.rows[k]["n_events"] for k in tested])
    np.testing.assert_allclose(1e4 * one.daily_net[tested].sum(axis=1), net, atol=1e-6)


def test_candidates_out_of_order_get_their_own_figures():
    made, family, costs = (
        builders.world(38, n_days=9),
        builders.family(("5m", "1h")),
        builders.free(),
    )
    inputs = builders.inputs_of(made)
    arrays, candidates = (
        prepare(inputs, family, costs),
        expand_family(family, question_of(inputs), costs),
    )
    reasons, rest = reasons_of(inputs, family), (family, costs, LIMITS, BUDGET)
    rows = measure_family(arrays, candidates, reasons, *rest).rows
    order = np.random.default_rng(1).permutation(len(candidates))
    shuffled = measure_family(arrays, [candidates[k] for k in order], reasons, *rest).rows
    assert shuffled == [rows[k] for k in order]


def test_an_error_in_a_thread_is_raised():
    made, family, costs = builders.world(39, n_days=3), builders.family(), builders.free()
    inputs = builders.inputs_of(made)
    candidates = expand_family(family, question_of(inputs), costs)
    arrays = replace(prepare(inputs, family, costs), signs={})
    work = arrays, candidates, reasons_of(inputs, family), family, costs, LIMITS, BUDGET
    with pytest.raises(KeyError, match="directional"):
        measure_family(*work, n_threads=2)


def test_an_interval_of_a_null_world_is_as_wide_as_the_noise():
    """Over 40 worlds without an effect the net means scatter as their intervals say."""
    rows = [
        _evaluate(builders.world(400 + k, n_days=12), costs=builders.free())
        .filter(event_type="calm_drop", side=1)
        .row(0, named=True)
        for k in range(40)
    ]
    inside = sum(r["ci95_low_bps"] <= 0.0 <= r["ci95_high_bps"] for r in rows)
    # 0.95 each: fewer than 33 of 40 have odds below 1e-3.
    assert inside >= 33
