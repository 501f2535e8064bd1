"""Rolling quantile over a trailing window, by a pointer that walks from row to row in order.

Belongs here: quantiles of one series. Ranks are in `rolling_rank`, extremes in `rolling_extremes`.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit

from quantlab_pipeline.kernels.bits import count_bits, highest_bit, lowest_bit
from quantlab_pipeline.kernels.rolling_order import PairedPlaces, chunks_of, paired_places

Floats = npt.NDArray[np.float64]
Int32s = npt.NDArray[np.int32]
Words = npt.NDArray[np.uint64]

ALL = ~np.uint64(0)


def rolling_quantile(x: Floats, window: int, q: float, min_valid: int) -> Floats:
    """The q-quantile of the valid rows in (t - window, t], linear between two rows; shape (n,).

    With n valid rows it lies at position q (n - 1) of their order, as numpy's default. NaN is
    missing; fewer than `min_valid` valid rows give NaN. Infinities, and a `q` outside [0, 1], raise
    ValueError. About O(1) a row: the pointer moves by a row or two; the window is a set of bits
    over the places of `rolling_order`. Oracle: `oracles.rolling`.
    """
    if np.isinf(x).any():
        raise ValueError("infinite values; write NaN for what is missing")
    if not 0.0 <= q <= 1.0:
        raise ValueError(f"the quantile {q} does not lie in [0, 1]")
    out = np.empty(x.size)
    block = max(min(window, x.size), 1)
    for begin, end in chunks_of(x.size, block):
        places = paired_places(x, begin, end, block)
        _quantiles(places, block, q, max(min_valid, 1), out[begin:end])
    return out


@njit(cache=True, nogil=True)
def _next_set(bits: Words, place: int) -> int:
    """First set place at or above `place`; there is one."""
    word = place >> 6
    rest = bits[word] & (ALL << np.uint64(place & 63))
    while rest == 0:
        word += 1
        rest = bits[word]
    return (word << 6) + lowest_bit(rest)


@njit(cache=True, nogil=True)
def _last_set(bits: Words, place: int) -> int:
    """Last set place below `place`; there is one."""
    word = (place - 1) >> 6
    rest = bits[word] & (ALL >> np.uint64(63 - ((place - 1) & 63)))
    while rest == 0:
        word -= 1
        rest = bits[word]
    return (word << 6) + highest_bit(rest)


@njit(cache=True, nogil=True)
def _fill(places: PairedPlaces, begin: int, block: int, bits: Words, values: Floats) -> int:
    """Set the bits of the block before row `begin`, put every row's value at its place in the pair,
    and return how many bits are set. The place of the missing rows is set for good, as a stop.
    """
    bits[:] = np.uint64(0)
    missing, n = 2 * block, 0
    for t in range(begin, begin + block):
        place = places.older[t]
        values[place] = places.rows[t]
        bits[place >> 6] |= np.uint64(1) << np.uint64(place & 63)
        n += 1 if place < missing else 0
    for t in range(begin + block, min(begin + 2 * block, places.rows.size)):
        values[places.newer[t]] = places.rows[t]
    bits[missing >> 6] |= np.uint64(1) << np.uint64(missing & 63)
    return n


@njit(cache=True, nogil=True)
def _between(low: float, high: float, share: float) -> float:
    """`share` of the way from `low` to `high`, rounded as numpy does it."""
    step = high - low
    return low + step * share if share < 0.5 else high - step * (1.0 - share)


@njit(cache=True, nogil=True)
def _quantiles(places: PairedPlaces, block: int, q: float, min_valid: int, out: Floats) -> None:
    missing = 2 * block
    bits = np.empty((missing >> 6) + 1, np.uint64)
    values = np.empty(missing + 1)
    for begin in range(0, out.size, block):
        n = _fill(places, begin, block, bits, values)
        place, below = 0, 0
        while below + count_bits(bits[place >> 6]) <= q * (n - 1):
            below += count_bits(bits[place >> 6])
            place += 64
        for t in range(begin, min(begin + block, out.size)):
            gone, come = places.older[t], places.newer[block + t]
            if gone < missing:
                bits[gone >> 6] ^= np.uint64(1) << np.uint64(gone & 63)
                below -= 1 if gone < place else 0
                n -= 1
            if come < missing:
                bits[come >> 6] ^= np.uint64(1) << np.uint64(come & 63)
                below += 1 if come < place else 0
                n += 1
            if n < min_valid:
                out[t] = np.nan
                continue
            position = q * (n - 1)
            k = int(position)
            while below > k:
                place = _last_set(bits, place)
                below -= 1
            place = _next_set(bits, place)
            while below < k:
                place = _next_set(bits, place + 1)
                below += 1
            out[t] = values[place]
            if position > k:
                high = values[_next_set(bits, place + 1)]
                out[t] = _between(values[place], high, position - k)
