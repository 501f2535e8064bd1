"""Symbols that end: how long each one trades, how it falls before, and what is left of its rows.

Belongs here: all that a scenario's `ends` means. A symbol's draws do not know of its end: up to the
fall it is, row for row, what it would be without one. After its end it has no row in any table.
"""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import polars as pl
from numpy.typing import NDArray

from quantlab_pipeline.core.clocks import DAY_MINUTES, MINUTE, MINUTE_US, TS, to_us
from quantlab_pipeline.worlds.spec import Scenario, SymbolSpec
from quantlab_pipeline.worlds.timing import origin_us, symbols_of
from quantlab_pipeline.worlds.truth import Ending

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def lives_min(scenario: Scenario) -> Ints:
    """Minutes that each symbol trades [I], counted from the world's start."""
    by_name = {s.symbol: s for s in scenario.symbols}
    return np.array([_life(scenario, by_name[s]) for s in symbols_of(scenario)], dtype=np.int64)


def calm_min(scenario: Scenario) -> Ints:
    """Minutes before each symbol's fall, or before the world's end where it has none [I]."""
    by_name = {s.symbol: s for s in scenario.symbols}
    falls = [by_name[s].ends for s in symbols_of(scenario)]
    over = [0 if end is None else end.over_min for end in falls]
    calm: Ints = lives_min(scenario) - np.array(over, dtype=np.int64)
    return calm


def fall_log(scenario: Scenario) -> Floats:
    """Log drift of each symbol's fall to its end [I, T], spread evenly; 0 elsewhere."""
    drift = np.zeros((len(scenario.symbols), scenario.duration_min))
    by_name = {s.symbol: s for s in scenario.symbols}
    lives, calm = lives_min(scenario), calm_min(scenario)
    for row, name in enumerate(symbols_of(scenario)):
        end = by_name[name].ends
        if end is not None:
            drift[row, calm[row] : lives[row]] = np.log1p(1e-4 * end.return_bps) / end.over_min
    return drift


def alive(scenario: Scenario) -> NDArray[np.bool_]:
    """Whether each symbol trades in each minute [I, T]."""
    mask: NDArray[np.bool_] = np.arange(scenario.duration_min) < lives_min(scenario)[:, None]
    return mask


def end_frames(frames: dict[str, pl.DataFrame], scenario: Scenario) -> dict[str, pl.DataFrame]:
    """`frames` without the rows that a symbol would have after its end; its last instant stays."""
    if not endings(scenario):
        return frames
    lasts = origin_us(scenario) + MINUTE_US * lives_min(scenario)
    last = pl.DataFrame({"symbol": symbols_of(scenario), "_last": lasts})
    last = last.with_columns(pl.col("_last").cast(TS))
    return {
        name: frame.join(last, on="symbol", how="left", maintain_order="left")
        .filter(pl.col("ts") <= pl.col("_last"))
        .drop("_last")
        for name, frame in frames.items()
    }


def endings(scenario: Scenario) -> tuple[Ending, ...]:
    """The truth's record of each end, by symbol."""
    made = []
    for symbol in sorted(scenario.symbols, key=lambda s: s.symbol):
        if symbol.ends is not None:
            end = scenario.start + _life(scenario, symbol) * MINUTE
            fall = timedelta(minutes=symbol.ends.over_min)
            made.append(
                Ending(symbol.symbol, to_us(end - fall), to_us(end), symbol.ends.return_bps)
            )
    return tuple(made)


def _life(scenario: Scenario, symbol: SymbolSpec) -> int:
    if symbol.ends is None:
        return scenario.duration_min
    return (symbol.ends.day - scenario.first_day).days * DAY_MINUTES + symbol.ends.minute
