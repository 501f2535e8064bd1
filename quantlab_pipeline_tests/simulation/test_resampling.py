"""Resampled figures: what is known of a normal sample, what order adds, and their own error."""

import numpy as np
import pytest

from quantlab_pipeline.core.seeds import child_seed
from quantlab_pipeline.simulation.metrics import max_drawdown, profit_factor, sharpe
from quantlab_pipeline.simulation.resampling import Blocks, resample
from quantlab_pipeline_tests.oracles import path_bootstrap as oracle

DAYS = 365
BLOCKS = Blocks(20_000, 20, 60, 24)


@pytest.fixture(scope="module")
def normal():
    """A year of hours, independent and normal, with an annual Sharpe ratio of about 3."""
    draw = np.random.default_rng(1).normal(size=DAYS * 24)
    return 1e-3 * ((draw - draw.mean()) / draw.std() + 3.0 / np.sqrt(DAYS * 24))


def test_percentiles_are_those_of_paths_laid_out_one_by_one():
    bars = np.random.default_rng(2).standard_t(4, 10 * 24) * 1e-3
    blocks = Blocks(400, 20, 60, 24)
    found = resample(bars, blocks, seed=3)
    plan = type("Plan", (), {"seed": 3, "block_min": 20, "block_max": 60})
    laid = [oracle.path(bars, plan, p) for p in range(400)]
    days = [oracle.days(path, 24) for path in laid]
    by_hand = {
        "sharpe_p5": np.quantile([sharpe(d).value for d in days], 0.05, method="inverted_cdf"),
        "max_drawdown_p95": np.quantile(
            [max_drawdown(d).value for d in days], 0.95, method="inverted_cdf"
        ),
        "profit_factor_p5": np.quantile(
            [profit_factor(path).value for path in laid], 0.05, method="inverted_cdf"
        ),
    }
    for name, value in by_hand.items():
        assert getattr(found, name).value == pytest.approx(value, rel=1e-9)


def test_on_independent_normal_bars_the_low_sharpe_is_that_of_its_sampling_distribution(normal):
    """Lo (2002): a Sharpe ratio of T independent days has an error of sqrt((1 + S^2 / 2) / T)."""
    daily = sharpe(normal.reshape(-1, 24).sum(axis=1)).value / np.sqrt(DAYS)
    error = np.sqrt((1 + daily**2 / 2) / DAYS) * np.sqrt(DAYS)
    found = resample(normal, BLOCKS, seed=4)
    assert daily * np.sqrt(DAYS) - found.sharpe_p5.value == pytest.approx(1.645 * error, rel=0.08)


def test_blocks_see_the_luck_that_lies_in_the_order_and_single_bars_do_not():
    """Hours whose moves last: daily sums of an AR(1) vary more than shuffled hours would."""
    noise = np.random.default_rng(5).normal(size=200 * 24)
    lasting = np.zeros_like(noise)
    for i in range(1, noise.size):
        lasting[i] = 0.8 * lasting[i - 1] + noise[i]
    lasting -= lasting.mean()
    blocks = resample(lasting, BLOCKS, seed=6)
    single = resample(lasting, Blocks(20_000, 1, 1, 24), seed=6)
    assert blocks.max_drawdown_p95.value > 2.0 * single.max_drawdown_p95.value


@pytest.mark.parametrize("n_threads", [1, 2, 5])
def test_threads_change_no_byte(normal, n_threads):
    blocks = Blocks(50_000, 20, 60, 24)
    bars = normal[: 30 * 24]
    assert resample(bars, blocks, 7, n_threads) == resample(bars, blocks, 7, 1)
    assert resample(bars, blocks, 8, n_threads) != resample(bars, blocks, 7, 1)


def test_the_stated_error_is_what_other_seeds_show_and_halves_with_four_times_the_paths(normal):
    bars = normal[: 60 * 24]

    def runs(n_paths):
        blocks = Blocks(n_paths, 20, 60, 24)
        return [resample(bars, blocks, child_seed(9, "seed", s)) for s in range(24)]

    few, many = runs(1_000), runs(4_000)
    for name in ("sharpe_p5", "max_drawdown_p95", "profit_factor_p5"):
        drift = [np.std([getattr(r, name).value for r in rs], ddof=1) for rs in (few, many)]
        stated = [np.mean([getattr(r, name).error for r in rs]) for rs in (few, many)]
        assert np.array(drift) == pytest.approx(np.array(stated), rel=0.5)
        assert stated[1] == pytest.approx(stated[0] / 2, rel=0.25)


def test_what_no_path_or_too_few_show_is_none_with_its_reason():
    flat = resample(np.zeros(240), BLOCKS, 1)
    assert flat.sharpe_p5.reason == "NO_VARIATION_ON_PATHS"
    assert flat.profit_factor_p5.reason == "NO_RESULT_ON_PATHS"
    assert flat.max_drawdown_p95.value == 0.0
    assert resample(np.full(240, 0.1), BLOCKS, 1).sharpe_p5.reason == "NO_VARIATION_ON_PATHS"
    assert resample(np.full(240, 0.1), BLOCKS, 1).profit_factor_p5.reason == "NO_LOSING_BAR"
    assert resample(np.ones(47), BLOCKS, 1).max_drawdown_p95.reason == "FEWER_THAN_2_DAYS"
    with pytest.raises(ValueError, match="finite"):
        resample(np.array([1.0, np.nan] * 40), BLOCKS, 1)
