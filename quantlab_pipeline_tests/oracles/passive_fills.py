"""Slow twin of `kernels.passive_fills`: one order, plain Python, the rules as `fills` words them.

`oracles.execution.usable` says which quote is a price; `quote_index` of the kernel is `laid_on`.
Exact: the same sums in the same order, so that the twins agree to the last bit.
"""

import math

from quantlab_pipeline_tests.oracles.execution import usable

NOTHING = (0, 0, math.nan, math.nan, 0.0)


def laid_on(quotes, arrive, until, max_age_us):
    """Index of the quote that an order is laid on: the one standing if usable, else the next."""
    before = [i for i, q in enumerate(quotes) if q[0] <= arrive]
    if before and usable(quotes[before[-1]], arrive - quotes[before[-1]][0], max_age_us):
        return before[-1]
    for i, quote in enumerate(quotes):
        if arrive < quote[0] <= until and usable(quote, 0, max_age_us):
            return i
    return None


def seen_by(side, quote):
    """(near price, near size, far price, far size) of a quote, as an order of `side` sees it."""
    _, bid, bid_qty, ask, ask_qty, _ = quote
    return (bid, bid_qty, ask, ask_qty) if side > 0 else (ask, ask_qty, bid, bid_qty)


def better(side, a, b):
    """Whether price `a` stands before price `b` in the queue of `side`."""
    return a > b if side > 0 else a < b


def size_at(side, quote, limit):
    """Size shown at the limit: 0 where that level is empty, None where better prices hide it."""
    near, size, _, _ = seen_by(side, quote)
    if better(side, near, limit):
        return None
    return size if near == limit else 0.0


def rest_on_quotes(quotes, order, rule, max_age_us, traded_share):
    """(state, at_us, mid, price, filled) of one order.

    An order is (arrive, until, side, quantity, limit, queue multiple, depth share); limit NaN joins
    the near touch. `rule` is "touch", "queue" or "penetration".
    """
    arrive, until, side, quantity, limit, multiple, share = order
    if not (quantity > 0 and 0 <= multiple < math.inf and share > 0 and arrive <= until):
        return NOTHING
    laid = laid_on(quotes, arrive, until, max_age_us)
    if laid is None:
        return NOTHING
    near, _, far, _ = seen_by(side, quotes[laid])
    if math.isnan(limit):
        limit = near
    elif far == limit or better(side, limit, far):
        return NOTHING
    shown = size_at(side, quotes[laid], limit)
    ahead = math.inf if shown is None else multiple * shown
    met, left, last, fill = 0.0, quantity, quotes[laid], None
    for quote in quotes[laid + 1 :]:
        if quote[0] > until:
            break
        if not usable(quote, 0, max_age_us):
            continue
        near, _, far, far_size = seen_by(side, quote)
        now = size_at(side, quote, limit)
        at_price, past = far == limit, better(side, limit, far)
        part = 0.0
        if rule == "touch":
            gone = now == 0.0 and shown != 0.0
            less = near == limit and (shown is None or now < shown)
            if gone or less or at_price or past:
                part = left
        if rule == "queue" and now is not None:
            traded = traded_share * (shown - now) if shown is not None and now < shown else 0.0
            if traded > ahead:
                part = traded - ahead
            ahead = min(ahead - min(traded, ahead), multiple * now)
        if past:
            part = left
        if at_price and share * far_size > met:
            part += share * far_size - met
            met = share * far_size
        if part > 0:
            near, _, far, _ = seen_by(side, last)
            best = near if better(side, near, limit) else limit
            mid = fill[1] if fill else limit + (far - best) / 2
            fill = (quote[0], mid)
            left = 0.0 if part >= left else left - part
        if left == 0.0:
            break
        last, shown = quote, now
    if fill is None:
        return NOTHING
    return 1, *fill, limit, quantity - left


def rest_on_bars(bars, order, half_bps, touch, tick):
    """The same of (arrive, until, side, quantity, limit).

    Bars are (open_us, close_us, open, low, high, traded)."""
    arrive, until, side, quantity, limit = order
    if not (quantity > 0 and half_bps >= 0):
        return NOTHING
    opened = None
    for open_us, close_us, price, low, high, traded in bars:
        if open_us < arrive:
            continue
        if close_us > until:
            break
        extreme = low if side > 0 else high
        good = all(math.isfinite(x) and x > 0 for x in (price, extreme))
        if not (traded and good):
            continue
        if opened is None:
            opened = price
            touch_price = price * (1 - side * half_bps / 1e4)
            if math.isnan(limit):
                whole = math.floor if side > 0 else math.ceil
                limit = whole(touch_price / tick + side * 1e-6) * tick
            elif not better(side, price * (1 + side * half_bps / 1e4), limit):
                return NOTHING
        beyond = (limit - extreme) * side / tick
        if limit > 0 and beyond >= (-1e-6 if touch else 1 - 1e-6):
            return 1, close_us, opened, limit, quantity
    return NOTHING
