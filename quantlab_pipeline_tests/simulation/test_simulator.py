import subprocess
import sys
from datetime import timedelta

import numpy as np
import polars as pl
import pytest

import quantlab_pipeline as ql
from quantlab_pipeline.core.clocks import to_us
from quantlab_pipeline.core.code_hash import code_hash
from quantlab_pipeline.core.fingerprints import short
from quantlab_pipeline.defs.resources import EngineResource
from quantlab_pipeline.kernels import bar_backtest, execution, quote_backtest
from quantlab_pipeline.kernels.bar_targets import crossing_targets
from quantlab_pipeline.simulation import simulator as room
from quantlab_pipeline.simulation.account import AccountSpec
from quantlab_pipeline.simulation.engine import RunSettings, simulate
from quantlab_pipeline.simulation.simulator import Simulator, TargetsError
from quantlab_pipeline.simulation.slippage import SlippageModel
from quantlab_pipeline.simulation.tape import MarketTables, tapes
from quantlab_pipeline.simulation.venue import Terms, VenueOrder, run_orders
from quantlab_pipeline.simulation.venue_tape import bar_market
from quantlab_pipeline.worlds.effects import lay_out
from quantlab_pipeline.worlds.paths import draw_paths
from quantlab_pipeline.worlds.placement import describe, place_episodes
from quantlab_pipeline_tests.simulation.builders import (
    BTC,
    START,
    bars_of,
    cost_model,
    funding_of,
    intents_of,
    quotes_of,
)
from quantlab_pipeline_tests.worlds.builders import scenario

SEEDS = range(20)


def simulator(threads=1, **terms):
    return Simulator(cost_model(**terms), {"BTC": BTC}, threads)


def walk(seed, n=600, deviation=1e-3):
    return 100 * np.exp(np.cumsum(np.random.default_rng(seed).normal(0, deviation, n)))


def random_targets(seed, v, n):
    moves = np.random.default_rng(seed).integers(-1, 2, (v, n // 20 + 1))
    return np.repeat(moves, 20, axis=1)[:, :n].astype(np.int8)


def test_t0_is_free_and_t1_pays_fee_spread_slippage_and_funding():
    # Bought at the open of bar 1 (100), sold at that of bar 3 (121).
    close = np.array([100.0, 110.0, 121.0, 121.0])
    target = np.array([[1, 1, 0, 0]], dtype=np.int8)
    settled = funding_of([START + timedelta(minutes=2)], 1e-3, 110.0)
    tables = MarketTables(bars_of(close), funding=settled)
    free = simulator().sweep(tables, target, "T0")
    assert free.equity[0] == pytest.approx(0.21, abs=1e-15)
    assert free.funding[0] == free.fees[0] == free.spread[0] == 0.0
    paid = simulator(fee_bps=4.0, half_bps=1.0).sweep(
        tables, target, "T1", slippage=SlippageModel(base_bps=2.0)
    )
    assert paid.fees[0] == pytest.approx(2.21 * 4e-4, abs=1e-15)
    assert paid.spread[0] == pytest.approx(2.21 * 1e-4, abs=1e-15)
    assert paid.slippage[0] == pytest.approx(2.21 * 2e-4, abs=1e-15)
    assert paid.funding[0] == pytest.approx(-1.1e-3, abs=1e-15)
    assert paid.equity[0] == pytest.approx(0.21 - 2.21 * 7e-4 - 1.1e-3, abs=1e-12)


def test_slippage_is_a_base_and_a_multiple_of_the_volatility_known_at_the_decision():
    close = walk(1)
    target = np.zeros((1, close.size), dtype=np.int8)
    target[0, 419] = 1
    model = SlippageModel(base_bps=1.5, vol_multiple=0.2)
    sim = simulator(fee_bps=0.0, half_bps=0.0)
    stats = sim.sweep(bars_of(close), target, slippage=model)
    traded = np.array([1.0, close[420] / close[419]])
    # At the opens of bars 420 and 421 seven whole hours are known.
    minute = 1e4 * np.sqrt(np.mean(np.diff(np.log(close[:420])) ** 2))
    want = (traded * (1.5 + 0.2 * minute) * 1e-4).sum()
    assert stats.slippage[0] == pytest.approx(want, rel=1e-12)
    changed = np.concatenate([close[:420], 2 * close[420:421], close[421:]])
    again = sim.trace(bars_of(changed), target[0], slippage=model)
    assert again.equity[420] - again.equity[419] == pytest.approx(
        2 * close[420] / close[419] - 1 - (1.5 + 0.2 * minute) * 1e-4, rel=1e-9
    )


def test_an_order_waits_until_the_volatility_that_its_slippage_reads_is_known():
    target = np.ones(600, dtype=np.int8)
    orders = simulator().trace(bars_of(walk(2)), target, slippage=SlippageModel(vol_multiple=0.1))
    assert orders.bar.tolist() == [420], "360 minutes' returns are known with the seventh hour"
    free = simulator().trace(bars_of(walk(2)), target, slippage=SlippageModel(base_bps=1.0))
    assert free.bar.tolist() == [1]


def test_a_settlement_that_is_missing_leaves_no_result_to_whoever_holds_across_it():
    close = np.full(1_440, 100.0)
    stamps = [START + timedelta(hours=h) for h in (8, 24)]
    tables = MarketTables(bars_of(close), funding=funding_of(stamps, 1e-4, 100.0))
    held, flat = np.zeros((2, 1_440), dtype=np.int8)
    held[900:1_000] = 1
    flat[100:200] = 1
    equity = simulator().sweep(tables, np.stack([held, flat])).equity
    assert np.isnan(equity[0]), "the settlement at 16:00 was due"
    assert np.isfinite(equity[1])


@pytest.mark.parametrize(
    "dearer",
    [
        {"fee_bps": 6.0},
        {"half_bps": 3.0},
        {"slippage": SlippageModel(base_bps=1.0, vol_multiple=0.1)},
        {"slippage": SlippageModel(vol_multiple=0.6)},
    ],
)
def test_equity_falls_in_every_cost(dearer):
    bars, targets = bars_of(walk(4)), random_targets(4, 5, 600)
    targets[:, :420] = 0

    def equity(slippage=None, **terms):
        slippage = slippage or SlippageModel(vol_multiple=0.1)
        return simulator(**terms).sweep(bars, targets, "T1", slippage=slippage).equity

    assert (equity(**dearer) < equity()).all()


def test_bridge_is_the_engine():
    mid = walk(5, 7_200, 1e-4)
    tables = MarketTables(bars_of(mid[59::60]), quotes_of(mid, 2.0))
    rows = [(START + timedelta(minutes=m), START + timedelta(minutes=m + 9), 1) for m in (5, 40)]
    ways = [RunSettings(2.0, "base")]
    costs = cost_model()
    (got,) = simulator().execute(intents_of(rows), tables, ways)
    (want,) = simulate(intents_of(rows), tapes(tables, ["BTC"]), {"BTC": BTC}, costs, ways)
    assert got.trades.equals(want.trades)
    assert got.payments.equals(want.payments)
    by_default = simulator(latency=(1.0, 3.0)).execute(intents_of(rows), tables)
    assert [run.settings.latency_s for run in by_default] == [1.0, 3.0]


def world_bars(seed, n_days, sigma_bps, dynamics):
    world = scenario(1, n_days, dynamics=dynamics, season_amplitude=0.0)
    loud = world.symbols[0].model_copy(update={"sigma_bps": sigma_bps})
    world = world.model_copy(update={"symbols": (loud,)})
    onsets = place_episodes(world, seed)
    paths = draw_paths(world, seed, lay_out(world, onsets, describe(world, onsets, seed)))
    price = 100.0 * np.exp(paths.perp.x[0])
    return bars_of(price[1:], opens=price[:-1]), price[1:]


def follower(close):
    return crossing_targets(close, np.array([60]), np.array([360]))


def test_a_trend_follower_earns_where_there_is_a_trend():
    trend = {"family": "trend", "drift_bps_per_day": 600}
    for seed in SEEDS:
        bars, close = world_bars(seed, 5, 4.0, trend)
        assert simulator().sweep(bars, follower(close), "T0").equity[0] > 0


def test_drawdown_is_deeper_where_volatility_is_higher():
    clustered = {"family": "vol_cluster", "alpha": 0.08, "beta": 0.9}
    for seed in SEEDS:
        fallen = []
        for sigma_bps in (2.0, 12.0):
            bars, close = world_bars(seed, 3, sigma_bps, clustered)
            stats = simulator().sweep(
                bars, follower(close), slippage=SlippageModel(base_bps=0.5, vol_multiple=0.05)
            )
            fallen.append(stats.max_drawdown[0])
        assert fallen[1] > fallen[0] > 0


def test_orders_run_on_the_venue_under_the_cost_models_own_terms():
    bars = walk(8, 60).round(1)
    rows = bars_of(bars).with_columns(pl.col("open", "high", "low", "close").round(1))
    marks = pl.DataFrame({"ts": [START - timedelta(minutes=1)], "mark_price": [100.0]})
    market = bar_market(BTC, rows, marks)
    account = AccountSpec(kind="perp_margin", cash_usd=1_000_000, leverage=2)
    sent = [VenueOrder(to_us(START), 1_000)]
    sim = simulator(fee_bps=4.0, latency=(1.0, 5.0))
    got = sim.orders(market, sent, account, watch="closes")
    same = run_orders(market, sent, account, Terms(0.0, 4.0, 5.0, 15.0), "closes")
    assert got.fills.equals(same.fills)
    assert got.equity.equals(same.equity)
    assert got.fills["fee_units"][0] > 0


def test_three_runs_and_any_number_of_threads_give_the_same_bytes():
    bars, targets = bars_of(walk(6)), random_targets(6, 17, 600)
    slippage = SlippageModel(base_bps=0.5, vol_multiple=0.1)

    def result(threads):
        stats = simulator(threads).sweep(bars, targets, slippage=slippage)
        orders = [simulator(threads).trace(bars, t, slippage=slippage) for t in targets]
        return [array.tobytes() for part in (stats, *orders) for array in part]

    once = result(1)
    assert all(result(threads) == once for threads in (1, 1, 2, 2, 3))


def test_what_was_warmed_is_what_a_run_needs():
    def compiled():
        rooms = (bar_backtest, execution, quote_backtest)
        found = {k: f for m in rooms for k, f in vars(m).items() if hasattr(f, "signatures")}
        return {name: len(f.signatures) for name, f in found.items()}

    simulator().warm()
    before = compiled()
    mid = walk(7, 7_200, 1e-4)
    bars, targets = bars_of(mid[59::60]), random_targets(7, 2, 120)
    simulator(2).sweep(bars, targets, "T1", slippage=SlippageModel(base_bps=1.0, vol_multiple=0.1))
    simulator().trace(bars, targets[0], "T0")
    rows = [(START + timedelta(minutes=m), START + timedelta(minutes=m + 9), 1) for m in (5, 40)]
    simulator().execute(intents_of(rows), MarketTables(bars, quotes_of(mid, 2.0)))
    simulator().execute(intents_of(rows), MarketTables(bars))
    assert compiled() == before


@pytest.mark.parametrize(
    ("targets", "said"),
    [
        (np.zeros((1, 119), dtype=np.int8), "120 bars"),
        (np.zeros((1, 120)), "float64"),
        (np.zeros(120, dtype=np.int8), "2 dimension"),
    ],
)
def test_targets_that_do_not_fit_are_refused(targets, said):
    with pytest.raises(TargetsError, match=said):
        simulator().sweep(bars_of(walk(8, 120)), targets)


def test_bars_of_two_symbols_are_refused():
    two = pl.concat([bars_of(walk(9, 50)), bars_of(walk(9, 50), symbol="ETH")])
    with pytest.raises(TargetsError, match="one symbol, not of 2"):
        simulator().sweep(two, np.zeros((1, 50), dtype=np.int8))


def test_the_version_names_models_and_kernels_and_is_one_for_all():
    assert simulator().engine_version == simulator(2, fee_bps=1.0).engine_version
    assert simulator().engine_version == short(code_hash(*room.CODE))
    assert simulator().engine_version != short(code_hash(room.CODE[0] + ".costs"))


def test_a_notebook_opens_it_from_the_specs_without_an_orchestrator(repository):
    opened = ql.open_simulator(repository, threads=2)
    assert isinstance(opened, ql.Simulator)
    assert opened.instruments["BTCUSDT"].symbol == "BTCUSDT"
    assert opened.costs.spec_hash()
    code = "import sys, quantlab_pipeline as ql; ql.Simulator; print('dagster' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False"]


def test_the_resource_hands_out_the_same_thing():
    costs = cost_model()
    assert EngineResource(threads=3).simulator(costs, {"BTC": BTC}) == Simulator(
        costs, {"BTC": BTC}, 3
    )
