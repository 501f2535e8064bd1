"""The gate board: one self-contained HTML page of a study's verdicts.

Drawing only; what it says comes as a `Board`. No script, no network: it opens from a file.
"""

from __future__ import annotations

from importlib.resources import files
from typing import Any

from jinja2 import Environment, StrictUndefined, select_autoescape

from quantlab_pipeline.reports.board_data import Board
from quantlab_pipeline.reports.svg import scatter


def render_gate_board(board: Board) -> str:
    """The page as text. The same board gives the same bytes."""
    environment = Environment(
        autoescape=select_autoescape(["html", "j2"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["number"] = format_number
    environment.filters["words"] = lambda name: str(name).replace("_", " ")
    source = files("quantlab_pipeline.reports").joinpath("templates/gate_board.html.j2")
    template = environment.from_string(source.read_text(encoding="utf-8"))
    widest = max((step.count for step in board.funnel), default=1) or 1
    chart = scatter(board.points, board.z_threshold)
    return template.render(board=board, widest=widest, chart=chart)


def format_number(value: Any) -> str:
    """A number as people read it: three significant digits, M for millions, a dash for none."""
    if value is None:
        return "–"
    if isinstance(value, bool | str):
        return str(value)
    if abs(value) >= 1e6:
        return f"{value / 1e6:,.0f}M" if abs(value) >= 1e8 else f"{value / 1e6:.3g}M"
    if isinstance(value, int) or (float(value).is_integer() and abs(value) >= 1):
        return f"{int(value):,}"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    if 0 < abs(value) < 1e-3:
        return f"{value:.1e}"
    return f"{value:.3g}"
