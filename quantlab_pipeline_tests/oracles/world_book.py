"""The quote loop of `kernels.world_book`, one quote at a time, as a list of tuples."""

from __future__ import annotations

import math


def quote_stream(minutes, draws, size_log_sigma):
    """Rows (ms, bid ticks, bid lots, ask ticks, ask lots)."""
    n_minutes, n = draws.place.shape
    quotes = []
    for m in range(n_minutes):
        at, x = 0.0, float(minutes.x_open[m])
        for k in range(n):
            place = float(draws.place[m][k])
            then = (k + place) / n
            ms = 60_000 * m + 1 + math.floor(then * 59_990)
            if quotes:
                ms = max(ms, quotes[-1][0] + 1)
            if k < n - 1:
                rest = max(1 - at, 1e-12)
                step = then - at
                noise = minutes.sigma[m] * math.sqrt(step * max(1 - then, 0) / rest)
                x = x + (minutes.x_close[m] - x) * step / rest + noise * draws.bridge[m][k]
                x = sorted((minutes.x_low[m], x, minutes.x_high[m]))[1]
                at = then
                shown = x
                if k == n // 2 and minutes.is_wick[m]:
                    shown = (minutes.x_low if minutes.is_wick[m] < 0 else minutes.x_high)[m]
                width = int(minutes.spread[m]) + int(draws.bid_size[m][k] < -0.43)
                bid = max(round(math.exp(shown) - width / 2), 1)
            else:
                width, bid = int(minutes.spread[m]), int(minutes.bid_close[m])
            sizes = [
                max(round(minutes.depth[m] * math.exp(size_log_sigma * z[m][k])), 1)
                for z in (draws.bid_size, draws.ask_size)
            ]
            quote = [ms, bid, sizes[0], bid + width, sizes[1]]
            if quotes and quotes[-1][1:] == quote[1:]:
                quote[4] += 1
            quotes.append(quote)
    return quotes
