"""The cost model's document, and what a round trip costs under it."""

import copy
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import yaml
from pydantic import ValidationError

from quantlab_pipeline.core.fingerprints import digest
from quantlab_pipeline.simulation.costs import (
    AS_IS,
    CostModel,
    CostScale,
    assumed_half_spread_bps,
    cost_sweep,
    event_cost_bps,
    stress_flag,
)

DOCUMENT = yaml.safe_load(
    (Path(__file__).parents[2] / "specs" / "cost_model.yaml").read_text(encoding="utf-8")
)
MODEL = CostModel.model_validate(DOCUMENT)
ONE = np.array([1.0])


def cost(half=1.0, sigma=400.0, share=1e-4, stress=False, scale=AS_IS, symbol="BTCUSDT"):
    fee = MODEL.taker_bps("conservative", [symbol])
    args = (fee, half * ONE, half * ONE, sigma * ONE, share * ONE, np.array([stress]))
    return float(event_cost_bps(MODEL, "conservative", *args, scale)[0])


def test_a_round_trip_pays_two_half_spreads_two_fees_and_impact_twice():
    # conservative: fee 5, Y 1: 1 + 1 + 10 + 2 * 400 * sqrt(1e-4)
    assert cost() == pytest.approx(2 + 10 + 8)
    assert cost(stress=True) == pytest.approx(4 + 10 + 8)


@pytest.mark.parametrize("part", ["fee", "spread", "impact", "stress"])
def test_every_sweep_is_monotone(part):
    scales = [CostScale(**{part: m}) for m in (0.5, 1.0, 1.5, 2.0, 3.0)]
    args = (4.5 * ONE, ONE, ONE, 400 * ONE, 1e-4 * ONE, np.array([True]))
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


def test_the_default_profiles_pay_the_regular_schedule_and_base_a_tenth_less():
    base, careful = MODEL.fee_rates("base"), MODEL.fee_rates("conservative")
    assert (base.taker_bps, base.maker_bps) == (4.5, 1.8)
    assert (careful.taker_bps, careful.maker_bps) == (5.0, 2.0)


def test_a_market_pays_at_its_own_venue_and_at_the_named_one_where_that_has_no_schedule():
    assert MODEL.at("bybit").fee_rates("conservative").taker_bps == 5.5
    assert MODEL.at("generated") is MODEL
    assert MODEL.at("bybit").spec_hash() != MODEL.spec_hash()


def with_own_rates(symbol="XUSDT", maker_bps=0.0, taker_bps=7.0):
    """The document with a symbol that has rates of its own."""
    document = copy.deepcopy(DOCUMENT)
    rates = {"maker_bps": maker_bps, "taker_bps": taker_bps}
    document["fees"]["binance_usdm"]["instruments"] = {symbol: rates}
    return CostModel.model_validate(document)


def test_a_rule_is_named_by_what_it_pays_not_by_how_the_schedule_is_written():
    """A second venue, a further tier or a symbol's own rates change no rule; what is paid does."""
    plain = MODEL.terms("conservative")
    dearer = with_own_rates()
    assert dearer.terms("conservative") == plain
    assert dearer.own_fees("conservative", ["XUSDT", "BTCUSDT"]).keys() == {"XUSDT"}
    assert MODEL.own_fees("conservative", ["XUSDT", "BTCUSDT"]) == {}
    assert MODEL.at("bybit").terms("conservative") != plain


def test_the_digest_of_a_rule_s_terms_has_not_moved():
    """Every trial in every ledger is named by it."""
    was = {
        "fee_taker_bps": 5.0,
        "fee_maker_bps": 2.0,
        "impact_y": 1.0,
        "stress_spread_multiplier": 2.0,
        "spread_tiers": [
            {"volume_from_usd": 1e9, "half_spread_bps": 0.5},
            {"volume_from_usd": 1e8, "half_spread_bps": 2.0},
            {"volume_from_usd": 0.0, "half_spread_bps": 5.0},
        ],
    }
    assert digest(MODEL.terms("conservative")) == digest(was)


def test_stress_needs_a_known_feature_at_its_threshold():
    frame = pl.DataFrame(
        {"liquidity_stress": [0.8, 0.79, None, 0.1], "amihud_rank_1d": [None, 0.94, None, 0.95]}
    )
    assert stress_flag(MODEL, frame).tolist() == [True, False, False, True]
    assert not stress_flag(MODEL, frame.select(pl.lit(1.0).alias("other"))).any()


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("profiles", "base", "fees"), {"volume_30d_usd": -1.0}),
        (("profiles", "conservative", "fees"), {"volume_30d_usd": 1e9}),
        (("venue",), "nowhere"),
        (("execution", "latency", "stress_multiplier"), 0.5),
        (("execution", "degradation", "depth_share"), 1.5),
        (("profiles", "base", "spread_tiers"), [{"volume_from_usd": 5.0, "half_spread_bps": 1.0}]),
        (("execution", "latency", "latency_s"), [2.0, 1.0]),
        (("profiles", "base", "fee_taker"), 1.0),
    ],
)
def test_a_document_that_cannot_be_meant_is_refused(path, value):
    document = copy.deepcopy(DOCUMENT)
    place = document
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    with pytest.raises(ValidationError):
        CostModel.model_validate(document)
