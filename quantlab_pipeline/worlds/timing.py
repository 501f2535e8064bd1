"""Where a world's minutes, 5-minute buckets and funding settlements lie. No prices here.

Minute j is the interval (origin + j min, origin + (j + 1) min]; its stamp is its close.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from quantlab_pipeline.core.clocks import MINUTE_US, to_us
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


def settlement_minutes(scenario: Scenario) -> Ints:
    """Minutes after the origin at which funding settles [S]; never the origin itself."""
    step = 60 * scenario.funding.interval_h
    return np.arange(step, scenario.duration_min + 1, step, dtype=np.int64)


def settlement_jitter_us(scenario: Scenario, seed: int) -> Ints:
    """How late each settlement is stamped [I, S], in whole milliseconds, as microseconds."""
    n = settlement_minutes(scenario).size
    rows = [
        generator(seed, "funding_jitter", s).integers(0, scenario.funding.jitter_ms + 1, n)
        for s in symbols_of(scenario)
    ]
    return np.stack(rows).astype(np.int64) * 1000


def normals(seed: int, name: str, symbols: tuple[str, ...], *shape: int) -> Floats:
    """Standard normal draws [I, *shape], each symbol's from its own child of `seed`."""
    return np.stack([generator(seed, name, s).standard_normal(shape) for s in symbols])


def uniforms(seed: int, name: str, symbols: tuple[str, ...], *shape: int) -> Floats:
    """Draws from (0, 1] [I, *shape], each symbol's from its own child of `seed`."""
    return np.stack([1.0 - generator(seed, name, s).random(shape) for s in symbols])
