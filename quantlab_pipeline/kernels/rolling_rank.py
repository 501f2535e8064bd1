"""Rolling midrank percentile over a trailing window, by exact counts.

Belongs here: ranks of one series. Counts are integers, so that a value cannot depend on where the
array began. Quantiles are in `rolling_quantile`.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit

from quantlab_pipeline.kernels.bits import count_bits
from quantlab_pipeline.kernels.rolling_order import chunks_of, paired_places

Floats = npt.NDArray[np.float64]
Int32s = npt.NDArray[np.int32]
Words = npt.NDArray[np.uint64]

GROUP_BITS = 8
"""2 ** GROUP_BITS places share one running count."""


def rolling_rank(x: Floats, window: int, min_valid: int) -> Floats:
    """(#{x < x_t} + 0.5 #{x = x_t}) / n over the valid rows in (t - window, t], t included.

    Shape (n,), values in (0, 1). NaN is missing: a missing x_t, or fewer than `min_valid` valid
    rows, give NaN. Infinities raise ValueError. The window is a set of bits over the places of
    `rolling_order`; a row costs a few words and one vectorised pass over window / 128 counters.
    Oracle: `oracles.rolling`.
    """
    if np.isinf(x).any():
        raise ValueError("infinite values; write NaN for what is missing")
    out = np.empty(x.size)
    block = max(min(window, x.size), 1)
    for begin, end in chunks_of(x.size, block):
        _, newer, older, tied = paired_places(x, begin, end, block)
        _midrank(newer, older, tied, block, max(min_valid, 1), out[begin:end])
    return out


@njit(cache=True, nogil=True)
def _count_below(bits: Words, held: Int32s, place: int) -> int:
    word, group = place >> 6, place >> GROUP_BITS
    total: int = held[group]
    for w in range(group << GROUP_BITS - 6, word):
        total += count_bits(bits[w])
    rest = (np.uint64(1) << np.uint64(place & 63)) - np.uint64(1)
    return total + count_bits(bits[word] & rest)


@njit(cache=True, nogil=True)
def _fill(older: Int32s, bits: Words, held: Int32s) -> int:
    """Set the bits of one block's rows, count them by groups, and return how many are valid."""
    bits[:] = np.uint64(0)
    for place in older:
        bits[place >> 6] ^= np.uint64(1) << np.uint64(place & 63)
    missing = 2 * older.size
    bits[missing >> 6] &= (np.uint64(1) << np.uint64(missing & 63)) - np.uint64(1)
    total = 0
    for group in range(held.size):
        held[group] = total
        for w in range(group << GROUP_BITS - 6, group + 1 << GROUP_BITS - 6):
            total += count_bits(bits[w])
    return total


@njit(cache=True, nogil=True)
def _midrank(
    newer: Int32s, older: Int32s, tied: Int32s, block: int, min_valid: int, out: Floats
) -> None:
    missing = 2 * block
    groups = (missing >> GROUP_BITS) + 1
    bits = np.empty(groups << GROUP_BITS - 6, np.uint64)
    held = np.empty(groups, np.int32)
    for begin in range(0, out.size, block):
        n = _fill(older[begin : begin + block], bits, held)
        for t in range(begin, min(begin + block, out.size)):
            gone, come = older[t], newer[block + t]
            bits[gone >> 6] ^= np.uint64(1) << np.uint64(gone & 63)
            bits[come >> 6] ^= np.uint64(1) << np.uint64(come & 63)
            before, after = gone >> GROUP_BITS, come >> GROUP_BITS
            for group in range(groups):
                held[group] += np.int32(group > after) - np.int32(group > before)
            n += (1 if come < missing else 0) - (1 if gone < missing else 0)
            if come == missing or n < min_valid:
                out[t] = np.nan
                continue
            first = tied[block + t]
            below = _count_below(bits, held, first)
            upto = below + 1 if first == come else _count_below(bits, held, come) + 1
            out[t] = 0.5 * (below + upto) / n
