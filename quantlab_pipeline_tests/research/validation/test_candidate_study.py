"""`candidate_studies`: whoever is followed has a row, and its figures are those of V1."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from quantlab_pipeline.research.validation.candidate_study import candidate_studies
from quantlab_pipeline.research.validation.evaluate import (
    FOLLOWED_REJECTS,
    evaluate_family,
    followed,
    question_of,
)
from quantlab_pipeline.research.validation.event_study import traded
from quantlab_pipeline.research.validation.family import expand_family
from quantlab_pipeline.research.validation.inputs import prepare
from quantlab_pipeline.research.validation.spec import V1Thresholds
from quantlab_pipeline.research.validation.study_schema import CANDIDATE_STUDIES
from quantlab_pipeline_tests.research.validation import builders

LIMITS = V1Thresholds(slice_min_days=3)
HORIZONS = ("5m", "15m", "1h", "4h")
BUDGET = 10_000


def _study(inputs, family, costs, candidates):
    return candidate_studies(inputs, family, costs, LIMITS.slice_min_days, candidates)


@pytest.fixture(scope="module")
def asked():
    """A family of 64 on a planted world: inputs, family, costs, its candidates, their studies."""
    made = builders.plant(builders.world(6, n_days=12), "calm_drop", 80.0, 60)
    inputs, costs = builders.inputs_of(made), builders.cost_model()
    family = builders.family(HORIZONS, builders.shipped_family().buckets[:2])
    family = family.model_copy(update={"templates": builders.shipped_family().templates[:2]})
    frame = evaluate_family(inputs, family, costs, LIMITS, BUDGET)
    return inputs, family, costs, frame, _study(inputs, family, costs, frame)


def test_every_followed_candidate_has_a_row_and_nobody_else(asked):
    *_, frame, studies = asked
    rows = list(frame.iter_rows(named=True))
    assert len(rows) > FOLLOWED_REJECTS
    expected = sorted(rows[k]["candidate_id"] for k in followed(rows))
    assert studies["candidate_id"].to_list() == expected
    CANDIDATE_STUDIES.validate(studies)


def test_a_study_agrees_with_the_row_that_it_explains(asked):
    inputs, *_, frame, studies = asked
    rows = {r["candidate_id"]: r for r in frame.iter_rows(named=True)}
    for study in studies.iter_rows(named=True):
        row = rows[study["candidate_id"]]
        assert study["curve"][-1]["mean_bps"] == pytest.approx(row["gross_bps"], abs=1e-9)
        assert study["days"][-1]["net_so_far_bps"] == pytest.approx(
            row["net_bps"] * row["n_events"], rel=1e-9, abs=1e-7
        )
        assert study["n_days"] == len(study["days"]) == len(inputs.days)
        assert study["stability"] == pytest.approx(row["stability"])
        (now,) = [r for r in study["cost_sweep"] if (r["axis"], r["value"]) == ("all", 1.0)]
        assert now["net_bps"] == pytest.approx(row["net_bps"], abs=1e-9)
        assert now["z"] == pytest.approx(min(row["z_raw"], row["z_contrast"]), abs=1e-9)
        multiple = next(b["value"] for b in study["break_evens"] if b["axis"] == "all")
        if row["gross_bps"] < 0.0:
            assert multiple is None
            assert study["break_even_cost_bps"] is None
        else:
            assert multiple == pytest.approx(row["cost_breakeven"])
            assert study["break_even_cost_bps"] == pytest.approx(row["gross_bps"])
        assert study["best_usd"] == pytest.approx(4 / 9 * study["break_even_usd"])


def test_the_best_size_is_the_square_root_laws_by_hand(asked):
    """4/9 ((e - c) / (2 Y s))^2, s the mean of sigma_d / sqrt(V_d) over the events."""
    inputs, family, costs, frame, studies = asked
    arrays = prepare(inputs, family, costs)
    rows = {r["candidate_id"]: r for r in frame.iter_rows(named=True)}
    tried = 0
    for candidate in expand_family(family, question_of(inputs), costs):
        mine = studies.filter(candidate_id=candidate.candidate_id)
        if mine.is_empty() or mine["best_usd"][0] == 0.0:
            continue
        events = traded(arrays, family, candidate).chosen
        s = np.mean(arrays.costs.sigma_d_bps[events] / np.sqrt(arrays.costs.volume_usd[events]))
        left = rows[candidate.candidate_id]["gross_bps"] - 3.0
        assert mine["best_usd"][0] == pytest.approx(4 / 9 * (left / (2 * 0.7 * s)) ** 2, rel=1e-9)
        tried += 1
    assert tried > 2


def test_the_table_does_not_depend_on_the_order_of_what_it_reads(asked):
    inputs, family, costs, frame, studies = asked
    shuffled = replace(inputs, events=inputs.events.sample(fraction=1.0, shuffle=True, seed=3))
    again = _study(shuffled, family, costs, frame.sample(fraction=1.0, shuffle=True, seed=4))
    assert again.equals(studies)


def test_a_family_that_could_not_be_tested_has_no_studies(asked):
    inputs, family, costs, frame, _ = asked
    none = frame.with_columns(p=pl.lit(None, pl.Float64))
    assert _study(inputs, family, costs, none).equals(CANDIDATE_STUDIES.empty())


def test_a_world_without_impact_has_no_best_size(asked):
    inputs, family, *_ = asked
    free = builders.free()
    frame = evaluate_family(inputs, family, free, LIMITS, BUDGET)
    studies = _study(inputs, family, free, frame)
    ahead = studies.filter(pl.col("break_even_cost_bps") > 0.0)
    assert ahead.height
    assert ahead["best_usd"].null_count() == ahead.height
    CANDIDATE_STUDIES.validate(studies)
