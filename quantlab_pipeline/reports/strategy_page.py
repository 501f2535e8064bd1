"""A strategy's tear sheet and the list of all of them, drawn from what its tables say.

Drawing only; what it says comes as a `StrategyPage`. No script, no network: it opens from a file.
Where a table was not made, a sentence stands in place of its chart.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import polars as pl
from markupsafe import Markup

from quantlab_pipeline.core.verdicts import ADMITTED, Gate
from quantlab_pipeline.reports import strategy_charts as charts
from quantlab_pipeline.reports import strategy_story as story
from quantlab_pipeline.reports.charts_heat import signed_strength
from quantlab_pipeline.reports.pages import format_number, render
from quantlab_pipeline.reports.strategy_data import (
    ALL,
    BASE,
    JUDGES,
    Prices,
    StrategyPage,
    in_order,
)
from quantlab_pipeline.reports.strategy_figures import (
    NAMES,
    CalendarRow,
    Row,
    months,
    waterfall,
    weeks,
    worst_drawdowns,
)
from quantlab_pipeline.reports.strategy_prices import near_views, price_chart

TEMPLATE = "strategy_page.html.j2"
LIST_TEMPLATE = "strategies.html.j2"
STYLES = ("candidate.css", "strategy.css")
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
SHORT_DAYS = 92
"""Studies up to this long are shown day by day, a row a week."""
SHOWN_TRADES = 5
"""Best and worst trades listed."""

RISK_FIGURES = (
    ("n_days", "days", ""),
    ("n_trades", "trades", "closed, decided in it"),
    ("net_bps_per_day", "net a day", "bps of capital"),
    ("sharpe", "Sharpe", "a year, by the square root of 365"),
    ("sharpe_p5", "Sharpe, 5 % worst", "of resampled paths"),
    ("sortino", "Sortino", "a year, over downside deviation"),
    ("max_drawdown_bps", "deepest fall", "bps of capital"),
    ("max_drawdown_p95_bps", "deepest fall, 5 % worst", "of resampled paths, bps"),
    ("time_to_recovery_days", "recovery", "days from the deepest trough to a new peak"),
    ("win_rate", "winning trades", "share with a net above 0"),
    ("profit_factor", "profit factor", "gains over losses of trades"),
    ("profit_factor_p5", "profit factor, 5 % worst", "of resampled paths, of bars"),
    ("day_p5_bps", "day, 5 % worst", "bps of capital"),
    ("day_worst_1pct_bps", "day, mean of the worst 1 %", "bps of capital; at least one day"),
    ("mc_paths", "paths", "resampled in blocks"),
    ("legacy_sharpe_252", "Sharpe, legacy", "on a year of 252 days"),
    ("legacy_sortino_losses", "Sortino, legacy", "mean gain over the deviation of losing days"),
    ("legacy_drawdown_of_peak", "deepest fall, legacy", "as a share of the peak"),
)
"""Columns of `backtest_risk`: name, words, what it is. Those that a table lacks are left out."""
ERRORS = {
    "sharpe_p5": "sharpe_p5_error",
    "max_drawdown_p95_bps": "max_drawdown_p95_error_bps",
    "profit_factor_p5": "profit_factor_p5_error",
}
"""Columns with the standard error of a resampled figure."""
SEGMENT_WORDS = {"in_sample": "in sample", "holdout": "holdout", "both": "both"}


class Cell(NamedTuple):
    """A cell of a calendar: its sum and the class of its strength; `held` lies in the holdout."""

    value: float | None
    kind: str
    held: bool


class Calendar(NamedTuple):
    """A heat map of sums: names across, and by row a name, cells, the row's sum."""

    over: str
    names: tuple[str, ...]
    rows: list[tuple[str, list[Cell], float]]


class RiskLine(NamedTuple):
    """A figure in each segment: its value as text, or why there is none."""

    name: str
    says: str
    values: list[str]


def render_strategy_page(page: StrategyPage, made_from: str = "") -> str:
    """The page as text; the same page gives the same bytes. `made_from` names its inputs."""
    chart, views = _prices(page)
    executed = [r for r in page.stress if r["model"] == "executed"]
    swept = [r for r in page.executions if not _is_plain(r)]
    on_bars = [r for r in page.stress if r["model"] == "bars"]
    return render(
        TEMPLATE,
        made_from=made_from,
        page=page,
        facts=page.facts,
        row=page.row,
        question=story.trades_what(page),
        earned=story.earned(page),
        stopped=story.stopped(page),
        admissible=story.admissible(page),
        gates=[(g, page.outcomes[g]) for g in JUDGES],
        measured=_measured(page),
        tag=_tag(page),
        equity=charts.equity_chart(page),
        headline=_headline(page),
        calendars=_calendars(page),
        drawdowns=[]
        if page.daily is None
        else worst_drawdowns(page.daily.days, page.daily.net_bps),
        waterfall=charts.waterfall_chart(_shown_fall(page)) if page.falls else Markup(""),
        waterfall_over=_shown_fall(page).over if page.falls else "",
        falls=_fall_table(page),
        fall_names=[(f.over, f.n_trades) for f in page.falls],
        prices=chart,
        views=views,
        extremes=_extremes(page),
        ways=[
            ("", _executions(page, [r for r in page.executions if _is_plain(r)])),
            ("Dearer costs and stress", _executions(page, swept)),
        ],
        by_latency=charts.latency_chart(page.executions),
        by_cost=charts.cost_chart(page.executions),
        markouts=charts.markout_chart(page.executions),
        stress=[
            (told, _stress([r for r in executed if r["judged"] is judged]))
            for told, judged in (("must be survived", True), ("told beside them", False))
        ],
        neighbours=_stress(on_bars),
        neighbour_charts=charts.neighbour_charts(on_bars),
        noted=any(r.get("note") for r in on_bars),
        known=story.what_to_know(page.row),
        assumptions=_assumptions(page),
        dearest=story.dearest_assumption(page.assumptions),
        segments=[SEGMENT_WORDS.get(r["segment"], r["segment"]) for r in _risk_rows(page)],
        risk=_risk(page),
    )


def render_strategies_page(
    study: str,
    market: str,
    pages: Sequence[StrategyPage],
    links: Mapping[str, str],
    made_from: str = "",
) -> str:
    """The list of every strategy that reached the bridge; `links` are the sheets' paths."""
    ordered = in_order(pages)
    return render(
        LIST_TEMPLATE,
        made_from=made_from,
        study=study,
        market=market,
        rows=[(p, charts.sparkline(p), _holdout_net(p), story.stopped(p)) for p in ordered],
        links=links,
        admitted={g.value: sum(p.outcomes[g] in ADMITTED for p in pages) for g in JUDGES},
    )


def _tag(page: StrategyPage) -> str:
    """The class of the first gate that did not admit it, else of B's outcome."""
    stopped = page.stopped_by
    outcome = page.outcomes[Gate.B if stopped is None else stopped]
    if outcome is None:
        return "none"
    return outcome.value.lower()


def _measured(page: StrategyPage) -> list[tuple[str, str, str, float | None, float | None]]:
    """Gate, threshold, its sign, the limit and what was measured, gate by gate."""
    lines = []
    for gate in JUDGES:
        for name, (value, limit) in page.measured[gate].items():
            sign = "≤" if name.startswith("max_") else "≥"
            lines.append((gate.value, name, sign, limit, value))
    return lines


def _headline(page: StrategyPage) -> list[tuple[str, str, str]]:
    """The figures that stand beside the equity curve."""
    row, risk = page.row, {r["segment"]: r for r in page.risk}
    whole = risk.get("both", {})
    figures: list[tuple[str, str, str]] = []
    for fall in page.falls:
        told = "bps a trade at the bridge" if fall.over == "bridge" else f"bps a trade, {fall.over}"
        figures.append((f"{fall.parts['net']:+.2f}", told, f"{fall.n_trades:,} trades"))
    if "sharpe" in whole:
        says = f"5 % worst {format_number(whole['sharpe_p5'])}"
        figures.append((format_number(whole["sharpe"]), "Sharpe a year, all days", says))
        says = f"5 % worst {format_number(whole['max_drawdown_p95_bps'])}"
        figures.append((format_number(whole["max_drawdown_bps"]), "deepest fall, bps", says))
    low, high = row.get("capacity_low_usd"), row.get("capacity_high_usd")
    known = low is not None and high is not None
    says = f"95 %: {format_number(low)} to {format_number(high)}" if known else "square-root impact"
    figures.append((format_number(row["capacity_usd"]), "USD a trade earn most", says))
    score = "of the bridge: what ranks strategies"
    figures.append((format_number(row["executed_score"]), "executed score", score))
    if page.weight is not None:
        figures.append((f"{100 * page.weight:.1f} %", "of the book", "after the last rebalance"))
    return figures


def _calendars(page: StrategyPage) -> list[Calendar]:
    """Day by day for a short study, month by month where it spans more than one."""
    if page.daily is None:
        return []
    days, net = page.daily.days, page.daily.net_bps
    found = []
    by_month = months(days, net)
    if sum(cell is not None for row in by_month for cell in row.cells) > 1:
        found.append(_calendar(page, "month", MONTHS, by_month))
    if len(days) <= SHORT_DAYS:
        found.append(_calendar(page, "day", WEEKDAYS, weeks(days, net)))
    return found


def _calendar(
    page: StrategyPage, over: str, names: tuple[str, ...], rows: Sequence[CalendarRow]
) -> Calendar:
    largest = max((abs(c) for row in rows for c in row.cells if c is not None), default=0.0)
    start = page.facts.holdout_from

    def held(row: CalendarRow, k: int) -> bool:
        if over == "month":
            return (row.first.year, k + 1) >= (start.year, start.month)
        return (start - row.first).days <= k

    shown = []
    for row in rows:
        cells = [
            Cell(
                c, "" if c is None else signed_strength(c, largest), c is not None and held(row, k)
            )
            for k, c in enumerate(row.cells)
        ]
        name = f"{row.first.year}" if over == "month" else f"{row.first:%b %d}"
        shown.append((name, cells, row.total))
    return Calendar(over, names, shown)


def _shown_fall(page: StrategyPage) -> Any:
    """All of the backtest's trades where there are any, else the bridge's."""
    return next((f for f in page.falls if f.over == "all"), page.falls[0])


def _fall_table(page: StrategyPage) -> list[tuple[str, bool, list[float | None]]]:
    """A line for each part: its name, whether it is a total, its value for each group of trades."""
    columns = [{step.part: step for step in waterfall(fall.parts)} for fall in page.falls]
    lines = []
    for part, name in NAMES.items():
        if part == "rest" and not any(part in c for c in columns):
            continue
        values = [c[part].value if part in c else None for c in columns]
        lines.append((name, part in ("paper", "net"), values))
    # The last line is what is left; what is not told apart stands before it.
    lines.sort(key=lambda line: line[0] == NAMES["net"])
    return lines


def _prices(page: StrategyPage) -> tuple[Markup, list[Any]]:
    if page.trades is None or not isinstance(page.prices, Prices):
        return Markup(""), []
    mine = page.trades.filter(pl.col("symbol") == page.prices.symbol)
    return price_chart(page.facts, page.prices, mine), near_views(page.prices, mine)


def _extremes(page: StrategyPage) -> list[tuple[str, list[Row]]]:
    """The best and the worst trades; a trade is in one list only."""
    if page.trades is None or not page.trades.height:
        return []
    ranked = page.trades.sort("net_bps", "trade", descending=[True, False])
    n = min(SHOWN_TRADES, (ranked.height + 1) // 2)
    worst = ranked.tail(min(SHOWN_TRADES, ranked.height - n)).reverse()
    lists = [("Best", ranked.head(n)), ("Worst", worst)]
    return [(name, list(rows.iter_rows(named=True))) for name, rows in lists if rows.height]


def _executions(page: StrategyPage, rows: Sequence[Row]) -> list[tuple[Row, str, Markup, bool]]:
    """Each way, told, with its bar, and whether it is the worst of the judged ones."""
    ordered = sorted(rows, key=_way_order)
    worst = story.worst_way(page.row, page.executions)
    pictures = charts.bars([r["net_bps"] for r in ordered])
    name = None if worst is None else worst["way"]
    return [
        (r, story.way_of(r), bar, r["way"] == name)
        for r, bar in zip(ordered, pictures, strict=True)
    ]


def _is_plain(row: Row) -> bool:
    """Whether a way is judged or as it is: what the bracket is made of."""
    return bool(row["judged"]) or row["scenario"] == "as_is"


def _way_order(row: Row) -> tuple[bool, int, float, float, str]:
    rules = [*story.ENTRIES]
    rule = rules.index(row["entry"]) if row["entry"] in rules else len(rules)
    multiple = charts.cost_multiple(row["scenario"])
    scenario = (multiple if multiple is not None else float("inf"), row["way"])
    return (not row["judged"], rule, row["latency_s"], *scenario)


def _stress(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """A line for each scenario, in sample and in the holdout, with bars on one scale."""
    names = sorted({r["scenario"] for r in rows}, key=lambda n: (n != BASE, _by_size(n)))
    held = {(r["scenario"], r["segment"]): r for r in rows}
    segments = ("in_sample", "holdout")
    cells = [held.get((n, s)) for n in names for s in segments]
    pictures = charts.bars([None if c is None else c["net_bps"] for c in cells])
    lines = []
    for k, name in enumerate(names):
        mine = [held.get((name, s)) for s in segments]
        lines.append(
            {
                "name": story.scenario_words(name),
                "note": next((r["note"] for r in mine if r is not None and r.get("note")), ""),
                "cells": list(zip(mine, pictures[2 * k : 2 * k + 2], strict=True)),
            }
        )
    return lines


def _by_size(name: str) -> tuple[str, float, str]:
    """Key of a scenario: its kind, then the size that its name ends with."""
    found = re.fullmatch(r"(\D*)([\d.]+)(.*)", name)
    return (name, 0.0, "") if found is None else (found[1], float(found[2]), found[3])


def _assumptions(page: StrategyPage) -> list[tuple[Row, Markup]]:
    """Dearest first, all at once apart at the end."""
    ordered = sorted(
        page.assumptions,
        key=lambda r: (
            r["assumption"] == ALL,
            float("inf") if r["worth_bps"] is None else -r["worth_bps"],
            r["assumption"],
        ),
    )
    pictures = charts.bars([r["worth_bps"] for r in ordered])
    return list(zip(ordered, pictures, strict=True))


def _risk_rows(page: StrategyPage) -> list[Row]:
    order = [*SEGMENT_WORDS]
    known = [r for r in page.risk if r["segment"] in order]
    return sorted(known, key=lambda r: order.index(r["segment"]))


def _risk(page: StrategyPage) -> list[RiskLine]:
    rows = _risk_rows(page)
    reasons = [json.loads(r["reasons"] or "{}") for r in rows]
    lines = []
    for column, name, says in RISK_FIGURES:
        if not any(column in row for row in rows):
            continue
        values = []
        for row, why in zip(rows, reasons, strict=True):
            value = row.get(column)
            if value is None:
                code = why.get(column)
                values.append(f"– {story.why_missing(code)}" if code else "–")
            else:
                error = row.get(ERRORS.get(column, ""))
                given = "" if error is None else f" ± {format_number(error)}"
                values.append(format_number(value) + given)
        lines.append(RiskLine(name, says, values))
    return lines


def _holdout_net(page: StrategyPage) -> float | None:
    return next((f.parts["net"] for f in page.falls if f.over == "holdout"), None)
