"""PT-13: with the true edge and the true Y, profit peaks and vanishes where the law says.

An event an hour, after each of which the price gains 40 basis points within ten minutes and gives
them back in the next twenty. Impact follows the square root with a known Y; volume doubles every
day, so that trailing volume and that of the traded day are far apart. Profit is the engine's, size
by size.
"""

from dataclasses import dataclass, replace
from datetime import timedelta

import numpy as np
import pytest

from quantlab_pipeline.core.clocks import DAY_MINUTES, DAY_US
from quantlab_pipeline.research.bridge.spec import BThresholds
from quantlab_pipeline.simulation import engine
from quantlab_pipeline.simulation.capacity import best_participation, break_even_participation
from quantlab_pipeline.simulation.costs import AS_IS, CostScale
from quantlab_pipeline.simulation.engine import RunSettings, simulate
from quantlab_pipeline.simulation.impact import impact_bps
from quantlab_pipeline.simulation.tape import MarketTables, tapes
from quantlab_pipeline_tests.simulation.builders import (
    BTC,
    START,
    bars_of,
    cost_model,
    intents_of,
)

Y, EDGE_BPS, FEE_BPS, HALF_BPS = 0.7, 40.0, 4.0, 1.0
N_DAYS, TRADED_FROM_H = 4, 48
GROWTH = 2.0
TOLERANCE = 0.10
MINUTE = timedelta(minutes=1)


@dataclass(frozen=True)
class Market:
    """The tape, a trade an hour of one day, and the capacity that was planted, in dollars."""

    tape: object
    intents: object
    best: float
    break_even: float


@pytest.fixture(scope="module")
def market():
    gain = (1 + EDGE_BPS / 1e4) ** 0.1
    fall = gain**-0.5
    hour = np.concatenate([np.full(10, gain), np.full(20, fall), np.ones(30)])
    mid = 50_000 * np.cumprod(np.tile(hour, 24 * N_DAYS))
    opens = np.append(50_000.0, mid[:-1])
    volume = 10.0 * GROWTH ** (np.arange(mid.size) / DAY_MINUTES)
    bars = bars_of(mid, opens=opens, volume=volume)
    # The tenth minute's close is the last that rises: in at the hour's open, out ten minutes on.
    at = [START + timedelta(hours=TRADED_FROM_H + h) - MINUTE for h in range(24)]
    intents = intents_of([(t, t + 10 * MINUTE, 1) for t in at])
    return Market(next(tapes(MarketTables(bars), ["BTC"])), intents, *planted(mid, volume))


def planted(mid, volume):
    """(best, break-even) in dollars, from what was planted, by METHOD's closed form.

    All trades have one size Q: mean impact is Y sqrt(Q) times the mean of sigma_d / sqrt(V_d), each
    over the 24 hours that had closed an hour before its trade was decided, as liquidity is known.
    """
    returns = np.diff(np.log(mid), prepend=np.log(50_000.0)) * 1e4
    slope = []
    for h in range(TRADED_FROM_H - 1, TRADED_FROM_H + 23):
        day = slice(60 * h - DAY_MINUTES, 60 * h)
        sigma = np.sqrt(DAY_MINUTES * np.mean(returns[day] ** 2))
        slope.append(sigma / np.sqrt(np.sum(volume[day] * mid[day])))
    fixed = 2 * (FEE_BPS + HALF_BPS)
    law = (EDGE_BPS, fixed, float(np.mean(slope)), Y)
    return best_participation(*law), break_even_participation(*law)


def profits(market, sizes, tape=None, scale=AS_IS):
    """(P&L in dollars, mean net in bps) of the day at each size, by the engine."""
    usd, bps = [], []
    costs = cost_model(fee_bps=FEE_BPS, half_bps=HALF_BPS, impact_y=Y)
    for size in sizes:
        sized = costs.model_copy(update={"notional_usd": float(size)})
        way = [RunSettings(1.0, "base", scale)]
        (run,) = simulate(market.intents, [tape or market.tape], {"BTC": BTC}, sized, way)
        assert run.trades["status"].unique().to_list() == ["filled"]
        usd.append(run.trades["net_usd"].sum())
        bps.append(run.trades["net_bps"].mean())
    return np.array(usd), np.array(bps)


def located(market, tape=None, scale=AS_IS):
    """(size of the highest profit, size at which it vanishes) relative to what was planted."""
    near_best = np.geomspace(0.4, 2.5, 25) * market.best
    usd, _ = profits(market, near_best, tape, scale)
    peak = near_best[np.argmax(usd)] / market.best
    near_zero = np.geomspace(0.5, 2.0, 9) * market.break_even
    _, bps = profits(market, near_zero, tape, scale)
    below = np.flatnonzero(bps <= 0)
    if not below.size or below[0] == 0:
        return peak, np.inf
    i = below[0]
    share = bps[i - 1] / (bps[i - 1] - bps[i])
    return peak, (near_zero[i - 1] + share * (near_zero[i] - near_zero[i - 1])) / market.break_even


def is_true(peak, zero):
    return abs(peak - 1.0) <= TOLERANCE and abs(zero - 1.0) <= TOLERANCE


def test_profit_peaks_at_the_best_size_and_vanishes_at_break_even(market):
    assert market.best == pytest.approx(4 / 9 * market.break_even)
    assert is_true(*located(market))


def test_gate_b_s_expectancy_is_red_above_break_even_and_green_below(market):
    _, bps = profits(market, [market.best, 0.9 * market.break_even, 1.1 * market.break_even])
    assert (bps > BThresholds().min_net_bps).tolist() == [True, True, False]


def linear(impact_y, sigma_d_bps, participation):
    """Impact that grows with the size itself, equal to the law at a share of 5 %."""
    return impact_bps(impact_y, sigma_d_bps, participation) * np.sqrt(participation / 0.05)


def with_the_day_s_own_volume(tape):
    """Liquidity known a day before it was: the traded day's volume instead of the trailing one."""
    return replace(tape, known_us=tape.known_us - DAY_US)


@pytest.mark.parametrize("mutant", ["linear", "one way", "volume ahead"])
def test_another_law_of_impact_misses_the_planted_capacity(market, mutant, monkeypatch):
    tape = market.tape
    if mutant == "linear":
        monkeypatch.setattr(engine, "impact_bps", linear)
    elif mutant == "volume ahead":
        tape = with_the_day_s_own_volume(tape)
    # Impact that is paid on one way alone is half of both.
    scale = CostScale(impact=0.5) if mutant == "one way" else AS_IS
    assert not is_true(*located(market, tape, scale))
