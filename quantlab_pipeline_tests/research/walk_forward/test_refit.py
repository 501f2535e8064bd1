"""Refitting looks backwards only; a memorising choice earns nothing outside its fit."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from quantlab_pipeline.research.walk_forward.folds import Segment
from quantlab_pipeline.research.walk_forward.overfitting import probability_of_overfitting, wilson
from quantlab_pipeline.research.walk_forward.refit import choose, neighbour_ratio, walk
from quantlab_pipeline.research.walk_forward.spec import WalkForwardSpec

SPEC = WalkForwardSpec(
    n_folds=2,
    embargo_min=0,
    hold_scales=(0.5, 1.0, 2.0),
    severity_quantiles=(0.0, 0.5),
    min_train_trades=20,
    pbo_blocks=8,
)
TESTS = [Segment(600, 800), Segment(800, 1000)]


def _trades(means: tuple[float, ...], seed: int = 0, n: int = 1000) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    return pl.concat(
        pl.DataFrame(
            {
                "hold_scale": np.full(n, scale),
                "decide_us": np.arange(n),
                "exit_us": np.arange(n) + 1 + int(4 * scale),
                "severity": rng.random(n),
                "net_bps": rng.normal(mean, 10.0, n),
            }
        )
        for scale, mean in zip(SPEC.hold_scales, means, strict=True)
    )


def test_the_best_parameter_of_the_past_is_applied_to_the_future() -> None:
    folds = walk(_trades((0.0, 5.0, 1.0)), TESTS, SPEC)
    assert [f.hold_scale for f in folds] == [1.0, 1.0]
    for fold, test in zip(folds, TESTS, strict=True):
        decided = fold.trades["decide_us"].to_numpy()
        assert decided.min() > test.start_us
        assert decided.max() <= test.end_us


def test_nothing_after_a_segment_begins_can_change_its_choice() -> None:
    trades = _trades((1.0, 1.1, 0.9))
    poisoned = trades.with_columns(
        net_bps=pl.when(pl.col("exit_us") > 600).then(-pl.col("net_bps") * 50).otherwise("net_bps")
    )
    honest, attacked = walk(trades, TESTS[:1], SPEC)[0], walk(poisoned, TESTS[:1], SPEC)[0]
    assert (honest.hold_scale, honest.severity_quantile) == (
        attacked.hold_scale,
        attacked.severity_quantile,
    )
    assert honest.train_net_bps == attacked.train_net_bps


def test_choosing_on_noise_promises_more_than_it_keeps() -> None:
    promised, kept = [], []
    for seed in range(40):
        for fold in walk(_trades((0.0, 0.0, 0.0), seed), TESTS, SPEC):
            promised.append(fold.train_net_bps)
            kept.append(fold.trades["net_bps"].mean())
    error = np.std(kept) / np.sqrt(len(kept))
    assert np.mean(promised) > 0.2
    assert abs(np.mean(kept)) < 4 * error


def test_too_few_trades_choose_nothing() -> None:
    few = _trades((5.0, 5.0, 5.0)).filter(pl.col("decide_us") % 50 == 0)
    assert choose(few.filter(pl.col("decide_us") < 600), SPEC) is None
    assert walk(few, TESTS[:1], SPEC)[0].trades.is_empty()


def test_a_plateau_and_a_razor() -> None:
    assert neighbour_ratio(_trades((9.0, 10.0, 9.5)), SPEC) == pytest.approx(0.9, abs=0.1)
    razor = neighbour_ratio(_trades((0.0, 10.0, 0.0)), SPEC)
    assert razor is not None
    assert razor < 0.2
    assert neighbour_ratio(_trades((-3.0, -2.0, -4.0)), SPEC) is None


def test_overfitting_of_noise_is_a_coin_and_of_skill_is_rare() -> None:
    rng = np.random.default_rng(1)
    noise = [probability_of_overfitting(rng.normal(size=(240, 20)), 8) for _ in range(30)]
    assert np.mean([n[0] for n in noise if n]) == pytest.approx(0.5, abs=0.1)
    skilled = rng.normal(size=(240, 20))
    skilled[:, 3] += 0.5
    found = probability_of_overfitting(skilled, 8)
    assert found is not None
    assert found[0] < 0.05
    assert found[1] <= found[0] <= found[2]


def test_a_single_trial_cannot_be_overfitted() -> None:
    assert probability_of_overfitting(np.zeros((100, 1)), 8) is None
    assert probability_of_overfitting(np.zeros((10, 5)), 8) is None


def test_wilson_golden() -> None:
    low, high = wilson(0.5, 10)
    assert (low, high) == (pytest.approx(0.2366, abs=1e-4), pytest.approx(0.7634, abs=1e-4))
