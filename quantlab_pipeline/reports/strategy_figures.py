"""What a tear sheet computes from a strategy's tables: falls, calendars, what execution took.

Belongs here: pure arithmetic on days and trades; the reasons behind a number are the tables' own.
Not here: words (`strategy_story`) and marks (`strategy_charts`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import pairwise
from typing import Any, NamedTuple

import polars as pl

Row = Mapping[str, Any]

N_DRAWDOWNS = 5
EPSILON_BPS = 1e-9
"""Falls and remainders below this are the rounding of sums."""

TAKEN = ("latency", "spread", "slippage", "fee")
"""What execution takes off a trade; funding is added, whatever its sign."""

NAMES = {
    "paper": "on paper",
    "latency": "latency",
    "spread": "spread",
    "slippage": "slippage",
    "fee": "fees",
    "funding": "funding",
    "net": "net",
    "rest": "not told apart",
}
"""Words for the parts of a trade. Slippage holds impact and the rounding to ticks."""


class Step(NamedTuple):
    """One bar of the waterfall: from where to where it goes; a total goes from zero."""

    part: str
    value: float
    start: float
    end: float

    @property
    def total(self) -> bool:
        """Whether it is what was there before or what is left, not what was taken."""
        return self.part in ("paper", "net")


class Drawdown(NamedTuple):
    """One fall of cumulative P&L, from the day of its peak to the day that reached it again.

    `peak` is None where it was the start, `recovery` where the days ended first; `days` count from
    the peak's day (from the day before the first) to the recovery, or to the last day.
    """

    peak: date | None
    trough: date
    recovery: date | None
    depth_bps: float
    days: int


class CalendarRow(NamedTuple):
    """Sums of a year's months or a week's days; None where no day of the study lies."""

    first: date
    cells: tuple[float | None, ...]
    total: float


@dataclass(frozen=True, slots=True)
class Daily:
    """P&L by day in bps of capital. `paper_bps` is at decision mids and without costs.

    `holdout` is the place of the first day of the holdout; their number where there is none.
    """

    days: tuple[date, ...]
    net_bps: tuple[float, ...]
    paper_bps: tuple[float, ...] | None
    holdout: int


def waterfall(parts: Row) -> list[Step]:
    """From paper to net, in the order in which execution takes; empty where a part is unknown.

    `parts` has gross, latency, spread, slippage, fee, funding and net in one unit. Where latency is
    unknown the fall begins at gross, called paper. What the parts leave unexplained is a step of
    its own (`rest`), never swallowed.
    """
    needed = ("gross", "spread", "slippage", "fee", "funding", "net")
    if any(parts[name] is None for name in needed):
        return []
    late = parts["latency"] or 0.0
    at = parts["gross"] + late
    steps = [Step("paper", at, 0.0, at)]
    moves = {"latency": -late, **{n: -parts[n] for n in TAKEN[1:]}, "funding": parts["funding"]}
    rest = parts["net"] - math.fsum([at, *moves.values()])
    if abs(rest) > 1e-6:
        moves["rest"] = rest
    for name, move in moves.items():
        steps.append(Step(name, move, at, at + move))
        at += move
    return [*steps, Step("net", parts["net"], 0.0, parts["net"])]


def mean_parts(trades: pl.DataFrame) -> dict[str, float | None]:
    """Mean of each part over closed trades, bps of a trade's own notional; None without trades."""
    names = ("gross", *TAKEN, "funding", "net")
    if not trades.height:
        return dict.fromkeys(names)
    return {name: mean(trades[f"{name}_bps"].drop_nulls().to_list()) for name in names}


def mean(values: Sequence[float]) -> float | None:
    """The mean, summed exactly; None of nothing."""
    return math.fsum(values) / len(values) if values else None


def running(values: Sequence[float]) -> list[float]:
    """Sums up to each value, before the first one too."""
    sums = [0.0]
    for value in values:
        sums.append(sums[-1] + value)
    return sums


def under_water(values: Sequence[float]) -> list[float]:
    """How far cumulative P&L is below its peak at the start and after each value, at most 0."""
    peak, below = 0.0, []
    for at in running(values):
        peak = max(peak, at)
        below.append(at - peak)
    return below


def worst_drawdowns(
    days: Sequence[date], net_bps: Sequence[float], n: int = N_DRAWDOWNS
) -> list[Drawdown]:
    """The `n` deepest falls, deepest first; each peak begins one fall at most."""
    found: list[Drawdown] = []
    equity = running(net_bps)
    peak = lowest = 0
    for k in range(1, len(equity) + 1):
        ended = k == len(equity)
        recovered = not ended and equity[k] >= equity[peak] - EPSILON_BPS
        if ended or recovered:
            depth = equity[peak] - equity[lowest]
            if depth > EPSILON_BPS:
                last = k - 1 if ended else k
                found.append(
                    Drawdown(
                        days[peak - 1] if peak else None,
                        days[lowest - 1],
                        None if ended else days[k - 1],
                        depth,
                        last - peak,
                    )
                )
            peak = lowest = k
        elif equity[k] < equity[lowest]:
            lowest = k
    return sorted(found, key=lambda d: (-d.depth_bps, d.trough))[:n]


def months(days: Sequence[date], net_bps: Sequence[float]) -> list[CalendarRow]:
    """A row a year, a cell a month."""
    return _calendar(days, net_bps, lambda d: (date(d.year, 1, 1), d.month - 1), 12)


def weeks(days: Sequence[date], net_bps: Sequence[float]) -> list[CalendarRow]:
    """A row a week, from Monday on, a cell a day."""
    return _calendar(days, net_bps, lambda d: (d - timedelta(days=d.weekday()), d.weekday()), 7)


def _calendar(
    days: Sequence[date],
    net_bps: Sequence[float],
    place: Callable[[date], tuple[date, int]],
    n_cells: int,
) -> list[CalendarRow]:
    held: dict[date, list[list[float]]] = {}
    for day, value in zip(days, net_bps, strict=True):
        first, cell = place(day)
        held.setdefault(first, [[] for _ in range(n_cells)])[cell].append(value)
    return [
        CalendarRow(
            first,
            tuple(math.fsum(cell) if cell else None for cell in cells),
            math.fsum(v for cell in cells for v in cell),
        )
        for first, cells in sorted(held.items())
    ]


def daily(returns: pl.DataFrame, trades: pl.DataFrame | None) -> Daily | None:
    """One strategy's days; None without any.

    `returns` are its rows of `backtest_returns`, `trades` its closed ones (`closed_trades`). Paper
    is net and what latency, costs and funding took of each trade, given back on the day of its
    exit: while a position is open both move alike.
    """
    if not returns.height:
        return None
    rows = returns.sort("day")
    days = tuple(rows["day"])
    net = tuple(rows["net_bps"])
    paper = None
    if trades is not None:
        place = {day: k for k, day in enumerate(days)}
        given: list[list[float]] = [[value] for value in net]
        capital = rows["capital_usd"][0]
        for day, usd in trades.select("exit_day", "taken_usd").iter_rows():
            given[place.get(day, len(days) - 1)].append(1e4 * usd / capital)
        paper = tuple(math.fsum(values) for values in given)
    held = (rows["segment"] == "in_sample").sum()
    return Daily(days, net, paper, int(held))


def closed_trades(trades: pl.DataFrame) -> pl.DataFrame:
    """Trades with an entry and an exit, with every part in bps too, paper beside them.

    `paper` is gross and what latency took, `taken_usd` paper less net, `exit_day` the day that owns
    the exit, `held_min` the minutes between the fills. Sorted as in the table.
    """
    parts = ("gross", *TAKEN, "funding")
    late = pl.col("latency_usd").fill_null(0.0)
    return (
        trades.filter(pl.col("net_usd").is_not_null())
        .with_columns(
            (1e4 * pl.col(f"{p}_usd") / pl.col("notional_usd")).alias(f"{p}_bps") for p in parts
        )
        .with_columns(
            (pl.col("gross_bps") + pl.col("latency_bps").fill_null(0.0)).alias("paper_bps"),
            (pl.col("gross_usd") + late - pl.col("net_usd")).alias("taken_usd"),
            (pl.col("exit_at") - pl.duration(microseconds=1)).dt.date().alias("exit_day"),
            ((pl.col("exit_at") - pl.col("entry_at")).dt.total_microseconds() / 6e7).alias(
                "held_min"
            ),
        )
    )


def most_traded(trades: pl.DataFrame) -> str | None:
    """The symbol with the most trades, the first by name among equals; None without trades."""
    if not trades.height:
        return None
    counts = trades.group_by("symbol").len().sort("len", "symbol", descending=[True, False])
    return str(counts["symbol"][0])


def thinned(values: Sequence[float], buckets: int) -> list[tuple[int, float]]:
    """(place, value) of each bucket's lowest and highest value, in their order.

    Nothing that a picture of `buckets` columns could show is lost; few values are all kept.
    """
    if len(values) <= 2 * buckets:
        return list(enumerate(values))
    kept: list[tuple[int, float]] = []
    edges = [len(values) * b // buckets for b in range(buckets + 1)]
    for start, end in pairwise(edges):
        inside = range(start, end)
        low, high = min(inside, key=values.__getitem__), max(inside, key=values.__getitem__)
        kept += [(k, values[k]) for k in sorted({low, high})]
    return kept
