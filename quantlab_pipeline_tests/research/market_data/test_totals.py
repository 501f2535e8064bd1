"""Coarse bars against their minutes: silent where they agree, exact in place where not."""

from __future__ import annotations

import math
from datetime import timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quantlab_pipeline.core.clocks import day_start
from quantlab_pipeline.research.market_data.parsed import findings_frame
from quantlab_pipeline.research.market_data.totals import TOTALS, compare_totals
from quantlab_pipeline_tests.research.market_data import builders as b

START = day_start(b.DAY)
VALUES = ("open", "high", "low", "close", "volume_base", "volume_quote", "n_trades")


def at(minute: int):
    return START + timedelta(minutes=minute)


def minutes(seed: int = 1, days=(b.DAY,)) -> pl.DataFrame:
    """A day of bars with volumes of three decimals, every seventh minute without a trade."""
    rng = np.random.Generator(np.random.PCG64(seed))
    bars = b.bars(b.path(days, seed), days)
    base = rng.integers(1, 10**6, bars.height) / 1000
    idle = pl.int_range(pl.len()) % 7 == 0
    frame = bars.with_columns(
        pl.Series("volume_base", base),
        pl.Series("volume_quote", np.round(base * bars["close"].to_numpy(), 5)),
        pl.Series("n_trades", rng.integers(1, 900, bars.height)),
        pl.Series("taker_buy_base", np.round(base / 3, 3)),
    )
    none = [pl.when(~idle).then(c).otherwise(0).alias(c) for c in VALUES[4:]]
    carried = [pl.when(~idle).then(c).otherwise("open").alias(c) for c in ("high", "low", "close")]
    return frame.with_columns(
        *none, *carried, taker_buy_base=pl.when(~idle).then("taker_buy_base").otherwise(0.0)
    )


def totals_of(bars: pl.DataFrame, width: int = 60) -> pl.DataFrame:
    """What the venue would publish, a bar at a time: only trades move a coarse bar."""
    rows = bars.to_dicts()
    out = []
    for first in range(0, len(rows), width):
        part = rows[first : first + width]
        own = [r for r in part if r["n_trades"] > 0] or part
        out.append(
            {
                "ts": part[-1]["ts"],
                "open_ts": part[0]["open_ts"],
                "open": own[0]["open"],
                "high": max(r["high"] for r in own),
                "low": min(r["low"] for r in own),
                "close": own[-1]["close"],
                **{c: math.fsum(r[c] for r in part) for c in VALUES[4:6]},
                "n_trades": sum(r["n_trades"] for r in part),
                "taker_buy_base": math.fsum(r["taker_buy_base"] for r in part),
            }
        )
    return pl.DataFrame(out, schema=TOTALS)


def compared(bars, totals, days=(b.DAY,)) -> dict[str, tuple[int, list, str]]:
    found = findings_frame(compare_totals(bars, totals, b.origin(days=days)))
    return {r["check"]: (r["count"], r["places"], r["detail"]) for r in found.to_dicts()}


@settings(max_examples=10)
@given(st.integers(0, 10**6), st.sampled_from([5, 15, 60, 1440]))
def test_what_adds_up_is_silent_at_every_width(seed, width):
    bars = minutes(seed)
    assert compared(bars, totals_of(bars, width)) == {}


def test_two_widths_at_once_are_each_held_against_their_own_minutes():
    bars = minutes()
    both = pl.concat([totals_of(bars), totals_of(bars, 5)])
    assert compared(bars, both.sample(fraction=1, shuffle=True, seed=1)) == {}
    broken = bars.with_columns(
        pl.when(pl.col("ts") == at(62)).then(pl.col("n_trades") + 1).otherwise("n_trades")
        .alias("n_trades")
    )  # fmt: skip
    assert compared(broken, both) == {
        "totals_mismatch": (2, [at(65), at(120)], "differs in n_trades")
    }


@pytest.mark.parametrize("column", VALUES)
def test_one_unit_of_the_last_decimal_in_one_minute_is_found_where_it_is(column):
    bars = minutes()
    hour = totals_of(bars)
    step = {"n_trades": 1, "volume_base": 0.001, "volume_quote": 0.00001}.get(column, -0.01)
    changed = hour.with_columns(
        pl.when(pl.col("ts") == at(180))
        .then((pl.col(column) + step).cast(hour.schema[column]))
        .otherwise(column)
        .alias(column)
    )
    assert compared(bars, changed) == {"totals_mismatch": (1, [at(180)], f"differs in {column}")}


def test_an_hour_with_a_missing_minute_is_uncovered_and_not_compared():
    bars = minutes()
    holes = bars.filter(~pl.col("ts").is_in([at(61), at(300), at(301)]))
    found = compared(holes, totals_of(bars).with_columns(volume_base=pl.lit(1.0)))
    assert found["totals_uncovered"] == (3, [at(120), at(300), at(360)], "minutes are missing")
    assert found["totals_mismatch"][0] == 21


def test_an_hour_without_a_trade_carries_its_price():
    bars = minutes().with_columns(
        *(pl.lit(100.0).alias(c) for c in ("open", "high", "low", "close")),
        *(pl.lit(0).alias(c) for c in VALUES[4:]),
    )
    assert compared(bars, totals_of(bars)) == {}
    off = totals_of(bars).with_columns(close=pl.lit(101.0))
    assert compared(bars, off)["totals_mismatch"][0] == 24


def test_what_one_side_does_not_know_is_not_compared():
    bars = minutes()
    unknown = [pl.lit(None).cast(bars.schema[c]).alias(c) for c in (*VALUES[5:], "taker_buy_base")]
    assert compared(bars.with_columns(unknown), totals_of(bars)) == {}
    assert compared(bars, totals_of(bars).with_columns(unknown)) == {}
    some = bars.with_columns(volume_quote=pl.when(pl.col("ts") != at(5)).then("volume_quote"))
    assert compared(some, totals_of(bars)) == {}
    wrong = totals_of(bars).with_columns(volume_base=pl.lit(float("nan")))
    assert compared(bars, wrong)["totals_mismatch"][0] == 24


def test_a_total_that_is_none_is_uncovered_and_others_days_are_not_looked_at():
    bars = minutes()
    crooked = totals_of(bars).head(2).with_columns(
        pl.col("open_ts", "ts").dt.offset_by("1m")
    )  # fmt: skip
    backwards = totals_of(bars).head(1).with_columns(open_ts=pl.col("ts").dt.offset_by("1m"))
    odd = totals_of(bars).head(1).with_columns(ts=pl.col("ts").dt.offset_by("30s"))
    for totals in (crooked, backwards, odd):
        assert set(compared(bars, totals)) == {"totals_uncovered"}
    later = totals_of(bars).with_columns(pl.col("open_ts", "ts").dt.offset_by("1d"))
    assert compared(bars, later) == {}
    assert compared(bars, totals_of(bars).clear()) == {}


def test_findings_count_on_the_day_that_owns_the_close():
    days = (b.DAY, b.DAY + timedelta(days=1))
    bars = minutes(days=days)
    wrong = totals_of(bars).with_columns(high=pl.col("high") + 1)
    found = compare_totals(bars, wrong, b.origin(days=days))
    assert [(f.day, f.count, f.places[-1]) for f in found] == [
        (days[0], 24, at(1440)),
        (days[1], 24, at(2880)),
    ]
