"""The board says what the verdicts say, opens without a network, and is the same bytes again."""

from __future__ import annotations

import re
from dataclasses import replace

import polars as pl
import pytest

from quantlab_pipeline.core.verdicts import Gate, ItemVerdict, Outcome
from quantlab_pipeline.reports.board_data import (
    Board,
    Budget,
    candidate_funnel,
    candidate_rows,
    scatter_points,
    summarise_gate,
)
from quantlab_pipeline.reports.gate_board import render_gate_board
from quantlab_pipeline.reports.pages import format_number
from quantlab_pipeline.research.validation.schema import PHASE2_CANDIDATES


def _candidates() -> pl.DataFrame:
    rows = pl.DataFrame(
        {
            "candidate_id": ["best", "near", "absent"],
            "p": [1e-9, 0.01, None],
            "z_naive": [9.0, 4.0, None],
            "z_raw": [6.0, 2.5, None],
            "z_contrast": [6.5, 2.2, None],
            "status": ["PASS", "FAIL", "NOT_EVALUABLE"],
            "reason_codes": ["", "NOT_SIGNIFICANT", "DATASET_ABSENT:<b>"],
            "flags": ["HETEROGENEOUS:vol_regime=high;SUSPECT_SAME_BAR", "", ""],
            "lag1_share": [0.25, 0.98, None],
        }
    )
    absent = [c for c in PHASE2_CANDIDATES.columns if c.name not in rows.columns]
    return rows.with_columns(pl.lit(None, dtype=c.dtype).alias(c.name) for c in absent)


VERDICTS = {
    Gate.V1: [
        ItemVerdict("best", Outcome.PASS, (), {"q": (1e-5, 0.1)}),
        ItemVerdict("near", Outcome.FAIL, ("NOT_SIGNIFICANT",), {"q": (0.8, 0.1)}),
        ItemVerdict("absent", Outcome.NOT_EVALUABLE, ("DATASET_ABSENT:<b>",)),
    ]
}


def _board() -> Board:
    candidates = _candidates()
    return Board(
        "study_x",
        "market_y",
        synthetic=True,
        facts=(("days", "28"),),
        gates=tuple(summarise_gate(g, VERDICTS.get(g, ())) for g in Gate),
        funnel=candidate_funnel(candidates, VERDICTS),
        survivors=candidate_rows(candidates, survivors=True, limit=20),
        rejects=candidate_rows(candidates, survivors=False, limit=20),
        points=scatter_points(candidates),
        z_threshold=4.26,
        budget=BUDGET,
    )


BUDGET = Budget(
    own=4_800, distinct=7_200, spent=7_500, total=10_000, z_first=4.26, served=120, revisions=4,
    free_revisions=3,
)  # fmt: skip


def test_the_budget_is_drawn_to_scale_and_told_in_words() -> None:
    page = render_gate_board(_board())
    drawn = page.partition('class="budget"')[2].partition("</div>")[0]
    widths = [float(w) for w in re.findall(r"width:([\d.]+)%", drawn)]
    assert widths == [48.0, 24.0, 3.0, 25.0]
    assert BUDGET.left == 2_500
    told = BUDGET.sentence()
    assert told in page, "for those who do not see the bar"
    for figure in ("4,800 by this study", "7,500 of 10,000", "2,500 left", "z 4.26", "120 FAILs"):
        assert figure in told


def test_a_budget_that_was_lowered_below_what_is_spent_leaves_nothing() -> None:
    over = replace(BUDGET, total=5_000)
    assert over.left == 0
    assert sum(share for _, _, share in over.parts) == pytest.approx(100.0)


def test_a_family_that_the_ledger_refused_is_told_with_its_remedy() -> None:
    told = "Study x lacks <3> candidates. Put them back."
    page = render_gate_board(replace(_board(), refused=told))
    assert page.count("Study x lacks &lt;3&gt; candidates. Put them back.") == 1
    assert "The trial ledger took none" not in render_gate_board(_board())


def test_a_gate_in_a_line() -> None:
    summary = summarise_gate(Gate.V1, VERDICTS[Gate.V1])
    assert (summary.outcome, summary.judged, summary.admitted) == (Outcome.PASS, 3, 1)
    assert summary.reasons == (("DATASET_ABSENT:<b>", 1), ("NOT_SIGNIFICANT", 1))
    (measure,) = summary.measures
    assert (measure.best, measure.worst, measure.threshold, measure.n) == (1e-5, 0.8, 0.1, 2)


def test_a_gate_without_items_says_why() -> None:
    summary = summarise_gate(Gate.B, [])
    assert summary.outcome is Outcome.NOT_EVALUABLE
    assert summary.reasons == (("UPSTREAM_EMPTY", 1),)


def test_the_funnel_counts_naive_and_ours() -> None:
    counts = {step.label: step.count for step in candidate_funnel(_candidates(), VERDICTS)}
    assert counts["Candidates"] == 3
    assert counts["Evaluable"] == counts["Naive t-test"] == 2
    assert counts["V1"] == 1
    assert counts["B"] == 0


def test_the_board_leads_to_the_pages_beside_it() -> None:
    board = replace(_board(), pages=(("Events", "events.html"), ("<b>", 'x"y.html')))
    page = render_gate_board(board)
    assert '<a href="events.html">Events</a>' in page
    assert "<b>" not in page.partition("<nav")[2].partition("</nav>")[0]
    assert "<nav" not in render_gate_board(_board())


def test_the_page_holds_every_verdict_and_needs_no_network() -> None:
    page = render_gate_board(_board())
    assert page == render_gate_board(_board())
    for gate in Gate:
        assert f"<h3>{gate.value}</h3>" in page
    assert "NOT_SIGNIFICANT" in page
    survivor = page[page.index("<code>best</code>") : page.index("<code>near</code>")]
    assert ">HETEROGENEOUS:vol_regime=high<" in survivor
    assert ">SUSPECT_SAME_BAR<" in survivor
    assert "<td>0.25</td>" in survivor
    assert "DATASET_ABSENT:&lt;b&gt;" in page, "what a spec says must not become markup"
    assert not re.search(r"<script|https?://|src=|@import", page)
    assert 'name="viewport"' in page


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (12345.6, "12,346"),
        (3.0, "3"),
        (18_128_455.0, "18.1M"),
        (7_351_837_537.0, "7,352M"),
        (0.00001234, "1.2e-05"),
        (2.3456, "2.35"),
        (0, "0"),
    ],
)
def test_numbers_as_people_read_them(value: float | None, text: str) -> None:
    assert format_number(value) == text
