"""A candidate's page: the verdict and what it rests on, for every outcome; nothing is invented."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import polars as pl
import pytest

from quantlab_pipeline.core.verdicts import ItemVerdict, Outcome
from quantlab_pipeline.reports.candidate_data import (
    CandidateFacts,
    CandidatePage,
    candidate_pages,
)
from quantlab_pipeline.reports.candidate_page import (
    render_candidate_page,
    render_candidates_page,
)
from quantlab_pipeline.reports.candidate_story import VERDICTS
from quantlab_pipeline.research.validation.candidate_study import candidate_studies
from quantlab_pipeline.research.validation.evaluate import evaluate_family
from quantlab_pipeline.research.validation.gate import judge_v1
from quantlab_pipeline.storage.spec_files import Project
from quantlab_pipeline_tests.reports.pages import opens_alone
from quantlab_pipeline_tests.research.validation import builders

PROJECT = Project()
GATES = PROJECT.gates()
LIMITS = GATES.v1
BUDGET = 10_000
WHOLE = "calm_drop.all.1h.directional.with"


@pytest.fixture(scope="module")
def tables() -> tuple[CandidateFacts, pl.DataFrame, pl.DataFrame]:
    """A planted world of 30 days: one passes, others fail or cannot tell."""
    made = builders.plant(builders.world(6, n_days=30), "calm_drop", 60.0, 60)
    inputs, costs = builders.inputs_of(made), PROJECT.costs()
    family = builders.family(("15m", "1h", "4h"))
    frame = evaluate_family(inputs, family, costs, LIMITS, BUDGET)
    studies = candidate_studies(inputs, family, costs, LIMITS.slice_min_days, frame)
    facts = CandidateFacts(
        "study_x",
        "market_y",
        True,
        inputs.symbols,
        (inputs.days[0], inputs.days[-1]),
        inputs.days[-1] + timedelta(days=1),
        1,
        "conservative",
        costs.profiles["conservative"],
        costs.notional_usd,
        (("phase2_candidates", "sha256:one"), ("candidate_studies", "sha256:two")),
        (5.0, 5.0),
    )
    return facts, frame, studies


@pytest.fixture(scope="module")
def pages(tables: tuple[CandidateFacts, pl.DataFrame, pl.DataFrame]) -> list[CandidatePage]:
    facts, frame, studies = tables
    verdicts = {v.item: v for v in judge_v1(frame, LIMITS)}
    return candidate_pages(facts, frame, studies, verdicts, LIMITS, GATES.v1_flags)


def named(pages: list[CandidatePage], start: str) -> CandidatePage:
    return next(page for page in pages if page.name.startswith(start))


def changed(page: CandidatePage, **row: Any) -> CandidatePage:
    """The page with other figures of V1."""
    return replace(page, row={**page.row, **row})


def test_every_followed_candidate_has_a_page_that_opens_alone(pages: list[CandidatePage]) -> None:
    assert {p.outcome for p in pages} >= {Outcome.PASS, Outcome.FAIL, Outcome.UNDERPOWERED}
    for page in pages:
        text = render_candidate_page(page, "digest")
        elements = opens_alone(text)
        assert elements.titles == [page.name]
        assert text == render_candidate_page(page, "digest"), "the same page, the same bytes"
        assert VERDICTS[page.outcome] in text.replace("&#39;", "'")
        assert page.row["candidate_hash"] in text
        assert "sha256:two" in text
        assert "2025-01-31" in text, "the holdout is named"


def test_each_outcome_says_what_it_means_and_what_it_lacks(pages: list[CandidatePage]) -> None:
    page = named(pages, WHOLE)
    assert page.outcome is Outcome.PASS
    passed = render_candidate_page(page)
    assert "It passed: every condition below holds." in passed
    miss = next(p for p in pages if p.outcome is Outcome.FAIL)
    assert "NOT_SIGNIFICANT: a net effect of" in render_candidate_page(miss)
    void = render_candidate_page(
        replace(page, outcome=Outcome.NOT_EVALUABLE, reasons=("BUDGET_CHANGED",), needs=("x: y",))
    )
    assert "Its figures below decide nothing." in void
    assert "It passed" not in void
    waived = render_candidate_page(replace(page, outcome=Outcome.WAIVED))
    assert "A person's waiver admitted it" in waived.replace("&#39;", "'")
    assert "It passed" not in waived


def test_the_gates_verdict_outranks_the_rows_own(
    tables: tuple[CandidateFacts, pl.DataFrame, pl.DataFrame],
) -> None:
    facts, frame, studies = tables
    voided = {
        name: ItemVerdict(name, Outcome.NOT_EVALUABLE, ("BUDGET_CHANGED",), {}, 1.0)
        for name in frame["candidate_id"]
    }
    judged = candidate_pages(facts, frame, studies, voided, LIMITS, GATES.v1_flags)
    assert {p.outcome for p in judged} == {Outcome.NOT_EVALUABLE}
    assert judged[0].needs == (
        "BUDGET_CHANGED: the same trial budget as it was tested under: run it again.",
    )
    unjudged = candidate_pages(facts, frame, studies, {}, LIMITS, GATES.v1_flags)
    assert {p.outcome.value for p in unjudged} == set(
        frame.filter(pl.col("candidate_id").is_in(studies["candidate_id"].to_list()))["status"]
    )
    opens_alone(render_candidate_page(unjudged[0]))


def test_slices_stand_with_the_holm_rule_and_their_picture(pages: list[CandidatePage]) -> None:
    page = named(pages, WHOLE)
    text = render_candidate_page(page)
    rows = opens_alone(text).rows
    slices = [row for row in rows if len(row) == 9 and row[0] != "slice"]
    assert [row[0] for row in slices] == [s["label"] for s in page.study["slices"]]
    assert [row[4] for row in slices] == [f"{s['n_events']:,}" for s in page.study["slices"]]
    assert text.count('<svg class="interval"') == len(slices) + 1
    assert "multiplied by their number, the next by one fewer" in text
    none = replace(page, study={**page.study, "slices": [], "stability": None})
    assert "No part of its events spans enough days" in render_candidate_page(none)


def test_costs_and_capacity_are_those_of_the_study(pages: list[CandidatePage]) -> None:
    page = named(pages, WHOLE)
    rows = opens_alone(render_candidate_page(page)).rows
    multiple = page.row["gross_bps"] / page.row["cost_bps"]
    assert ["all costs", f"×{multiple:.2f}"] == next(r for r in rows if r[0] == "all costs")[:2]
    slip = next(r for r in rows if r[0] == "slippage")
    assert slip[1] == f"+{page.row['net_bps'] / 2:.2f} bps a side"
    surface = [r for r in rows if len(r) == 10]
    assert surface[0][0] == "all costs"
    assert [r[0] for r in surface[1:]] == ["×0.5", "×0.75", "×1", "×1.25", "×1.5", "×2", "×3"]
    text = re.sub(r"\s+", " ", render_candidate_page(page))
    assert "USD earns most" in text
    assert ">best<" in text
    assert ">none left<" in text


def test_what_cannot_pay_says_so_and_draws_no_profit(pages: list[CandidatePage]) -> None:
    page = named(pages, "calm_drop.all.1h.directional.against")
    text = render_candidate_page(page)
    assert "It loses before costs: no cost is low enough." in text
    assert "No size pays: the effect does not cover fees and spreads." in text
    assert "USD a day</text>" not in text
    free = {"break_even_usd": None, "best_usd": None, "best_pnl_usd_per_day": None}
    text = render_candidate_page(replace(page, study={**page.study, **free}))
    assert "size is not limited by it" in text


def test_figures_that_nobody_measured_are_dashes(pages: list[CandidatePage]) -> None:
    page = changed(
        named(pages, WHOLE),
        z_hac=None, z_two_way=None, q_hier=None, stepm_p=None, spa_p=None, deflated_sharpe=None,
        ci95_low_bps=None, boot_low_bps=None,
    )  # fmt: skip
    rows = {row[0]: row[1] for row in opens_alone(render_candidate_page(page)).rows if len(row) > 1}
    names = ("HAC z", "two-way z", "q hierarchical", "StepM p", "SPA p", "deflated Sharpe")
    assert {rows[name] for name in names} == {"–"}
    measured = changed(page, z_hac=2.5, deflated_sharpe=0.75, ci95_low_bps=1.25, ci95_high_bps=9.0)
    text = render_candidate_page(measured)
    rows = {row[0]: row[1] for row in opens_alone(text).rows if len(row) > 1}
    assert (rows["HAC z"], rows["deflated Sharpe"]) == ("2.5", "0.75")
    assert "+1.2 .. +9.0" in text


def test_flags_likeness_and_later_entries_are_told(
    tables: tuple[CandidateFacts, pl.DataFrame, pl.DataFrame],
) -> None:
    facts, frame, studies = tables
    twin = frame.filter(pl.col("candidate_id").str.starts_with(WHOLE))["candidate_id"][0]
    mine = pl.col("candidate_id").str.starts_with("calm_drop.all.4h.directional.with")
    alike = frame.with_columns(
        similar_to=pl.when(mine).then(pl.lit(twin)).otherwise("similar_to"),
        similarity=pl.when(mine).then(0.83).otherwise("similarity"),
        flags=pl.when(mine).then(pl.lit("SUSPECT_SAME_BAR")).otherwise("flags"),
        lag1_share=pl.when(mine).then(0.04).otherwise("lag1_share"),
        lag1_drop_z=pl.when(mine).then(6.2).otherwise("lag1_drop_z"),
    )
    made = candidate_pages(facts, alike, studies, {}, LIMITS, GATES.v1_flags)
    text = render_candidate_page(named(made, "calm_drop.all.4h.directional.with"))
    assert (
        f"Nearly the same as {twin}, which ranks better: of the signed events of both 83 %" in text
    )
    assert f'href="{twin}.html"' in text
    assert "SUSPECT_SAME_BAR: entered one minute later it keeps 4% of its effect" in text
    assert "Entered later" in text
    links = {p.name: f"candidates/{p.name}.html" for p in made}
    listed = render_candidates_page("study_x", "market_y", made, (64, 48), links)
    assert "nearly the same as" in listed
    opens_alone(listed)


def test_the_list_ranks_links_and_counts_what_was_asked(pages: list[CandidatePage]) -> None:
    links = {p.name: f"candidates/{p.name}.html" for p in pages}
    text = render_candidates_page("study_x", "market_y", pages, (64, 48), links, "digest")
    elements = opens_alone(text)
    rows = [r for r in elements.rows if len(r) > 5][1:]
    assert [int(r[2]) for r in rows] == sorted(p.row["rank"] for p in pages)
    assert {a["href"] for a in elements.all("a")} >= set(links.values())
    passed = sum(p.outcome is Outcome.PASS for p in pages)
    told = f"64 candidates were asked, 48 could be tested, {passed} passed V1; {len(pages)} are"
    assert told in text
    assert '<meta name="made-from" content="digest">' in text[:400]


def test_a_study_without_a_tested_candidate_says_so() -> None:
    text = render_candidates_page("study_x", "market_y", [], (64, 0), {})
    opens_alone(text)
    assert "there is none to follow" in text


def test_a_name_is_text_and_never_markup(pages: list[CandidatePage]) -> None:
    evil = '"><b>&'
    page = changed(named(pages, WHOLE), candidate_id=evil, event_type=evil)
    text = render_candidate_page(page)
    assert evil not in text
    opens_alone(text)


def test_days_of_the_page_are_those_of_the_study(pages: list[CandidatePage]) -> None:
    page = named(pages, WHOLE)
    days = [d["day"] for d in page.study["days"]]
    assert days == [date(2025, 1, 1) + timedelta(days=k) for k in range(30)]
    assert "Jan 01" in render_candidate_page(page)
