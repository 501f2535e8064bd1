"""The QA page: every finding beside what it was held to, a cell a day, and it opens from a file."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from functools import partial

import polars as pl
import pytest

from quantlab_pipeline.core.clocks import day_end, day_start, days_between
from quantlab_pipeline.core.verdicts import ItemVerdict, Outcome
from quantlab_pipeline.reports.qa_data import QaFacts, QaPage, State, qa_page
from quantlab_pipeline.reports.qa_findings import findings_table, weigh
from quantlab_pipeline.reports.qa_page import (
    MOST_ROWS,
    hindsight_sentence,
    render_qa_page,
    verdict_sentence,
)
from quantlab_pipeline.research.market_data.checks import ABSENT, CHECKS
from quantlab_pipeline.research.market_data.gate import judge_d0
from quantlab_pipeline.research.market_data.schema import QA_REPORT
from quantlab_pipeline.storage.spec_files import Project
from quantlab_pipeline_tests.reports.pages import Elements

FIRST = date(2025, 2, 1)
THRESHOLDS = Project().gates().d0
JUDGE = partial(judge_d0, thresholds=THRESHOLDS)
SYMBOLS = ("AAAUSDT", "BBBUSDT")
BARS = "bars_1m_perp"

Key = tuple[str, date, str, str]
Faults = Mapping[Key, tuple[int, Sequence[datetime], str | None]]


def report(
    days: Sequence[date], symbols: Sequence[str], faults: Faults, absent: Mapping[str, str]
) -> pl.DataFrame:
    """A QA report: every check of every dataset looked for, `faults` found, `absent` not there."""
    rows = []
    for symbol in symbols:
        for day in days:
            for dataset, checks in CHECKS.items():
                need = absent.get(dataset)
                names = (ABSENT,) if need else (ABSENT, *checks)
                for check in names:
                    n, places, detail = faults.get((symbol, day, dataset, check), (0, (), None))
                    n = 1 if need == "required" else n
                    told = f"{need}, absent" if need else detail
                    first = places[0] if places else None
                    rows.append(
                        (symbol, day_end(day), dataset, check, n, first, told, list(places))
                    )
    return pl.DataFrame(
        rows, schema={c.name: c.dtype for c in QA_REPORT.columns}, orient="row"
    ).sort("symbol", "dataset", "check", "ts")


def minutes(day: date, first: int, n: int) -> list[datetime]:
    return [day_start(day) + timedelta(minutes=first + i) for i in range(n)]


def page_of(
    n_days: int,
    faults: Faults,
    symbols: Sequence[str] = SYMBOLS,
    absent: Mapping[str, str] | None = None,
    first: date = FIRST,
) -> QaPage:
    days = days_between(first, first + timedelta(days=n_days - 1))
    frame = report(days, symbols, faults, absent or {})
    facts = QaFacts("market_x", "venue_y", False, tuple(symbols), days[0], days[-1])
    return qa_page(frame, JUDGE(frame), facts, JUDGE)


DAY2, DAY3 = FIRST + timedelta(days=1), FIRST + timedelta(days=2)
FAULTS: Faults = {
    ("AAAUSDT", DAY2, BARS, "gaps"): (46, [*minutes(DAY2, 603, 45), *minutes(DAY2, 672, 1)], None),
    ("AAAUSDT", DAY2, "bars_1m_spot", "gaps"): (2, minutes(DAY2, 1439, 2), "two <b>bold</b>"),
    ("BBBUSDT", DAY2, BARS, "duplicates"): (7, minutes(DAY2, 5, 1), "0 of 7 rows differ"),
    ("BBBUSDT", DAY3, "tob_perp", "crossed_quotes"): (9, minutes(DAY3, 60, 3), None),
}


# --- what is on the page ------------------------------------------------------------------------


def test_a_symbol_that_ended_and_is_left_out_is_told_and_has_no_calendar() -> None:
    days = days_between(FIRST, DAY3)
    ended = (day_end(DAY2),)
    dead = ("DEADUSDT", day_end(DAY2), BARS, "survivorship", 1, ended[0], "ended", list(ended))
    schema = {c.name: c.dtype for c in QA_REPORT.columns}
    frame = pl.concat(
        [report(days, SYMBOLS, {}, {}), pl.DataFrame([dead], schema=schema, orient="row")]
    )
    facts = QaFacts("market_x", "venue_y", False, SYMBOLS, days[0], days[-1])
    page = qa_page(frame, JUDGE(frame), facts, JUDGE)
    text = render_qa_page(page)
    assert f"DEADUSDT ({DAY2})" in hindsight_sentence(page)
    assert "Chosen with hindsight" in text
    assert {c.symbol for c in page.calendars} == set(SYMBOLS)
    assert page.admitted == page.symbol_days, "it stops nobody else"
    assert hindsight_sentence(page_of(3, {})) == ""


def test_every_finding_stands_in_a_row_with_its_measure_limit_and_places() -> None:
    page = page_of(6, FAULTS)
    rows = [r for r in Elements(render_qa_page(page)).rows if len(r) == 11 and r[0] != "day"]
    limit = THRESHOLDS.max_missing_minutes_frac
    assert [tuple(r) for r in rows] == [
        (
            "2025-02-02", "AAAUSDT", BARS, "gaps", "46", "0.0319", f"{limit:g}",
            "max_missing_minutes_frac", "10:03", "10:03-10:47 (45), 11:12", "",
        ),
        (
            "2025-02-02", "BBBUSDT", BARS, "duplicates", "7", "7", "0",
            "max_faulty_rows", "00:05", "00:05", "0 of 7 rows differ",
        ),
        (
            "2025-02-02", "AAAUSDT", "bars_1m_spot", "gaps", "2", "0.00139", f"{limit:g}",
            "max_missing_minutes_frac", "23:59", "23:59-24:00 (2)", "two <b>bold</b>",
        ),
        (
            "2025-02-03", "BBBUSDT", "tob_perp", "crossed_quotes", "9", "–", "–",
            "only counted", "01:00", "01:00-01:02 (3)", "",
        ),
    ]  # fmt: skip


def test_two_findings_under_one_threshold_do_not_hide_each_other() -> None:
    frame = report([DAY2], ["AAAUSDT"], FAULTS, {}).with_columns(pl.lit(DAY2).alias("day"))
    measured = {w.finding.dataset: (w.measured, w.stops) for w in weigh(frame, JUDGE)}
    assert measured == {BARS: (46 / 1440, True), "bars_1m_spot": (2 / 1440, False)}


def test_the_sentence_counts_what_d0_admits() -> None:
    page = page_of(6, FAULTS)
    assert verdict_sentence(page) == (
        "AAAUSDT and BBBUSDT, 6 days (2025-02-01 .. 2025-02-06): of 12 symbol-days D0 "
        "admits 10, refuses 2 and cannot judge 0."
    )
    assert verdict_sentence(page) in render_qa_page(page)


def test_days_that_were_not_examined_and_waived_ones_are_said_and_drawn() -> None:
    days = days_between(FIRST, DAY3)
    frame = report(days[:2], SYMBOLS, FAULTS, {})
    verdicts = dict(JUDGE(frame))
    verdicts[DAY2] = [ItemVerdict(v.item, Outcome.WAIVED, v.reasons) for v in verdicts[DAY2]]
    facts = QaFacts("market_x", "venue_y", True, SYMBOLS, days[0], days[-1])
    page = qa_page(frame, verdicts, facts, JUDGE)
    assert page.admitted == 4
    assert verdict_sentence(page).endswith(
        "admits 4 (2 by a waiver), refuses 0 and cannot judge 0; not examined: 2."
    )
    assert page.overall[0].states == {
        days[0]: State.CLEAN, days[1]: State.WAIVED, days[2]: State.VOID,
    }  # fmt: skip
    text = render_qa_page(page)
    assert "A generated market" in text
    classes = Counter(cell["class"] for cell in Elements(text).cells)
    assert (classes["waived"], classes["void"]) == (2, 2 * (1 + len(CHECKS)))


def test_a_days_state_is_the_worst_of_its_dataset() -> None:
    page = page_of(3, FAULTS, absent={"funding": "required", "open_interest": "optional"})
    states = {(c.symbol, c.dataset): list(c.states.values()) for c in page.calendars}
    clean, found, fail = State.CLEAN, State.FOUND, State.FAIL
    assert states["AAAUSDT", BARS] == [clean, fail, clean]
    assert states["AAAUSDT", "bars_1m_spot"] == [clean, found, clean]
    assert states["BBBUSDT", "tob_perp"] == [clean, clean, found]
    assert set(states["AAAUSDT", "funding"]) == {State.MISSING}
    assert set(states["AAAUSDT", "open_interest"]) == {State.ABSENT}
    assert {s for c in page.overall for s in c.states.values()} == {State.MISSING}
    coverage = {c.dataset: c for c in page.coverage}
    assert (coverage["funding"].present, coverage["funding"].first_day) == (0, None)
    assert (coverage[BARS].present, coverage[BARS].asked) == (6, 6)
    assert coverage[BARS].counts[fail] == 2


def test_a_check_is_summed_over_symbol_days() -> None:
    sums = {(c.check, c.dataset): c for c in page_of(6, FAULTS).checks}
    gaps = sums["gaps", BARS]
    assert (gaps.looked, gaps.found, gaps.stopped, gaps.total) == (12, 1, 1, 46)
    assert sums["gaps", "bars_1m_spot"].stopped == 0
    assert next(iter(sums)) == ("gaps", BARS), "what stops most days comes first"


def test_the_table_beside_the_page_holds_every_place() -> None:
    scattered = [day_start(DAY2) + timedelta(minutes=7 * i + i % 2) for i in range(1, 40)]
    page = page_of(3, {("AAAUSDT", DAY2, BARS, "gaps"): (39, scattered, None)})
    (row,) = findings_table(page.weighed).iter_rows(named=True)
    assert row["places"].count(",") == 38
    assert (row["verdict"], row["measured"], row["first"]) == ("FAIL", 39 / 1440, "00:08")
    assert "and 31 more" in render_qa_page(page)


# --- cells and links ----------------------------------------------------------------------------


@pytest.mark.parametrize("n_days", [1, 6, 35, 365, 500])
def test_there_is_a_cell_for_each_day_of_each_calendar(n_days: int) -> None:
    page = page_of(n_days, FAULTS if n_days > 3 else {}, absent={"open_interest": "optional"})
    elements = Elements(render_qa_page(page))
    assert len(elements.cells) == n_days * len(SYMBOLS) * (1 + len(CHECKS))
    days = Counter(cell["title"][:10] for cell in elements.cells)
    assert set(days) == {str(d) for d in page.facts.days}
    assert set(days.values()) == {len(SYMBOLS) * (1 + len(CHECKS))}


def test_every_link_leads_somewhere_and_a_cell_to_its_own_rows() -> None:
    elements = Elements(render_qa_page(page_of(6, FAULTS)))
    ids = [attrs["id"] for _, attrs in elements.seen if "id" in attrs]
    assert len(ids) == len(set(ids))
    links = [a["href"] for a in elements.all("a")]
    assert {link.removeprefix("#") for link in links} <= set(ids)
    failed = [c for c in elements.cells if c["class"] == "fail" and "#f" in c["href"]]
    assert [c["title"] for c in failed] == [
        "2025-02-02 Sun: above a threshold; gaps 46 (0.0319 > 0.02)",
        "2025-02-02 Sun: above a threshold; duplicates 7 (7 > 0)",
    ]
    clean = next(c for c in elements.cells if c["class"] == "clean")
    assert (clean["href"], clean["title"]) == ("#d2025-02-01", "2025-02-01 Sat: nothing found")


def test_a_calendar_begins_on_its_weekday_and_a_long_one_anew_each_year() -> None:
    one = [c for c in Elements(render_qa_page(page_of(6, {}))).cells if "style" in c]
    assert {c["style"] for c in one} == {"grid-row:6"}, "2025-02-01 is a Saturday"
    assert len(one) == len(SYMBOLS) * (1 + len(CHECKS))
    text = render_qa_page(page_of(500, {}, symbols=["AAAUSDT"]))
    starts = {c["title"][:10] for c in Elements(text).cells if "style" in c}
    assert starts == {"2025-02-01", "2026-01-01"}
    assert "Feb 2025" in text


# --- a file that opens --------------------------------------------------------------------------


def test_the_page_needs_no_network_no_script_and_escapes_what_data_says() -> None:
    text = render_qa_page(page_of(6, FAULTS))
    assert text == render_qa_page(page_of(6, FAULTS))
    assert not re.search(r"<script|https?://|src=|@import|url\(|<link", text)
    assert "two &lt;b&gt;bold&lt;/b&gt;" in text
    assert "<b>bold" not in text
    assert "prefers-color-scheme: dark" in text
    assert 'name="viewport"' in text


def test_a_state_is_not_told_by_colour_alone() -> None:
    text = render_qa_page(page_of(3, FAULTS, absent={"funding": "required"}))
    signs = dict(re.findall(r'\.(\w+)::after \{ content:"(.)"; \}', text))
    assert set(signs) == {"found", "fail", "missing", "waived"}
    assert len(set(signs.values())) == len(signs)
    assert all(len(cell["title"]) > 15 for cell in Elements(text).cells)


def test_a_year_of_five_bad_symbols_stays_light_and_keeps_what_stops_days() -> None:
    symbols = [f"{c * 3}USDT" for c in "ABCDE"]
    days = days_between(date(2024, 1, 1), date(2024, 12, 30))
    faults: dict[Key, tuple[int, Sequence[datetime], str | None]] = {}
    for number, (symbol, day) in enumerate((s, d) for s in symbols for d in days):
        faults[symbol, day, BARS, "zero_volume_run"] = (30, minutes(day, 90, 30), None)
        faults[symbol, day, "tob_perp", "locked_quotes"] = (5, minutes(day, 300, 5), "messages")
        if number % 10 == 0:
            faults[symbol, day, BARS, "gaps"] = (46, minutes(day, 603, 46), None)
    page = page_of(365, faults, symbols=symbols, first=days[0])
    text = render_qa_page(page)
    elements = Elements(text)
    assert len(text) < 3_000_000
    assert len(elements.seen) < 100_000
    rows = [r for r in elements.rows if len(r) == 11 and r[0] != "day"]
    assert len(rows) == MOST_ROWS
    assert sum(r[3] == "gaps" for r in rows) == sum(w.stops for w in page.weighed) == 183
    left_out = len(faults) - MOST_ROWS
    assert f"{left_out:,} further findings are not on this page" in text
    assert 'href="qa_report.csv"' in text
    assert findings_table(page.weighed).height == len(faults)


def test_a_market_in_which_nothing_was_found_says_so() -> None:
    text = render_qa_page(page_of(2, {}))
    assert "<p>Nothing.</p>" in text
    assert "Looked for and not found" in text


def test_a_market_without_any_report_is_still_a_page() -> None:
    facts = QaFacts("market_x", "venue_y", False, SYMBOLS, FIRST, DAY3)
    page = qa_page(QA_REPORT.empty(), {}, facts, JUDGE)
    assert "not examined: 6" in render_qa_page(page)
