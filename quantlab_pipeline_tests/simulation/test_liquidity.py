from datetime import timedelta

import numpy as np
import polars as pl
import pytest

from quantlab_pipeline.simulation.liquidity import liquidity_at, trailing_liquidity
from quantlab_pipeline_tests.simulation.builders import START, bars_of


def walk(n, seed=0):
    return 100 * np.exp(np.cumsum(np.random.default_rng(seed).normal(0, 1e-3, n)))


def test_a_day_of_bars_gives_their_volatility_and_traded_value():
    close = walk(2 * 1440)
    bars = bars_of(close)
    last = trailing_liquidity(bars).row(-1, named=True)
    day = close[1440 - 1 :]
    returns = np.diff(np.log(day))
    assert last["ts"] == bars["ts"][-1]
    assert last["sigma_d_bps"] == pytest.approx(1e4 * np.sqrt((returns**2).sum()), rel=1e-12)
    assert last["volume_usd"] == pytest.approx(100 * close[1440:].sum(), rel=1e-12)


def test_six_hours_are_needed():
    got = trailing_liquidity(bars_of(walk(8 * 60)))
    assert got["sigma_d_bps"].is_null().to_list() == [True] * 6 + [False] * 2


def test_a_value_does_not_depend_on_where_the_range_began():
    bars = bars_of(walk(4 * 1440))
    late = bars.filter(pl.col("ts") > START + timedelta(hours=31, minutes=-1))
    whole, part = trailing_liquidity(bars), trailing_liquidity(late)
    both = whole.join(part, on=["symbol", "ts"], suffix="_part").filter(
        pl.col("ts") > START + timedelta(hours=56)
    )
    assert both.height > 20
    assert (both["sigma_d_bps"] == both["sigma_d_bps_part"]).all()
    assert (both["volume_usd"] == both["volume_usd_part"]).all()


def test_a_decision_sees_the_last_full_hour_and_not_its_own():
    bars = bars_of(walk(1440))
    decisions = pl.DataFrame({"symbol": ["BTC"], "ts": [START + timedelta(hours=9, minutes=59)]})
    hourly = trailing_liquidity(bars)
    seen = hourly.filter(pl.col("ts") == START + timedelta(hours=9))["sigma_d_bps"][0]
    at = liquidity_at(decisions.with_columns(pl.col("ts").cast(hourly["ts"].dtype)), bars)
    assert at["sigma_d_bps"][0] == seen
    later = bars.with_columns(
        pl.when(pl.col("ts") > START + timedelta(hours=9))
        .then(1e9)
        .otherwise("close")
        .alias("close")
    )
    poisoned = liquidity_at(decisions.with_columns(pl.col("ts").cast(hourly["ts"].dtype)), later)
    assert poisoned["sigma_d_bps"][0] == seen


def test_a_missing_minute_breaks_the_return_across_it():
    close = walk(1440)
    close[700:] *= 5.0
    bars = bars_of(close)
    holed = bars.filter(pl.col("ts") != bars["ts"][700])
    assert trailing_liquidity(holed)["sigma_d_bps"][-1] < 500
    assert trailing_liquidity(bars)["sigma_d_bps"][-1] > 5000
