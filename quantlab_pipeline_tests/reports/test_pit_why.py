"""One feature's PIT-1 verdict in a terminal's lines."""

from __future__ import annotations

from quantlab_pipeline.core.verdicts import ItemVerdict, Outcome
from quantlab_pipeline.reports.pit_data import PitPage, page_of_report, page_of_verdicts
from quantlab_pipeline.reports.pit_why import feature_story
from quantlab_pipeline_tests.reports.pit_builders import DAYS, DECLARED, FACTS, absent, report


def story(page: PitPage, name: str) -> list[str]:
    (line,) = (f for f in page.features if f.feature == name)
    leaks = [told for told in page.leaks if told.leak.feature == name]
    return feature_story(line, leaks, len(page.days))


def test_a_red_feature_is_told_attack_by_attack() -> None:
    told = story(page_of_report(report(), FACTS, DECLARED), "oi_jump")
    assert told[0] == "oi_jump is red on 2 of 2 days."
    assert told[1] == "LEAK_PREFIX: it changes when everything that was not known yet is gone."
    assert told[2:4] == [
        "  first row   AAAUSDT 2025-03-02 04:02: 1.25 became 1.5; 5 rows changed",
        "  it saw      open_interest.oi_base, 6 min ahead",
    ]
    assert told[4].startswith("  what to do  Join open_interest on available_at")
    assert told[5].startswith("LEAK_POISON: ")
    assert len(told) == 9


def test_a_lookback_that_was_exceeded_names_what_is_declared() -> None:
    told = story(page_of_report(report(), FACTS, DECLARED), "vol_long")
    assert "  it saw      bars_1m_perp.close, 12 h older than the declared 1 h" in told


def test_a_green_feature_is_told_how_hard_it_was_tried() -> None:
    (told,) = story(page_of_report(report(), FACTS, DECLARED), "wick_bps")
    assert told.startswith("wick_bps kept every bit under attack at 14 instants, ")
    assert told.endswith("with 2,000 values compared over 2 days.")


def test_a_feature_that_could_not_be_judged_says_what_is_missing() -> None:
    (told,) = story(page_of_report(report(), FACTS, DECLARED), "spread_bps")
    assert told == "spread_bps could not be judged: tob_1m_agg has no rows on these days."


def test_a_reason_without_a_leak_stands_alone() -> None:
    items = (ItemVerdict("x", Outcome.FAIL, ("NOT_REPRODUCED",)), absent("y", "UPSTREAM_EMPTY"))
    page = page_of_verdicts({DAYS[0]: items}, FACTS, {})
    told = story(page, "x")
    assert told[0] == "x is red on 1 of 1 days."
    assert told[1].startswith("NOT_REPRODUCED: a day built alone differs")
    assert len(told) == 2
    assert story(page, "y") == ["y could not be judged: there is no row to attack."]
