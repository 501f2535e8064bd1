"""Slow twin of `kernels.bar_backtest`: a cash account, bar by bar, in plain Python.

Each sum is written in the kernel's order, so that results are compared to the last bit: those of
`sweep` (whose parts are `prepare`, `sweep_rows`, `marks_of`, `carry_block`, `pass_rows`,
`pass_equity` and `sharpe_of`) and of `trace`.
"""

import math


def usable(price):
    return math.isfinite(price) and price > 0


def at(values, t):
    return float(values[t if len(values) > 1 else 0]) * 1e-4


def run(tape, target, costs):
    """dict of what `SweepStats` holds, for one variant, with the path of equity and the fills."""
    cash, quantity, held, mark = 0.0, 0.0, 0, math.nan
    fee = costs.fee_bps * 1e-4
    fees = spread = slippage = funding = 0.0
    path, fills, n_fills = [], [], 0
    for t in range(len(tape.open)):
        want = int(target[t - 1]) if t else 0
        price = float(tape.open[t])
        half, slip = at(costs.half_spread_bps, t), at(costs.slippage_bps, t)
        if want != held and usable(price) and math.isfinite(half + slip):
            new = want * costs.base_quantity if costs.base_quantity > 0 else want / price
            value = (abs(quantity) + abs(new)) * price
            fees += value * fee
            spread += value * half
            slippage += value * slip
            cash += (quantity - new) * price - value * (fee + half + slip)
            n_fills += (held != 0) + (want != 0)
            fills.append((t, price, new - quantity))
            quantity, held, mark = new, want, price
        close, rate = float(tape.close[t]), float(tape.funding_rate[t])
        if usable(close):
            mark = close
        if held and rate != 0:
            paid = quantity * (float(tape.mark[t]) if usable(tape.mark[t]) else mark) * rate
            cash, funding = cash - paid, funding - paid
        path.append(cash + quantity * mark if held else cash)
    daily = by_day(path, [int(d) for d in tape.day])
    return {
        "equity": path[-1] if path else 0.0,
        "fees": fees,
        "spread": spread,
        "slippage": slippage,
        "funding": funding,
        "max_drawdown": deepest_fall(path),
        "sharpe": sharpe(daily),
        "daily": daily,
        "n_orders": len(fills),
        "n_fills": n_fills,
        "path": path,
        "fills": fills,
    }


def by_day(path, day):
    """Equity at the last row of each day, less that of the day before."""
    last = dict(zip(day, path, strict=True))
    daily, before = [0.0] * (day[-1] + 1 if day else 0), 0.0
    for d, equity in last.items():
        daily[d], before = equity - before, equity
    return daily


def deepest_fall(path):
    peak = deepest = 0.0
    for equity in path:
        peak = max(peak, equity)
        deepest = max(deepest, peak - equity)
    return deepest


def sharpe(daily):
    if len(daily) < 2:
        return math.nan
    mean = sum_in_order(daily) / len(daily)
    squares = sum_in_order([(p - mean) * (p - mean) for p in daily])
    deviation = math.sqrt(squares / (len(daily) - 1))
    return mean / deviation * math.sqrt(365) if deviation > 1e-15 else math.nan


def sum_in_order(values):
    # The built-in sum compensates for rounding from Python 3.12 on.
    total = 0.0
    for value in values:
        total += value
    return total


def hold(entry, side, hold_bars, n, extend):
    """Targets of one variant, a list of n."""
    out, until, held = [0] * n, -1, 0
    for start, wanted in zip(entry, side, strict=True):
        if start >= until:
            held = int(wanted)
        elif not (extend and wanted == held):
            continue
        until = min(n, start + hold_bars)
        for t in range(start, until):
            out[t] = held
    return out


def crossings(close, fast, slow):
    """Targets of `bar_targets.crossing_targets` for one pair of windows, a list of n."""
    out = []
    for t in range(len(close)):
        want = 0
        if t + 1 >= max(fast, slow):
            above = sum_in_order(close[t + 1 - fast : t + 1]) / fast
            below = sum_in_order(close[t + 1 - slow : t + 1]) / slow
            want = (above > below) - (above < below) or (out[-1] if out else 0)
        out.append(want)
    return out
