"""The gate board: one self-contained HTML page of a study's verdicts.

Drawing only; what it says comes as a `Board`. No script, no network: it opens from a file.
"""

from __future__ import annotations

from quantlab_pipeline.reports.board_data import Board
from quantlab_pipeline.reports.pages import render
from quantlab_pipeline.reports.svg import scatter


def render_gate_board(board: Board) -> str:
    """The page as text. The same board gives the same bytes."""
    widest = max((step.count for step in board.funnel), default=1) or 1
    chart = scatter(board.points, board.z_threshold)
    return render("gate_board.html.j2", board=board, widest=widest, chart=chart)
