"""Small charts as inline SVG: no script, no font, themed by the page's CSS classes."""

from __future__ import annotations

import math
from collections.abc import Sequence

from markupsafe import Markup

WIDTH, HEIGHT, MARGIN = 560, 360, 44
FLOOR = -6
"""Lowest t and z on the axes."""


def scatter(points: Sequence[tuple[float, float, str]], threshold: float | None) -> Markup:
    """Naive t (across) against our z (up), one dot a candidate, classed by its status.

    What lies below `FLOOR` (dear to trade, not near to passing) is drawn on the edge.
    """
    if not points:
        return Markup("")
    top = math.ceil(max(3.0, *(v for x, y, _ in points for v in (x, y)), threshold or 0.0))
    span = top - FLOOR
    step = max(1, span // 6)

    def across(value: float) -> float:
        return MARGIN + (max(value, FLOOR) - FLOOR) / span * (WIDTH - 2 * MARGIN)

    def up(value: float) -> float:
        return HEIGHT - MARGIN - (max(value, FLOOR) - FLOOR) / span * (HEIGHT - 2 * MARGIN)

    def tick_marks(tick: int) -> str:
        return (
            f'<line class="grid" x1="{across(tick):.1f}" x2="{across(tick):.1f}" '
            f'y1="{MARGIN}" y2="{HEIGHT - MARGIN}"/>'
            f'<line class="grid" y1="{up(tick):.1f}" y2="{up(tick):.1f}" '
            f'x1="{MARGIN}" x2="{WIDTH - MARGIN}"/>'
            f'<text x="{across(tick):.1f}" y="{HEIGHT - MARGIN + 16}" '
            f'text-anchor="middle">{tick}</text>'
            f'<text x="{MARGIN - 8}" y="{up(tick) + 4:.1f}" text-anchor="end">{tick}</text>'
        )

    label = f"Naive t against calendar-time z of {len(points)} candidates"
    marks = [f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{label}">']
    marks += [tick_marks(tick) for tick in range(FLOOR, top + 1, step)]
    marks.append(
        f'<line class="same" x1="{across(FLOOR):.1f}" y1="{up(FLOOR):.1f}" '
        f'x2="{across(top):.1f}" y2="{up(top):.1f}"/>'
    )
    if threshold is not None:
        marks.append(
            f'<line class="bar" x1="{MARGIN}" x2="{WIDTH - MARGIN}" '
            f'y1="{up(threshold):.1f}" y2="{up(threshold):.1f}"/>'
            f'<text class="bar" x="{WIDTH - MARGIN}" y="{up(threshold) - 5:.1f}" '
            f'text-anchor="end">needed: {threshold:.2f}</text>'
        )
    marks += [
        f'<circle class="{status.lower()}" cx="{across(x):.1f}" cy="{up(y):.1f}" r="2.4"/>'
        for x, y, status in sorted(points, key=lambda p: (p[2] == "PASS", p))
    ]
    marks.append(
        f'<text x="{WIDTH / 2}" y="{HEIGHT - 8}" text-anchor="middle">naive t</text>'
        f'<text x="12" y="{HEIGHT / 2}" transform="rotate(-90 12 {HEIGHT / 2})" '
        f'text-anchor="middle">our z, net of cost</text></svg>'
    )
    # Every part is a number or a status of ours, so nothing here needs escaping.
    return Markup("".join(marks))  # noqa: S704
