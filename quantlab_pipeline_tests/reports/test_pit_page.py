"""The PIT-1 page: every leak in a row and a drawing, every feature in a line, nothing left out."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta

import pytest

from quantlab_pipeline.core.verdicts import ItemVerdict, Outcome
from quantlab_pipeline.reports.pit_data import (
    Cell,
    PitPage,
    first_leaks,
    page_of_report,
    page_of_verdicts,
)
from quantlab_pipeline.reports.pit_page import TITLES, render_pit_page, verdict_sentence
from quantlab_pipeline.reports.pit_timeline import timeline
from quantlab_pipeline.research.features.leaks import Leak
from quantlab_pipeline_tests.reports.pit_builders import (
    DAYS,
    DECLARED,
    FACTS,
    LEAKS,
    ROW,
    absent,
    leak,
    report,
    verdict,
    verdicts_of,
)
from quantlab_pipeline_tests.reports.test_qa_page import Elements


def page_of(leaks: tuple[Leak, ...] = LEAKS) -> PitPage:
    return page_of_report(report(leaks), FACTS, DECLARED)


def rows_of(page: PitPage, n_cells: int) -> list[list[str]]:
    return [r for r in Elements(render_pit_page(page)).rows if len(r) == n_cells]


def leak_rows(page: PitPage) -> list[list[str]]:
    return [row for row in rows_of(page, 10) if row[1] in TITLES.values() and row[0] != "feature"]


# --- what it says -------------------------------------------------------------------------------


def test_the_sentence_counts_what_was_attacked_and_names_the_red() -> None:
    assert verdict_sentence(page_of()) == (
        "8 features over 2 days and 2 symbols attacked at 14 instants with 16,000 values compared "
        "bit for bit: 7 are red (oi_jump, ret_next, z_all, close_revised and 3 more); 1 could not "
        "be judged."
    )
    assert "bit for bit: 1 is red (oi_jump);" in verdict_sentence(page_of(LEAKS[:1]))
    assert "bit for bit: all green;" in verdict_sentence(page_of(()))


def test_nothing_judged_is_not_called_green() -> None:
    empty = {DAYS[0]: (absent("a", "UPSTREAM_EMPTY"), absent("b", "UPSTREAM_EMPTY"))}
    page = page_of_verdicts(empty, FACTS, {})
    assert verdict_sentence(page) == (
        "No feature could be attacked on 1 day; 2 could not be judged."
    )
    assert 'class="verdict grey"' in render_pit_page(page)
    assert "green" not in verdict_sentence(page_of_verdicts({}, FACTS, {}))


def test_every_leak_stands_in_a_row_with_its_input_and_its_reach() -> None:
    first = leak_rows(page_of())[0]
    assert first == [
        "oi_jump", "prefix", "AAAUSDT", "2025-03-02 04:02", "open_interest.oi_base", "6 min ahead",
        "1.25", "1.5", "5", "2",
    ]  # fmt: skip
    told = {row[0]: row for row in leak_rows(page_of())}
    assert set(told) == {found.feature for found in LEAKS}
    assert told["vol_long"][5] == "12 h older than the declared 1 h"
    assert told["ret_next"][6:8] == ["1.25", "no value"]
    assert told["oi_jump"][6:8] == ["1.25", "1.250000000000001"], "the last, a poisoned one"


def test_every_leak_leads_to_its_drawing_and_its_remedy() -> None:
    text = render_pit_page(page_of())
    elements = Elements(text)
    ids = {attrs["id"] for _, attrs in elements.seen if "id" in attrs}
    links = {attrs["href"] for attrs in elements.all("a")} - {"gate_board.html"}
    assert all(link.startswith("#") and link[1:] in ids for link in links)
    assert {f"{found.feature}-{found.attack}" for found in LEAKS} <= ids
    assert len(elements.all("svg")) == len(LEAKS)
    assert text.count('class="todo"') == len(LEAKS)


def test_a_cell_says_what_each_attack_did_to_each_feature() -> None:
    cells = {line.feature: line.cells for line in page_of().features}
    held, changed, nothing = Cell.GREEN, Cell.RED, Cell.GREY
    assert cells["oi_jump"] == (changed, changed, held, nothing), "it has no recursion"
    assert cells["vol_long"] == (held, held, changed, nothing)
    assert cells["ema_short"] == (held, held, held, changed)
    assert cells["wick_bps"] == (held, held, held, nothing)
    assert cells["spread_bps"] == (nothing,) * 4
    (signs,) = [r for r in rows_of(page_of(), 10) if r[0] == "vol_long" and r[5] == "FAIL"]
    assert signs[1:5] == ["✓", "✓", "×", "–"]


def test_an_attack_that_rebuilt_nothing_and_a_feature_without_values_are_grey() -> None:
    whole = report(())
    quick = replace(whole, coverage=replace(whole.coverage, rebuilds={"prefix": 3, "poison": 3}))
    (wick,) = (
        f for f in page_of_report(quick, FACTS, DECLARED).features if f.feature == "wick_bps"
    )
    assert wick.cells == (Cell.GREEN, Cell.GREEN, Cell.GREY, Cell.GREY)
    silent = page_of_verdicts({DAYS[0]: (verdict("x", values=0.0),)}, FACTS, {})
    assert silent.features[0].cells == (Cell.GREY,) * 4


def test_other_reasons_and_what_was_not_judged_are_told_in_words() -> None:
    items = (
        ItemVerdict("gone", Outcome.FAIL, ("NOT_BUILT",)),
        absent("spread_bps", "DATASET_ABSENT:tob_1m_agg"),
    )
    page = page_of_verdicts({DAYS[0]: items}, FACTS, DECLARED)
    (gone,) = page.judged
    assert gone.others == ("the stored table has no such column; build its days again",)
    assert gone.red_days == 1
    assert rows_of(page, 2)[-1] == ["spread_bps", "tob_1m_agg has no rows on these days"]


def test_a_feature_is_as_bad_as_its_worst_day() -> None:
    days = {
        DAYS[0]: (verdict("x"),),
        DAYS[1]: (verdict("x", leak("x", "prefix", None)),),
    }
    (line,) = page_of_verdicts(days, FACTS, {}).features
    assert (line.outcome, line.red_days, line.instants, line.values) == (Outcome.FAIL, 1, 14, 2000)
    days[DAYS[1]] = (absent("x", "DATASET_ABSENT:funding"),)
    assert page_of_verdicts(days, FACTS, {}).features[0].outcome is Outcome.PASS


def test_a_waived_feature_is_red_all_the_same() -> None:
    waived = replace(verdict("x", leak("x", "prefix", None)), outcome=Outcome.WAIVED)
    page = page_of_verdicts({DAYS[0]: (waived,)}, FACTS, {})
    assert [f.feature for f in page.red] == ["x"]
    assert page.features[0].cells[0] is Cell.RED
    assert "WAIVED" in render_pit_page(page)


def test_coverage_is_told_by_day_and_by_kind() -> None:
    text = render_pit_page(page_of())
    days = [row for row in Elements(text).rows if row and row[0].startswith("2025-03-0")]
    assert [row[:2] + row[3:] for row in days if len(row) == 6] == [
        ["2025-03-02", "7", "1", "7", "1"], ["2025-03-03", "7", "7", "1", "1"],
    ]  # fmt: skip
    assert ["just before a funding settlement was out", "4"] in Elements(text).rows
    assert ["lookback", "2"] in Elements(text).rows


# --- from verdicts ------------------------------------------------------------------------------


def test_stored_verdicts_tell_the_same_as_the_report_they_came_from() -> None:
    fresh, kept = page_of(), page_of_verdicts(report().verdicts, FACTS, DECLARED)
    assert kept.leaks == fresh.leaks
    assert kept.features == fresh.features
    assert kept.days == fresh.days
    assert verdict_sentence(kept) == verdict_sentence(fresh)
    assert (kept.kinds, kept.rebuilds) == (None, None)
    assert "Coverage by kind" not in render_pit_page(kept)


def test_the_earliest_leak_of_each_feature_and_attack_is_told() -> None:
    late = leak("oi_jump", "prefix", None, ts=ROW + timedelta(minutes=1))
    days = {
        DAYS[1]: verdicts_of(DAYS[1], LEAKS[:2]),
        DAYS[0]: (verdict("oi_jump", late, LEAKS[0]),),
    }
    found = [(one.attack, one.ts) for one in first_leaks(days)]
    assert found == [("prefix", ROW), ("poison", ROW + timedelta(days=1))]


# --- the drawing --------------------------------------------------------------------------------


@pytest.mark.parametrize("told", page_of().leaks, ids=lambda told: told.anchor)
def test_marks_stand_in_the_order_of_time_inside_the_drawing(told) -> None:
    svg = str(timeline(told))
    wide = float(re.search(r'viewBox="0 0 (\d+)', svg)[1])
    places = [float(x) for x in re.findall(r'(?:cx|x1|x2|x)="([\d.]+)"', svg)]
    assert all(0 <= x <= wide for x in places)
    row = float(re.search(r'class="row" cx="([\d.]+)"', svg)[1])
    fact = re.search(r'class="fact" d="M([\d.]+)', svg)
    if fact:
        ahead = told.leak.attack in ("prefix", "poison")
        assert (float(fact[1]) > row) == ahead
    assert told.saw in svg
    assert "NaN" not in svg


def test_a_drawing_of_a_far_fact_is_dashed_and_of_another_day_dated() -> None:
    told = {one.leak.feature: str(timeline(one)) for one in page_of().leaks}
    assert "sight open" in told["z_all"]
    assert "03-05 04:02" in told["z_all"]
    assert "sight open" not in told["oi_jump"]
    assert "04:08" in told["oi_jump"]


def test_a_fact_that_came_milliseconds_later_is_told_apart_from_its_row() -> None:
    snapped = leak("x", "prefix", "funding.settled_rate", reach_s=0.0214)
    (told,) = page_of_verdicts({DAYS[0]: (verdict("x", snapped),)}, FACTS, {}).leaks
    assert told.saw == "21 ms ahead"
    assert ">04:02:00.021<" in str(timeline(told))


def test_where_the_reach_was_not_measured_the_arc_ends_in_a_question() -> None:
    late = leak("x", "prefix", None, reach_s=None, tau=ROW + timedelta(hours=1))
    (told,) = page_of_verdicts({DAYS[0]: (verdict("x", late),)}, FACTS, {}).leaks
    svg = str(timeline(told))
    tau = float(re.search(r'class="tau" x1="([\d.]+)"', svg)[1])
    asked = float(re.search(r'x="([\d.]+)"[^>]*>\?<', svg)[1])
    assert asked > tau
    assert "sight open" in svg


# --- one file that opens anywhere ---------------------------------------------------------------


def test_the_page_needs_no_network_and_is_the_same_bytes_again() -> None:
    text = render_pit_page(page_of())
    assert text == render_pit_page(page_of())
    assert not re.search(r"<script|https?://|src=|@import", text)
    assert 'name="viewport"' in text
    assert "prefers-color-scheme: dark" in text


def test_a_name_from_a_spec_does_not_become_markup() -> None:
    odd = leak("<b>x</b>", "prefix", "<i>t</i>.c")
    page = page_of_verdicts({DAYS[0]: (verdict("<b>x</b>", odd),)}, FACTS, {})
    text = render_pit_page(page)
    assert "<b>" not in text
    assert "<i>" not in text


def test_a_generated_market_is_told() -> None:
    synthetic = replace(FACTS, synthetic=True)
    text = render_pit_page(page_of_verdicts(report(()).verdicts, synthetic, DECLARED))
    assert "nothing here is admissible" in text
    assert "nothing here is admissible" not in render_pit_page(page_of(()))
