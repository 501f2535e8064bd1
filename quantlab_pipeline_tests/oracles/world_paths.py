"""The recursions of `kernels.world_paths`, one number at a time."""

from __future__ import annotations

import math


def price_walk(shocks, sigma, drift, alpha, beta, pull):
    """Lists of rows in, (x, s, d) as lists of rows out."""
    out_x, out_s, out_d = [], [], []
    for z_row, sigma_row, drift_row in zip(shocks, sigma, drift, strict=True):
        x, s, d = [0.0], [], []
        variance_ratio = 1.0
        for shock, base, planted in zip(z_row, sigma_row, drift_row, strict=True):
            z = max(-20.0, min(20.0, shock))
            s.append(base * variance_ratio**0.5)
            d.append(planted - pull * x[-1])
            x.append(x[-1] + math.log(1.0 + s[-1] * z) + d[-1])
            variance_ratio = min(16.0, 1.0 - alpha - beta + variance_ratio * (alpha * z**2 + beta))
        out_x.append(x)
        out_s.append(s)
        out_d.append(d)
    return out_x, out_s, out_d


def autoregression(innovations, phi, start):
    """y_t as the explicit sum phi^(t+1) start + sum of phi^(t-k) e_k."""
    rows = []
    for e, first in zip(innovations, start, strict=True):
        rows.append(
            [
                phi ** (t + 1) * first + sum(phi ** (t - k) * e[k] for k in range(t + 1))
                for t in range(len(e))
            ]
        )
    return rows


def two_state_chain(uniforms, leave_0, leave_1, start):
    """States after each step."""
    states, state = [], start
    for u in uniforms:
        leave = (leave_0, leave_1)[state]
        state = 1 - state if u < leave else state
        states.append(state)
    return states
