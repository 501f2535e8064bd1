"""Mark and index, open interest: what a venue publishes beside trades. Rates are `funding`'s.

The mark is the index plus the premium's moving average.
"""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

from quantlab_pipeline.core.clocks import MINUTE_US, TS
from quantlab_pipeline.kernels.world_paths import autoregression
from quantlab_pipeline.worlds.bars import on_grid
from quantlab_pipeline.worlds.effects import Effects
from quantlab_pipeline.worlds.paths import Paths, reverting
from quantlab_pipeline.worlds.spec import BUCKET_MIN, Scenario
from quantlab_pipeline.worlds.timing import (
    minute_closes_us,
    normals,
    origin_us,
    symbols_of,
)

Floats = NDArray[np.float64]

PRICE_DECIMALS = 8


def mark_and_index(
    scenario: Scenario, seed: int, paths: Paths, effects: Effects
) -> tuple[Floats, Floats]:
    """Mark and index price [I, T] at each minute's close, in quote units, 8 decimals."""
    spec, names = scenario.mark, symbols_of(scenario)
    noise = 1e-4 * spec.noise_bps * normals(seed, "index", names, scenario.duration_min)
    ticks = np.array([float(s.tick_size) for s in paths.symbols])[:, None]
    index = paths.spot.x[:, 1:] + noise
    phi = 0.5 ** (1 / spec.premium_half_life_min)
    start = np.ascontiguousarray(paths.basis[:, 0])
    premium = autoregression((1 - phi) * paths.basis[:, 1:], phi, start)
    mark = index + premium + effects.mark
    return (
        np.round(ticks * np.exp(mark), PRICE_DECIMALS),
        np.round(ticks * np.exp(index), PRICE_DECIMALS),
    )


def mark_index_table(
    scenario: Scenario, mark: Floats, index: Floats, premium: Floats
) -> pl.DataFrame:
    """The `mark_index` table: one row per symbol and minute, of arrays [I, T]."""
    closes = minute_closes_us(scenario)
    frames = [
        pl.DataFrame(
            {
                "symbol": symbol,
                "ts": closes,
                "available_at": closes,
                "mark_price": mark[i],
                "index_price": index[i],
                "premium_index": premium[i],
                "predicted_rate": None,
                "next_funding_ts": None,
            },
            schema_overrides={"predicted_rate": pl.Float64, "next_funding_ts": TS},
        )
        for i, symbol in enumerate(symbols_of(scenario))
    ]
    return pl.concat(frames).with_columns(pl.col("ts", "available_at").cast(TS))


def open_interest_table(
    scenario: Scenario, seed: int, paths: Paths, effects: Effects, mark: Floats
) -> pl.DataFrame:
    """The `open_interest` table: one row per symbol and whole 5-minute bucket, `ts` its end.

    The venue stamps a bucket by its start and publishes it `delay_s` after its end. Jumps fade with
    the process's half life.
    """
    spec, names = scenario.open_interest, symbols_of(scenario)
    n = scenario.duration_min // BUCKET_MIN
    steps = spec.half_life_h * 60 / BUCKET_MIN
    phi = 0.5 ** (1 / steps)
    spread = 1e-4 * spec.sigma_bps / np.sqrt(1 - phi * phi)
    jumps = autoregression(effects.oi, phi, np.zeros(len(names)))
    level = reverting(seed, "open_interest", names, n, steps, float(spread)) + jumps
    ends = origin_us(scenario) + MINUTE_US * BUCKET_MIN * np.arange(1, n + 1, dtype=np.int64)
    frames = []
    for i, symbol in enumerate(paths.symbols):
        lot = float(symbol.lot_size)
        lots = np.rint(symbol.oi_usd / (symbol.start_price * lot) * np.exp(level[i]))
        base = on_grid(lots.astype(np.int64), lot)
        frames.append(
            pl.DataFrame(
                {
                    "symbol": symbol.symbol,
                    "ts": ends,
                    "available_at": ends + spec.delay_s * 1_000_000,
                    "bucket_start": ends - BUCKET_MIN * MINUTE_US,
                    "oi_base": base,
                    "oi_usd": np.round(base * mark[i, BUCKET_MIN - 1 :: BUCKET_MIN][:n], 4),
                }
            )
        )
    return pl.concat(frames).with_columns(pl.col("ts", "available_at", "bucket_start").cast(TS))
