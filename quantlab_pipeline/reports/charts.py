"""Lines and bars as inline SVG: no script, no font, themed by the classes of `charts.css`.

Belongs here: axes, lines, paths with a band, histograms, bars. Grids of coloured cells stand in
`charts_heat`. Numbers come in, marks go out; every text is escaped.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from datetime import date
from itertools import groupby
from typing import NamedTuple

from markupsafe import Markup, escape

from quantlab_pipeline.reports.distribution import Histogram
from quantlab_pipeline.reports.pages import format_number

WIDTH = 360
LEFT, RIGHT, TOP, BOTTOM = 48, 16, 10, 36
_LETTER = 6.2
"""Pixels of a letter of a name at a line's end."""
_NAME_WIDTH = 22
"""Pixels that the name of a level takes above a histogram."""


class BandPoint(NamedTuple):
    """A value and its band at `x`; NaN where there is none."""

    x: float
    low: float
    middle: float
    high: float


class Line(NamedTuple):
    """Points (x, y) in order, by a name that stands at its end; `kind` is a class of the line's."""

    name: str
    points: Sequence[tuple[float, float]]
    kind: str = ""


class Frame(NamedTuple):
    """A chart's area in pixels and the values at its edges; y grows upwards."""

    height: int
    x: tuple[float, float]
    y: tuple[float, float]
    width: int = WIDTH

    def across(self, value: float) -> float:
        """Pixel of a value on the horizontal axis."""
        return LEFT + _share(value, self.x) * (self.width - LEFT - RIGHT)

    def up(self, value: float) -> float:
        """Pixel of a value on the vertical axis."""
        floor = self.height - BOTTOM
        return floor - _share(value, self.y) * (floor - TOP)


def band_chart(
    points: Sequence[BandPoint],
    label: str,
    axes: tuple[str, str],
    *,
    height: int = 220,
    x_ticks: Sequence[tuple[float, str]] = (),
    zero: bool = False,
    level: tuple[str, float] | None = None,
) -> Markup:
    """A line inside its band; `axes` are the two titles. With `zero` both zero lines are drawn.

    Points without a value break the line. `level` is a named value on the vertical axis. No point
    with a value: nothing.
    """
    known = [p for p in points if math.isfinite(p.middle)]
    if not known:
        return Markup("")
    ends = [v for p in known for v in (p.low, p.middle, p.high) if math.isfinite(v)]
    ends += [0.0] * zero + ([level[1]] if level is not None else [])
    low, high = min(ends), max(ends)
    ticks = nice_ticks(low, high)
    box = Frame(height, (points[0].x, points[-1].x), (min(low, ticks[0]), max(high, ticks[-1])))
    marks = [opened(box, label), *(y_tick(box, t) for t in ticks)]
    marks += [x_tick(box, x, text) for x, text in x_ticks]
    if zero:
        marks.append(
            line_mark("axis", box.across(box.x[0]), box.up(0), box.across(box.x[1]), box.up(0))
        )
        marks.append(line_mark("axis", box.across(0), TOP, box.across(0), height - BOTTOM))
    for run in _runs(points):
        marks.append(_band(box, run))
        marks.append(f'<path class="line" d="{joined(box, [(p.x, p.middle) for p in run])}"/>')
    if level is not None:
        marks.append(_level(box, *level))
    return closed(marks, box, axes)


def line_chart(
    lines: Sequence[Line],
    label: str,
    axes: tuple[str, str],
    *,
    height: int = 220,
    x_ticks: Sequence[tuple[float, str]] = (),
    marks_at: Sequence[tuple[float, str]] = (),
) -> Markup:
    """Lines over one axis with the zero level; each is named at its end, beside the others.

    `marks_at` are named values on the horizontal axis, rising, drawn where they lie among the
    points. No line with a point: nothing.
    """
    drawn = [line for line in lines if line.points]
    if not drawn:
        return Markup("")
    xs = [x for line in drawn for x, _ in line.points]
    ys = [y for line in drawn for _, y in line.points]
    ticks = nice_ticks(min(0.0, *ys), max(0.0, *ys))
    first, last = min(xs), max(xs)
    names = max(len(line.name) for line in drawn)
    width = (last - first) / (1.0 - names * _LETTER / (WIDTH - LEFT - RIGHT))
    low, high = min(ticks[0], *ys), max(ticks[-1], *ys)
    # An eighth above the highest point is room for the marks' names.
    top = high + (high - low) / 7 if marks_at else high
    box = Frame(height, (first, first + width), (low, top))
    marks = [opened(box, label), *(y_tick(box, t) for t in ticks)]
    marks += [x_tick(box, x, text) for x, text in x_ticks]
    marks.append(line_mark("axis", LEFT, box.up(0.0), box.across(last), box.up(0.0)))
    marks += _named_levels(box, [(n, x) for x, n in marks_at if first <= x <= last])
    for line in drawn:
        kind = f"line {line.kind}".rstrip()
        marks.append(f'<path class="{kind}" d="{joined(box, line.points)}"/>')
    return closed([*marks, *_end_names(box, drawn)], box, axes)


def _end_names(box: Frame, lines: Sequence[Line]) -> list[str]:
    """Each line's name right of its end, pushed down where it would touch the one above."""
    ends = sorted((box.up(line.points[-1][1]), k) for k, line in enumerate(lines))
    lowest = box.height - BOTTOM
    at, marks = -math.inf, []
    for place, (y, k) in enumerate(ends):
        room_below = 11 * (len(ends) - 1 - place)
        at = max(at + 11, min(y + 4, lowest - room_below))
        x = box.across(lines[k].points[-1][0]) + 5
        marks.append(text_mark(x, at, lines[k].name, f"name {lines[k].kind}".rstrip()))
    return marks


def _level(box: Frame, name: str, value: float) -> str:
    y = box.up(value)
    right = box.width - RIGHT
    return line_mark("mark", LEFT, y, right, y) + text_mark(
        right, y - 4, name, "mark", anchor="end"
    )


def histogram_chart(
    hist: Histogram | None,
    label: str,
    axes: tuple[str, str],
    levels: Iterable[tuple[str, float]] = (),
) -> Markup:
    """Bars of a histogram, in percent of all its values, those outside its bins included.

    `levels` are named values, rising, drawn where they lie inside it.
    """
    if hist is None:
        return Markup("")
    low, high = (hist.low, hist.high) if hist.low < hist.high else (hist.low - 1, hist.high + 1)
    named = [(name, at) for name, at in levels if low <= at <= high]
    total = sum(hist.counts) + hist.below + hist.above
    shares = [100.0 * count / total for count in hist.counts]
    # A third above the tallest bar is room for the levels' names.
    box = Frame(150, (low, high), (0.0, max(shares) * (4 / 3 if named else 1.0)))
    step = (box.width - LEFT - RIGHT) / len(shares)
    edges = [LEFT + i * step for i in range(len(shares))]
    marks = [opened(box, label), *(y_tick(box, t) for t in nice_ticks(0.0, max(shares)))]
    marks.append(_bars(box, zip(edges, shares, strict=True), max(step - 1, 0.6)))
    marks += [_floor(box), *_named_levels(box, named)]
    marks += [x_tick(box, at, tick_text(at)) for at in nice_ticks(low, high)]
    return closed(marks, box, axes)


def _named_levels(box: Frame, named: Sequence[tuple[str, float]]) -> list[str]:
    """A line and a name for each level. Levels at one place share both; a name that would touch
    its neighbour stands a row lower, or is left out where that row is taken too.
    """
    marks: list[str] = []
    taken = [-math.inf, -math.inf]
    for x, names in groupby(named, key=lambda pair: coordinate(box.across(pair[1]))):
        first, *rest = (name for name, _ in names)
        name, at = f"{first}–{rest[-1]}" if rest else first, float(x)
        half = 0.5 * max(_NAME_WIDTH * (2 if rest else 1), _LETTER * len(name))
        row = next((r for r in range(2) if at - half >= taken[r]), None)
        y = TOP + 8 + 11 * (row or 0)
        marks.append(line_mark("mark", at, y + 3, at, box.height - BOTTOM))
        if row is not None:
            taken[row] = at + half
            marks.append(text_mark(at, y, name, "mark", anchor="middle"))
    return marks


def column_chart(
    values: Sequence[float], label: str, axes: tuple[str, str], ticks: Sequence[tuple[int, str]]
) -> Markup:
    """One bar a value; `ticks` name some of them by their place. All zero: nothing."""
    if not any(values):
        return Markup("")
    tall = nice_ticks(0.0, max(values))
    box = Frame(150, (0.0, float(len(values))), (0.0, max(tall[-1], *values)))
    step = (box.width - LEFT - RIGHT) / len(values)
    bars = _bars(box, ((LEFT + i * step, v) for i, v in enumerate(values)), step - 1)
    marks = [opened(box, label), *(y_tick(box, t) for t in tall), bars, _floor(box)]
    marks += [x_tick(box, place + 0.5, text) for place, text in ticks]
    return closed(marks, box, axes)


def nice_ticks(low: float, high: float, least: int = 3) -> list[float]:
    """Round numbers (1, 2 or 5 times a power of ten) inside `low` to `high`: the fewest that are at
    least `least`. One value: that value alone.
    """
    if not low < high:
        return [low]
    power = 10.0 ** math.ceil(math.log10(high - low))
    for step in (power * 10.0**-down * m for down in range(3) for m in (1.0, 0.5, 0.2)):
        first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
        if last - first + 1 >= least:
            break
    return [i * step for i in range(first, last + 1)]


def day_ticks(firsts: Sequence[date], about: int) -> list[tuple[int, str]]:
    """(place, name) of some columns of days, evenly spaced; `firsts` are the columns' first days.

    Beyond a year a name tells the year instead of the day.
    """
    every = max(1, -(-len(firsts) // about))
    long = bool(firsts) and (firsts[-1] - firsts[0]).days > 366
    return [
        (i, f"{firsts[i]:%b %Y}" if long else f"{firsts[i]:%b %d}")
        for i in range(0, len(firsts), every)
    ]


def tick_text(value: float) -> str:
    """A number that fits beside an axis: thousands from 10,000 on are a k."""
    if 1e4 <= abs(value) < 1e6:
        return f"{value / 1e3:.3g}k"
    return format_number(value + 0.0)


def coordinate(value: float) -> str:
    """A pixel as short text."""
    return f"{value:.1f}".removesuffix(".0")


def _share(value: float, ends: tuple[float, float]) -> float:
    return (value - ends[0]) / (ends[1] - ends[0]) if ends[0] < ends[1] else 0.5


def _runs(points: Sequence[BandPoint]) -> list[list[BandPoint]]:
    """Stretches of neighbours that have a value."""
    runs: list[list[BandPoint]] = [[]]
    for point in points:
        if math.isfinite(point.middle):
            runs[-1].append(point)
        elif runs[-1]:
            runs.append([])
    return [run for run in runs if run]


def _band(box: Frame, run: Sequence[BandPoint]) -> str:
    upper = [(p.x, p.high) for p in run if math.isfinite(p.high)]
    lower = [(p.x, p.low) for p in reversed(run) if math.isfinite(p.low)]
    return f'<path class="band" d="{joined(box, [*upper, *lower])}z"/>' if upper else ""


def joined(box: Frame, points: Iterable[tuple[float, float]]) -> str:
    """The path through points, as the `d` of a path."""
    pairs = [f"{coordinate(box.across(x))} {coordinate(box.up(y))}" for x, y in points]
    # A lone point is drawn as the round cap of a line of no length.
    return "M" + "L".join(pairs if len(pairs) != 1 else pairs * 2)


def _bars(box: Frame, bars: Iterable[tuple[float, float]], width: float) -> str:
    floor = box.height - BOTTOM
    parts = [
        f"M{coordinate(x)} {floor}v-{coordinate(floor - box.up(value))}"
        f"h{coordinate(width)}V{floor}z"
        for x, value in bars
        if value > 0
    ]
    return f'<path class="bars" d="{"".join(parts)}"/>'


def opened(box: Frame, label: str) -> str:
    """The tag that opens a chart; `label` is what a screen reader says of it."""
    return (
        f'<svg class="chart" viewBox="0 0 {box.width} {box.height}" role="img" '
        f'aria-label="{escape(label)}">'
    )


def closed(marks: Sequence[str], box: Frame, axes: tuple[str, str]) -> Markup:
    """The whole chart: what was drawn, and the titles of both axes."""
    across, up = axes
    middle = (TOP + box.height - BOTTOM) / 2
    titles = text_mark((LEFT + box.width - RIGHT) / 2, box.height - 5, across, "", anchor="middle")
    if up:
        turn = f' transform="rotate(-90 10 {coordinate(middle)})"'
        titles += text_mark(10, middle, up, "", anchor="middle", more=turn)
    # Marks are numbers of ours and texts that were escaped.
    return Markup("".join([*marks, titles, "</svg>"]))  # noqa: S704


def text_mark(
    x: float, y: float, text: str, kind: str, *, anchor: str = "start", more: str = ""
) -> str:
    """A text at a pixel, escaped; `kind` is its class, `more` further attributes of ours."""
    named = f' class="{kind}"' if kind else ""
    at = f'x="{coordinate(x)}" y="{coordinate(y)}"'
    return f'<text{named} {at} text-anchor="{anchor}"{more}>{escape(text)}</text>'


def line_mark(kind: str, x1: float, y1: float, x2: float, y2: float) -> str:
    """A straight line between two pixels, of class `kind`."""
    at = (
        f'{name}="{coordinate(v)}"'
        for name, v in zip(("x1", "y1", "x2", "y2"), (x1, y1, x2, y2), strict=True)
    )
    return f'<line class="{kind}" {" ".join(at)}/>'


def _floor(box: Frame) -> str:
    floor = box.height - BOTTOM
    return line_mark("axis", LEFT, floor, box.width - RIGHT, floor)


def y_tick(box: Frame, value: float) -> str:
    """A value on the vertical axis and its line through the chart."""
    y = box.up(value)
    return line_mark("grid", LEFT, y, box.width - RIGHT, y) + text_mark(
        LEFT - 5, y + 4, tick_text(value), "", anchor="end"
    )


def x_tick(box: Frame, value: float, text: str) -> str:
    """A name on the horizontal axis."""
    x, floor = box.across(value), box.height - BOTTOM
    return line_mark("axis", x, floor, x, floor + 3) + text_mark(
        x, floor + 15, text, "", anchor="middle"
    )
