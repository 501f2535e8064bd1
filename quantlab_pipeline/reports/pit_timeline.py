"""A leak as a small time line in inline SVG: the decision row, the attacked instant, the fact seen.

Order is true, distances are not: a gap grows with the logarithm of its length, so that a minute and
a week stand on one line. Colours are the page's CSS classes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import pairwise

from markupsafe import Markup, escape

from quantlab_pipeline.core.clocks import MINUTE, MINUTE_US
from quantlab_pipeline.reports.pit_data import ToldLeak
from quantlab_pipeline.reports.qa_places import instant_text

WIDTH, HEIGHT, MARGIN = 360, 124, 60
AXIS, ARC_TOP = 74, 26
"""Heights of the axis and of the arc's top, from above."""
LEAST_GAP = 88
"""Labels of neighbours that are nearer would touch."""


@dataclass(frozen=True, slots=True)
class Mark:
    """An instant on the axis: what it is, its clock time (empty where only order is known)."""

    at: datetime
    name: str
    clock: str
    kind: str


def timeline(told: ToldLeak) -> Markup:
    """The drawing: an arc from the row to the furthest fact it saw, what was attacked shaded."""
    marks = _together(_marks(told))
    across = _places([m.at for m in marks])
    row = across[next(i for i, m in enumerate(marks) if "row" in m.kind.split())]
    far = across[next(i for i, m in enumerate(marks) if {"fact", "?"} & set(m.kind.split()))]
    parts = [
        f'<svg class="line" viewBox="0 0 {WIDTH} {HEIGHT}" role="img"',
        f' aria-label="{escape(_sentence(told))}">',
        _attacked(told, marks, across),
        f'<line class="axis" x1="8" x2="{WIDTH - 8}" y1="{AXIS}" y2="{AXIS}"/>',
        *(_mark(m, x) for m, x in zip(marks, across, strict=True)),
        _arc(row, far, told),
        "</svg>",
    ]
    # Numbers, classes and words of ours; every text is escaped where it is put in.
    return Markup("".join(parts))  # noqa: S704


def _marks(told: ToldLeak) -> list[Mark]:
    leak, declared = told.leak, told.declared
    day = (leak.ts - timedelta(microseconds=1)).date()
    found = [Mark(leak.ts, "decision row", instant_text(leak.ts, day), "row")]
    if leak.attack == "warmup":
        found.append(Mark(leak.ts - MINUTE, "its beginning", "", "edge"))
        return [*found, Mark(leak.ts - 2 * MINUTE, "twice as far back", "", "fact")]
    if leak.attack == "lookback":
        if declared:
            edge = leak.ts - MINUTE * declared.lookback_min
            found.append(Mark(edge, "declared reach", _clock(edge, day), "edge"))
    else:
        found.append(Mark(leak.tau, "attacked", _clock(leak.tau, day), "tau"))
    if leak.reach_s is None:
        beyond = MINUTE if leak.attack != "lookback" else -MINUTE
        found.append(Mark(found[-1].at + beyond, "", "", "?"))
    else:
        ahead = leak.reach_s if leak.attack != "lookback" else -leak.reach_s
        fact = leak.ts + timedelta(seconds=ahead)
        name = "oldest fact" if ahead < 0 else "fact known"
        found.append(Mark(fact, name, _clock(fact, day), "fact"))
    return found


def _clock(at: datetime, day: date) -> str:
    """`04:08` of the row's own day, `03-04 04:08` of another; milliseconds where there are some."""
    text = instant_text(at.replace(microsecond=at.microsecond // 1000 * 1000), day)
    return text[5:] if text[4] == "-" else text


def _together(marks: Sequence[Mark]) -> list[Mark]:
    """In order of time; what falls on one instant is one mark with both names."""
    merged: list[Mark] = []
    for mark in sorted(marks, key=lambda m: m.at):
        if merged and merged[-1].at == mark.at:
            last = merged.pop()
            name = f"{last.name}, {mark.name}"
            mark = Mark(last.at, name, last.clock, f"{last.kind} {mark.kind}")  # noqa: PLW2901
        merged.append(mark)
    return merged


def _places(instants: Sequence[datetime]) -> list[float]:
    """Where each instant stands: gaps by the logarithm of their length, none below the least."""
    gaps = [
        (later - earlier) / timedelta(microseconds=MINUTE_US)
        for earlier, later in pairwise(instants)
    ]
    if not gaps:
        return [WIDTH / 2]
    weights = [math.log1p(gap) for gap in gaps]
    room = WIDTH - 2 * MARGIN - LEAST_GAP * len(gaps)
    total = sum(weights) or 1.0
    places = [float(MARGIN)]
    for weight in weights:
        places.append(places[-1] + LEAST_GAP + room * weight / total)
    return places


def _attacked(told: ToldLeak, marks: Sequence[Mark], across: Sequence[float]) -> str:
    """The hatched stretch that the attack changed, and its word."""
    leak = told.leak
    if leak.attack == "warmup":
        return ""
    past = leak.attack == "lookback"
    wanted = "edge" if past else "tau"
    at = [x for m, x in zip(marks, across, strict=True) if wanted in m.kind.split()]
    edge = at[0] if at else (MARGIN + WIDTH) / 2
    left, right = (8.0, edge) if past else (edge, WIDTH - 8.0)
    word = "cut off" if leak.attack == "prefix" else "poisoned"
    return (
        f'<rect class="hit" x="{left:.1f}" y="{AXIS - 9}" width="{right - left:.1f}" height="18"/>'
        f'<text class="hit" x="{(8 if past else WIDTH - 8)}" y="{AXIS - 14}" '
        f'text-anchor="{"start" if past else "end"}">{word}</text>'
    )


def _mark(mark: Mark, x: float) -> str:
    shapes = {
        "row": f'<circle class="row" cx="{x:.1f}" cy="{AXIS}" r="5.5"/>',
        "tau": f'<line class="tau" x1="{x:.1f}" x2="{x:.1f}" y1="{AXIS - 13}" y2="{AXIS + 13}"/>',
        "edge": f'<line class="tau" x1="{x:.1f}" x2="{x:.1f}" y1="{AXIS - 13}" y2="{AXIS + 13}"/>',
        "?": f'<text class="sight" x="{x:.1f}" y="{AXIS + 5}" text-anchor="middle">?</text>',
        "fact": f'<path class="fact" d="M{x:.1f} {AXIS - 7}l7 7l-7 7l-7 -7z"/>',
    }
    shown = "".join(shapes[kind] for kind in sorted(mark.kind.split(), reverse=True))
    anchor = "start" if x <= MARGIN else "end" if x >= WIDTH - MARGIN else "middle"
    edge = {"start": 8.0, "end": WIDTH - 8.0, "middle": x}[anchor]
    return (
        f'{shown}<text x="{edge:.1f}" y="{AXIS + 28}" text-anchor="{anchor}">'
        f"{escape(mark.name)}</text>"
        f'<text class="clock" x="{edge:.1f}" y="{AXIS + 43}" text-anchor="{anchor}">'
        f"{escape(mark.clock)}</text>"
    )


def _arc(row: float, far: float, told: ToldLeak) -> str:
    """From the row to the fact; dashed where it may go on, or where nobody knows how far."""
    middle, above = (row + far) / 2, 2 * ARC_TOP - AXIS + 14
    unsure = told.leak.open_ended or (told.leak.reach_s is None and told.leak.attack != "warmup")
    dashed = " open" if unsure else ""
    return (
        f'<path class="sight{dashed}" d="M{row:.1f} {AXIS - 8}Q{middle:.1f} {above} '
        f'{far:.1f} {AXIS - 9}"/>'
        f'<text class="sight" x="{WIDTH / 2:.1f}" y="14" text-anchor="middle">'
        f"{escape(told.saw)}</text>"
    )


def _sentence(told: ToldLeak) -> str:
    leak = told.leak
    return f"{leak.feature} of {leak.symbol} at {leak.ts:%Y-%m-%d %H:%M} saw {told.saw}"
