"""Other costs and sizes: at V1's own they are V1's, net only falls, the best size is the law's."""

from __future__ import annotations

import math
from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantlab_pipeline.research.validation.study_schema import COST_AXES
from quantlab_pipeline.research.validation.sweeps import (
    SURFACE_USD,
    Totals,
    Trades,
    break_evens,
    capacity_rows,
    cost_rows,
    size_law,
    surface_rows,
)
from quantlab_pipeline.simulation.costs import event_cost_bps
from quantlab_pipeline.storage.spec_files import Project

COSTS = Project().costs()
PROFILE = "conservative"
NONE = Totals(0.0, 0.0, 0.0, 0.0)


def trades_of(seed=1, n=50, edge_bps=40.0, stressed=0.3):
    """Trades of very different liquidity, some under stress."""
    rng = np.random.default_rng(seed)
    return Trades(
        gross=1e-4 * (edge_bps + 30.0 * rng.standard_normal(n)),
        taker_bps=rng.choice([4.5, 5.0], n),
        spread_bps=rng.uniform(0.2, 6.0, n),
        sigma_d_bps=rng.uniform(100.0, 900.0, n),
        volume_usd=10.0 ** rng.uniform(6.5, 9.5, n),
        stress=rng.random(n) < stressed,
    )


def golden(surplus_bps, n=3):
    """METHOD 6: sigma_d 400 bps, and an edge that leaves `surplus_bps` before impact."""
    fee = COSTS.fee_rates(PROFILE).taker_bps
    return Trades(
        gross=np.full(n, 1e-4 * (surplus_bps + 2 * fee)),
        taker_bps=np.full(n, fee),
        spread_bps=np.zeros(n),
        sigma_d_bps=np.full(n, 400.0),
        volume_usd=np.full(n, 1e9),
        stress=np.zeros(n, dtype=np.bool_),
    )


def with_y(y):
    terms = COSTS.profiles[PROFILE].model_copy(update={"impact_y": y})
    return COSTS.model_copy(update={"profiles": {**COSTS.profiles, PROFILE: terms}})


def mean_net(trades, notional, scale_costs=1.0):
    """The definition, event by event, by the cost model itself."""
    share = notional / trades.volume_usd
    zero = np.zeros(trades.gross.size)
    liquidity = trades.sigma_d_bps, share
    paid = trades.taker_bps, trades.spread_bps, zero
    cost = event_cost_bps(COSTS, PROFILE, *paid, *liquidity, trades.stress)
    return float(np.mean(1e4 * trades.gross - scale_costs * cost))


SOME = st.builds(
    trades_of,
    seed=st.integers(0, 10_000),
    n=st.integers(1, 40),
    edge_bps=st.floats(-50, 80),
    stressed=st.floats(0, 1),
)


@given(SOME)
def test_net_never_rises_with_any_cost_or_size(trades):
    rows = cost_rows(trades, Totals(1.0, 0.1, 1.0, 0.1), COSTS, PROFILE)
    for axis in COST_AXES:
        mine = [r for r in rows if r["axis"] == axis]
        assert [r["value"] for r in mine] == sorted(r["value"] for r in mine)
        assert all(a["net_bps"] >= b["net_bps"] - 1e-9 for a, b in pairwise(mine))
        assert all(a["z"] >= b["z"] - 1e-9 for a, b in pairwise(mine))
    sizes = capacity_rows(trades, COSTS, PROFILE, 10)
    for axis in ("notional", "participation"):
        mine = [r for r in sizes if r["axis"] == axis]
        assert all(a["net_bps"] >= b["net_bps"] - 1e-9 for a, b in pairwise(mine))
    net = {(r["multiplier"], r["notional_usd"]): r["net_bps"] for r in surface_rows(
        trades, COSTS, PROFILE
    )}  # fmt: skip
    for (m, usd), (m2, usd2) in product(net, net):
        if m <= m2 and usd <= usd2:
            assert net[m, usd] >= net[m2, usd2] - 1e-9


def test_where_nothing_is_turned_a_sweep_is_v1s_own_cost():
    trades = trades_of()
    here = mean_net(trades, COSTS.notional_usd)
    for row in cost_rows(trades, NONE, COSTS, PROFILE):
        if row["value"] == (0.0 if row["axis"] == "slippage" else 1.0):
            assert row["net_bps"] == pytest.approx(here, abs=1e-9), row["axis"]
            assert row["cost_bps"] + row["net_bps"] == pytest.approx(1e4 * trades.gross.mean())


def test_slippage_is_paid_on_both_sides():
    rows = cost_rows(trades_of(), NONE, COSTS, PROFILE)
    net = {r["value"]: r["net_bps"] for r in rows if r["axis"] == "slippage"}
    assert net[0.0] - net[5.0] == pytest.approx(10.0)


def test_the_z_of_a_sweep_is_the_smaller_one_and_none_without_variance():
    totals = Totals(0.5, 0.05, 0.4, 0.02)
    assert totals.z_net(0.1) == pytest.approx(min(0.4 / 0.05, 0.3 / 0.02))
    assert totals.z_net(0.39) == pytest.approx(0.01 / 0.02)
    assert {r["z"] for r in cost_rows(trades_of(), NONE, COSTS, PROFILE)} == {None}


@given(SOME)
def test_at_the_break_even_nothing_is_left(trades):
    rows = cost_rows(trades, NONE, COSTS, PROFILE)
    for found in break_evens(rows):
        mine = [r for r in rows if r["axis"] == found["axis"]]
        if found["value"] is None:
            flat = mine[0]["net_bps"] - mine[-1]["net_bps"] < 1e-9
            assert flat or mine[0]["net_bps"] < 0.0
            continue
        before = [r for r in mine if r["value"] < found["value"] - 1e-9]
        after = [r for r in mine if r["value"] > found["value"] + 1e-9]
        assert all(r["net_bps"] > -1e-7 for r in before)
        assert all(r["net_bps"] < 1e-7 for r in after)


def test_the_break_even_multiple_is_gross_over_cost():
    trades = trades_of()
    rows = cost_rows(trades, NONE, COSTS, PROFILE)
    gross, net = 1e4 * trades.gross.mean(), mean_net(trades, COSTS.notional_usd)
    found = {r["axis"]: r["value"] for r in break_evens(rows)}
    assert found["all"] == pytest.approx(gross / (gross - net))
    assert found["slippage"] == pytest.approx(net / 2.0)


@pytest.mark.parametrize(
    ("surplus", "limit", "best", "digits"),
    [(10.0, 0.000319, 0.000142, 6), (30.0, 0.00287, 0.00128, 5)],
)
def test_capacity_meets_its_golden_numbers(surplus, limit, best, digits):
    law = size_law(golden(surplus), with_y(0.7), PROFILE)
    assert round(law.break_even_usd / 1e9, digits) == limit
    assert round(law.best_usd / 1e9, digits) == best


@given(SOME)
def test_the_best_size_is_where_the_sweeps_own_profit_peaks(trades):
    law = size_law(trades, COSTS, PROFILE)
    if law.surplus_bps <= 0.0:
        assert law.best_usd == law.break_even_usd == 0.0
        return
    sizes = np.linspace(0.0, law.break_even_usd, 2001)[1:]
    profit = sizes * np.array([law.net_bps(usd) for usd in sizes])
    assert sizes[np.argmax(profit)] == pytest.approx(law.best_usd, rel=2e-3)
    assert law.net_bps(law.break_even_usd) == pytest.approx(0.0, abs=1e-9 * law.surplus_bps + 1e-9)


def test_a_size_costs_what_the_cost_model_says():
    trades = trades_of()
    rows = capacity_rows(trades, COSTS, PROFILE, n_days=20)
    for row in (r for r in rows if r["axis"] == "notional"):
        net = mean_net(trades, row["value"])
        assert row["net_bps"] == pytest.approx(net, abs=1e-8)
        earned = row["value"] * net * 1e-4 * trades.gross.size / 20
        assert row["pnl_usd_per_day"] == pytest.approx(earned, rel=1e-9)
        within = np.mean(row["value"] <= 0.1 * trades.volume_usd / 1440)
        assert row["share_allowed"] == within
    net = {(r["multiplier"], r["notional_usd"]): r["net_bps"] for r in surface_rows(
        trades, COSTS, PROFILE
    )}  # fmt: skip
    for usd in SURFACE_USD:
        assert net[2.0, usd] == pytest.approx(mean_net(trades, usd, 2.0), abs=1e-8)


def test_at_a_share_of_the_minute_each_trade_has_its_own_size():
    trades = trades_of(n=4)
    (row,) = [
        r
        for r in capacity_rows(trades, COSTS, PROFILE, n_days=10)
        if (r["axis"], r["value"]) == ("participation", 0.1)
    ]
    profit, sizes = 0.0, []
    for gross, fee, spread, sigma, volume, stress in zip(*trades, strict=True):
        usd = 0.1 * volume / 1440
        fixed = 2 * fee + spread * (2.0 if stress else 1.0)
        net = 1e4 * gross - fixed - 2 * 1.0 * sigma * math.sqrt(usd / volume)
        profit, sizes = profit + usd * net, [*sizes, usd]
    assert row["notional_usd"] == pytest.approx(np.mean(sizes))
    assert row["net_bps"] == pytest.approx(profit / sum(sizes))
    assert row["pnl_usd_per_day"] == pytest.approx(profit * 1e-4 / 10)
    assert row["share_allowed"] == np.mean([COSTS.notional_usd <= usd for usd in sizes])


def test_without_impact_no_size_is_too_large():
    law = size_law(golden(10.0), with_y(0.0), PROFILE)
    assert law.break_even_usd == law.best_usd == math.inf
