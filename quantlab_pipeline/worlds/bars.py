"""Minute bars of trades at the bid or the ask around the latent path.

A close is the last trade at the closing quote, so closes bounce by half a spread although mids do
not. Prices and volumes lie on the symbol's grid and read back from text unchanged. An hour's bar is
its sixty minutes' and nothing else.
"""

from __future__ import annotations

import math

import numpy as np
import polars as pl
from numpy.typing import NDArray

from quantlab_pipeline.core.clocks import MINUTE_US, TS
from quantlab_pipeline.worlds.effects import Effects
from quantlab_pipeline.worlds.paths import Leg, Paths
from quantlab_pipeline.worlds.spec import Scenario
from quantlab_pipeline.worlds.timing import minute_closes_us, normals, symbols_of, uniforms

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

SPOT_VOLUME_SHARE = 0.4
MAX_TRADES = 100_000
SUMMED = ("volume_base", "volume_quote", "n_trades", "taker_buy_base")


def on_grid(steps: Ints, step: float) -> Floats:
    """`steps` grid steps of size `step` as the floats nearest to their decimal value."""
    per_unit = round(1 / step)
    if per_unit >= 1 and math.isclose(per_unit * step, 1.0, rel_tol=1e-12):
        return steps / per_unit
    return np.round(steps * step, 10)


def extremes(paths: Paths, leg: Leg, seed: int, wick: Floats) -> tuple[Floats, Floats]:
    """Lowest and highest latent x [I, T] within each minute, wicks included.

    The extreme of a Brownian bridge from a to b of deviation s is (a + b +- sqrt((b - a)^2 -
    2 s^2 ln U)) / 2. Both legs use the same draws.
    """
    names = tuple(s.symbol for s in paths.symbols)
    before, after = leg.x[:, :-1], leg.x[:, 1:]
    steps = before.shape[1]
    reach = [
        np.sqrt(
            (after - before) ** 2 - 2 * paths.sigma**2 * np.log(uniforms(seed, n, names, steps))
        )
        for n in ("low", "high")
    ]
    low = (before + after - reach[0]) / 2 + np.minimum(wick, 0)
    high = (before + after + reach[1]) / 2 + np.maximum(wick, 0)
    return low, high


def print_bars(
    scenario: Scenario, seed: int, paths: Paths, leg: Leg, kind: str, effects: Effects
) -> pl.DataFrame:
    """The bars of one leg (`kind` perp or spot), sorted by symbol and ts."""
    names = symbols_of(scenario)
    low, high = extremes(paths, leg, seed, effects.wick)
    ticks = _trade_ticks(leg, seed, kind, names, low, high)
    share = 1.0 if kind == "perp" else SPOT_VOLUME_SHARE
    volumes = _volumes(scenario, seed, paths, kind, effects)
    closes = minute_closes_us(scenario)
    frames = []
    for i, symbol in enumerate(paths.symbols):
        prices = {k: on_grid(v[i], float(symbol.tick_size)) for k, v in ticks.items()}
        lot = float(symbol.lot_size)
        lots = np.maximum(np.rint(share * volumes[0][i] / (symbol.start_price * lot)), 1)
        buys = np.minimum(np.rint(lots * volumes[1][i]), lots).astype(np.int64)
        base = on_grid(lots.astype(np.int64), lot)
        mean_price = (prices["high"] + prices["low"] + 2 * prices["close"]) / 4
        trades = np.rint(share * volumes[0][i] / scenario.volume.trade_usd * volumes[2][i])
        frames.append(
            pl.DataFrame(
                {
                    "symbol": symbol.symbol,
                    "ts": closes,
                    "available_at": closes,
                    "open_ts": closes - MINUTE_US,
                    **prices,
                    "volume_base": base,
                    "volume_quote": np.round(base * mean_price, 8),
                    "n_trades": np.clip(trades, 1, np.minimum(lots, MAX_TRADES)).astype(np.int64),
                    "taker_buy_base": on_grid(buys, lot),
                }
            )
        )
    return pl.concat(frames).with_columns(pl.col("ts", "available_at", "open_ts").cast(TS))


def hourly(bars: pl.DataFrame) -> pl.DataFrame:
    """The hours that dense minute bars hold whole, columns as theirs, sorted by symbol and ts."""
    parts = [_hours(part) for part in bars.partition_by("symbol", maintain_order=True)]
    return pl.concat([bars.clear(), *parts])


def _hours(bars: pl.DataFrame) -> pl.DataFrame:
    hours = bars.height // 60
    minutes = {c: bars[c].head(60 * hours).to_numpy().reshape(hours, 60) for c in bars.columns[4:]}
    # One addition a minute, in order: the same bits on every machine.
    totals = {c: sum(minutes[c].T, np.zeros(hours, minutes[c].dtype)) for c in SUMMED}
    return (
        bars.gather_every(60)
        .head(hours)
        .with_columns(
            pl.col("open_ts").dt.offset_by("1h").alias("ts"),
            pl.col("open_ts").dt.offset_by("1h").alias("available_at"),
            pl.Series("high", minutes["high"].max(axis=1)),
            pl.Series("low", minutes["low"].min(axis=1)),
            pl.Series("close", minutes["close"][:, -1]),
            *(pl.Series(c, np.round(v, 8)) for c, v in totals.items()),
        )
    )


def _trade_ticks(
    leg: Leg, seed: int, kind: str, names: tuple[str, ...], low: Floats, high: Floats
) -> dict[str, Ints]:
    steps = low.shape[1]
    first_at_ask = uniforms(seed, f"{kind}_first_side", names, steps) > 0.5
    last_at_ask = uniforms(seed, f"{kind}_last_side", names, steps) > 0.5
    spread = leg.spread[:, 1:]
    opened = leg.bid[:, :-1] + np.where(first_at_ask, leg.spread[:, :-1], 0)
    closed = leg.bid[:, 1:] + np.where(last_at_ask, spread, 0)
    ends_low, ends_high = np.minimum(opened, closed), np.maximum(opened, closed)
    lowest = np.rint(np.exp(low) - 0.5 * spread).astype(np.int64)
    highest = np.rint(np.exp(high) + 0.5 * spread).astype(np.int64)
    return {
        "open": opened,
        "high": np.maximum(ends_high, highest),
        "low": np.minimum(ends_low, lowest),
        "close": closed,
    }


def _volumes(
    scenario: Scenario, seed: int, paths: Paths, kind: str, effects: Effects
) -> tuple[Floats, Floats, Floats]:
    """Traded USD at the starting price, takers' buy share, and a factor on trades, [I, T] each.

    No drift enters: a null twin has the same volumes.
    """
    names, spec = symbols_of(scenario), scenario.volume
    steps = scenario.duration_min
    calm = np.array([1e-4 * s.sigma_bps for s in paths.symbols])[:, None]
    base = np.array([s.volume_usd_per_min for s in paths.symbols])[:, None]
    move = np.minimum(np.abs(paths.shocks), 20) * paths.sigma / calm
    noise = spec.log_sigma * normals(seed, f"{kind}_volume", names, steps)
    answer = ((0.4 + move) / 1.2) ** spec.move_elasticity
    usd = base * paths.season**2 * answer * np.exp(noise - spec.log_sigma**2 / 2) * effects.volume
    tilt = 0.6 * normals(seed, f"{kind}_taker", names, steps) + 0.5 * np.tanh(paths.shocks)
    count = np.exp(0.2 * normals(seed, f"{kind}_trades", names, steps))
    return usd, 1 / (1 + np.exp(-0.4 * tilt)), count
