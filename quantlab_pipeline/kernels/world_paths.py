"""Recursions that make a generated market's latent series. Draws come in, series go out.

Belongs here: what must run minute after minute. What can be done on whole arrays stays in numpy.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

MAX_SHOCK = 20.0
MAX_VARIANCE_RATIO = 16.0


@njit(cache=True)
def price_walk(
    shocks: Floats,
    sigma: Floats,
    drift: Floats,
    alpha: float,
    beta: float,
    pull: float,
) -> tuple[Floats, Floats, Floats]:
    """Log price relative to its start, its deviation and its expected log growth, minute by minute.

    P_t = P_{t-1} (1 + s_t z_t) exp(d_t): the simple return's mean is exactly expm1(d_t) for
    symmetric z. `shocks` z [I, T] of unit variance, cut at 20; `sigma` [I, T] the deviation without
    clustering; `drift` [I, T] planted log drift; variance ratio h_t = (1 - alpha - beta) +
    alpha h z^2 + beta h, cut at 16 (GARCH(1,1), Bollerslev 1986); `pull` the share of the log
    distance to the start that is expected back per minute (0: none). Finite input only.
    Returns x [I, T + 1], s [I, T], d [I, T]. O(I T). Oracle: tests, oracles/world_paths.py.
    """
    n_symbols, n_minutes = shocks.shape
    x = np.zeros((n_symbols, n_minutes + 1))
    s = np.empty((n_symbols, n_minutes))
    d = np.empty((n_symbols, n_minutes))
    for i in range(n_symbols):
        ratio = 1.0
        for t in range(n_minutes):
            z = min(max(shocks[i, t], -MAX_SHOCK), MAX_SHOCK)
            s[i, t] = sigma[i, t] * math.sqrt(ratio)
            d[i, t] = drift[i, t] - pull * x[i, t]
            x[i, t + 1] = x[i, t] + math.log1p(s[i, t] * z) + d[i, t]
            ratio = (1.0 - alpha - beta) + alpha * ratio * z * z + beta * ratio
            ratio = min(ratio, MAX_VARIANCE_RATIO)
    return x, s, d


@njit(cache=True)
def autoregression(innovations: Floats, phi: float, start: Floats) -> Floats:
    """y_t = phi y_{t-1} + e_t with y_{-1} = `start`. `innovations` e [I, T]; returns y [I, T].

    NaN spreads to the end of its row. O(I T). Oracle: tests, oracles/world_paths.py.
    """
    n_rows, n_steps = innovations.shape
    y = np.empty((n_rows, n_steps))
    for i in range(n_rows):
        last = start[i]
        for t in range(n_steps):
            last = phi * last + innovations[i, t]
            y[i, t] = last
    return y


@njit(cache=True)
def two_state_chain(uniforms: Floats, leave_0: float, leave_1: float, start: int) -> Ints:
    """A two-state Markov chain: state t leaves with its probability if `uniforms`[t] lies below it.

    `uniforms` [T] in [0, 1). Returns states [T] in {0, 1}. O(T). Oracle: oracles/world_paths.py.
    """
    states = np.empty(uniforms.size, np.int64)
    state = start
    for t in range(uniforms.size):
        if uniforms[t] < (leave_1 if state == 1 else leave_0):
            state = 1 - state
        states[t] = state
    return states
