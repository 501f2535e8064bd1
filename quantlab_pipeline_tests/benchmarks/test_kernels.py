"""Kernels against polars on the same arrays: a year of minutes of one symbol."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from quantlab_pipeline.kernels import rolling_ewm, rolling_extremes, rolling_quantile
from quantlab_pipeline.kernels.rolling_moments import rolling_mean_deviation
from quantlab_pipeline.kernels.rolling_rank import rolling_rank
from quantlab_pipeline_tests.benchmarks.measure import compare

pytestmark = pytest.mark.benchmark
YEAR = 525_600
RNG = np.random.default_rng(0)
LOG_PRICE = np.cumsum(RNG.normal(0, 7e-4, YEAR))
SERIES = pl.Series("x", LOG_PRICE)
GAPS = np.where(RNG.random(YEAR) < 0.1, np.nan, LOG_PRICE)
GAPPED = pl.Series("x", GAPS, nan_to_null=True)


@pytest.mark.parametrize("window", [1_440, 10_080])
def test_rolling_rank_beats_the_order_statistics_of_polars(window: int) -> None:
    ratio = compare(
        f"rolling rank {window}, per bar",
        YEAR,
        lambda: rolling_rank(LOG_PRICE, window, window),
        lambda: SERIES.rolling_rank(window, method="average"),
    )
    assert ratio.value < 0.3


def test_rolling_mean_and_deviation_beat_polars() -> None:
    ratio = compare(
        "rolling mean and deviation 1440, per bar",
        YEAR,
        lambda: rolling_mean_deviation(LOG_PRICE, 0, 1_440, 360),
        lambda: (SERIES.rolling_mean(1_440), SERIES.rolling_std(1_440)),
    )
    assert ratio.value < 0.8, "though runs of any range agree to the last bit"


@pytest.mark.parametrize("window", [1_440, 10_080])
@pytest.mark.parametrize("rows", ["whole", "a tenth missing"])
def test_rolling_quantile_beats_polars(window: int, rows: str) -> None:
    x, series = (LOG_PRICE, SERIES) if rows == "whole" else (GAPS, GAPPED)
    ratio = compare(
        f"rolling quantile {window}, {rows}, per bar",
        YEAR,
        lambda: rolling_quantile.rolling_quantile(x, window, 0.95, window // 2),
        lambda: series.rolling_quantile(
            0.95, interpolation="linear", window_size=window, min_samples=window // 2
        ),
    )
    assert ratio.value < 1.0


@pytest.mark.parametrize("window", [60, 1_440, 10_080])
def test_rolling_extremes_beat_the_monotone_queue_of_polars(window: int) -> None:
    ratio = compare(
        f"rolling maximum and minimum {window}, per bar and column",
        2 * YEAR,
        lambda: (
            rolling_extremes.rolling_max(LOG_PRICE, 0, window, window),
            rolling_extremes.rolling_min(LOG_PRICE, 0, window, window),
        ),
        lambda: (SERIES.rolling_max(window), SERIES.rolling_min(window)),
    )
    assert ratio.value < 0.5


def test_an_anchored_ewm_beats_the_running_one_of_polars() -> None:
    ratio = compare(
        "exponentially weighted mean, restarted a day before each day, per bar",
        YEAR,
        lambda: rolling_ewm.anchored_ewm(LOG_PRICE, 0, 1 / 60, 1_440, 1_440, 60),
        lambda: SERIES.ewm_mean(alpha=1 / 60, adjust=False),
    )
    assert ratio.value < 1.0, "though each row is run through twice"
