"""The registry on recorded BTC and ETH: rates are sane and no two types are one."""

from __future__ import annotations

import os
from datetime import date, timedelta
from pathlib import Path

import polars as pl
import pytest

from quantlab_pipeline.core.clocks import MINUTE, TS, days_between
from quantlab_pipeline.core.verdicts import Outcome
from quantlab_pipeline.research.events.detect import detect_events
from quantlab_pipeline.research.events.gate import judge_e1
from quantlab_pipeline.research.events.quality import measure_events
from quantlab_pipeline.research.features.build import build_features
from quantlab_pipeline.research.features.inputs import FeatureInputs
from quantlab_pipeline.research.features.spec import FeatureSpecs
from quantlab_pipeline_tests.research.events.builders import (
    document,
    e1_thresholds,
    project_registry,
)

ROOT = os.environ.get("QUANTLAB_REAL_DATA")
pytestmark = pytest.mark.skipif(not ROOT, reason="QUANTLAB_REAL_DATA is not set")
SYMBOLS = {"BTCUSDT": "BTC_USDT", "ETHUSDT": "ETH_USDT"}
DAYS = days_between(date(2025, 5, 28), date(2025, 6, 23))
ABSENT = {"tob_snapshots", "open_interest", "mark_index"}


def _read(path: str, symbol: str) -> pl.DataFrame:
    folder = Path(ROOT or "") / "freqtrade" / "binance"
    stamp = pl.col("date").cast(TS)
    return pl.read_ipc(folder / path).with_columns(pl.lit(symbol).alias("symbol"), stamp.alias("t"))


def _bars(path: str, symbol: str) -> pl.DataFrame:
    close = pl.col("t") + MINUTE
    return _read(path, symbol).select(
        "symbol",
        close.alias("ts"),
        close.alias("available_at"),
        pl.col("t").alias("open_ts"),
        *("open", "high", "low", "close"),
        pl.col("volume").alias("volume_base"),
        pl.lit(None, pl.Float64).alias("volume_quote"),
        pl.lit(None, pl.Int64).alias("n_trades"),
        pl.lit(None, pl.Float64).alias("taker_buy_base"),
    )


def _funding(path: str, symbol: str) -> pl.DataFrame:
    settled = pl.col("t").dt.round("1h")
    return _read(path, symbol).select(
        "symbol",
        settled.alias("ts"),
        pl.col("t").alias("available_at"),
        pl.col("t").alias("raw_ts"),
        pl.col("open").alias("settled_rate"),
        pl.lit(8, pl.Int64).alias("interval_h"),
        (settled + timedelta(hours=8)).alias("next_funding_ts"),
        pl.lit(None, pl.Float64).alias("mark_price"),
    )


def _basis(perp: pl.DataFrame, spot: pl.DataFrame) -> pl.DataFrame:
    both = perp.join(spot.select("symbol", "ts", pl.col("close").alias("s")), on=["symbol", "ts"])
    return both.select(
        "symbol",
        "ts",
        "available_at",
        pl.col("close").alias("perp_mid"),
        pl.col("s").alias("spot_mid"),
        (1e4 * (pl.col("close") / pl.col("s")).log()).alias("basis_bps"),
        pl.lit("close").alias("basis_source"),
        pl.lit(0.0).alias("skew_s"),
    )


@pytest.fixture(scope="module")
def features() -> pl.DataFrame:
    perp = pl.concat(
        _bars(f"futures/{n}_USDT-1m-futures.feather", symbol) for symbol, n in SYMBOLS.items()
    )
    spot = pl.concat(_bars(f"{n}-1m.feather", symbol) for symbol, n in SYMBOLS.items())
    funding = pl.concat(
        _funding(f"futures/{n}_USDT-8h-funding_rate.feather", symbol)
        for symbol, n in SYMBOLS.items()
    )
    inputs = FeatureInputs(
        bars_perp=perp, bars_spot=spot, funding=funding, basis_state=_basis(perp, spot)
    )
    specs = FeatureSpecs.model_validate(document("feature_specs"))
    return build_features(inputs, specs, DAYS, list(SYMBOLS))


def test_rates_are_sane_and_types_distinct(features: pl.DataFrame) -> None:
    rules = project_registry()
    events = detect_events(features, rules, DAYS)
    quality = measure_events(events, features, features, rules, len(DAYS), list(SYMBOLS), ABSENT)
    verdicts = {v.item: v for v in judge_e1(quality, e1_thresholds())}
    live = {item for item, v in verdicts.items() if v.outcome is not Outcome.NOT_EVALUABLE}
    assert len(live) >= 8
    assert all(verdicts[item].outcome is Outcome.PASS for item in live), verdicts
    rates = quality.filter(pl.col("event_type").is_in(list(live)))["per_symbol_day"]
    assert rates.min() >= 0.15
    assert rates.max() <= 10


def test_one_day_alone_finds_the_same_events(features: pl.DataFrame) -> None:
    rules = project_registry()
    whole = detect_events(features, rules, DAYS)
    for day in DAYS[5:8]:
        near = features.filter(
            pl.col("ts").is_between(
                pl.datetime(day.year, day.month, day.day, time_zone="UTC") - timedelta(days=1),
                pl.datetime(day.year, day.month, day.day, time_zone="UTC") + timedelta(days=1),
                closed="right",
            )
        )
        alone = detect_events(near, rules, [day])
        ids = set(whole.filter(pl.col("event_id").is_in(alone["event_id"].to_list()))["event_id"])
        assert alone.height > 0
        assert ids == set(alone["event_id"])
        assert alone.equals(whole.filter((pl.col("ts") - MINUTE).dt.date() == day))
