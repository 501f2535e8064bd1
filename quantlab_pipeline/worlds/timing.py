"""Where a world's minutes, 5-minute buckets and funding settlements lie. No prices here.

Minute j is the interval (origin + j min, origin + (j + 1) min]; its stamp is its close.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

import numpy as np
from numpy.typing import NDArray

from quantlab_pipeline.core.clocks import DAY_MINUTES, MINUTE_US, to_us
from quantlab_pipeline.core.seeds import generator
from quantlab_pipeline.worlds.spec import Scenario

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def symbols_of(scenario: Scenario) -> tuple[str, ...]:
    """Symbols in the order of every array and frame: ascending."""
    return tuple(sorted(s.symbol for s in scenario.symbols))


def origin_us(scenario: Scenario) -> int:
    """Microseconds of the midnight that opens the world."""
    return to_us(scenario.start)


def minute_closes_us(scenario: Scenario) -> Ints:
    """Stamps of all minutes [T]."""
    minutes = np.arange(1, scenario.duration_min + 1, dtype=np.int64)
    return origin_us(scenario) + MINUTE_US * minutes


@dataclass(frozen=True, slots=True)
class Settlements:
    """One symbol's settlements [S]: minutes after the origin, and hours of the interval before."""

    minutes: Ints
    interval_h: Ints


def settlements(scenario: Scenario, symbol: str) -> Settlements:
    """When `symbol` settles: whole intervals from each day's midnight; never the origin itself.

    A change of interval begins at the midnight that opens its day.
    """
    minutes, hours = [], []
    for day in range(-(-scenario.duration_min // DAY_MINUTES)):
        interval_h = scenario.funding_interval_h(symbol, scenario.first_day + timedelta(days=day))
        step = 60 * interval_h
        due = DAY_MINUTES * day + np.arange(step, DAY_MINUTES + 1, step, dtype=np.int64)
        due = due[due <= scenario.duration_min]
        minutes.append(due)
        hours.append(np.full(due.size, interval_h, np.int64))
    return Settlements(np.concatenate(minutes), np.concatenate(hours))


def settlement_jitter_us(scenario: Scenario, seed: int) -> list[Ints]:
    """How late each settlement of each symbol is stamped, in whole milliseconds, as µs."""
    most = scenario.funding.jitter_ms + 1
    return [
        1000
        * generator(seed, "funding_jitter", s).integers(
            0, most, settlements(scenario, s).minutes.size
        )
        for s in symbols_of(scenario)
    ]


def normals(seed: int, name: str, symbols: tuple[str, ...], *shape: int) -> Floats:
    """Standard normal draws [I, *shape], each symbol's from its own child of `seed`."""
    return np.stack([generator(seed, name, s).standard_normal(shape) for s in symbols])


def uniforms(seed: int, name: str, symbols: tuple[str, ...], *shape: int) -> Floats:
    """Draws from (0, 1] [I, *shape], each symbol's from its own child of `seed`."""
    return np.stack([1.0 - generator(seed, name, s).random(shape) for s in symbols])
