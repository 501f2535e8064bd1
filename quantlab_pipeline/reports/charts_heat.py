"""Grids of coloured cells as inline SVG: calendars, strips, and square maps of pairs.

Belongs here: where a cell stands, its level, and its words. A level is told by the strength of one
colour, in the cell's title, and where there is room by a number. What a cell means is the page's.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from markupsafe import Markup, escape

from quantlab_pipeline.reports.charts import coordinate

VOID = -1
"""Level of a cell that could hold nothing: drawn as a faint stroke."""
_SMALL, _CAPITAL = 6.9, 8.2
"""Widths of letters at the labels' size, px: room for labels is kept by them."""


class Cell(NamedTuple):
    """`level` is 0 (nothing), 1 (weakest) and up, or `VOID`; `title` shows under the pointer."""

    level: int
    title: str = ""
    text: str = ""


def doubling_level(value: float, levels: int = 4) -> int:
    """0 for nothing, then 1, 2-3, 4-7, 8 and more: a level a doubling, up to `levels`."""
    return min(levels, 1 + int(math.log2(value))) if value >= 1 else 0


def signed_strength(value: float, largest: float) -> str:
    """Class of a signed cell: `s1` to `s5` above zero, `n1` to `n5` below; `s0` for nothing.

    By the root of the share of `largest`: a few large cells would else leave no colour to others.
    """
    if not value or not largest:
        return "s0"
    strength = min(5, math.ceil(5 * math.sqrt(abs(value) / largest)))
    return f"{'n' if value < 0 else 's'}{strength}"


def cell_rows(
    rows: Sequence[tuple[str, Sequence[Cell]]],
    label: str,
    size: int,
    ticks: Sequence[tuple[int, str]] = (),
) -> Markup:
    """A row of cells for each label, cells of `size` px; `ticks` name columns below."""
    room = _room([name for name, _ in rows])
    n_columns = max((len(cells) for _, cells in rows), default=0)
    width = room + n_columns * size + (14 if ticks else 0)
    height = len(rows) * (size + 1) + (17 if ticks else 0)
    marks = [_open("cells", width, height, label)]
    for r, (name, cells) in enumerate(rows):
        y = r * (size + 1)
        marks.append(_label(room - 6, y + size / 2 + 4, name, "end"))
        marks.append(
            f'<rect class="row" x="{coordinate(room)}" y="{y}" '
            f'width="{len(cells) * size}" height="{size}"/>'
        )
        marks += [
            _cell(room + c * size, y, size, cell) for c, cell in enumerate(cells) if cell.level
        ]
    low = len(rows) * (size + 1) + 12
    marks += [_label(room + c * size, low, text, "start") for c, text in ticks]
    return _closed(marks)


def strip_rows(
    rows: Sequence[tuple[str, Sequence[int]]], label: str, width: int, row_height: int = 10
) -> Markup:
    """Levels without words, a row for each label, stretched over `width` px: many columns, light.

    Neighbours of one level are one mark.
    """
    room = _room([name for name, _ in rows])
    step = (width - room) / max((len(levels) for _, levels in rows), default=1)
    marks = [_open("cells", width, len(rows) * (row_height + 2), label)]
    paths: dict[int, list[str]] = {}
    for r, (name, levels) in enumerate(rows):
        y = r * (row_height + 2)
        marks.append(_label(room - 6, y + row_height, name, "end"))
        for start, end, level in _runs(levels):
            x, wide = room + start * step, (end - start) * step
            paths.setdefault(level, []).append(
                f"M{coordinate(x)} {y}h{coordinate(wide)}v{row_height}h-{coordinate(wide)}z"
            )
    marks += [f'<path class="{_kind(k)}" d="{"".join(paths[k])}"/>' for k in sorted(paths)]
    return _closed(marks)


def square_map(
    names: Sequence[str],
    values: Sequence[Sequence[float]],
    label: str,
    size: int = 12,
    *,
    numbers: bool = False,
) -> Markup:
    """Values in [-1, 1] of every pair: five strengths of two colours; NaN stays empty.

    Row and column order is that of `names`. With `numbers` each cell shows its value in hundredths.
    """
    room = _room(names)
    side = len(names) * size
    marks = [_open("cells", room + side + 4, room + side + 4, label)]
    for i, name in enumerate(names):
        x = room + i * size + size / 2 + 4
        marks.append(_label(room - 6, room + i * size + size / 2 + 4, name, "end"))
        turn = f' transform="rotate(-90 {coordinate(x)} {coordinate(room - 6)})"'
        marks.append(_label(x, room - 6, name, "start", turn))
    for i, row in enumerate(values):
        for j, value in enumerate(row):
            if math.isfinite(value):
                title = f"{names[i]} · {names[j]}: {value:.2f}"
                text = f"{100 * value:.0f}" if numbers and abs(value) >= 0.005 else ""
                at = (room + j * size, room + i * size, size)
                marks.append(_square(*at, _signed_kind(value), title, text))
    return _closed(marks)


def _signed_kind(value: float) -> str:
    strength = min(5, int(abs(value) * 5 + 0.5))
    return f"{'n' if value < 0 else 's'}{strength}" if strength else "s0"


def _cell(x: float, y: float, size: int, cell: Cell) -> str:
    return _square(x, y, size, _kind(cell.level), cell.title, cell.text)


def _kind(level: int) -> str:
    return "void" if level == VOID else f"l{level}"


def _square(x: float, y: float, size: int, kind: str, title: str, text: str) -> str:
    at = f'x="{coordinate(x)}" y="{coordinate(y)}" width="{size - 1}" height="{size - 1}"'
    words = f"<title>{escape(title)}</title>" if title else ""
    number = ""
    if text:
        middle = f'x="{coordinate(x + (size - 1) / 2)}" y="{coordinate(y + size / 2 + 3)}"'
        number = f'<text class="on-{kind}" {middle} text-anchor="middle">{escape(text)}</text>'
    return f'<rect class="{kind}" {at}>{words}</rect>{number}'


def _room(names: Sequence[str]) -> float:
    """Pixels that the longest name and the gap behind it take; nothing without names."""
    widths = [sum(_CAPITAL if c.isupper() else _SMALL for c in name) for name in names]
    return max(widths, default=0.0) + 6 if any(widths) else 0.0


def _runs(levels: Sequence[int]) -> list[tuple[int, int, int]]:
    """(start, end, level) of each stretch of equal levels."""
    starts = [i for i, level in enumerate(levels) if i == 0 or level != levels[i - 1]]
    ends = [*starts[1:], len(levels)]
    return [(a, b, levels[a]) for a, b in zip(starts, ends, strict=True)]


def _label(x: float, y: float, text: str, anchor: str, more: str = "") -> str:
    at = f'x="{coordinate(x)}" y="{coordinate(y)}"'
    return f'<text {at} text-anchor="{anchor}"{more}>{escape(text)}</text>'


def _open(kind: str, width: float, height: float, label: str) -> str:
    size = f'width="{coordinate(width)}" height="{coordinate(height)}"'
    return f'<svg class="{kind}" {size} role="img" aria-label="{escape(label)}">'


def _closed(marks: Sequence[str]) -> Markup:
    # Marks are numbers of ours and texts that were escaped.
    return Markup("".join([*marks, "</svg>"]))  # noqa: S704
