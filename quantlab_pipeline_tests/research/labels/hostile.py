"""Price paths that a market would not send and a label must survive, drawn from a seed."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from quantlab_pipeline.kernels.label_windows import TILE
from quantlab_pipeline_tests.oracles.label_paths import Minutes

LENGTHS = (1, 2, 7, 70, 1500, 1700, 3000, TILE + 1400, TILE + 1600)
"""With a tile's border inside, or with paths of a day that cross it."""

Draw = np.random.Generator
Array = np.ndarray


def _walking(draw: Draw, n: int) -> Array:
    return 100 * np.exp(np.cumsum(draw.normal(0, 1e-3, n)))


def _jumping(draw: Draw, n: int) -> Array:
    """Jumps of a million, up and down."""
    level = np.where(draw.random(n) < 0.01, draw.choice([1e-6, 1.0, 1e6], n), np.nan)
    newest = np.maximum.accumulate(np.where(np.isnan(level), 0, np.arange(n)))
    level[0] = 1.0
    return level[newest] * _walking(draw, n)


def _constant(draw: Draw, n: int) -> Array:
    return np.full(n, draw.choice([1e-9, 1.0, 123.456]))


def _falling(draw: Draw, n: int) -> Array:
    return 5e4 * np.exp(-np.abs(np.cumsum(draw.normal(1e-3, 1e-3, n))))


SHAPES: tuple[Callable[[Draw, int], Array], ...] = (_walking, _jumping, _constant, _falling)


def _holes(draw: Draw, prices: Array) -> Array:
    """Single minutes, short and long holes, gaps at either end, or one price alone."""
    n = len(prices)
    kind = draw.integers(7)
    gone = draw.random(n) < (0.0, 0.002, 0.03, 0.3, 0.0, 0.0, 0.0)[kind]
    if kind == 4:
        for _ in range(6):
            start = draw.integers(n)
            gone[start : start + draw.choice([2, 3, 4, 60, 400])] = True
    if kind == 5:
        gone[: n // 10] = gone[n - n // 10 :] = True
    if kind == 6:
        gone[:] = True
        gone[draw.integers(n)] = False
    return np.where(gone, np.nan, prices)


def hostile_minutes(seed: int) -> Minutes:
    """One symbol's minutes: every shape, hole, book, mark and end, in any combination."""
    draw = np.random.default_rng(seed)
    n = int(draw.choice(LENGTHS))
    shape = SHAPES[seed % len(SHAPES)]
    closes = _holes(draw, shape(draw, n))
    has_mid = draw.random(n) < draw.choice([0.0, 0.5, 1.0])
    mids = np.where(has_mid, closes * (1 + 1e-4 * draw.standard_normal(n)), np.nan)
    mids = np.where(draw.random(n) < 0.01, shape(draw, n), mids)
    marks = _holes(draw, shape(draw, n) * 1.001)
    if draw.random() < 0.3:
        marks[:] = np.nan
    last_bars = []
    if draw.random() < 0.5:
        last = int(draw.integers(n))
        last_bars.append(last)
        # The book may outlive the bars, and what seemed an end may have been an outage.
        mids[last + 1 + int(draw.integers(4)) :] = np.nan
        until = n if draw.random() < 0.7 else last + 300
        closes[last + 1 : until] = marks[last + 1 : until] = np.nan
    lists = ([None if np.isnan(p) else float(p) for p in a] for a in (closes, mids, marks))
    return Minutes(*lists, tuple(last_bars))
