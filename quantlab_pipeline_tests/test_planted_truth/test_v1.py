"""V1 on markets whose truth is known: it must refuse the null, find the planted, and kill mutants.

A few tiny worlds with fixed seeds. The full sizes, on fresh markets through the stages, are those
of `quantlab calibrate`. A band is the binomial's at a false alarm of 1e-3, set before the run.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from scipy.special import ndtr
from scipy.stats import binom

from quantlab_pipeline.kernels import calendar_time as ct
from quantlab_pipeline.research.validation.evaluate import evaluate_family
from quantlab_pipeline.research.validation.multiplicity import first_step_z
from quantlab_pipeline.research.validation.spec import V1Thresholds
from quantlab_pipeline_tests.research.validation import builders

LIMITS = V1Thresholds()
BUDGET = 10_000
HORIZONS = (5, 15, 60, 240, 1440)
N_QUICK = 60


def _sums(made, event_type, horizon, sign=1.0):
    rows = made.events[event_type]
    events = ct.Events(
        np.ascontiguousarray(rows[:, 0]), rows[:, 1] + 1, np.full(len(rows), float(sign))
    )
    n = made.prices.shape[1]
    y, contrast = np.empty(n), np.empty(n)
    world = ct.market(made.prices, np.zeros_like(made.prices))
    return ct.calendar_sums(events, horizon, world, y, contrast), events, world, y


def _event_returns(made, event_type, horizon, sign):
    rows = made.events[event_type]
    order = np.argsort(rows[:, 1], kind="stable")
    i, k = rows[order, 0], rows[order, 1] + 1
    return sign * (made.prices[i, k + horizon] / made.prices[i, k] - 1.0)


def ours(made, event_type, horizon, sign):
    """The rule of V1: the larger p of raw and contrast."""
    s = _sums(made, event_type, horizon, sign)[0]
    z = s.total / math.sqrt(s.variance), s.contrast_total / math.sqrt(s.contrast_variance)
    return ndtr(-min(z))


def iid_t(made, event_type, horizon, sign):
    """Mutant: events as if independent."""
    x = _event_returns(made, event_type, horizon, sign)
    return ndtr(-x.mean() / (x.std(ddof=1) / math.sqrt(x.size)))


def symbol_clusters(made, event_type, horizon, sign):
    """Mutant: each symbol by itself, as if symbols were independent."""
    rows, total, variance = made.events[event_type], 0.0, 0.0
    for i in range(made.prices.shape[0]):
        only = replace(made, events={event_type: rows[rows[:, 0] == i]})
        part = _sums(only, event_type, horizon, sign)[0]
        total, variance = total + part.total, variance + part.variance
    return ndtr(-total / math.sqrt(variance))


def newey_west_on_the_event_list(made, event_type, horizon, sign):
    """Mutant: lags of the list of events, as if they were time."""
    x = _event_returns(made, event_type, horizon, sign)
    e, lags = x - x.mean(), int(4 * (x.size / 100) ** (2 / 9))
    v = float(e @ e)
    for lag in range(1, lags + 1):
        v += 2 * (1 - lag / (lags + 1)) * float(e[lag:] @ e[:-lag])
    return ndtr(-x.sum() / math.sqrt(v))


def contrast_missing(made, event_type, horizon, sign):
    """Mutant: the raw statistic alone."""
    s = _sums(made, event_type, horizon, sign)[0]
    return ndtr(-s.total / math.sqrt(s.variance))


@pytest.fixture(scope="module")
def null_worlds():
    return [builders.world(seed) for seed in range(N_QUICK)]


def _rejections(worlds, rule, horizon, level=0.05):
    """One-sided rejections, long on one type and short on the other."""
    p = np.concatenate([_both(made, rule, horizon) for made in worlds])
    return int(np.sum(p < level)), p.size


def _both(made, rule, horizon):
    pairs = zip(builders.TYPES, (1, -1), strict=True)
    return np.array([rule(made, name, horizon, sign) for name, sign in pairs])


@pytest.mark.parametrize("horizon", HORIZONS)
def test_size_is_nominal_at_every_horizon(null_worlds, horizon):
    hits, n = _rejections(null_worlds, ours, horizon)
    assert hits <= binom.ppf(0.999, n, 0.05)


@pytest.mark.parametrize("mutant", [iid_t, symbol_clusters, newey_west_on_the_event_list])
def test_the_size_test_kills_rules_that_ignore_dependence(null_worlds, mutant):
    hits, n = _rejections(null_worlds, mutant, 1440)
    assert hits > binom.ppf(0.999, n, 0.05)


def test_no_null_family_passes(null_worlds):
    """Six worlds through the whole stage, at the budget and at the family's own number of tests."""
    family = builders.family(horizons=("5m", "1h", "24h"))
    for made in null_worlds[:6]:
        for budget in (BUDGET, family.size(2)):
            frame = evaluate_family(
                builders.inputs_of(made), family, builders.free(), LIMITS, budget
            )
            assert "PASS" not in frame["status"].to_list()


@pytest.mark.parametrize(("rule", "survives"), [(ours, True), (contrast_missing, False)])
def test_a_drift_is_no_edge(rule, survives):
    """200 bps a day: the raw z is shifted by 5 and more, the contrast takes the drift out."""
    worlds = [builders.world(s, n_days=60, drift_bps_day=200.0) for s in range(100, 112)]
    raw = []
    for made in worlds:
        sums = _sums(made, "calm_drop", 1440)[0]
        raw.append(sums.total / math.sqrt(sums.variance))
    assert np.mean(raw) > 5.0
    hits, n = _rejections(worlds, rule, 1440)
    assert bool(hits <= binom.ppf(0.999, n, 0.05)) is survives


def _evaluate(made, horizons=("5m", "15m", "1h", "4h"), costs=None):
    family = builders.family(horizons=horizons)
    return evaluate_family(
        builders.inputs_of(made), family, costs or builders.cost_model(), LIMITS, BUDGET
    )


def _cell(frame, event_type="calm_drop", horizon="1h", side=1):
    return frame.filter(
        pl.col("event_type") == event_type, pl.col("horizon") == horizon, pl.col("side") == side
    ).row(0, named=True)


def _planted(seed, multiple_of_se, n_days=40, **kwargs):
    """A world with an edge of that many standard errors net of cost, and its candidates."""
    made = builders.world(seed, n_days=n_days)
    row = _cell(_evaluate(made, horizons=("1h",)))
    edge = multiple_of_se * row["se_bps"] + row["cost_bps"]
    return builders.plant(made, "calm_drop", edge, 60, **kwargs)


def test_a_planted_edge_passes_on_its_own_side_and_horizon():
    passed = 0
    for seed in range(200, 208):
        frame = _evaluate(_planted(seed, 7.0))
        own = _cell(frame)
        passed += own["status"] == "PASS"
        assert _cell(frame, side=-1)["status"] != "PASS"
        strongest = frame.filter(pl.col("p").is_not_null()).sort("z_contrast").row(-1, named=True)
        assert strongest["event_type"] == "calm_drop"
        assert strongest["side"] == 1
        assert own["z_raw"] > _cell(frame, horizon="5m")["z_raw"]
        others = frame.filter(pl.col("event_type") == "wide_spread")["status"]
        assert "PASS" not in others.to_list()
    # A shift of 7 against 4.26 passes with 0.997; fewer than 6 of 8 has odds below 1e-6.
    assert passed >= 6


def test_a_planted_short_passes_against_the_rule_only():
    frame = _evaluate(_planted(300, -8.0))
    assert _cell(frame, side=1)["status"] != "PASS"
    assert _cell(frame, side=-1)["status"] == "PASS"


def test_an_edge_of_the_reported_mde_shifts_the_binding_z_as_promised():
    """The shift is exact in expectation: compare one world with and without the edge."""
    expected = first_step_z(LIMITS.q, BUDGET) + 0.8416
    for seed in range(400, 404):
        made = builders.world(seed)
        before = _cell(_evaluate(made, ("1h",), builders.free()))
        edged = builders.plant(made, "calm_drop", before["mde80_bps"], 60)
        after = _cell(_evaluate(edged, ("1h",), builders.free()))
        binding = "z_raw" if before["z_raw"] < before["z_contrast"] else "z_contrast"
        assert after[binding] - before[binding] == pytest.approx(expected, rel=0.05)


def test_a_copied_universe_changes_no_verdict():
    made = builders.plant(builders.world(500), "calm_drop", 40.0, 60)
    n = made.prices.shape[0]
    twice = replace(
        made,
        prices=np.vstack([made.prices] * 2),
        events={
            name: np.vstack([rows, rows + np.array([n, 0])]) for name, rows in made.events.items()
        },
    )
    once, both = (_evaluate(w) for w in (made, twice))
    on = ["event_type", "horizon", "side"]
    pairs = once.join(both, on=on, suffix="_copy", validate="1:1")
    for name in ("z_raw", "z_contrast", "q_bh", "mde80_bps", "n_eff"):
        scale = pairs[name].abs().max() if name in {"mde80_bps", "n_eff"} else 1.0
        assert (pairs[name] - pairs[f"{name}_copy"]).abs().max() <= 1e-9 * scale
    assert pairs["status"].equals(pairs["status_copy"].rename("status"))
    ratio = pairs["z_naive_copy"] / pairs["z_naive"]
    np.testing.assert_allclose(ratio.to_numpy(), math.sqrt(2.0), rtol=5e-3)


def test_an_edge_in_one_regime_passes_and_is_called_heterogeneous():
    frame = _evaluate(_planted(600, 14.0, only_high_vol=True), horizons=("1h",))
    row = _cell(frame)
    assert row["status"] == "PASS"
    assert row["heterogeneity_p"] < 0.01


def test_a_small_study_is_underpowered_and_never_fails_or_passes():
    made = builders.plant(builders.world(700, n_symbols=2, n_days=7), "calm_drop", 60.0, 60)
    statuses = _evaluate(made)["status"].unique().to_list()
    assert statuses == ["UNDERPOWERED"]
