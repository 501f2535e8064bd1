"""Slow, obvious twins of the book kernels: one second at a time, one minute at a time."""

from __future__ import annotations

import math


def sample(quotes, grid_us):
    """(last quote at or before, its stamp, messages since the grid point before) per grid instant.

    `quotes` are (ts_us, bid_px, bid_qty, ask_px, ask_qty) in order of arrival; one that is older
    than an earlier one does not exist.
    """
    kept, newest = [], -1
    for quote in quotes:
        if quote[0] >= newest:
            kept.append(quote)
            newest = quote[0]
    out, before = [], -1
    for instant in grid_us:
        known = [q for q in kept if q[0] <= instant]
        fresh = [q for q in known if q[0] > before]
        out.append((known[-1][1:], known[-1][0], len(fresh)) if known else (None, -1, 0))
        before = instant
    return out


def quote_class(bid, bid_qty, ask, ask_qty, age_s, max_age_s):
    """What a sample counts as: its first fault in this order."""
    if not all(math.isfinite(v) and v > 0 for v in (bid, bid_qty, ask, ask_qty)):
        return "invalid"
    if bid > ask:
        return "crossed"
    if bid == ask:
        return "locked"
    return "stale" if age_s > max_age_s else "valid"


def minute(samples, max_age_s, slots):
    """One minute's aggregates as a dict, from (bid, bid_qty, ask, ask_qty, age_s) in order."""
    out = {"n_locked": 0, "n_crossed": 0, "n_stale": 0, "n_invalid": slots - len(samples)}
    spreads, depths, imbalances, last = [], [], [], None
    for bid, bid_qty, ask, ask_qty, age in samples:
        fault = quote_class(bid, bid_qty, ask, ask_qty, age, max_age_s)
        if fault != "valid":
            out[f"n_{fault}"] += 1
        else:
            mid = (bid + ask) / 2.0
            spreads.append(1e4 * (ask - bid) / mid)
            depths.append(bid * bid_qty + ask * ask_qty)
            imbalances.append((bid_qty - ask_qty) / (bid_qty + ask_qty))
            last = (bid, ask, mid)
    n = len(spreads)
    out["valid_frac"] = n / slots
    if not n:
        return out
    ordered = sorted(spreads)
    low, high = ordered[(n - 1) // 2], ordered[n // 2]
    mean = _sum(imbalances) / n
    out |= {
        "spread_bps_mean": _sum(spreads) / n,
        "spread_bps_median": low if n % 2 else (low + high) / 2.0,
        "spread_bps_max": max(spreads),
        "depth_usd_mean": _sum(depths) / n,
        "depth_usd_min": min(depths),
        "imbalance_mean": mean,
        "bid_last": last[0],
        "ask_last": last[1],
        "mid_last": last[2],
    }
    if n > 1:
        out["imbalance_std"] = math.sqrt(
            _sum([(x - mean) * (x - mean) for x in imbalances]) / (n - 1)
        )
    return out


def _sum(values):
    """Left to right; the built-in sum compensates on newer Pythons."""
    total = 0.0
    for value in values:
        total += value
    return total
