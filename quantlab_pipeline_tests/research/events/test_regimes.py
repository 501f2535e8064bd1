"""Regimes: their edges, what is unknown, no word from the future, and a planted one recovered."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from quantlab_pipeline.core.clocks import TS
from quantlab_pipeline.core.errors import SpecError
from quantlab_pipeline.research.events.checks import check_registry
from quantlab_pipeline.research.events.regimes import label_of, regime_of
from quantlab_pipeline.research.events.spec import EventRegistry, Regime, Regimes
from quantlab_pipeline.research.features.build import build_features
from quantlab_pipeline.research.features.inputs import FeatureInputs
from quantlab_pipeline.worlds import paths
from quantlab_pipeline.worlds.market import World, generate
from quantlab_pipeline_tests.research.events.builders import (
    feature_specs,
    features,
    project_registry,
)
from quantlab_pipeline_tests.worlds.builders import shipped

START = datetime(2025, 3, 1, tzinfo=UTC)
REGISTRY = project_registry()
TRAILING = {"kind": "trailing", "at": ["rv_1h_mean_1d_bps"]}
MEAN = {
    "meaning": "Mean of the hour's volatility over the last day.",
    "unit": "bps",
    "inputs": ["features.rv_1h_bps"],
    "verb": "rolling_mean",
    "params": {"window_min": 1440},
    "aggregation": "mean",
    "normalisation": "none",
    "lookback_min": 1499,
    "warmup_min": 404,
    "min_valid": 360,
    "needs": ["bars_1m_perp"],
}


def regime(**changes: Any) -> Regime:
    body = {
        "meaning": "thirds of x",
        "feature": "x",
        "edges": {"kind": "constant", "at": [1.0, 2.0]},
        "labels": ["low", "mid", "high"],
    }
    return Regime.model_validate(body | changes)


def labels(kind: Regime, **columns: list[float | None]) -> list[str]:
    frame = pl.DataFrame(columns, schema=dict.fromkeys(columns, pl.Float64))
    return frame.with_columns(label_of(kind, frame.columns).alias("label"))["label"].to_list()


def with_vol_regime(kind: Regime) -> EventRegistry:
    liq = REGISTRY.regimes.liq_regime
    return REGISTRY.model_copy(update={"regimes": Regimes(vol_regime=kind, liq_regime=liq)})


# --- edges -------------------------------------------------------------------------------------


def test_a_value_on_an_edge_has_the_label_above_it() -> None:
    below = [float(np.nextafter(edge, -np.inf)) for edge in (1.0, 2.0)]
    values = [-1e300, below[0], 1.0, below[1], 2.0, 1e300]
    assert labels(regime(), x=values) == ["low", "low", "mid", "mid", "high", "high"]
    assert labels(regime(labels=["high", "mid", "low"]), x=values)[0] == "high"


def test_what_is_not_a_number_is_unknown() -> None:
    assert labels(regime(), x=[None, np.nan, np.inf, -np.inf]) == ["unknown"] * 4
    assert labels(regime(), y=[1.0, 2.0]) == ["unknown"] * 2


def test_a_missing_column_is_unknown_on_every_row() -> None:
    bare = features("A", START, {"other": [1.0, 2.0]})
    known = regime_of(bare, REGISTRY)
    assert known.columns == ["symbol", "ts", "vol_regime", "liq_regime"]
    assert known["vol_regime"].to_list() == known["liq_regime"].to_list() == ["unknown"] * 2


def test_trailing_edges_are_read_row_by_row() -> None:
    kind = regime(edges={"kind": "trailing", "at": ["a", "b"]})
    made = labels(
        kind, x=[1.0, 1.0, 1.0, 1.0], a=[0.5, 1.5, 1.0, 0.2], b=[2.0, 2.0, 1.5, 0.3]
    )  # fmt: skip
    assert made == ["mid", "low", "mid", "high"]


def test_trailing_edges_that_do_not_ascend_say_nothing() -> None:
    kind = regime(edges={"kind": "trailing", "at": ["a", "b"]})
    flat = labels(kind, x=[1.0, 1.0, 1.0], a=[1.0, 2.0, None], b=[1.0, 1.0, 2.0])
    assert flat == ["unknown"] * 3


@given(
    st.lists(st.floats(allow_nan=True, allow_infinity=True), max_size=30),
    st.lists(st.floats(-5, 5), min_size=1, max_size=2, unique=True).map(sorted),
)
@settings(max_examples=80, deadline=None)
def test_labels_equal_the_loop(values: list[float], edges: list[float]) -> None:
    names = ["low", "mid", "high"][: len(edges) + 1]
    kind = regime(edges={"kind": "constant", "at": edges}, labels=names)
    slow = [names[sum(v >= e for e in edges)] if np.isfinite(v) else "unknown" for v in values]
    assert labels(kind, x=list(values)) == slow


def test_the_shipped_regimes_are_thirds_of_their_ranks() -> None:
    ranks = [0.0, 1 / 3, 2 / 3, 1.0, None]
    frame = features("A", START, {"rv_1h_rank_7d": ranks, "amihud_rank_1d": ranks})
    known = regime_of(frame, REGISTRY)
    assert known["vol_regime"].to_list() == ["low", "mid", "high", "high", "unknown"]
    assert known["liq_regime"].to_list() == ["high", "mid", "low", "low", "unknown"]


# --- the document ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        {"labels": ["low", "high"]},
        {"labels": ["low", "mid", "mid"]},
        {"labels": ["low", "mid", "extreme"]},
        {"edges": {"kind": "constant", "at": [2.0, 1.0]}},
        {"edges": {"kind": "constant", "at": [1.0, 1.0]}},
        {"edges": {"kind": "constant", "at": [1.0, "nan"]}},
        {"edges": {"kind": "constant", "at": ["x", "y"]}},
        {"edges": {"kind": "sample", "at": [0.33, 0.67]}},
        {"edges": {"kind": "trailing", "at": ["x", "a"]}},
        {"edges": {"kind": "constant", "at": []}, "labels": ["low"]},
        {"quantiles": [0.33, 0.67]},
    ],
)
def test_a_malformed_regime_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        regime(**change)


def test_there_are_two_regimes_and_no_others() -> None:
    body = REGISTRY.regimes.model_dump()
    with pytest.raises(ValidationError):
        Regimes.model_validate(body | {"trend_regime": body["vol_regime"]})
    with pytest.raises(ValidationError):
        Regimes.model_validate({"vol_regime": body["vol_regime"]})


def test_trailing_edges_made_from_the_feature_itself_are_taken() -> None:
    specs = feature_specs(rv_1h_mean_1d_bps=MEAN).features
    kind = regime(feature="rv_1h_bps", edges=TRAILING, labels=["low", "high"])
    check_registry(with_vol_regime(kind), specs)


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ({"feature": "rv_1h_rank_7", "labels": ["low", "mid", "high"]}, "mean 'rv_1h_rank_7d'"),
        ({"feature": "rv_1h_bps"}, "constant edges on 'rv_1h_bps'.*normalisation 'none'"),
        ({"feature": "expansion_flag"}, "normalisation 'flag'"),
        (
            {"feature": "rv_1d_bps", "edges": TRAILING, "labels": ["low", "high"]},
            r"'rv_1h_mean_1d_bps', made from features.rv_1h_bps in bps; .* features.rv_1d_bps",
        ),
        (
            {
                "feature": "rv_1h_bps",
                "edges": {"kind": "trailing", "at": ["rv_1h_rank_7d"]},
                "labels": ["low", "high"],
            },
            "'rv_1h_rank_7d', made from features.rv_1h_bps in 1;",
        ),
        (
            {"feature": "rv_1h_bps", "edges": {"kind": "trailing", "at": ["q"]},
             "labels": ["low", "high"]},
            "Regime 'vol_regime' reads the feature 'q'",
        ),
    ],
)  # fmt: skip
def test_edges_that_could_come_from_the_sample_are_refused(kind: dict[str, Any], said: str) -> None:
    specs = feature_specs(rv_1h_mean_1d_bps=MEAN).features
    with pytest.raises(SpecError, match=said):
        check_registry(with_vol_regime(regime(**kind)), specs)


# --- no word from the future -------------------------------------------------------------------


@pytest.fixture(scope="module")
def world() -> World:
    return generate(shipped("regime_switch_small"))


SPECS = feature_specs(rv_1h_mean_1d_bps=MEAN)
BY_MEAN = with_vol_regime(regime(feature="rv_1h_bps", edges=TRAILING, labels=["low", "high"]))


def labelled(bars: pl.DataFrame, world: World, registry: EventRegistry) -> pl.DataFrame:
    made = build_features(
        FeatureInputs(bars_perp=bars), SPECS, world.scenario.days, list(world.truth.symbols)
    )
    return regime_of(made, registry)


def with_edges_of_the_sample(bars: pl.DataFrame, world: World, _: EventRegistry) -> pl.DataFrame:
    """Mutant: thirds of the rows at hand."""
    made = build_features(
        FeatureInputs(bars_perp=bars), SPECS, world.scenario.days, list(world.truth.symbols)
    )
    edges = [made["rv_1h_bps"].quantile(q) for q in (1 / 3, 2 / 3)]
    kind = regime(feature="rv_1h_bps", edges={"kind": "constant", "at": edges})
    return regime_of(made, with_vol_regime(kind))


def changed_by_cutting(world: World, label: Any, registry: EventRegistry) -> int:
    """How many earlier labels differ once the future is cut, at three instants."""
    bars, changed = world.frames["bars_1m_perp"], 0
    whole = label(bars, world, registry)
    for hours in (31, 48, 60):
        instant = pl.lit(world.scenario.start + timedelta(hours=hours)).cast(TS)
        cut = label(bars.filter(pl.col("available_at") <= instant), world, registry)
        before = pl.col("ts") <= instant
        pairs = whole.filter(before), cut.filter(before)
        changed += (pairs[0]["vol_regime"] != pairs[1]["vol_regime"]).sum()
        changed += (pairs[0]["liq_regime"] != pairs[1]["liq_regime"]).sum()
    return changed


@pytest.mark.parametrize("registry", [REGISTRY, BY_MEAN], ids=["constant", "trailing"])
def test_cutting_the_future_never_changes_an_earlier_label(
    world: World, registry: EventRegistry
) -> None:
    whole = labelled(world.frames["bars_1m_perp"], world, registry)
    assert whole["vol_regime"].n_unique() >= 3
    assert changed_by_cutting(world, labelled, registry) == 0


def test_the_cut_kills_edges_that_are_found_from_the_sample(world: World) -> None:
    assert changed_by_cutting(world, with_edges_of_the_sample, REGISTRY) > 100


# --- a planted regime --------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [105, 1, 2, 3])
def test_planted_turbulence_is_recovered(seed: int) -> None:
    """Of minutes whose hour was half turbulent or more, 97 % read high; none reads low.

    Of minutes that read low, in 98 % at most a quarter of the hour was turbulent, and in 80 % none.
    """
    scenario = shipped("regime_switch_small")
    world = generate(scenario, seed)
    turbulent = paths._regime(scenario, seed) > 1
    share = np.convolve(turbulent, np.ones(60) / 60)[: turbulent.size]
    for symbol in world.truth.symbols:
        made = labelled(world.frames["bars_1m_perp"], world, REGISTRY)
        read = made.filter(pl.col("symbol") == symbol)["vol_regime"].to_numpy()
        hour = (share >= 0.5) & (read != "unknown")
        assert hour.sum() > 60
        assert (read[hour] == "high").mean() >= 0.97
        assert not (read[hour] == "low").any()
        assert (share[read == "low"] <= 0.25).mean() >= 0.98
        assert (share[read == "low"] == 0).mean() >= 0.8
        assert (read == "low").sum() > 300
