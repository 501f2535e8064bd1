"""Labels against polars' rolling extremes on the reversed price: the kernel, the whole stage."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date

import numpy as np
import polars as pl
import pytest

from quantlab_pipeline.core.clocks import days_between, minute_grid
from quantlab_pipeline.kernels.label_windows import LogPath, Windows, forward_windows
from quantlab_pipeline.research.labels.build import build_labels
from quantlab_pipeline.research.labels.schema import HORIZONS_MIN
from quantlab_pipeline_tests.benchmarks.measure import compare
from quantlab_pipeline_tests.research.labels.builders import label_specs

pytestmark = pytest.mark.benchmark
YEAR = 525_600
RNG = np.random.default_rng(0)
LOG_PRICE = np.cumsum(RNG.normal(0, 7e-4, YEAR))
HORIZONS = np.array(list(HORIZONS_MIN.values()))


def labels_by_polars(log_price: pl.Series) -> list[pl.Series]:
    """Returns and extremes of every horizon, without a rule for gaps."""
    backwards, out = log_price.reverse(), []
    for h in HORIZONS.tolist():
        returns = log_price.shift(-h) - log_price
        out += [backwards.rolling_max(h), backwards.rolling_min(h), returns]
    return out


@pytest.mark.parametrize("gap_share", [0.0, 0.01])
def test_labels_beat_reversed_rolling_extremes(gap_share: float) -> None:
    fresh = RNG.random(YEAR) >= gap_share
    path = LogPath(LOG_PRICE, fresh, fresh, fresh)
    windows = Windows(HORIZONS, HORIZONS // 20, 1)
    series = pl.Series("x", LOG_PRICE)

    def ours() -> np.ndarray:
        out = np.empty((len(HORIZONS), 3, YEAR))
        forward_windows(path, windows, out)
        return out

    ratio = compare(
        f"labels, {gap_share:.0%} of the minutes missing, per bar and column",
        YEAR * 15,
        ours,
        lambda: labels_by_polars(series),
        rounds=9,
    )
    assert ratio.value < 0.25


SYMBOLS = [f"S{i}USDT" for i in range(5)]
DAYS = days_between(date(2025, 1, 1), date(2025, 2, 2))


def month() -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """Bars, book and marks of five symbols and 33 days: a month, and what its labels look into."""
    ts = minute_grid(DAYS)
    closes = [100 * np.exp(np.cumsum(RNG.normal(0, 7e-4, len(ts)))) for _ in SYMBOLS]
    frames = [
        pl.select(pl.lit(symbol).alias("symbol"), ts, pl.Series("close", close))
        for symbol, close in zip(SYMBOLS, closes, strict=True)
    ]
    bars = pl.concat(frames, rechunk=True).filter(pl.Series(RNG.random(5 * len(ts)) > 0.001))
    leg, mid = pl.lit("perp").alias("leg"), (pl.col("close") * 1.0001).alias("mid_last")
    book = bars.select("symbol", leg, "ts", mid)
    return bars, book, bars.select("symbol", "ts", (pl.col("close") * 0.999).alias("mark_price"))


def test_the_stage_beats_the_columns_of_polars_alone() -> None:
    """Ours reads frames, joins book and mark, obeys gaps; the peer has the extremes alone."""
    bars, book, marks = month()
    made = DAYS[:31]
    by_symbol = [f["close"].log() for f in bars.partition_by("symbol")]
    peers: list[Callable[[], list[pl.Series]]] = [
        lambda log_price=log_price: labels_by_polars(log_price) for log_price in by_symbol
    ]
    n_columns = 6 * len(HORIZONS)

    def ours() -> pl.DataFrame:
        return build_labels(bars, book, label_specs(), made, SYMBOLS, mark_index=marks)

    assert ours().width == n_columns + 4
    ratio = compare(
        "build_labels of 5 symbols and 31 days, per bar and column (peer: two paths of 15 columns)",
        len(made) * 1440 * 5 * n_columns,
        ours,
        lambda: [peer() for _ in range(2) for peer in peers],
        rounds=9,
    )
    assert ratio.value < 1.0
