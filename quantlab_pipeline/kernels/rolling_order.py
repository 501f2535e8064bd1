"""The order of the rows in every two neighbouring blocks: what ranks and quantiles slide over.

Belongs here: sorting a series once, so that a window of `block` rows, which always lies in two
neighbouring blocks, finds each of its rows at a known place of their common order. Counting the
places that a window holds is the work of `rolling_rank` and `rolling_quantile`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

Floats = npt.NDArray[np.float64]
Int32s = npt.NDArray[np.int32]
Words = npt.NDArray[np.uint64]

CHUNK_ROWS = 32_768
"""Rows ordered at once, where blocks are shorter: their keys stay in a core's cache."""

DIGIT_BITS = 11
SIGN = np.uint64(1 << 63)


class PairedPlaces(NamedTuple):
    """Places of a run of rows, whose first block precedes the rows that are asked for.

    `rows` (m,) are the values, NaN before the series began. `newer` is each row's place among the
    valid rows of its block and the block before, `older` among those of its block and the block
    after, from 0; rows of equal value stand in the order of time. `tied` is the place in the former
    order of the first row of equal value. A missing row's place is 2 * `block`.
    """

    rows: Floats
    newer: Int32s
    older: Int32s
    tied: Int32s


def chunks_of(n: int, block: int) -> Iterator[tuple[int, int]]:
    """(begin, end) of runs of whole blocks that cover `n` rows; the last may end inside a block."""
    step = max(CHUNK_ROWS // block, 1) * block
    for begin in range(0, n, step):
        yield begin, min(begin + step, n)


def paired_places(x: Floats, begin: int, end: int, block: int) -> PairedPlaces:
    """Places of rows begin - block to end of `x`; `begin` is a multiple of `block`.

    Infinities are not allowed. O(m): a radix sort by digits of the value's bits (Knuth, vol. 3,
    5.2.5), then one pass that deals the sorted rows out to their two pairs of blocks.
    """
    rows = np.full(end - begin + block, np.nan)
    first = max(begin - block, 0)
    rows[rows.size - (end - first) :] = x[first:end]
    places = PairedPlaces(rows, *(np.full(rows.size, 2 * block, np.int32) for _ in range(3)))
    keys, order = _keyed(rows, rows.view(np.uint64))
    if order.size:
        digits = -(-int(keys.max()).bit_length() // DIGIT_BITS)
        keys, order = _sorted(keys, order, digits)
        _deal(keys, order, block, *places[1:])
    return places


@njit(cache=True, nogil=True)
def _keyed(rows: Floats, bits: Words) -> tuple[Words, Int32s]:
    """Integers from 0 in the order of the valid rows, equal where those are, and their indices."""
    keys = np.empty(rows.size, np.uint64)
    order = np.empty(rows.size, np.int32)
    n, least = 0, ~np.uint64(0)
    for i in range(rows.size):
        if not np.isnan(rows[i]):
            plain = np.uint64(0) if rows[i] == 0.0 else bits[i]
            key = ~plain if plain & SIGN else plain | SIGN
            keys[n], order[n] = key, np.int32(i)
            least = min(least, key)
            n += 1
    return keys[:n] - least, order[:n]


@njit(cache=True, nogil=True)
def _sorted(keys: Words, order: Int32s, digits: int) -> tuple[Words, Int32s]:
    """`keys` in order, and `order` moved with them; the order of equal keys stays."""
    mask = np.uint64((1 << DIGIT_BITS) - 1)
    counts = np.zeros((digits, 1 << DIGIT_BITS), np.int32)
    for key in keys:
        for d in range(digits):
            counts[d, np.int64((key >> np.uint64(d * DIGIT_BITS)) & mask)] += np.int32(1)
    other_keys, other_order = np.empty_like(keys), np.empty_like(order)
    for d in range(digits):
        shift = np.uint64(d * DIGIT_BITS)
        target = counts[d]
        below = np.int32(0)
        for digit in range(target.size):
            target[digit], below = below, below + target[digit]
        for i in range(keys.size):
            here = np.int64((keys[i] >> shift) & mask)
            place = target[here]
            target[here] = place + np.int32(1)
            other_keys[place] = keys[i]
            other_order[place] = order[i]
        keys, other_keys = other_keys, keys
        order, other_order = other_order, order
    return keys, order


@njit(cache=True, nogil=True)
def _deal(
    keys: Words, order: Int32s, block: int, newer: Int32s, older: Int32s, tied: Int32s
) -> None:
    """Pair p is made of blocks p - 1 and p; a row of block b is newer in pair b, older in b + 1."""
    pair_of = np.empty(newer.size, np.int32)
    for i in range(newer.size):
        pair_of[i] = i // block
    n_pairs = newer.size // block + 2
    held = np.zeros(n_pairs, np.int32)
    since = np.zeros(n_pairs, np.int32)
    last = np.zeros(n_pairs, np.uint64)
    for i in range(order.size):
        row, key = order[i], keys[i]
        pair = np.int64(pair_of[row])
        place = held[pair]
        first = since[pair] if place > 0 and last[pair] == key else place
        newer[row], tied[row] = place, first
        held[pair], since[pair], last[pair] = place + np.int32(1), first, key
        place = held[pair + 1]
        first = since[pair + 1] if place > 0 and last[pair + 1] == key else place
        older[row] = place
        held[pair + 1], since[pair + 1], last[pair + 1] = place + np.int32(1), first, key
