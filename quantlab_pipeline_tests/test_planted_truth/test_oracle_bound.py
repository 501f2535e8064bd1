"""PT-08: on a path that is known, nobody earns more than the best policy, nor that policy other
than its closed form; and who knows only the past of it earns nothing but costs.

Prices stand still for 20 minutes and then jump, on the tick grid, so that every fill is exact. The
best policy holds the right side across the jumps that are worth a round trip; dynamic programming
over the stretches of still prices finds it, apart from the engine.
"""

from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import polars as pl
import pytest

from quantlab_pipeline.simulation import engine
from quantlab_pipeline.simulation.costs import CostScale
from quantlab_pipeline.simulation.engine import RunSettings, simulate
from quantlab_pipeline.simulation.tape import MarketTables, tapes
from quantlab_pipeline_tests.simulation.builders import (
    BTC,
    START,
    bars_of,
    cost_model,
    intents_of,
)
from quantlab_pipeline_tests.simulation.mutants import sooner

STILL, FIRST, N_STRETCHES = 20, 13 * 60, 31
"""Minutes of a still price, the minute of the first jump's stretch, and how many stretches."""

FEE, HALF = 4.0, 2.0
COSTS = cost_model(fee_bps=FEE, half_bps=HALF)
WAY = RunSettings(1.0, "base")
EXACT = 1e-9


@dataclass(frozen=True)
class Path:
    """Prices of the stretches, and the minute bars that hold them."""

    level: np.ndarray

    def tape(self):
        before = np.full(FIRST, self.level[0])
        mid = np.concatenate([before, np.repeat(self.level, STILL)])
        return next(tapes(MarketTables(bars_of(mid, opens=mid)), ["BTC"]))

    def net(self, i, j, side):
        """What a trade from stretch i to stretch j leaves, bps of its entry's mid, by hand."""
        here, there = self.level[i], self.level[j]
        paid, got = here * (1 + side * HALF / 1e4), there * (1 - side * HALF / 1e4)
        return 1e4 * (side * (got - paid) - FEE / 1e4 * (paid + got)) / here

    def best(self):
        """(bps in all, trades (i, j, side)) of the best policy with one position at a time."""
        value, policy = [0.0], [()]
        for j in range(1, self.level.size):
            options = [(value[-1], policy[-1])]
            for i in range(j):
                for side in (1, -1):
                    options.append((value[i] + self.net(i, j, side), (*policy[i], (i, j, side))))
            top = max(options, key=lambda option: option[0])
            value.append(top[0])
            policy.append(top[1])
        return value[-1], policy[-1]


def sawtooth():
    return Path(np.where(np.arange(N_STRETCHES) % 2 == 0, 50_000.0, 50_500.0))


def ragged(seed=1):
    """Jumps of 10 to 80 bps either way; a round trip costs 12."""
    rng = np.random.default_rng(seed)
    jumps = 50.0 * rng.integers(1, 9, N_STRETCHES) * rng.choice([-1, 1], N_STRETCHES)
    return Path(50_000.0 + np.cumsum(jumps))


def decision(fill_minute):
    """On bars a decision at a minute's close is filled at the open of the next but one."""
    return START + timedelta(minutes=int(fill_minute) - 1)


def strategy(name, trades):
    """Intents from fills (minute in, minute out, side)."""
    return intents_of([(decision(a), decision(b), int(s)) for a, b, s in trades], name)


def known(path, shift=0, flip=1, step=1):
    """The best policy's trades, each filled in the middle of its stretches, or moved from there."""
    middle = FIRST + STILL // 2 + shift
    return [
        (middle + STILL * i, middle + STILL * j, s * flip) for i, j, s in path.best()[1][::step]
    ]


def at_random(rng, n):
    """n trades one after the other, at random minutes and sides."""
    at = np.sort(
        rng.choice(np.arange(FIRST, FIRST + STILL * N_STRETCHES - 5), 2 * n, replace=False)
    )
    return [(a, b, s) for (a, b), s in zip(at.reshape(-1, 2), rng.choice([-1, 1], n), strict=True)]


def after_the_jump():
    """Who has seen a jump and holds until just before the next: it knows only the past."""
    starts = FIRST + STILL * np.arange(1, N_STRETCHES)
    return [(a + 1, a + STILL - 1, s) for a in starts for s in (1, -1)]


def contestants(path):
    rng = np.random.default_rng(5)
    moved = {f"moved {k}": known(path, shift=k) for k in range(-9, 60) if k}
    named = {"flipped": known(path, flip=-1), "every other": known(path, step=2), **moved}
    named |= {f"random {k}": at_random(rng, int(rng.integers(1, 40))) for k in range(200)}
    return pl.concat([strategy(name, trades) for name, trades in named.items()])


def totals(path, tape, way=WAY):
    """(the oracle's bps, the best other's bps, each net of who knows only the past)."""
    last = decision(FIRST + STILL * N_STRETCHES - 3)
    others = contestants(path).filter(pl.col("exit_ts") <= last)
    whole = [strategy("oracle", known(path)), strategy("late", after_the_jump()), others]
    trades = simulate(pl.concat(whole), [tape], {"BTC": BTC}, COSTS, [way])[0].trades
    assert trades["status"].unique().to_list() == ["filled"]
    sums = dict(trades.group_by("strategy_id").agg(pl.col("net_bps").sum()).iter_rows())
    late = trades.filter(pl.col("strategy_id") == "late")["net_bps"].to_numpy()
    oracle = sums.pop("oracle")
    del sums["late"]
    return oracle, max(sums.values()), late


def faults(path, tape, way=WAY):
    """Which parts of the bound do not hold."""
    best = path.best()[0]
    oracle, other, late = totals(path, tape, way)
    dear = np.repeat([path.net(k, k, 1) for k in range(1, N_STRETCHES)], 2)
    found = {
        "the oracle earns another sum": abs(oracle - best) > EXACT,
        "somebody earns more": other > best + EXACT,
        "the past is worth something": float(np.max(late - dear.min())) > 0.01,
    }
    return [name for name, is_so in found.items() if is_so]


def test_the_oracle_of_a_sawtooth_earns_its_closed_form():
    """Fifteen rises of 1 % and fifteen falls back, each traded once for 2 half-spreads, 2 fees."""
    low, high, n = 50_000.0, 50_500.0, N_STRETCHES // 2
    cost = (HALF + FEE) / 1e4 * (low + high)
    slip = FEE / 1e4 * HALF / 1e4 * (high - low)
    up = 1e4 * (high - low - cost + slip) / low
    down = 1e4 * (high - low - cost + slip) / high
    path = sawtooth()
    assert path.best()[0] == pytest.approx(n * (up + down), abs=EXACT)
    assert totals(path, path.tape())[0] == pytest.approx(n * (up + down), abs=EXACT)


@pytest.mark.parametrize("path", [sawtooth(), ragged(1), ragged(2)], ids=["saw", "one", "two"])
def test_nobody_earns_more_than_the_best_policy_and_it_earns_its_closed_form(path):
    """The oracle, 70 variants of it and 200 random strategies, one position at a time."""
    assert faults(path, path.tape()) == []


def test_a_path_with_jumps_below_the_cost_is_not_traded_jump_by_jump():
    """Holding through a small fall saves a round trip, and some jumps are worth none."""
    path = ragged(1)
    trades = path.best()[1]
    assert any(j - i > 1 for i, j, _ in trades)
    assert len(trades) < N_STRETCHES - 1


@pytest.mark.parametrize(
    ("mutant", "fault"),
    [
        ("mid fills", "somebody earns more"),
        ("one fee", "somebody earns more"),
        ("fills before the decision", "the past is worth something"),
    ],
)
def test_an_engine_that_gives_something_away_breaks_the_bound(mutant, fault, monkeypatch):
    path, scale = ragged(1), CostScale()
    if mutant == "mid fills":
        scale = CostScale(spread=0.0)
    elif mutant == "one fee":
        scale = CostScale(fee=0.5)
    else:
        monkeypatch.setattr(engine, "conditions", sooner(3 * 60_000_000))
    assert fault in faults(path, path.tape(), RunSettings(1.0, "base", scale))
