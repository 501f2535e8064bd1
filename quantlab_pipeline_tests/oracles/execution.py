"""Slow twin of `kernels.execution`: one order, plain Python, every quote looked at in turn."""

import math


def usable(quote, waited_us, max_age_us):
    _, bid, bid_qty, ask, ask_qty, age = quote
    numbers = (bid, bid_qty, ask, ask_qty)
    if not all(math.isfinite(x) for x in numbers):
        return False
    return bid > 0 and bid < ask and bid_qty > 0 and ask_qty > 0 and age + waited_us <= max_age_us


def is_thin(quote, side, quantity, depth_share, limits):
    """Whether taking `quantity` would walk further than the limit."""
    depth = depth_share * (quote[4] if side > 0 else quote[2])
    excess = max(0.0, quantity - depth)
    walk = limits.beyond_depth_bps * excess * excess
    return walk > limits.max_walk_bps * 2 * depth * quantity * (1 + 1e-12)


def take_quote(quotes, order, depth_share, limits):
    """(state, at_us, mid, touch, price) of one order (arrive, side, quantity, impact, wait)."""
    arrive, side, quantity, impact, wait = order
    nothing = (0, 0, math.nan, math.nan, math.nan)
    if not impact >= 0:
        return nothing
    before = [q for q in quotes if q[0] <= arrive]
    found, at, state = None, 0, 0

    def fits(quote, waited_us):
        if not usable(quote, waited_us, limits.max_age_us):
            return False
        return not is_thin(quote, side, quantity, depth_share, limits)

    if before and fits(before[-1], arrive - before[-1][0]):
        found, at, state = before[-1], arrive, 1
    if found is None:
        for quote in quotes:
            late = quote[0] - arrive
            if late > 0 and (wait < 0 or late <= wait) and fits(quote, 0):
                found, at, state = quote, quote[0], 1
                break
    if found is None and wait < 0:
        good = [q for q in quotes if usable(q, 0, limits.max_age_us)]
        if good:
            found, at, state = good[-1], max(arrive, quotes[-1][0]), 2
    if found is None:
        return nothing
    _, bid, bid_qty, ask, ask_qty, _ = found
    mid = (bid + ask) / 2
    touch = (ask if side > 0 else bid) + side * (ask - bid) / 2 * (limits.spread_scale - 1)
    depth = depth_share * (ask_qty if side > 0 else bid_qty)
    excess = max(0.0, quantity - depth)
    walk = limits.beyond_depth_bps * excess / (2 * depth) * (excess / quantity if quantity else 1)
    walk = min(walk, limits.max_walk_bps)
    return state, at, mid, touch, touch * (1 + side * max(walk, impact) / 1e4)


def take_bar(bars, order, half_spread_bps, spread_scale):
    """The same on (open_us, open, tradable) bars."""
    arrive, side, _, impact, wait = order
    nothing = (0, 0, math.nan, math.nan, math.nan)
    if not (impact >= 0 and half_spread_bps >= 0):
        return nothing
    good = [b for b in bars if b[2] and math.isfinite(b[1]) and b[1] > 0]
    later = [b for b in good if b[0] >= arrive and (wait < 0 or b[0] - arrive <= wait)]
    if later:
        found, at, state = later[0], later[0][0], 1
    elif wait < 0 and good:
        found, at, state = good[-1], max(arrive, bars[-1][0]), 2
    else:
        return nothing
    touch = found[1] * (1 + side * half_spread_bps * spread_scale / 1e4)
    return state, at, found[1], touch, touch * (1 + side * impact / 1e4)
