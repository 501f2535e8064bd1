"""The land the zoo lives in: a small generated market with everything that lets a leak show.

Belongs here: three symbols of which one ends, gaps, bars that come late or are corrected,
settlements stamped some milliseconds late, open interest a minute behind its bucket, a change of
the funding interval. Every row is drawn from the seed; nothing here knows an animal.
"""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal

import polars as pl

from quantlab_pipeline.calibration.in_memory import market_tables
from quantlab_pipeline.core.clocks import DAY_MINUTES, MINUTE_US
from quantlab_pipeline.core.seeds import generator
from quantlab_pipeline.research.features.inputs import FeatureInputs
from quantlab_pipeline.research.market_data.spec import MarketSpec, SourceSpec
from quantlab_pipeline.worlds.damage.spec import DamageSpec, Gap, OiHole
from quantlab_pipeline.worlds.market import generate
from quantlab_pipeline.worlds.spec import (
    EndSpec,
    FundingSpec,
    IntervalChange,
    Scenario,
    SymbolSpec,
    VolCluster,
)

NAME = "leak_zoo"
FIRST_DAY = date(2025, 3, 3)
N_DAYS = 6
SYMBOLS = ("AAAUSDT", "BBBUSDT", "CCCUSDT")
JUDGED_DAYS = (FIRST_DAY + timedelta(days=3), FIRST_DAY + timedelta(days=4))
"""Days that are attacked: two days of lookback, and a day of older facts, lie before the first."""

LATE_SHARE = 0.02
REVISED_SHARE = 0.03
PRICES = ("open", "high", "low", "close")


def zoo_market(seed: int) -> FeatureInputs:
    """The tables of a fresh market. Same seed, same rows."""
    world = generate(_scenario(seed), seed)
    inputs = market_tables(world.frames, _market(), list(SYMBOLS), world.scenario.last_day)
    bars = inputs.bars_perp
    return inputs.with_tables({"bars_1m_perp": _revised(_late(bars, seed), seed)})


def _scenario(seed: int) -> Scenario:
    prices = zip(SYMBOLS, (100.0, 25.0, 8.0), strict=True)
    ends = EndSpec(day=JUDGED_DAYS[-1], minute=1350, return_bps=-500)
    return Scenario(
        name=NAME,
        first_day=FIRST_DAY,
        duration_min=N_DAYS * DAY_MINUTES,
        seed=seed,
        symbols=tuple(
            SymbolSpec(
                symbol=symbol,
                start_price=price,
                tick_size=Decimal(str(price)) / 10_000,
                lot_size=Decimal("0.01"),
                ends=ends if symbol == SYMBOLS[-1] else None,
            )
            for symbol, price in prices
        ),
        dynamics=VolCluster(family="vol_cluster", alpha=0.05, beta=0.9),
        funding=FundingSpec(
            interval_changes=(
                IntervalChange(day=JUDGED_DAYS[0], interval_h=4, symbol=SYMBOLS[0]),
                IntervalChange(day=JUDGED_DAYS[1], interval_h=4, symbol=SYMBOLS[1]),
            )
        ),
        damage=tuple(_gaps()),
    )


def _gaps() -> list[DamageSpec]:
    """Gaps of bars on each judged day, of several lengths; holes of open interest."""
    found: list[DamageSpec] = []
    for k, day in enumerate(JUDGED_DAYS):
        for n, symbol in enumerate(SYMBOLS[:2]):
            length = (12, 25, 9, 17)[2 * k + n]
            found.append(
                Gap(kind="gap", dataset="bars_1m_perp", symbol=symbol, day=day, length_min=length)
            )
            found.append(OiHole(kind="oi_hole", symbol=symbol, day=day, length_buckets=6))
    return found


def _market() -> MarketSpec:
    return MarketSpec(
        name=NAME,
        venue="generated",
        synthetic=True,
        enabled=True,
        source=SourceSpec(kind="world", scenario=NAME),
        symbols=SYMBOLS,
        first_day=FIRST_DAY,
        last_day=FIRST_DAY + timedelta(days=N_DAYS - 1),
        datasets={
            "bars_1m_perp": "required",
            "funding": "required",
            "mark_index": "required",
            "open_interest": "required",
        },
    )


def _late(bars: pl.DataFrame, seed: int) -> pl.DataFrame:
    """Some bars come ten minutes to two hours after their close."""
    rng = generator(seed, NAME, "late")
    delay = rng.integers(10, 120, bars.height) * (rng.random(bars.height) < LATE_SHARE) * MINUTE_US
    return bars.with_columns(pl.col("available_at") + pl.Series(delay).cast(pl.Duration("us")))


def _revised(bars: pl.DataFrame, seed: int) -> pl.DataFrame:
    """Some bars stand twice: the correction comes up to an hour after the first, a few bps off."""
    rng = generator(seed, NAME, "revised")
    chosen = bars.filter(pl.Series(rng.random(bars.height) < REVISED_SHARE))
    delay = pl.Series(rng.integers(1, 60, chosen.height) * MINUTE_US).cast(pl.Duration("us"))
    factor = pl.Series(1.0 + 1e-4 * rng.integers(1, 9, chosen.height))
    correction = chosen.with_columns(
        pl.col("available_at") + delay, *(pl.col(price) * factor for price in PRICES)
    )
    return pl.concat([bars, correction]).sort("symbol", "ts", "available_at")
