"""Slow twin of `kernels.path_bootstrap`: numbers of any size, paths laid out bar by bar."""

import numpy as np

GOLDEN = 0x9E3779B97F4A7C15
WORD = 2**64


def mixed(state):
    z = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) % WORD
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) % WORD
    return z ^ (z >> 31)


def path(bars, plan, number):
    """The bars of path `number`, as long as `bars`, with whatever of the last block fits."""
    n = len(bars)
    state = mixed(plan.seed ^ mixed((number * GOLDEN + GOLDEN) % WORD))
    laid = []
    while len(laid) < n:
        state = (state + GOLDEN) % WORD
        drawn = mixed(state)
        place = (drawn >> 32) * n >> 32
        span = plan.block_max - plan.block_min + 1
        length = plan.block_min + ((drawn & 0xFFFFFFFF) * span >> 32)
        laid += [float(bars[(place + i) % n]) for i in range(length)]
    return np.array(laid[:n])


def days(laid, period):
    """P&L of each whole day of a path; the remainder is in none."""
    return np.array([laid[i : i + period].sum() for i in range(0, len(laid) - period + 1, period)])
