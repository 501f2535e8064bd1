"""How far two event types are one: overlap, containment, and the lag that suits them best.

Belongs here: occurrences as sorted minutes, and counts of pairs that are near each other in one
symbol. Which pairs are measured, and what is too much, `quality` and gate E-1 say.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from quantlab_pipeline.core.clocks import minute_index

Ints = npt.NDArray[np.int64]
Occurrences = dict[str, Ints]
"""Sorted minutes since 1970 of one type's occurrences, by symbol."""

_NONE = np.empty(0, np.int64)


class Echo(NamedTuple):
    """Overlap (0 to 1) of two types once one is moved by `lag_min`; no lag, no overlap."""

    overlap: float
    lag_min: int | None


def occurrences(events: pl.DataFrame) -> Occurrences:
    """When one type occurred, symbol by symbol."""
    ordered = events.select("symbol", minute_index().alias("minute")).sort("symbol", "minute")
    parts = ordered.partition_by("symbol", maintain_order=True)
    return {part["symbol"][0]: part["minute"].to_numpy() for part in parts}


def n_occurrences(one: Occurrences) -> int:
    """How many there are in all symbols."""
    return sum(len(minutes) for minutes in one.values())


def jaccard(one: Occurrences, other: Occurrences, window_min: int) -> float:
    """Overlap of two types, 0 to 1: shared occurrences over all of them.

    An occurrence is shared if the other type has one of the same symbol at most `window_min` away;
    of the two counts of shared ones the smaller is taken. 0 where either is empty.
    """
    return _overlap(one, other, -window_min, window_min)


def containment(one: Occurrences, other: Occurrences, window_min: int) -> float:
    """Share of `one`, 0 to 1, that has an occurrence of `other` at most `window_min` away.

    0 where either is empty.
    """
    mine = n_occurrences(one)
    return _n_shared(one, other, -window_min, window_min) / mine if mine else 0.0


def echo(one: Occurrences, other: Occurrences, window_min: int, reach_min: int) -> Echo:
    """Overlap of `one` with `other` moved by the lag at which most pairs of both fall together.

    Lags are those beyond `window_min` and up to `reach_min` on either side, positive where `one`
    comes after. A pair counts at a lag by how near it falls: `window_min` + 1 on it, one less for
    each minute off. A pair that is at most `window_min` apart as it stands is no echo at any lag.
    Of lags that suit equally the shortest is taken, then the positive.
    """
    span = reach_min + window_min
    apart = np.arange(-span, span + 1)
    pairs = _n_pairs_by_difference(one, other, span)
    pairs[np.abs(apart) <= window_min] = 0
    nearness = window_min + 1 - np.abs(np.arange(-window_min, window_min + 1))
    together = np.convolve(pairs, nearness, mode="same")
    together[(np.abs(apart) <= window_min) | (np.abs(apart) > reach_min)] = 0
    if not together.any():
        return Echo(0.0, None)
    best = np.lexsort((apart < 0, np.abs(apart), -together))[0]
    lag = int(apart[best])
    low, high = lag - window_min, lag + window_min
    if lag > 0:
        low = max(low, window_min + 1)
    else:
        high = min(high, -window_min - 1)
    return Echo(_overlap(one, other, low, high), lag)


def _overlap(one: Occurrences, other: Occurrences, low_min: int, high_min: int) -> float:
    """Jaccard index of pairs with `one` - `other` in [low_min, high_min]."""
    shared = min(
        _n_shared(one, other, low_min, high_min), _n_shared(other, one, -high_min, -low_min)
    )
    total = n_occurrences(one) + n_occurrences(other)
    return shared / (total - shared) if total else 0.0


def _n_shared(one: Occurrences, other: Occurrences, low_min: int, high_min: int) -> int:
    """Occurrences of `one` with some of `other` between `low_min` and `high_min` before them."""
    found = 0
    for symbol, mine in one.items():
        theirs = other.get(symbol, _NONE)
        first = np.searchsorted(theirs, mine - high_min, side="left")
        after = np.searchsorted(theirs, mine - low_min, side="right")
        found += int(np.count_nonzero(after > first))
    return found


def _n_pairs_by_difference(one: Occurrences, other: Occurrences, span_min: int) -> Ints:
    """int64[2 span + 1]: pairs of one symbol with each difference `one` - `other` in +-span."""
    counts = np.zeros(2 * span_min + 1, np.int64)
    for symbol, mine in one.items():
        theirs = other.get(symbol, _NONE)
        first = np.searchsorted(theirs, mine - span_min, side="left")
        n = np.searchsorted(theirs, mine + span_min, side="right") - first
        row = np.arange(n.sum()) - np.repeat(np.cumsum(n) - n, n) + np.repeat(first, n)
        counts += np.bincount(np.repeat(mine, n) - theirs[row] + span_min, minlength=counts.size)
    return counts
