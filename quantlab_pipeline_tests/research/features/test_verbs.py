"""The verbs on planted cases: known answers, symmetries, monotone composites, regimes found."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantlab_pipeline.research.features import derivatives, micro, verbs, volatility, windows
from quantlab_pipeline.research.features.windows import Grid

Floats = npt.NDArray[np.float64]
START = 29_000_161
STRESS = verbs.StressParams(weight_spread=0.5, weight_depth=0.4, weight_imbalance=0.1)
_SHARE = st.floats(0, 1)


def _stress(spread: float, depth: float, lean: float) -> float:
    arrays = [np.array([v]) for v in (spread, depth, lean)]
    return float(micro.liquidity_stress(arrays, STRESS, Grid(START, 1))[0])


@given(spread=_SHARE, depth=_SHARE, lean=st.floats(-1, 1), step=_SHARE)
def test_stress_is_monotone_and_within_its_bounds(
    spread: float, depth: float, lean: float, step: float
) -> None:
    base = _stress(spread, depth, lean)
    assert 0 <= base <= 1
    assert _stress(min(spread + step, 1), depth, lean) >= base
    assert _stress(spread, max(depth - step, 0), lean) >= base
    assert _stress(spread, depth, math.copysign(min(abs(lean) + step, 1), lean)) >= base
    assert _stress(spread, depth, -lean) == base


def test_swapping_the_sides_of_the_book_flips_the_imbalance_exactly() -> None:
    lean = np.random.default_rng(1).uniform(-1, 1, 3_000)
    grid = Grid(START, 360)
    for verb, window in ((windows.rolling_mean, 15), (windows.rolling_z, 1440)):
        params = verbs.WindowParams(window_min=window)
        assert np.array_equal(
            verb([-lean], params, grid), -verb([lean], params, grid), equal_nan=True
        )


def test_a_collapse_of_depth_fires_and_flat_depth_never_does() -> None:
    rng = np.random.default_rng(2)
    depth = 1e5 * np.exp(rng.normal(0, 0.1, 5_000))
    planted = [700, 1_900, 4_321]
    depth[planted] *= 0.25
    ratio = windows.ratio_to_mean([depth], verbs.WindowParams(window_min=60), Grid(START, 60))
    flag = windows.flag([ratio], verbs.FlagParams(at_most=0.4), Grid(START, 1))
    assert np.flatnonzero(flag == 1.0).tolist() == planted


@pytest.mark.parametrize("half_life", [8.0, 20.0])
def test_the_half_life_of_a_planted_process_is_recovered(half_life: float) -> None:
    rng = np.random.default_rng(3)
    slope = 0.5 ** (1 / half_life)
    x = np.zeros(20_000)
    for t in range(1, x.size):
        x[t] = slope * x[t - 1] + rng.normal()
    got = derivatives.half_life([x], verbs.HalfLifeParams(window_min=1440), Grid(START, 360))
    assert np.nanmedian(got[1440:]) == pytest.approx(half_life, rel=0.2)


def test_a_random_walk_that_never_reverts_has_no_half_life() -> None:
    x = np.exp(np.arange(2_000) / 50.0)
    params = verbs.HalfLifeParams(window_min=1440)
    assert np.isnan(derivatives.half_life([x], params, Grid(START, 360))).all()


def test_a_planted_jump_is_flagged_at_its_minute_and_none_on_clean() -> None:
    clean = np.cumsum(np.random.default_rng(4).normal(0, 0.2, 6_000))
    params = verbs.JumpParams(window_min=1440, deviations=8.0, floor_bps=5.0)
    grid = Grid(START, 360)
    assert np.nansum(derivatives.jump_flag([clean], params, grid)) == 0
    jumped = clean + 12.0 * (np.arange(6_000) >= 3_333)
    flags = derivatives.jump_flag([jumped], params, grid)
    assert np.flatnonzero(flags == 1.0).tolist() == [3_333]
    assert np.isnan(flags[:361]).all()
    assert not np.isnan(flags[361:]).any()


def test_persistence_counts_settlements_of_one_sign() -> None:
    rates = np.repeat([1.0, 2.0, 3.0, -1.0, -2.0, 0.0, 4.0], 480)
    stamps = np.repeat(START - START % 480 + 480.0 * np.arange(7), 480)
    params = verbs.RunParams(window_min=10080, cap_facts=21)
    run = derivatives.sign_run([rates, stamps], params, Grid(int(stamps[0]) + 1, 1))
    assert run[::480].tolist() == [1, 2, 3, -1, -2, 0, 1]


def test_persistence_is_capped_and_forgets_after_its_window() -> None:
    minutes = 60 * 40
    stamps = np.repeat(60.0 * np.arange(40), 60)
    run = derivatives.sign_run(
        [np.full(minutes, -1e-4), stamps], verbs.RunParams(window_min=600, cap_facts=21), Grid(0, 1)
    )
    assert run[-1] == -10
    capped = verbs.RunParams(window_min=10080, cap_facts=21)
    assert derivatives.sign_run([np.full(minutes, 1e-4), stamps], capped, Grid(0, 1))[-1] == 21


def test_minutes_until_the_next_settlement() -> None:
    due = np.full(5, START + 2.0)
    left = derivatives.minutes_until([due], verbs.Params(), Grid(START, 1))
    assert left[:3].tolist() == [2, 1, 0]
    assert np.isnan(left[3:]).all()


def test_a_wick_is_positive_after_a_rejected_low() -> None:
    bars = [np.array(v) for v in ([100.0, 100.0], [101.0, 104.0], [96.0, 99.0], [100.0, 100.0])]
    assert volatility.wick(bars, verbs.Params(), Grid(START, 1)).tolist() == [300.0, -300.0]


def test_equal_prices_have_no_basis_and_a_return_is_a_log() -> None:
    price = np.array([100.0, 101.0, 0.0, -1.0, np.nan])
    assert windows.log_ratio([price, price], verbs.Params(), Grid(START, 1))[:2].tolist() == [0, 0]
    change = windows.log_change([price], verbs.ChangeParams(window_min=1), Grid(START, 1))
    assert change[1] == pytest.approx(1e4 * math.log(1.01))
    assert np.isnan(change[[0, 2, 3, 4]]).all()


def test_a_constant_has_no_z_and_rank_one_half() -> None:
    x = np.full(500, 3.0)
    params = verbs.RankParams(window_min=60)
    assert np.isnan(windows.rolling_z([x], params, Grid(START, 10))).all()
    assert np.nanmax(np.abs(windows.rank([x], params, Grid(START, 10)) - 0.5)) == 0


def _garch(rng: np.random.Generator, n: int) -> tuple[Floats, Floats]:
    """Returns with volatility clusters, and the true deviation of each."""
    variance = np.empty(n)
    x = np.empty(n)
    variance[0] = 25.0
    for t in range(n):
        if t:
            variance[t] = 0.05 + 0.06 * x[t - 1] ** 2 + 0.938 * variance[t - 1]
        x[t] = math.sqrt(variance[t]) * rng.normal()
    return x, np.sqrt(variance)


def test_volatility_flags_are_right_about_the_true_regime() -> None:
    x, truth = _garch(np.random.default_rng(7), 40_000)
    quiet = windows.rolling_deviation([x], verbs.WindowParams(window_min=15), Grid(START, 15))
    day = windows.rolling_deviation([x], verbs.WindowParams(window_min=1440), Grid(START, 360))
    ratio = windows.quotient([quiet, day], verbs.Params(), Grid(START, 1))
    usual = np.array([truth[max(t - 1439, 0) : t + 1].mean() for t in range(truth.size)])
    high = ratio >= 2.0
    low = ratio <= 0.5
    assert high.sum() > 50
    assert low.sum() > 50
    assert (truth[high] > usual[high]).mean() >= 0.8
    assert (truth[low] < usual[low]).mean() >= 0.8
