"""Sums of series on the minute grid that are mostly zero: squares, long-run sums, products.

Belongs here: arithmetic on series alone. What a series means (positions, returns, contrasts) is
said in `calendar_time`.

A series is zero outside the blocks of 30 minutes in which something happens. `touched` bool[blocks]
says which those are, so that no sum passes over the others. Every sum has a fixed order.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

BLOCK = 30
"""Minutes of a block: few for short horizons, enough to be summed at once."""
LAGS = 5
"""Lags of Bartlett's sum."""
CHUNK = 960
"""Minutes that are summed at once: few enough to stay in the nearest cache."""


class PartSums(NamedTuple):
    """Of a series and the whole it is part of: its sum, squares and Bartlett's long-run sum, its
    product with the whole, and Bartlett's long-run product.
    """

    total: float
    squares: float
    bartlett: float
    product: float
    near_product: float


class _Room(NamedTuple):
    """What `CHUNK` minutes are worked in: with five more at each end, their neighbours' sums, and
    the products' quarters.
    """

    padded: FloatArray
    near: FloatArray
    quarters: FloatArray


@njit(cache=True, nogil=True)
def blocks_of(y: FloatArray) -> BoolArray:
    """Flags for the blocks of y[T], none of them set; the last block may be short."""
    return np.zeros((y.shape[0] + BLOCK - 1) // BLOCK, np.bool_)


@njit(cache=True, nogil=True)
def clear(y: FloatArray, touched: BoolArray) -> None:
    """Set the touched blocks of y[T] to zero, and their flags too."""
    block = 0
    while block < touched.shape[0]:
        block, end = _next_run(touched, block)
        y[block * BLOCK : min(end * BLOCK, y.shape[0])] = 0.0
        touched[block:end] = False
        block = end


@njit(cache=True, nogil=True)
def moments(y: FloatArray, touched: BoolArray, whole: FloatArray) -> PartSums:
    """Moments of y[T], which is zero outside the touched blocks, and its products with whole[T].

    Bartlett's long-run sum with 5 lags: g_0 + 2 sum_l (1 - l/6) g_l with uncentred
    g_l = sum_t y_t y_(t-l) (Newey and West 1987). O(minutes touched). Oracle: statsmodels'
    S_hac_simple, and `cross_bartlett` of the tests for the product.
    """
    sums, room, block = np.zeros(5), _room(), 0
    while block < touched.shape[0]:
        block, end = _next_run(touched, block)
        _add_run(y, block * BLOCK, min(end * BLOCK, y.shape[0]), whole, sums, room)
        block = end
    return PartSums(sums[0], sums[1], sums[2], sums[3], sums[4])


@njit(cache=True, nogil=True)
def sum_and_variance(y: FloatArray, first: int, last: int) -> tuple[float, float]:
    """Sum of y[first:last] and its variance: the larger of sum y^2 and Bartlett's (`moments`)."""
    sums = np.zeros(5)
    _add_run(y, first, last, y, sums, _room())
    return sums[0], max(sums[1], sums[2])


@njit(cache=True, nogil=True)
def second_moments(returns: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Products of every two of I series [I, T] summed, and Bartlett's long-run products: [I, I].

    Both are symmetric. O(I^2 T). Oracle: `cross_bartlett` of the tests.
    """
    n_series, n = returns.shape
    squares, bartlett = np.zeros((n_series, n_series)), np.zeros((n_series, n_series))
    room = _room()
    for begin in range(0, n, CHUNK):
        size = min(CHUNK, n - begin)
        for i in range(n_series):
            _cut(returns[i], 0, n, begin - LAGS, size + 2 * LAGS, room.padded)
            neighbours(room.padded, size, room.near)
            now, near = room.padded[LAGS : LAGS + size], room.near[:size]
            for j in range(i + 1):
                other = returns[j, begin : begin + size]
                squares[i, j] += _dot(now, other, room.quarters)
                bartlett[i, j] += _dot(near, other, room.quarters)
    for i in range(n_series):
        squares[:i, i] = squares[i, :i]
        bartlett[:i, i] = bartlett[i, :i]
    return squares, bartlett


@njit(cache=True, nogil=True)
def mixed_products(
    y: FloatArray, touched: BoolArray, weights: FloatArray, series: FloatArray
) -> tuple[float, float]:
    """sum_t y_t m_t and Bartlett's long-run product of y and m_t = sum_i weights_i series_it.

    y [T] is zero outside the touched blocks; `weights` [I], `series` [I, T]. O(I x minutes
    touched). Oracle: `cross_bartlett` of the tests.
    """
    n, block, plain, long_run = y.shape[0], 0, 0.0, 0.0
    room = _room()
    m = room.padded
    while block < touched.shape[0]:
        block, end = _next_run(touched, block)
        last = min(end * BLOCK, n)
        for begin in range(block * BLOCK, last, CHUNK):
            size = min(CHUNK, last - begin)
            start, stop = max(begin - LAGS, 0), min(begin + size + LAGS, n)
            m[: size + 2 * LAGS] = 0.0
            inside = m[start - begin + LAGS : stop - begin + LAGS]
            for i in range(weights.shape[0]):
                if weights[i] != 0.0:
                    weight, values = weights[i], series[i, start:stop]
                    for t in range(stop - start):
                        inside[t] += weight * values[t]
            neighbours(m, size, room.near)
            now = y[begin : begin + size]
            plain += _dot(now, m[LAGS : LAGS + size], room.quarters)
            long_run += _dot(now, room.near[:size], room.quarters)
        block = end
    return plain, long_run


@njit(cache=True, nogil=True)
def _next_run(touched: BoolArray, block: int) -> tuple[int, int]:
    """First run of touched blocks from `block` on: [first, end); (n, n) if there is none."""
    n = touched.shape[0]
    while block + 4 <= n and not (
        touched[block] | touched[block + 1] | touched[block + 2] | touched[block + 3]
    ):
        block += 4
    while block < n and not touched[block]:
        block += 1
    end = block
    while end < n and touched[end]:
        end += 1
    return block, end


@njit(cache=True, nogil=True)
def _add_run(
    y: FloatArray, first: int, last: int, whole: FloatArray, sums: FloatArray, room: _Room
) -> None:
    """Add the moments of y over [first, last), taken as zero elsewhere, to sums[5] (`PartSums`)."""
    # Five minutes beyond both ends still have neighbours in the run, and the whole may move there.
    end = min(last + LAGS, y.shape[0])
    for begin in range(max(first - LAGS, 0), end, CHUNK):
        size = min(CHUNK, end - begin)
        _cut(y, first, last, begin - LAGS, size + 2 * LAGS, room.padded)
        neighbours(room.padded, size, room.near)
        now, near = room.padded[LAGS : LAGS + size], room.near[:size]
        other = whole[begin : begin + size]
        sums[0] += ordered_sum(now)
        sums[1] += _dot(now, now, room.quarters)
        sums[2] += _dot(now, near, room.quarters)
        sums[3] += _dot(now, other, room.quarters)
        sums[4] += _dot(near, other, room.quarters)


@njit(cache=True, nogil=True)
def _cut(y: FloatArray, first: int, last: int, begin: int, size: int, out: FloatArray) -> None:
    """out[:size] = y[begin : begin + size], zero outside [first, last)."""
    start, stop = max(first, begin), min(last, begin + size)
    out[:size] = 0.0
    if start < stop:
        out[start - begin : stop - begin] = y[start:stop]


@njit(cache=True, nogil=True)
def neighbours(padded: FloatArray, size: int, near: FloatArray) -> None:
    """near_t = sum over |l| <= 5 of (1 - |l|/6) y_(t+l) for t < size, y_t being padded[t + 5].

    Then sum_t x_t near_t is Bartlett's long-run product of x and y. Oracle: `cross_bartlett` of the
    tests.
    """
    b5, b4, b3, b2, b1 = padded[0:], padded[1:], padded[2:], padded[3:], padded[4:]
    now, a1, a2, a3, a4, a5 = (
        padded[5:],
        padded[6:],
        padded[7:],
        padded[8:],
        padded[9:],
        padded[10:],
    )
    # Views whose index is never negative: the compiler then takes several minutes at once.
    for t in range(size):
        ones = 5.0 * (b1[t] + a1[t]) + 4.0 * (b2[t] + a2[t])
        twos = 3.0 * (b3[t] + a3[t]) + 2.0 * (b4[t] + a4[t])
        near[t] = now[t] + (ones + twos + (b5[t] + a5[t])) * (1.0 / 6.0)


@njit(cache=True, nogil=True)
def ordered_sum(x: FloatArray) -> float:
    """Sum of x in four interleaved series: a fixed order that needs no wait between two terms.

    Oracle: `math.fsum`.
    """
    n = x.shape[0]
    a, b, c, d = 0.0, 0.0, 0.0, 0.0
    for k in range(n // 4):
        t = 4 * k
        a += x[t]
        b += x[t + 1]
        c += x[t + 2]
        d += x[t + 3]
    for t in range(n - n % 4, n):
        a += x[t]
    return (a + b) + (c + d)


@njit(cache=True, nogil=True)
def _dot(x: FloatArray, y: FloatArray, quarters: FloatArray) -> float:
    """Sum of x y over at most `CHUNK` terms: its four quarters term by term, then in order."""
    n, q = x.shape[0], x.shape[0] // 4
    xa, xb, xc, xd = x[:q], x[q : 2 * q], x[2 * q : 3 * q], x[3 * q : 4 * q]
    ya, yb, yc, yd = y[:q], y[q : 2 * q], y[2 * q : 3 * q], y[3 * q : 4 * q]
    for t in range(q):
        quarters[t] = (xa[t] * ya[t] + xb[t] * yb[t]) + (xc[t] * yc[t] + xd[t] * yd[t])
    total = ordered_sum(quarters[:q])
    for t in range(4 * q, n):
        total += x[t] * y[t]
    return total


@njit(cache=True, nogil=True)
def _room() -> _Room:
    return _Room(np.empty(CHUNK + 2 * LAGS), np.empty(CHUNK), np.empty(CHUNK // 4))
