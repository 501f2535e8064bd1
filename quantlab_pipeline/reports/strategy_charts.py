"""The charts of a tear sheet that speak of money: equity, what execution took, sensitivity.

Belongs here: which points, marks and words. Prices with trades on them stand in `strategy_prices`;
how a line is drawn is `charts`' matter. A chart without points is empty, and its page says why.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import pairwise

from markupsafe import Markup, escape

from quantlab_pipeline.reports.charts import (
    BOTTOM,
    LEFT,
    RIGHT,
    TOP,
    Frame,
    Line,
    closed,
    coordinate,
    day_ticks,
    joined,
    line_chart,
    line_mark,
    nice_ticks,
    opened,
    text_mark,
    x_tick,
    y_tick,
)
from quantlab_pipeline.reports.strategy_data import Fall, StrategyPage
from quantlab_pipeline.reports.strategy_figures import (
    EPSILON_BPS,
    NAMES,
    Daily,
    Row,
    Step,
    running,
    under_water,
    waterfall,
)
from quantlab_pipeline.reports.strategy_story import bracket
from quantlab_pipeline.simulation.trades import MARKOUTS_S

WIDE = 780
NAME_ROOM = 62
"""Pixels right of the last day, for the lines' names."""
UNMOVED = "hold_x1"
"""The scenario on bars that moves nothing: what its neighbours are compared with."""
MOST_TICKS = 5
RULES_OWN = ("hold", "delay")
"""Parameters of the rule itself, before those of its event."""
SPARK_WIDTH, SPARK_HEIGHT = 132, 30
BAR_WIDTH, BAR_HEIGHT = 190, 14
KINDS = {"taker": "", "touch": "second", "queue": "thin", "penetration": "thin dash"}


def equity_chart(page: StrategyPage) -> Markup:
    """Cumulative P&L net and on paper, how far net is under water below; the holdout is shaded."""
    if page.daily is None:
        return Markup("")
    days = page.daily
    lines = [Line("net", list(enumerate(running(days.net_bps))))]
    if days.paper_bps is not None:
        lines.insert(0, Line("on paper", list(enumerate(running(days.paper_bps))), "thin dash"))
    below = list(enumerate(under_water(days.net_bps)))
    upper = _equity(page, days, lines)
    deepest = min(y for _, y in below)
    return upper + _under_water(page, days, below) if deepest < -EPSILON_BPS else upper


def _equity(page: StrategyPage, days: Daily, lines: Sequence[Line]) -> Markup:
    ys = [0.0, *(y for line in lines for _, y in line.points)]
    box = _stretched(days, 250, ys)
    marks = [
        opened(box, f"P&L of {page.name} so far, bps of capital"),
        _shade(box, days, "holdout"),
    ]
    marks += [y_tick(box, t) for t in nice_ticks(min(ys), max(ys))]
    marks += [x_tick(box, k, text) for k, text in _ticks(days)]
    marks.append(line_mark("axis", LEFT, box.up(0.0), box.across(len(days.days)), box.up(0.0)))
    for line in lines:
        marks.append(f'<path class="line {line.kind}" d="{joined(box, line.points)}"/>')
    # The upper of two names that would touch moves up.
    ends = sorted(lines, key=lambda line: line.points[-1][1], reverse=True)
    above = 0.0
    for line in ends:
        x, y = line.points[-1]
        at = max(box.up(y) + 4, above + 12)
        marks.append(text_mark(box.across(x) + 5, at, line.name, f"name {line.kind}".rstrip()))
        above = at
    return closed(marks, box, ("", "bps of capital"))


def _under_water(page: StrategyPage, days: Daily, below: Sequence[tuple[float, float]]) -> Markup:
    box = _stretched(days, 130, [y for _, y in below])
    marks = [opened(box, f"How far {page.name} was below its peak, bps"), _shade(box, days)]
    marks += [y_tick(box, t) for t in nice_ticks(box.y[0], 0.0)]
    marks += [x_tick(box, k, text) for k, text in _ticks(days)]
    area = joined(box, [(0.0, 0.0), *below, (float(len(days.days)), 0.0)])
    marks.append(f'<path class="under" d="{area}z"/>')
    return closed(marks, box, ("day, UTC", "below peak"))


def _stretched(days: Daily, height: int, ys: Sequence[float]) -> Frame:
    """A wide frame whose right edge leaves room for names; the same for both charts."""
    ticks = nice_ticks(min(ys), max(ys))
    room = 1.0 - NAME_ROOM / (WIDE - LEFT - RIGHT)
    low, high = min(*ys, ticks[0]), max(*ys, ticks[-1])
    return Frame(height, (0.0, len(days.days) / room), (low, high), WIDE)


def _ticks(days: Daily) -> list[tuple[float, str]]:
    return [(k + 0.5, text) for k, text in day_ticks(days.days, 8)]


def _shade(box: Frame, days: Daily, name: str = "") -> str:
    if days.holdout >= len(days.days):
        return ""
    left, right = box.across(days.holdout), box.across(len(days.days))
    area = (
        f'<rect class="shade" x="{coordinate(left)}" y="{TOP}" '
        f'width="{coordinate(right - left)}" height="{box.height - BOTTOM - TOP}"/>'
    )
    return area + (text_mark(left + 4, TOP + 11, name, "told") if name else "")


def sparkline(page: StrategyPage) -> Markup:
    """Net P&L so far, small and without axes."""
    if page.daily is None:
        return Markup("")
    ys = running(page.daily.net_bps)
    low, high = min(0.0, *ys), max(0.0, *ys)
    span = (high - low) or 1.0

    def at(k: float, y: float) -> str:
        across = 1 + k / (len(ys) - 1) * (SPARK_WIDTH - 2)
        return f"{coordinate(across)} {coordinate(1 + (high - y) / span * (SPARK_HEIGHT - 2))}"

    points = "L".join(at(k, y) for k, y in enumerate(ys))
    zero = f"M{at(0, 0.0)}L{at(len(ys) - 1, 0.0)}"
    kind = "line" if ys[-1] >= 0 else "line second"
    # Numbers of ours alone.
    return Markup(  # noqa: S704
        f'<svg class="spark" width="{SPARK_WIDTH}" height="{SPARK_HEIGHT}" role="img" '
        f'aria-label="Net P&amp;L so far, {ys[-1]:+.0f} bps at the end">'
        f'<path class="axis" d="{zero}"/><path class="{kind}" d="M{points}"/></svg>'
    )


def waterfall_chart(fall: Fall) -> Markup:
    """From paper to net, bar by bar; nothing where a part is unknown."""
    steps = waterfall(fall.parts)
    if not steps:
        return Markup("")
    ends = [0.0, *(v for s in steps for v in (s.start, s.end))]
    low, high = min(ends), max(ends)
    pad = 0.12 * ((high - low) or 1.0)
    box = Frame(250, (0.0, float(len(steps))), (low - (pad if low < 0 else 0.0), high + pad), 560)
    marks = [opened(box, f"From paper to net, bps per trade ({fall.over})")]
    marks += [y_tick(box, t) for t in nice_ticks(low, high)]
    marks.append(line_mark("axis", LEFT, box.up(0.0), box.width - RIGHT, box.up(0.0)))
    for k, step in enumerate(steps):
        marks += _column(box, k, step)
    for k, (one, _) in enumerate(pairwise(steps)):
        y = box.up(one.end)
        marks.append(line_mark("link", box.across(k + 0.82), y, box.across(k + 1.18), y))
    return closed(marks, box, ("", "bps per trade"))


def _column(box: Frame, k: int, step: Step) -> list[str]:
    top, low = box.up(max(step.start, step.end)), box.up(min(step.start, step.end))
    left, right = box.across(k + 0.18), box.across(k + 0.82)
    kind = "total" if step.total else "given" if step.value > 0 else "taken"
    # Plus zero: a minus in front of nothing is the sign of a rounding.
    value = f"{round(step.value, 2) + 0.0:+.2f}"
    bar = (
        f'<rect class="{kind}" x="{coordinate(left)}" y="{coordinate(top)}" '
        f'width="{coordinate(right - left)}" height="{coordinate(max(low - top, 0.8))}">'
        f"<title>{escape(NAMES[step.part])}: {value} bps</title></rect>"
    )
    return [
        bar,
        text_mark((left + right) / 2, top - 4, value, "value", anchor="middle"),
        text_mark(
            (left + right) / 2, box.height - BOTTOM + 15, NAMES[step.part], "", anchor="middle"
        ),
    ]


def bars(values: Sequence[float | None]) -> list[Markup]:
    """A horizontal bar for each value on one scale, from a common zero; empty for no value."""
    known = [v for v in values if v is not None]
    low, high = min([0.0, *known]), max([0.0, *known])
    span = (high - low) or 1.0

    def across(value: float) -> float:
        return 1 + (value - low) / span * (BAR_WIDTH - 2)

    def bar(value: float | None) -> Markup:
        if value is None:
            return Markup("")
        left, right = sorted((across(0.0), across(value)))
        kind = "less" if value < 0 else "more"
        # Numbers of ours alone.
        return Markup(  # noqa: S704
            f'<svg class="level" viewBox="0 0 {BAR_WIDTH} {BAR_HEIGHT}" '
            f'preserveAspectRatio="none" role="img" '
            f'aria-label="{value:+.2f}"><rect class="{kind}" x="{coordinate(left)}" y="3" '
            f'width="{coordinate(max(right - left, 0.8))}" height="8"/><line class="axis" '
            f'x1="{coordinate(across(0.0))}" y1="0" x2="{coordinate(across(0.0))}" '
            f'y2="{BAR_HEIGHT}"/></svg>'
        )

    return [bar(v) for v in values]


def latency_chart(executions: Sequence[Row]) -> Markup:
    """Mean net by latency, a line for each entry rule, costs as they are."""
    plain = [r for r in executions if r["scenario"] == "as_is" and r["net_bps"] is not None]
    lines = _by_rule([(r["entry"], r["latency_s"], r["net_bps"]) for r in plain])
    ticks = sorted({x for line in lines for x, _ in line.points})
    return line_chart(
        lines,
        "Net per trade by latency and entry rule",
        ("latency, s", "net bps"),
        x_ticks=[(x, f"{x:g}") for x in ticks],
    )


def cost_chart(executions: Sequence[Row]) -> Markup:
    """Mean net as fees, spread and impact are multiplied, a line for each rule and latency."""
    rows = []
    for r in executions:
        multiple = cost_multiple(r["scenario"])
        if multiple is not None and r["net_bps"] is not None:
            rows.append((r["entry"], r["latency_s"], multiple, r["net_bps"]))
    swept = {(e, s) for e, s, m, _ in rows if m != 1.0}
    slowest = {e: max(s for rule, s in swept if rule == e) for e, _ in swept}
    lines = _by_rule([(e, m, net) for e, s, m, net in rows if slowest.get(e) == s])
    ticks = sorted({x for line in lines for x, _ in line.points})
    if len(ticks) > MOST_TICKS:
        ticks = [x for x in ticks if x.is_integer()]
    return line_chart(
        lines,
        "Net per trade as costs are multiplied",
        ("multiple of all costs", "net bps"),
        x_ticks=[(x, f"×{x:g}") for x in ticks],
    )


def cost_multiple(scenario: str) -> float | None:
    """The multiple of costs that a scenario names; 1 as it is; None for another kind."""
    if scenario == "as_is":
        return 1.0
    head, _, tail = scenario.partition("costs_x")
    try:
        return float(tail) if not head and tail else None
    except ValueError:
        return None


def markout_chart(executions: Sequence[Row]) -> Markup:
    """Mean mark-outs after entries, a line for each rule at its slowest latency."""
    rows = []
    for r in bracket(executions):
        marks = [r[f"markout_{s}s_bps"] for s in MARKOUTS_S]
        rows += [(r["entry"], float(k), v) for k, v in enumerate(marks) if v is not None]
    return line_chart(
        _by_rule(rows),
        "Mark-outs after entries by entry rule",
        ("seconds after the entry", "bps"),
        x_ticks=[(float(k), f"{s} s") for k, s in enumerate(MARKOUTS_S)],
    )


def neighbour_charts(rows: Sequence[Row]) -> list[tuple[str, Markup]]:
    """(parameter, chart) of each parameter of the rule that was moved: net beside its neighbours.

    `rows` are those on bars; the unmoved rule is on every chart.
    """
    found: dict[str, dict[str, list[tuple[float, float]]]] = {}
    for r in rows:
        parameter, at = _moved(r)
        if parameter and at is not None and r["net_bps"] is not None:
            name = "holdout" if r["segment"] == "holdout" else "in sample"
            found.setdefault(parameter, {}).setdefault(name, []).append((at, r["net_bps"]))
    unmoved = [r for r in rows if r["scenario"] == UNMOVED and r["net_bps"] is not None]
    drawn = []
    for parameter in sorted(found, key=lambda p: (p not in RULES_OWN, p)):
        segments = found[parameter]
        for r in unmoved:
            name = "holdout" if r["segment"] == "holdout" else "in sample"
            at = 0.0 if parameter == "delay" else 1.0
            segments.setdefault(name, []).append((at, r["net_bps"]))
        drawn.append((parameter, _neighbours(parameter, segments)))
    return [(name, chart) for name, chart in drawn if chart]


def _neighbours(parameter: str, segments: Mapping[str, list[tuple[float, float]]]) -> Markup:
    lines = [
        Line(name, sorted(segments[name]), kind)
        for name, kind in (("in sample", ""), ("holdout", "second"))
        if len(segments.get(name, ())) > 1
    ]
    ticks = sorted({x for line in lines for x, _ in line.points})
    late = parameter == "delay"
    return line_chart(
        lines,
        f"Net per trade as {parameter} is moved, on bars",
        ("minutes late" if late else "multiple of its value", "net bps"),
        x_ticks=[(x, f"{x:g}" if late else f"×{x:g}") for x in ticks],
    )


def _moved(row: Row) -> tuple[str | None, float | None]:
    """The parameter that a neighbour moves, and to what: a multiple, or minutes of delay."""
    scenario = row["scenario"]
    if scenario == UNMOVED:
        return None, None
    parameter = row.get("parameter") or ("hold" if scenario.startswith("hold_x") else None)
    size = re.search(r"(?:[_ ]x|late_)([\d.]+)(?:min)?$", scenario)
    return parameter, None if size is None else float(size[1])


def _by_rule(rows: Sequence[tuple[str, float, float]]) -> list[Line]:
    """A line for each rule with two points or more, in the rules' order."""
    found: dict[str, list[tuple[float, float]]] = {}
    for rule, x, y in rows:
        found.setdefault(rule, []).append((x, y))
    order = [*KINDS, *sorted({*found} - {*KINDS})]
    return [
        Line(rule, sorted(found[rule]), KINDS.get(rule, "thin"))
        for rule in order
        if len(found.get(rule, ())) > 1
    ]
