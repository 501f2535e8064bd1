"""PT-11: of an alpha with a half-life, 0.5^(L/h) is left after a latency L, and never more.

After each of forty events the mid runs up by 50 basis points, half of what is left every two
seconds, on a book two basis points wide. Whoever buys at once and leaves when all has run gains
what was left of it when the order arrived, less the spread.
"""

from datetime import timedelta

import numpy as np
import polars as pl
import pytest

from quantlab_pipeline.simulation import engine
from quantlab_pipeline.simulation.costs import AS_IS, CostScale
from quantlab_pipeline.simulation.engine import RunSettings, simulate
from quantlab_pipeline.simulation.latency import share_left
from quantlab_pipeline.simulation.tape import MarketTables, tapes
from quantlab_pipeline_tests.simulation.builders import (
    BTC,
    START,
    bars_of,
    cost_model,
    intents_of,
    quotes_of,
)
from quantlab_pipeline_tests.simulation.mutants import sooner

HALF_LIFE_S, ALPHA_BPS, SPREAD_BPS = 2.0, 50.0, 2.0
N_EVENTS, APART_S, FIRST_S = 40, 300, 12 * 3600
LATENCIES_S = (1.0, 2.0, 5.0)
GOLDEN = (0.71, 0.50, 0.18)
"""METHOD section 6: share left at 1, 2 and 5 seconds."""


@pytest.fixture(scope="module")
def market():
    """(tape, intents): the run-ups, and a buy at the start of each."""
    run_up = 1 + ALPHA_BPS / 1e4 * (1 - 0.5 ** (np.arange(APART_S) / HALF_LIFE_S))
    levels = 50_000 * run_up[-1] ** np.arange(N_EVENTS)
    mid = np.concatenate([np.full(FIRST_S, 50_000.0), np.outer(levels, run_up).ravel()])
    mid = np.append(mid, np.full(600, mid[-1]))
    tables = MarketTables(bars_of(mid[59::60]), quotes_of(mid, SPREAD_BPS))
    at = [START + timedelta(seconds=FIRST_S + APART_S * k) for k in range(N_EVENTS)]
    intents = intents_of([(t, t + timedelta(seconds=240), 1) for t in at])
    return next(tapes(tables, ["BTC"])), intents


def left(market, latencies=LATENCIES_S, stressed=False, scale=AS_IS):
    """Share of the alpha that each latency leaves, before the spread, by the engine."""
    tape, intents = market
    ways = [RunSettings(s, "base", scale, stressed=stressed) for s in latencies]
    runs = simulate(intents, [tape], {"BTC": BTC}, cost_model(fee_bps=0.0), ways)
    net = [float(run.trades["net_bps"].mean()) for run in runs]
    return [(bps + SPREAD_BPS) / ALPHA_BPS for bps in net]


def is_true(shares):
    """Whether shares are those of the half-life, within 5 %, and fall with the latency."""
    close = np.allclose(shares, [share_left(s, HALF_LIFE_S) for s in LATENCIES_S], rtol=0.05)
    return close and shares == sorted(shares, reverse=True)


def test_half_is_left_after_each_half_life():
    np.testing.assert_allclose([share_left(s, 2.0) for s in LATENCIES_S], GOLDEN, atol=0.005)


def test_latency_leaves_of_an_alpha_what_its_half_life_says(market):
    shares = left(market)
    assert is_true(shares)
    np.testing.assert_allclose(shares, GOLDEN, rtol=0.05)


def test_gain_never_rises_with_latency(market):
    shares = left(market, latencies=(0.2, 0.9, 1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 8.0, 15.0))
    assert (np.diff(shares) <= 1e-9).all()


def test_under_stress_twice_the_latency_is_paid(market):
    np.testing.assert_allclose(
        left(market, (1.0, 2.5), stressed=True), left(market, (2.0, 5.0)), atol=1e-9
    )
    tape, intents = market
    mixed = intents.with_columns(stress=pl.int_range(pl.len()) % 2 == 0)
    shares = left((tape, mixed), (1.0,))
    assert shares[0] == pytest.approx(np.mean(left(market, (1.0, 2.0))), abs=1e-3)


def test_what_the_engine_calls_latency_is_what_the_delay_lost(market):
    tape, intents = market
    ways = [RunSettings(s, "base") for s in LATENCIES_S]
    for run in simulate(intents, [tape], {"BTC": BTC}, cost_model(fee_bps=0.0), ways):
        lost = ALPHA_BPS * (1 - share_left(run.settings.latency_s, HALF_LIFE_S))
        assert run.trades["latency_bps"].mean() == pytest.approx(lost, rel=0.01)


@pytest.mark.parametrize("mutant", ["latency ignored", "a second early", "wrong side"])
def test_an_engine_that_is_too_fast_or_takes_the_better_price_is_found_out(
    market, mutant, monkeypatch
):
    # A spread taken the other way round: a buy meets the bid, a sell the ask.
    scale = CostScale(spread=-1.0) if mutant == "wrong side" else AS_IS
    latencies = (1.0, 1.0, 1.0) if mutant == "latency ignored" else LATENCIES_S
    if mutant != "wrong side":
        monkeypatch.setattr(engine, "conditions", sooner(1_000_000))
    assert not is_true(left(market, latencies, scale=scale))
