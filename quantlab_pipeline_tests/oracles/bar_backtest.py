"""Slow twin of `kernels.bar_backtest`: a cash account, bar by bar, in plain Python."""

import math


def run(tape, target, fee_bps, half_spread_bps):
    """dict of equity, fees, spread, funding, max_drawdown, daily, n_fills, path for one variant."""
    cash, units, held, mark = 0.0, 0.0, 0, math.nan
    fees = spread = funding = 0.0
    path, n_fills = [], 0
    for t in range(len(tape.open)):
        want = int(target[t - 1]) if t else 0
        price = float(tape.open[t])
        if want != held and math.isfinite(price) and price > 0:
            for part in (-units, want / price):
                if part:
                    value = abs(part) * price
                    fees += value * fee_bps / 1e4
                    spread += value * half_spread_bps / 1e4
                    cash -= part * price + value * (fee_bps + half_spread_bps) / 1e4
                    n_fills += 1
            units, held, mark = want / price, want, price
        close = float(tape.close[t])
        if held:
            if math.isfinite(close) and close > 0:
                mark = close
            if tape.funding_rate[t]:
                paid = -units * float(tape.mark[t]) * float(tape.funding_rate[t])
                cash, funding = cash + paid, funding + paid
        path.append(cash + (units * mark if held else 0.0))
    daily = [0.0] * (int(tape.day[-1]) + 1)
    for t, equity in enumerate(path):
        daily[int(tape.day[t])] += equity - (path[t - 1] if t else 0.0)
    peak = deepest = 0.0
    for equity in path:
        peak = max(peak, equity)
        deepest = max(deepest, peak - equity)
    return {
        "equity": path[-1],
        "fees": fees,
        "spread": spread,
        "funding": funding,
        "max_drawdown": deepest,
        "daily": daily,
        "n_fills": n_fills,
        "path": path,
    }


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
