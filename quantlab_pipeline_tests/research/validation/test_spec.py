"""Templates, buckets and the shipped family."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from pydantic import ValidationError

from quantlab_pipeline.research.validation.spec import Bucket, CandidateFamily, Template
from quantlab_pipeline_tests.research.validation import builders


def test_signs_of_each_rule():
    values = np.array([-2.0, 0.0, 0.1, 0.2, 0.5, 0.8, 3.0, np.nan])
    against = Template(name="a", rule="against", feature="x")
    outside = Template(name="b", rule="outside", feature="x", low=0.2, high=0.8)
    np.testing.assert_array_equal(against.signs(values), [1, 0, -1, -1, -1, -1, -1, 0])
    np.testing.assert_array_equal(outside.signs(values), [-1, -1, -1, -1, 0, 1, 1, 0])
    np.testing.assert_array_equal(builders.DIRECTIONAL.signs(values), np.ones(8))


@pytest.mark.parametrize(
    "fields",
    [
        {"name": "a", "rule": "against"},
        {"name": "a", "rule": "constant", "feature": "x"},
        {"name": "a", "rule": "outside", "feature": "x", "low": 0.8, "high": 0.2},
        {"name": "a", "rule": "against", "feature": "x", "low": 0.1, "high": 0.2},
    ],
)
def test_a_template_that_means_nothing_is_refused(fields):
    with pytest.raises(ValidationError):
        Template(**fields)


def test_buckets_admit_their_regime_only():
    frame = pl.DataFrame({"vol_regime": ["low", "high", "unknown"]})
    low = Bucket(name="vol_low", column="vol_regime", value="low")
    assert frame.with_columns(low.admits().alias("x"))["x"].to_list() == [True, False, False]
    assert frame.with_columns(builders.ALL.admits().alias("x"))["x"].to_list() == [True] * 3
    with pytest.raises(ValidationError):
        Bucket(name="broken", column="vol_regime")


def test_the_shipped_family_is_whole():
    family = builders.shipped_family()
    assert family.size(20) == 20 * 5 * 5 * 4 * 2
    assert family.features() == ["funding_last_bps", "range_pos_1d", "ret_1h_bps"]


def test_names_may_not_repeat():
    with pytest.raises(ValidationError, match="twice"):
        CandidateFamily(
            family_id="f",
            version=1,
            buckets=[builders.ALL, builders.ALL],
            horizons=["1h"],
            templates=[builders.DIRECTIONAL],
        )
