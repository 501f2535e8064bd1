"""The specs: closed, checked against what the verbs need, and clear when they are wrong."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from quantlab_pipeline.core.errors import SpecError
from quantlab_pipeline.research.features.computations import COMPUTATIONS
from quantlab_pipeline.research.features.schema import features_schema
from quantlab_pipeline.research.features.spec import FeatureSpecs, Pit1Thresholds
from quantlab_pipeline.research.features.verbs import CUSTOM, VERBS
from quantlab_pipeline_tests.research.features.builders import SPEC_FILE, shipped_specs

BODY: dict[str, Any] = yaml.safe_load(SPEC_FILE.read_text())


def _wrong(path: str, value: Any) -> str:
    """Set `feature/key` of the shipped document, and return the error."""
    body = copy.deepcopy(BODY)
    feature, _, key = path.partition("/")
    body["features"][feature][key] = value
    with pytest.raises(ValidationError) as raised:
        FeatureSpecs.model_validate(body)
    return str(raised.value)


def test_every_shipped_feature_has_a_verb_a_unit_and_a_meaning() -> None:
    specs = shipped_specs()
    assert len(specs.names) == 51
    assert specs.lookback_days == 8
    schema = features_schema(specs)
    assert schema.names == ["symbol", "ts", "available_at", *specs.names]
    for name, spec in specs.features.items():
        if spec.unit == "bps":
            assert name.endswith("_bps"), name
        if spec.unit == "min":
            assert name.endswith("_min"), name
        if spec.unit == "flag":
            assert name.endswith("_flag"), name


def test_each_verb_has_a_computation_and_a_shipped_feature_whose_oracle_tries_it() -> None:
    # test_build demands an oracle of every shipped feature.
    assert set(COMPUTATIONS) == set(VERBS) - {CUSTOM}
    assert {spec.verb for spec in shipped_specs().features.values()} == set(COMPUTATIONS)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("spread_bps/verb", "rolling_rnk", "the nearest is `rolling_rank`"),
        ("spread_bps/inputs", ["tob_1m_agg.spread_bps_men"], "the nearest is `spread_bps_mean`"),
        ("spread_bps/inputs", ["tob_1m_ag.spread_bps_mean"], "the nearest is `tob_1m_agg`"),
        ("spread_bps/inputs", ["features.spread_bps"], "which is not stated above it"),
        ("spread_bps/params", {"scal": 1.0}, "does not know the parameter `scal`; it knows scale"),
        ("spread_rank_1d/params", {"window_min": 1}, "`window_min`"),
        ("spread_rank_1d/params", {}, "`window_min`"),
        ("atr_1h_bps/min_valid", 60, "lets the recursion's first row show; it takes 1097 rows"),
        ("spread_rank_1d/min_valid", 1441, "more than the window's 1440 rows"),
        ("spread_rank_1d/lookback_min", 1440, "states `lookback_min` 1440, but it is 1439"),
        ("spread_rank_1d/warmup_min", 0, "states `warmup_min` 0, but it is 359"),
        ("spread_q95_1d_bps/params", {"window_min": 1440, "q": 1.0}, "`q`"),
        ("rv_1h_rank_7d/lookback_min", 10080, "but it is 10139"),
        ("amihud_rank_1d/needs", ["funding"], "but it is ['bars_1m_perp']"),
        ("spread_bps/unit", "percent", "unit"),
        ("spread_bps/lookback", 3, "lookback"),
        ("spread_bps/inputs", ["tob_1m_agg.ts", "tob_1m_agg.ts"], "takes 1 inputs, not 2"),
        ("depth_collapse_flag/params", {"at_least": 1.0, "at_most": 0.0}, "exactly one"),
        ("liquidity_stress/params", {"weight_spread": 1.0}, "weight_depth"),
        (
            "atr_1h_bps/params",
            {"window_min": 60, "restart_before_day_min": 720},
            "it takes 1097 rows to forget it",
        ),
    ],
)
def test_a_wrong_spec_is_one_clear_error(path: str, value: Any, message: str) -> None:
    assert message in _wrong(path, value)


def test_an_unknown_table_is_named_with_its_nearest() -> None:
    body = copy.deepcopy(BODY)
    body["tables"]["fundng"] = {"max_age_min": 3}
    with pytest.raises(ValidationError, match="nearest is `funding`"):
        FeatureSpecs.model_validate(body)


def test_an_older_row_allowed_lengthens_the_lookback() -> None:
    body = copy.deepcopy(BODY)
    body["tables"]["open_interest"] = {"max_age_min": 9}
    with pytest.raises(ValidationError, match="states `lookback_min` 12, but it is 14"):
        FeatureSpecs.model_validate(body)


def test_specs_are_named_by_their_content() -> None:
    specs = shipped_specs()
    assert specs.spec_hash() == shipped_specs().spec_hash()
    body = copy.deepcopy(BODY)
    body["features"]["spread_bps"]["meaning"] = "Another meaning of it."
    assert FeatureSpecs.model_validate(body).spec_hash() != specs.spec_hash()


def test_shipped_thresholds_are_the_declared_ones() -> None:
    gates = yaml.safe_load((SPEC_FILE.parent / "gates.yaml").read_text())
    assert Pit1Thresholds.model_validate(gates["pit1"]) == Pit1Thresholds()


def test_a_subset_keeps_what_its_features_are_made_of() -> None:
    specs = shipped_specs()
    assert specs.only(["liquidity_stress"]).names == [
        "spread_bps", "spread_rank_1d", "depth_usd", "depth_rank_1d", "imbalance",
        "liquidity_stress",
    ]  # fmt: skip
    assert specs.only(specs.names) == specs
    with pytest.raises(SpecError, match=r"Did you mean spread_bps\?"):
        specs.only(["spred_bps"])


def test_twice_the_warm_up_reaches_further_and_concerns_recursions_alone() -> None:
    specs = shipped_specs()
    twice, concerned = specs.with_twice_the_warmup()
    assert concerned == ["atr_1h_bps"]
    assert twice.features["atr_1h_bps"].lookback_min == 2880 + 1440
    assert twice.features["atr_1h_rank_1d"].lookback_min == 4319 + 1440
    unchanged = [n for n in specs.names if not n.startswith("atr_1h")]
    assert all(twice.features[n] == specs.features[n] for n in unchanged)
