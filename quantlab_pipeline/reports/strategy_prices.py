"""Trades on the price: a symbol's closes over the study, and single trades seen from near.

Belongs here: thinning and marks. Which symbol and which trades are shown is decided from the table
alone; how a line is drawn is `charts`' matter.
"""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from datetime import date
from typing import Any, NamedTuple

import polars as pl
from markupsafe import Markup, escape

from quantlab_pipeline.core.clocks import DAY_US, MINUTE_US, day_start, days_between, from_us, to_us
from quantlab_pipeline.reports.charts import (
    BOTTOM,
    LEFT,
    RIGHT,
    TOP,
    Frame,
    closed,
    coordinate,
    day_ticks,
    joined,
    line_mark,
    nice_ticks,
    opened,
    text_mark,
    x_tick,
    y_tick,
)
from quantlab_pipeline.reports.strategy_data import Prices, StrategyFacts
from quantlab_pipeline.reports.strategy_figures import Row, thinned

WIDE = 1180
BUCKETS = 560
"""Columns that the overview's closes are thinned to: two pixels each."""
TITLED = 800
"""Trades up to which each says its figures under the pointer."""
LARGE = 150
"""Trades up to which each has a large mark."""
NEAR_MINUTES = 15


class Near(NamedTuple):
    """A single trade from near: what is told above it, its picture."""

    told: str
    picture: Markup


def price_chart(facts: StrategyFacts, prices: Prices, trades: pl.DataFrame) -> Markup:
    """Closes of the study's days with each trade's entry and exit, its net below; holdout shaded.

    `trades` are the symbol's closed ones. Nothing without a close.
    """
    if not len(prices.close):
        return Markup("")
    first, last = facts.days
    start, end = to_us(day_start(first)), to_us(day_start(last)) + DAY_US
    kept = thinned(prices.close, BUCKETS)
    line = [(float(prices.at_us[k]), v) for k, v in kept]
    box = _frame((float(start), float(end)), [v for _, v in line] + _fills(trades), 330, WIDE)
    marks = [opened(box, f"{prices.symbol} with {trades.height} trades")]
    marks.append(_shade(box, to_us(day_start(facts.holdout_from)), end))
    marks += [y_tick(box, t) for t in nice_ticks(*box.y)]
    days = days_between(first, last)
    marks += [x_tick(box, _noon(days[k]), text) for k, text in day_ticks(days, 10)]
    marks.append(f'<path class="line price" d="{joined(box, line)}"/>')
    rows, size = list(trades.iter_rows(named=True)), 4.0 if trades.height <= LARGE else 2.4
    marks += [_trade(box, row, size, titled=trades.height <= TITLED) for row in rows]
    return closed(marks, box, ("", prices.symbol)) + _results(box, facts, rows)


def _results(above: Frame, facts: StrategyFacts, rows: Sequence[Row]) -> Markup:
    """A bar for the net of each trade at its exit, under the price and on its axis."""
    nets = [row["net_bps"] for row in rows]
    low, high = min(0.0, *nets), max(0.0, *nets)
    box = Frame(150, above.x, (low, high), WIDE)
    marks = [opened(box, "Net of each trade, bps")]
    marks.append(_shade(box, to_us(day_start(facts.holdout_from)), int(box.x[1]), ""))
    marks += [y_tick(box, t) for t in nice_ticks(low, high)]
    days = days_between(*facts.days)
    marks += [x_tick(box, _noon(days[k]), text) for k, text in day_ticks(days, 10)]
    zero = coordinate(box.up(0.0))
    for kind, wanted in (("won", True), ("lost", False)):
        ends = [
            (box.across(to_us(r["exit_at"])), box.up(r["net_bps"]))
            for r in rows
            if (r["net_usd"] > 0) is wanted
        ]
        bars = (f"M{coordinate(x)} {zero}V{coordinate(y)}" for x, y in ends)
        marks.append(f'<path class="{kind} bar" d="{"".join(bars)}"/>')
    marks.append(line_mark("axis", LEFT, float(zero), WIDE - RIGHT, float(zero)))
    return closed(marks, box, ("day, UTC", "net bps"))


def near_views(prices: Prices, trades: pl.DataFrame) -> list[Near]:
    """The best, the middle and the worst trade of a symbol, each seen from near."""
    ranked = trades.sort("net_bps", "trade", descending=[True, False])
    places = {"best": 0, "middle": (ranked.height - 1) // 2, "worst": ranked.height - 1}
    seen: dict[int, str] = {}
    for name, place in places.items():
        seen.setdefault(place, name)
    views = []
    for place, name in seen.items():
        row = ranked.row(place, named=True)
        picture = _near(prices, row)
        if picture:
            views.append(Near(f"The {name} trade: {row['net_bps']:+.1f} bps", picture))
    return views


def _near(prices: Prices, row: Row) -> Markup:
    decided, left = to_us(row["decided_at"]), to_us(row["left_at"])
    entry, exit_ = to_us(row["entry_at"]), to_us(row["exit_at"])
    around = max(NEAR_MINUTES * MINUTE_US, (exit_ - entry) // 4)
    start, end = decided - around, max(exit_, left) + around
    a, b = bisect.bisect_left(prices.at_us, start), bisect.bisect_right(prices.at_us, end)
    if b - a < 2:
        return Markup("")
    line = [(float(prices.at_us[a + k]), v) for k, v in thinned(prices.close[a:b], 150)]
    values = [v for _, v in line] + [row["entry_price"], row["exit_price"]]
    box = _frame((float(start), float(end)), values, 210, 360)
    marks = [opened(box, f"{row['symbol']} around trade {row['trade']}")]
    marks += [y_tick(box, t) for t in nice_ticks(*box.y)]
    for name, at in (("enter", decided), ("leave", left)):
        x = box.across(at)
        marks.append(line_mark("mark", x, TOP + 12, x, box.height - BOTTOM))
        marks.append(text_mark(x, TOP + 9, name, "mark", anchor="middle"))
    marks.append(f'<path class="line price" d="{joined(box, line)}"/>')
    marks.append(_trade(box, row, 4.0, titled=True))
    marks += [x_tick(box, at, f"{from_us(at):%H:%M}") for at in _clock_ticks(start, end)]
    return closed(marks, box, (f"{from_us(decided):%Y-%m-%d}, UTC", ""))


def _frame(x: tuple[float, float], values: Sequence[float], height: int, width: int) -> Frame:
    low, high = min(values), max(values)
    pad = 0.06 * ((high - low) or abs(high) * 1e-4 or 1.0)
    return Frame(height, x, (low - pad, high + pad), width)


def _fills(trades: pl.DataFrame) -> list[float]:
    return [*trades["entry_price"].to_list(), *trades["exit_price"].to_list()]


def _trade(box: Frame, row: Row, size: float, *, titled: bool) -> str:
    """A triangle at the entry (up: long), a square at the exit, a line between, by outcome."""
    x, y = box.across(to_us(row["entry_at"])), box.up(row["entry_price"])
    u, v = box.across(to_us(row["exit_at"])), box.up(row["exit_price"])
    up = 1 if row["side"] > 0 else -1
    base = coordinate(y + 0.75 * size * up)
    triangle = f"M{coordinate(x - size)} {base}L{coordinate(x + size)} {base}"
    triangle += f"L{coordinate(x)} {coordinate(y - size * up)}z"
    path = f"{triangle}M{coordinate(x)} {coordinate(y)}L{coordinate(u)} {coordinate(v)}"
    wide = coordinate(size)
    path += f"M{coordinate(u - size / 2)} {coordinate(v - size / 2)}h{wide}v{wide}h-{wide}z"
    kind = "won" if row["net_usd"] > 0 else "lost"
    words = f"<title>{escape(_told(row))}</title>" if titled else ""
    return f'<path class="{kind}" d="{path}">{words}</path>'


def _told(row: Row) -> str:
    side = "long" if row["side"] > 0 else "short"
    return (
        f"{side} {row['entry_at']:%Y-%m-%d %H:%M:%S} at {row['entry_price']:g}, out "
        f"{row['exit_at']:%H:%M:%S} at {row['exit_price']:g}: {row['net_bps']:+.1f} bps"
    )


def _shade(box: Frame, start: int, end: int, name: str = "holdout") -> str:
    if start >= end:
        return ""
    left, right = box.across(start), box.across(end)
    return (
        f'<rect class="shade" x="{coordinate(left)}" y="{TOP}" '
        f'width="{coordinate(right - left)}" height="{box.height - BOTTOM - TOP}"/>'
        + text_mark(left + 4, TOP + 11, name, "told")
    )


def _noon(day: date) -> float:
    return float(to_us(day_start(day)) + DAY_US // 2)


def _clock_ticks(start: int, end: int) -> list[Any]:
    """Round instants inside a stretch of minutes: four to eight of them."""
    steps = (1, 2, 5, 10, 15, 30, 60, 120, 240, 480, 720, 1440, 2880, 10080)
    minutes = (end - start) / MINUTE_US
    step = next((s for s in steps if minutes / s <= 6), steps[-1]) * MINUTE_US
    return list(range(-(-start // step) * step, end + 1, step))
