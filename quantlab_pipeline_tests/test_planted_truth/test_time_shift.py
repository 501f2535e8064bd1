"""PT-28: an edge that a trader can have fades with the wait; one that is a single bar is flagged.

The quick form runs a few worlds with fixed seeds; the full sizes are marked `calibrate`. A band is
the binomial's at a false alarm of 1e-3, set before the run.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import binom

from quantlab_pipeline.core.clocks import DAY_MINUTES
from quantlab_pipeline.research.validation.evaluate import evaluate_family, question_of
from quantlab_pipeline.research.validation.family import expand_family
from quantlab_pipeline.research.validation.inputs import prepare
from quantlab_pipeline.research.validation.spec import FlagThresholds, V1Thresholds
from quantlab_pipeline.research.validation.time_shift import time_shift
from quantlab_pipeline_tests.research.validation import builders

LIMITS, FLAGS, BUDGET = V1Thresholds(), FlagThresholds(), 10_000
FLAG = "SUSPECT_SAME_BAR"
N_QUICK, N_FULL = 6, 100
ENTRY, COOLDOWN = 1, 120
EDGE_BPS = 40.0


def _only(made, rows):
    """`made` with one event type, of which the last ones leave room for every horizon."""
    rows = rows[rows[:, 1] < made.prices.shape[1] - builders.BUFFER]
    return replace(made, events={"calm_drop": rows})


def honest(seed):
    """An edge of an hour: even drift over the 60 minutes after the entry."""
    made = builders.world(seed)
    return builders.plant(_only(made, made.events["calm_drop"]), "calm_drop", EDGE_BPS, 60)


def fading(seed, half_life_min=2.0):
    """An edge that halves every two minutes, the fastest decay that counts as smooth."""
    made = builders.world(seed)
    made = _only(made, made.events["calm_drop"])
    left = 0.5 ** (np.arange(60) / half_life_min)
    drift = np.zeros_like(made.returns)
    for i, k in made.events["calm_drop"]:
        drift[i, k + ENTRY + 1 : k + ENTRY + 61] += EDGE_BPS * 1e-4 * left / left.sum()
    returns = made.returns + drift
    return replace(made, returns=returns, prices=builders._prices(returns))


def looked_ahead(seed):
    """No edge at all: each trigger was recorded by the return of the bar after its entry."""
    made = builders.world(seed)
    first_bar = np.roll(made.returns, -(ENTRY + 1), axis=1)
    return _only(made, _onsets(first_bar, 0.995))


def bounced(seed, half_spread_bps=6.0):
    """No edge: closes bounce between bid and ask, and the trigger saw the entry's at the bid."""
    made = builders.world(seed, vol_bps=3.0)
    rng = np.random.default_rng([seed, 1])
    at = rng.choice([-1.0, 1.0], made.prices.shape)
    made = replace(made, prices=made.prices * (1.0 + 1e-4 * half_spread_bps * at))
    low = -np.roll(at, -ENTRY, axis=1) + 1e-3 * rng.random(at.shape)
    return _only(made, _onsets(low, 0.98))


def _onsets(score, quantile):
    """(symbol, minute) at which `score` [I, T] exceeds its quantile, two hours apart at least."""
    rows = []
    for i, line in enumerate(score):
        last = -COOLDOWN
        for k in np.flatnonzero(line > np.quantile(line, quantile)):
            if k - last >= COOLDOWN and k > DAY_MINUTES:
                rows.append((i, k))
                last = k
    return np.array(rows, dtype=np.int64).reshape(-1, 2)


def own_row(made, horizon="1h"):
    """The candidate that trades the events up, through the whole stage, without costs."""
    family = builders.family(horizons=(horizon,))
    frame = evaluate_family(
        builders.inputs_of(made), family, builders.free(), LIMITS, BUDGET, flags=FLAGS
    )
    return frame.filter(side=1).row(0, named=True)


def _counts(worlds, horizon="1h"):
    """How many passed V1, and how many of these are flagged."""
    rows = [own_row(made, horizon) for made in worlds]
    passed = [row for row in rows if row["status"] == "PASS"]
    return len(passed), sum(FLAG in row["flags"] for row in passed)


def _z(seed, edge=None, horizon="1h"):
    """The drop's z without an edge, or with the world that `edge` makes."""
    made = edge(seed) if edge else builders.world(seed)
    inputs, family, costs = builders.inputs_of(made), builders.family((horizon,)), builders.free()
    candidate = expand_family(family, question_of(inputs), costs)[0]
    return time_shift(prepare(inputs, family, costs), family, candidate, FLAGS.half_life_min).drop_z


ONE_BAR = [(looked_ahead, "5m"), (looked_ahead, "1h"), (bounced, "5m")]
"""An hour of bouncing closes is too loud for the bounce of one bar to pass V1."""


@pytest.mark.parametrize("make", [honest, fading])
def test_a_survivor_that_fades_smoothly_is_not_flagged(make):
    assert _counts(map(make, range(900, 900 + N_QUICK))) == (N_QUICK, 0)


@pytest.mark.parametrize(("make", "horizon"), ONE_BAR)
def test_a_survivor_of_one_bar_is_flagged(make, horizon):
    passed, flagged = _counts(map(make, range(900, 900 + N_QUICK)), horizon)
    assert passed == flagged == N_QUICK


def test_what_is_left_is_told():
    row = own_row(looked_ahead(900), "5m")
    assert row["lag1_share"] < 0.3
    fair = own_row(fading(900), "1h")
    assert fair["lag1_share"] == pytest.approx(0.5 ** (1 / 2), abs=0.12)
    assert [fair[f"lag{k}_bps"] for k in (1, 2, 3, 5)] == pytest.approx(
        [fair["lag0_bps"] * 0.5 ** (k / 2) for k in (1, 2, 3, 5)], abs=4 * fair["lag0_se_bps"]
    )


@pytest.mark.calibrate
@pytest.mark.parametrize("make", [honest, fading])
def test_full_smooth_edges_are_left_alone(make):
    """K = 100 worlds: at least 95 % unflagged is asked; the size of 1e-3 allows two."""
    passed, flagged = _counts(map(make, range(5000, 5000 + N_FULL)))
    assert passed >= 0.95 * N_FULL
    assert flagged <= binom.ppf(0.999, passed, 1e-3)


@pytest.mark.calibrate
@pytest.mark.parametrize(("make", "horizon"), ONE_BAR)
def test_full_one_bar_is_seen(make, horizon):
    """K = 100 worlds: of those that pass V1, at least 95 % are flagged."""
    passed, flagged = _counts(map(make, range(9000, 9000 + N_FULL)), horizon)
    assert passed >= 0.5 * N_FULL
    assert flagged >= 0.95 * passed


@pytest.mark.calibrate
@pytest.mark.parametrize("edge", [None, fading])
@pytest.mark.parametrize("horizon", ["5m", "1h", "24h"])
def test_full_size_of_the_drop(edge, horizon):
    """K = 400: 5 % and 1e-3 at the edge of the null (no effect; the fastest smooth decay)."""
    z = np.array([_z(seed, edge, horizon) for seed in range(7000, 7400)])
    for level, limit in ((0.05, 1.6449), (1e-3, 3.0902)):
        assert np.sum(z > limit) <= binom.ppf(0.999, z.size, level)
