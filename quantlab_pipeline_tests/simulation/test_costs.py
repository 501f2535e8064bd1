from pathlib import Path

import numpy as np
import polars as pl
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from quantlab_pipeline.simulation.costs import (
    AS_IS,
    CostModel,
    CostScale,
    assumed_half_spread_bps,
    best_participation,
    break_even_participation,
    cost_sweep,
    event_cost_bps,
    stress_flag,
)

DOCUMENT = yaml.safe_load(
    (Path(__file__).parents[2] / "specs" / "cost_model.yaml").read_text(encoding="utf-8")
)
MODEL = CostModel.model_validate(DOCUMENT)
ONE = np.array([1.0])


def cost(half=1.0, sigma=400.0, share=1e-4, stress=False, scale=AS_IS):
    args = (half * ONE, half * ONE, sigma * ONE, share * ONE, np.array([stress]))
    return float(event_cost_bps(MODEL, "conservative", *args, scale)[0])


@pytest.mark.parametrize(
    ("edge", "break_even", "best", "digits"),
    [(20.0, 0.000319, 0.000142, 6), (40.0, 0.00287, 0.00128, 5)],
)
def test_capacity_meets_its_golden_numbers(edge, break_even, best, digits):
    assert round(break_even_participation(edge, 10.0, 400.0, 0.7), digits) == break_even
    assert round(best_participation(edge, 10.0, 400.0, 0.7), digits) == best


@given(st.floats(10.5, 60), st.floats(100, 900), st.floats(0.3, 1.2))
def test_capacity_is_where_the_modelled_profit_peaks_and_vanishes(edge, sigma, y):
    def profit(q):
        return q * (edge - 10.0 - 2 * y * sigma * np.sqrt(q))

    best, zero = (f(edge, 10.0, sigma, y) for f in (best_participation, break_even_participation))
    grid = np.linspace(0.0, zero, 20_001)
    assert grid[np.argmax(profit(grid))] == pytest.approx(best, rel=1e-3)
    assert profit(zero) == pytest.approx(0.0, abs=1e-9 * zero * edge + 1e-15)


def test_an_edge_below_its_costs_has_no_capacity():
    assert break_even_participation(9.0, 10.0, 400.0, 0.7) == 0.0
    assert break_even_participation(11.0, 10.0, 400.0, 0.0) == float("inf")


def test_a_round_trip_pays_two_half_spreads_two_fees_and_impact_twice():
    # conservative: fee 5, Y 1: 1 + 1 + 10 + 2 * 400 * sqrt(1e-4)
    assert cost() == pytest.approx(2 + 10 + 8)
    assert cost(stress=True) == pytest.approx(4 + 10 + 8)


@pytest.mark.parametrize("part", ["fee", "spread", "impact", "stress"])
def test_every_sweep_is_monotone(part):
    scales = [CostScale(**{part: m}) for m in (0.5, 1.0, 1.5, 2.0, 3.0)]
    args = (ONE, ONE, 400 * ONE, 1e-4 * ONE, np.array([True]))
    swept = cost_sweep(MODEL, "base", *args, scales)
    assert (np.diff(swept) >= 0).all()
    assert swept[-1] > swept[1]


def test_slippage_is_added_on_each_side():
    assert cost(scale=CostScale(slippage_bps=1.5)) == pytest.approx(cost() + 3.0)
    assert cost(scale=CostScale(slippage_bps=0.0)) == cost()


def test_an_unknown_input_is_an_unknown_cost_and_a_negative_one_is_refused():
    assert np.isnan(cost(half=np.nan))
    assert np.isnan(cost(sigma=np.nan))
    with pytest.raises(ValueError, match="negative"):
        cost(half=-1.0)


def test_an_unknown_volume_gets_the_widest_tier():
    profile = MODEL.profiles["base"]
    got = assumed_half_spread_bps(profile, np.array([2e9, 1e9, 5e8, 1e6, np.nan]))
    assert got.tolist() == [0.25, 0.25, 1.0, 2.5, 2.5]


def test_stress_needs_a_known_feature_at_its_threshold():
    frame = pl.DataFrame(
        {"liquidity_stress": [0.8, 0.79, None, 0.1], "amihud_rank_1d": [None, 0.94, None, 0.95]}
    )
    assert stress_flag(MODEL, frame).tolist() == [True, False, False, True]
    assert not stress_flag(MODEL, frame.select(pl.lit(1.0).alias("other"))).any()


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("profiles", "conservative", "fee_taker_bps"), 1.0),
        (("profiles", "base", "spread_tiers"), [{"volume_from_usd": 5.0, "half_spread_bps": 1.0}]),
        (("execution", "latency", "latency_s"), [2.0, 1.0]),
        (("profiles", "base", "fee_taker"), 1.0),
    ],
)
def test_a_document_that_cannot_be_meant_is_refused(path, value):
    import copy

    document = copy.deepcopy(DOCUMENT)
    place = document
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    with pytest.raises(ValidationError):
        CostModel.model_validate(document)
