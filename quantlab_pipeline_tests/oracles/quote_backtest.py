"""Slow twin of `kernels.quote_backtest`: first the orders, then one walk over all that happens.

`find_quote`, `take_quote`, `is_usable` and `standing_at` of the kernels are
`execution.take_quote` and `execution.usable` here: every quote is looked at in turn. Sums are in
the kernel's order, so that results of `run_quotes` (`send_orders`, then `walk_equity`),
`quote_marks` and `marks_at` are compared to the last bit.
"""

import math

from quantlab_pipeline_tests.oracles.bar_backtest import deepest_fall, sharpe
from quantlab_pipeline_tests.oracles.execution import take_quote, usable

QUOTE, FUNDING, FILL, DAY_END = range(4)


def mark_at(quotes, at_us, max_age_us):
    """Mid of the last usable quote at or before an instant."""
    mark = math.nan
    for quote in quotes:
        if quote[0] <= at_us and usable(quote, 0, max_age_us):
            mark = 0.5 * (quote[1] + quote[3])
    return mark


def orders_of(quotes, decide_us, target, terms, limits):
    """Orders as (arrive, wait, change, fill, target): fill is (at, mid, touch, price) or None."""
    orders, held, aim, working = [], 0, 0, None

    def settle(cutoff_us):
        nonlocal held, working
        arrive, want, impact = working
        wait = min(terms.max_wait_us, cutoff_us - 1 - arrive)
        working = None
        if want == held:
            return
        change = want * terms.quantity - held * terms.quantity
        side = 1 if change > 0 else -1
        order = (arrive, side, abs(change), impact, wait)
        state, *fill = take_quote(quotes, order, terms.depth_share, limits)
        orders.append((arrive, wait, change, tuple(fill) if state else None, want))
        held = want if state else held

    for k, (decide, want) in enumerate(zip(decide_us, target, strict=True)):
        if working and decide > working[0] + terms.max_wait_us:
            settle(math.inf)
            aim = held
        if int(want) == aim:
            continue
        arrive = int(decide) + terms.latency_us
        if working:
            settle(arrive)
        aim = int(want)
        impact = float(terms.impact_bps[k if len(terms.impact_bps) > 1 else 0])
        working = (arrive, aim, impact)
    if working:
        settle(math.inf)
    return orders


def run(quotes, calendar, decide_us, target, terms, limits):
    """dict of what `QuoteStats` holds, for one variant, with the orders."""
    orders = orders_of(quotes, decide_us, target, terms, limits)
    end_us = max([quotes[-1][0]] + [o[3][0] for o in orders if o[3]])
    happens = [(q[0], QUOTE, q) for q in quotes]
    happens += [(o[3][0], FILL, o) for o in orders if o[3]]
    happens += [
        (int(stamp), FUNDING, (float(rate), float(mark)))
        for stamp, rate, mark in zip(*calendar[:3], strict=True)
        if stamp <= end_us
    ]
    happens += [
        (int(end), DAY_END, d) for d, end in enumerate(calendar.day_end_us) if end <= end_us
    ]
    cash, held, mark, before = 0.0, 0.0, math.nan, 0.0
    paid = dict.fromkeys(("fees", "spread", "slippage", "funding"), 0.0)
    path, daily, ended = [], [0.0] * len(calendar.day_end_us), 0
    for _, kind, what in sorted(happens, key=lambda h: h[:2]):
        if kind == QUOTE and usable(what, 0, limits.max_age_us):
            mark = 0.5 * (what[1] + what[3])
        if kind == FILL:
            _, _, change, (_, mid, touch, price), want = what
            fee = abs(change) * price * (terms.fee_bps * 1e-4)
            cash -= change * price + fee
            held = want * terms.quantity
            paid["fees"] += fee
            paid["spread"] += abs(change) * abs(touch - mid)
            paid["slippage"] += abs(change) * abs(price - touch)
        if kind == FUNDING and held:
            rate, published = what
            settled = published if math.isfinite(published) and published > 0 else mark
            cash -= held * settled * rate
            paid["funding"] -= held * settled * rate
        path.append(cash + held * mark if held else cash)
        if kind == DAY_END:
            daily[what], before, ended = path[-1] - before, path[-1], what + 1
    if ended < len(daily):
        daily[ended] = path[-1] - before
    return {
        **paid,
        "equity": path[-1],
        "max_drawdown": deepest_fall(path),
        "daily": daily,
        "sharpe": sharpe(daily),
        "n_fills": sum(o[3] is not None for o in orders),
        "n_unfilled": sum(o[3] is None for o in orders),
        "orders": orders,
    }
