"""A FAIL that is served and one that is measured anew are the same to the byte."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from quantlab_pipeline.research.validation import evaluate
from quantlab_pipeline.research.validation.answers import answers_frame, served_from
from quantlab_pipeline.research.validation.spec import Bucket, V1Thresholds
from quantlab_pipeline.storage.trial_answers import TrialAnswers
from quantlab_pipeline.storage.writing import encode_parquet
from quantlab_pipeline_tests.research.validation import builders

LIMITS = V1Thresholds()
FAMILY = builders.family(
    horizons=("15m", "1h"),
    buckets=(builders.ALL, Bucket(name="high", column="vol_regime", value="high")),
)


@pytest.fixture(scope="module")
def inputs():
    made = builders.plant(builders.world(11, n_days=24), "calm_drop", 80.0, 60)
    return builders.inputs_of(made, admitted=("calm_drop",))


def run(inputs, **more):
    kept = []
    costs = builders.cost_model()
    frame = evaluate.evaluate_family(
        inputs, FAMILY, costs, LIMITS, 10_000, keep=kept.append, **more
    )
    return frame, kept[0]


@pytest.fixture(scope="module")
def measured(inputs):
    return run(inputs)


def through_the_file(measured, folder):
    """Answers as they come back from the disk."""
    answers = TrialAnswers(folder)
    return served_from(answers.load(answers.keep(answers_frame(measured))))


def test_every_measured_row_comes_back_bit_for_bit(measured, tmp_path):
    _, whole = measured
    served = through_the_file(whole, tmp_path)
    tested = [k for k, row in enumerate(whole.rows) if row["not_evaluable"] is None]
    assert len(served) == len(tested) == 8, "the type that was not admitted is asked anew"
    for k in tested:
        row, daily = served[whole.rows[k]["candidate_hash"]]
        assert exact(row) == exact(whole.rows[k])
        assert daily.tobytes() == whole.daily_net[k].tobytes()


def exact(row):
    """Every digit of a row's values, whatever library holds them."""
    return {n: repr(v.item() if isinstance(v, np.generic) else v) for n, v in row.items()}


def test_the_table_is_the_same_to_the_byte_and_served_cells_are_not_measured(
    inputs, measured, tmp_path, monkeypatch
):
    frame, whole = measured
    served = through_the_file(whole, tmp_path)
    tested = frame.filter(frame["p"].is_not_null())
    one = tested.filter(tested["horizon"] == "1h", tested["bucket"] == "all")
    both, alone = one["candidate_hash"].to_list(), one["candidate_hash"][:1].to_list()
    cells = []
    measure = evaluate.measure_cell
    monkeypatch.setattr(
        evaluate, "measure_cell", lambda *args: cells.append(args) or measure(*args)
    )
    for names, left in ((served, 0), (both, 3), (alone, 4), ((), 4)):
        cells.clear()
        again, kept = run(inputs, served={name: served[name] for name in names})
        assert encode_parquet(again) == encode_parquet(frame)
        assert encode_parquet(answers_frame(kept)) == encode_parquet(answers_frame(whole))
        assert len(cells) == left, "a cell is measured unless both its sides are served"


def test_a_served_candidate_that_cannot_be_tested_any_more_is_not_evaluable(
    inputs, measured, tmp_path
):
    _, whole = measured
    served = through_the_file(whole, tmp_path)
    frame, _ = run(replace(inputs, admitted=()), served=served)
    assert set(frame["status"]) == {"NOT_EVALUABLE"}
    assert frame["p"].null_count() == frame.height


def test_a_refused_family_is_not_measured(inputs):
    kept = []
    frame = evaluate.evaluate_family(
        inputs, FAMILY, builders.cost_model(), LIMITS, 10_000, refused="FAMILY_CHANGED",
        keep=kept.append,
    )  # fmt: skip
    assert not kept
    assert set(frame["not_evaluable"]) == set(frame["reason_codes"]) == {"FAMILY_CHANGED"}
    assert frame["net_bps"].null_count() == frame["n_events"].to_list().count(0) == frame.height
