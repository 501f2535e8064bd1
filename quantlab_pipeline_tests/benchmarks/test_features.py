"""The feature stage and its gate: five symbols, a month at a time, as a year's backfill runs.

The peer is polars on the same columns, without the joins that ours does beside them.
"""

from __future__ import annotations

import resource
import time
from datetime import timedelta

import polars as pl
import pytest

from quantlab_pipeline.core.clocks import DAY_MINUTES, day_start, days_between
from quantlab_pipeline.research.features.build import build_features
from quantlab_pipeline.research.features.gate import judge_pit1
from quantlab_pipeline.research.features.inputs import FeatureInputs
from quantlab_pipeline.research.features.spec import Pit1Thresholds
from quantlab_pipeline_tests.benchmarks.measure import compare
from quantlab_pipeline_tests.research.features.builders import FIRST, market, shipped_specs

pytestmark = pytest.mark.benchmark
SYMBOLS = [f"S{i}USDT" for i in range(5)]
LOOKBACK_DAYS, DAYS = 8, 30
MAX_NS_PER_VALUE = 20.0
MAX_MEMORY_MB = 800
MAX_GATE_S = 120.0
DAY, WEEK, HOUR = DAY_MINUTES, 7 * DAY_MINUTES, 60


@pytest.fixture(scope="module")
def month() -> FeatureInputs:
    return market(LOOKBACK_DAYS + DAYS, SYMBOLS)


def _days() -> list:
    first = FIRST + timedelta(days=LOOKBACK_DAYS)
    return days_between(first, first + timedelta(days=DAYS - 1))


def _polars(frame: pl.DataFrame) -> pl.DataFrame:
    """Twenty of the columns as one would write them: changes, deviations, z-scores, ranks."""
    move = 1e4 * (pl.col("close") / pl.col("close").shift(1)).log()
    hour = move.rolling_std(HOUR)
    day = move.rolling_std(DAY, min_samples=360)
    spread, depth = pl.col("spread_bps_mean"), pl.col("depth_usd_mean")
    lean, basis = pl.col("imbalance_mean"), pl.col("basis_bps")
    columns = [
        *(1e4 * (pl.col("close") / pl.col("close").shift(k)).log() for k in (1, 5, 15, 60, 240)),
        move.rolling_std(15), hour, day, move.rolling_std(15) / day,
        hour.rolling_rank(WEEK, min_samples=1440),
        spread.rolling_rank(DAY, min_samples=360), spread / spread.rolling_mean(HOUR),
        depth.rolling_rank(DAY, min_samples=360), depth / depth.rolling_mean(HOUR),
        lean.rolling_mean(15), (lean - lean.rolling_mean(DAY)) / lean.rolling_std(DAY),
        (basis - basis.rolling_mean(DAY)) / basis.rolling_std(DAY), basis - basis.shift(15),
        pl.col("volume_base").rolling_rank(DAY, min_samples=360),
        (pl.col("close") - pl.col("low").rolling_min(240))
        / (pl.col("high").rolling_max(240) - pl.col("low").rolling_min(240)),
    ]  # fmt: skip
    named = [c.over("symbol").alias(f"c{i}") for i, c in enumerate(columns)]
    return frame.lazy().select(named).collect()


def _joined(inputs: FeatureInputs) -> pl.DataFrame:
    bars = inputs.bars_perp.select("symbol", "ts", "high", "low", "close", "volume_base")
    book = inputs.tob_1m_agg.filter(pl.col("leg") == "perp")
    names = ("spread_bps_mean", "depth_usd_mean", "imbalance_mean")
    wide = bars.join(book.select("symbol", "ts", *names), on=["symbol", "ts"], how="left")
    basis = inputs.basis_state.select("symbol", "ts", "basis_bps")
    return wide.join(basis, on=["symbol", "ts"], how="left").sort("symbol", "ts")


def test_features_take_a_fraction_of_the_time_of_polars(month: FeatureInputs) -> None:
    specs, days = shipped_specs(), _days()
    wide = _joined(month)
    values = len(SYMBOLS) * DAYS * DAY_MINUTES * len(specs.names)
    peer_values = wide.height * 20
    ratio = compare(
        f"{len(specs.names)} features of 5 symbols, a month, joins included; per value",
        values,
        lambda: build_features(month, specs, days, SYMBOLS),
        lambda: _polars(wide),
        rounds=3,
    )
    ours, peer = 1e9 * ratio.ours_s / values, 1e9 * ratio.other_s / peer_values
    used_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"per value: ours {ours:.1f} ns, polars {peer:.1f} ns; peak {used_mb:.0f} MB")
    assert ours / peer < 0.5


def test_pit1_attacks_a_month_of_five_symbols_within_two_minutes(month: FeatureInputs) -> None:
    specs, days = shipped_specs(), _days()
    stored = build_features(month, specs, days, SYMBOLS)
    began = time.perf_counter()
    report = judge_pit1(month, specs, stored, days, SYMBOLS, Pit1Thresholds(), 1)
    taken = time.perf_counter() - began
    print(f"\nPIT-1 on {DAYS} days x {len(SYMBOLS)} symbols: {taken:.1f} s, {report.coverage}")
    assert not report.leaks
    assert taken < MAX_GATE_S


def test_one_day_costs_the_same_whatever_came_before_it(month: FeatureInputs) -> None:
    specs, day = shipped_specs(), _days()[:1]
    near = month.with_tables(
        {
            table: frame.filter(pl.col("ts") <= day_start(day[0]) + timedelta(days=1))
            for table, frame in month.tables().items()
        }
    )
    ratio = compare(
        "one day of five symbols: after a month of history, after eight days; per value",
        len(SYMBOLS) * DAY_MINUTES * len(specs.names),
        lambda: build_features(month, specs, day, SYMBOLS),
        lambda: build_features(near, specs, day, SYMBOLS),
    )
    assert ratio.value < 2.0
