"""Grades against a slow loop over minutes, and on worlds whose answer is known beforehand."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import polars as pl
import pytest

from quantlab_pipeline.calibration.grade import GRADES, grade_candidates
from quantlab_pipeline.core.clocks import MINUTE_US, day_start, to_us
from quantlab_pipeline.core.errors import SchemaError
from quantlab_pipeline.research.validation.cells import choose
from quantlab_pipeline.research.validation.inputs import prepare
from quantlab_pipeline.research.validation.spec import horizon_minutes
from quantlab_pipeline_tests.calibration import builders


@cache
def graded(truth=None):
    run, documents = builders.small_run(), builders.documents()
    some = run.candidates.filter(
        pl.col("horizon").is_in(["15m", "1h", "4h"]), pl.col("bucket").is_in(["all", "vol_low"])
    )
    truth = truth or builders.small_world().truth
    return grade_candidates(some, run.inputs, documents.family, documents.costs, truth)


def minute_by_minute(row, arrays, truth, family, n_minutes):
    """Mean drift of a candidate's events, raw and contrast, with positions laid out one by one."""
    h = family.horizons.index(row["horizon"])
    chosen, _ = choose(arrays, row["event_type"], row["bucket"], h, row["template"])
    simple = np.expm1(truth.drift_log)
    held = np.zeros((len(arrays.symbols), n_minutes))
    raw = 0.0
    for e in chosen:
        i, first = arrays.symbol[e], arrays.entry[e] + 1
        sign = row["side"] * arrays.signs[row["template"]][e]
        value = 1.0
        for t in range(first, first + horizon_minutes(row["horizon"])):
            value *= 1.0 + simple[i, t]
            held[i, t] += sign
        raw += sign * (value - 1.0)
    against = held - held.mean(axis=1, keepdims=True)
    contrast = float((against * simple[:, :n_minutes]).sum())
    return 1e4 * raw / chosen.size, 1e4 * contrast / chosen.size


def test_grades_equal_the_loop():
    run, family = builders.small_run(), builders.documents().family
    truth = builders.small_world().truth
    arrays = prepare(run.inputs, family, builders.documents().costs)
    tested = graded().filter(pl.col("n_events") > 0)
    assert set(tested["template"]) == {"directional", "mean_reversion", "carry", "breakout"}
    for row in tested.sample(40, seed=1).iter_rows(named=True):
        raw, contrast = minute_by_minute(row, arrays, truth, family, len(run.inputs.days) * 1440)
        assert row["true_gross_bps"] == pytest.approx(raw, abs=1e-9)
        assert row["true_net_bps"] == pytest.approx(raw - row["cost_bps"], abs=1e-9)
        assert row["true_contrast_net_bps"] == pytest.approx(contrast - row["cost_bps"], abs=1e-9)
        assert row["truly_null"] == (min(raw, contrast) - row["cost_bps"] <= 0)


def test_the_whole_drift_is_found_on_its_side_and_horizon():
    """An event seen at once earns just what was planted: a minute off would lose a sixtieth."""
    own = graded().filter(
        pl.col("event_type") == "oi_surge",
        pl.col("template") == "directional",
        pl.col("bucket") == "all",
    )
    gross = {(r["horizon"], r["side"]): r for r in own.iter_rows(named=True)}
    assert gross["1h", -1]["true_gross_bps"] == pytest.approx(29.5, abs=1e-6)
    assert gross["1h", 1]["true_gross_bps"] == pytest.approx(-29.5, abs=1e-6)
    assert gross["15m", -1]["true_gross_bps"] == pytest.approx(7.375, abs=0.02)
    assert not gross["1h", -1]["truly_null"]
    assert gross["1h", 1]["truly_null"]
    assert gross["15m", -1]["truly_null"]


def test_a_world_without_drift_is_null_throughout():
    truth = builders.small_world().truth
    flat = graded(replace(truth, drift_log=np.zeros_like(truth.drift_log)))
    tested = flat.filter(pl.col("n_events") > 0)
    assert tested["truly_null"].all()
    np.testing.assert_allclose(tested["true_net_bps"], -tested["cost_bps"], rtol=1e-12)


def test_a_steady_drift_is_raw_alone():
    """What a symbol earns all the time is no edge: the contrast has nothing left of it."""
    truth = builders.small_world().truth
    steady = graded(replace(truth, drift_log=np.full_like(truth.drift_log, 2e-5)))
    longs = steady.filter(
        pl.col("horizon") == "4h", pl.col("template") == "directional", pl.col("side") == 1
    ).filter(pl.col("n_events") > 0)
    np.testing.assert_allclose(longs["true_gross_bps"], 48.1, atol=0.1)
    np.testing.assert_allclose(longs["true_contrast_net_bps"], -longs["cost_bps"], atol=0.15)
    assert longs["truly_null"].all()


def test_a_candidate_without_events_has_no_grade():
    run, documents = builders.small_run(), builders.documents()
    empty = run.candidates.head(1).with_columns(pl.lit(0, pl.Int64).alias("n_events"))
    row = grade_candidates(
        empty, run.inputs, documents.family, documents.costs, builders.small_world().truth
    )
    assert row.select(list(GRADES)).row(0) == (None, None, None, None)


def test_other_tables_than_the_candidates_own_are_refused():
    run, documents = builders.small_run(), builders.documents()
    one = run.candidates.filter(pl.col("n_events") > 9).head(1)
    early = run.inputs.events.filter(
        pl.col("ts").dt.epoch("us") < to_us(day_start(run.inputs.days[2])) + MINUTE_US
    )
    with pytest.raises(SchemaError, match="the tables give"):
        grade_candidates(
            one,
            replace(run.inputs, events=early),
            documents.family,
            documents.costs,
            builders.small_world().truth,
        )
