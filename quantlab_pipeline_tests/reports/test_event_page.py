"""The event page: E-1's numbers beside its thresholds, a cell a day, a path with its band."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest

from quantlab_pipeline.core.clocks import day_end, day_start, days_between
from quantlab_pipeline.core.verdicts import ItemVerdict, Outcome
from quantlab_pipeline.reports.event_data import EventFacts, EventPage, event_page
from quantlab_pipeline.reports.event_page import render_event_page, sentence
from quantlab_pipeline.research.events.gate import judge_e1
from quantlab_pipeline.research.events.schema import EVENT_QUALITY, EVENTS
from quantlab_pipeline.research.market_data.schema import UNIVERSE
from quantlab_pipeline.research.validation.event_paths import PATH_MINUTES
from quantlab_pipeline.storage.spec_files import Project
from quantlab_pipeline_tests.reports.pages import opens_alone

FIRST = date(2025, 2, 1)
SYMBOLS = ("AAAUSDT", "BBBUSDT")
TYPES = ("spread_blowout", "thin_tape", "down_shock")
REGISTRY = Project().events().only(TYPES)
THRESHOLDS = Project().gates().e1
At = tuple[str, str, datetime]


def events_at(rows: Sequence[At], severity: float = 1.5) -> pl.DataFrame:
    """Rows of schema `events` from (type, symbol, instant)."""
    found = [
        {
            "symbol": symbol,
            "ts": ts,
            "available_at": ts,
            "event_id": f"{i:016x}",
            "event_type": name,
            "version": 1,
            "severity": severity + i / 100,
            "n_triggers_1d": 1,
            "vol_regime": "high" if i % 2 else "low",
            "liq_regime": "mid",
        }
        for i, (name, symbol, ts) in enumerate(rows)
    ]
    return pl.DataFrame(found, schema=EVENTS.empty().schema)


def quality_of(**changes: Mapping[str, Any]) -> pl.DataFrame:
    """A row a type that E-1 would pass, but for `changes` by type."""
    whole = {
        "n_events": 40,
        "per_symbol_day": 1.25,
        "active_days": 9,
        "trigger_share": 0.02,
        "duplicate_share": 0.0,
        "join_share": 1.0,
        "max_jaccard": 0.1,
        "overlaps_with": "spread_blowout",
        "missing_dataset": None,
    }
    schema = EVENT_QUALITY.empty().schema
    known = {k: v for k, v in whole.items() if k in schema}
    rows = [{"event_type": t, **known, **changes.get(t, {})} for t in TYPES]
    return pl.DataFrame(rows, schema=schema)


def universe_of(days: Sequence[date], *, without: Sequence[tuple[str, date]] = ()) -> pl.DataFrame:
    rows = [
        {"symbol": s, "ts": day_end(d), "available_at": day_end(d)}
        for s in SYMBOLS
        for d in days
        if (s, d) not in without
    ]
    return pl.DataFrame(rows, schema={n: UNIVERSE.empty().schema[n] for n in rows[0]})


def page_of(
    events: pl.DataFrame, n_days: int = 6, *, quality: pl.DataFrame | None = None, **changes: Any
) -> EventPage:
    days = days_between(FIRST, FIRST + timedelta(days=n_days - 1))
    facts = EventFacts("study_x", "market_y", True, SYMBOLS, tuple(days), days[-1])
    table = quality_of() if quality is None else quality
    verdicts = {v.item: v for v in judge_e1(table, THRESHOLDS)}
    rest = {"universe": universe_of(days), "paths": paths_of("none", 0).clear()}
    return event_page(facts, REGISTRY, table, verdicts, events, **{**rest, **changes})


NOON = day_start(FIRST) + timedelta(hours=12)
SOME = events_at(
    [
        *(("spread_blowout", "AAAUSDT", NOON + timedelta(minutes=7 * k)) for k in range(5)),
        ("spread_blowout", "BBBUSDT", day_end(FIRST)),
        ("down_shock", "AAAUSDT", NOON + timedelta(minutes=1)),
        ("down_shock", "AAAUSDT", NOON + timedelta(days=1)),
        ("thin_tape", "ZZZUSDT", NOON),
        ("thin_tape", "AAAUSDT", NOON + timedelta(days=99)),
    ]
)
"""Of thin_tape only a stranger's and one of the holdout."""


# --- what is on the page ------------------------------------------------------------------------


def test_every_type_stands_in_a_row_with_e1s_numbers_and_reasons() -> None:
    quality = quality_of(
        thin_tape={"n_events": 4, "active_days": 2},
        down_shock={"missing_dataset": "open_interest", "trigger_share": None},
    )
    rows = opens_alone(render_event_page(page_of(SOME, quality=quality))).rows
    of_type = {row[0]: row for row in rows if len(row) == 11}
    assert of_type["spread_blowout"] == [
        "spread_blowout", "PASS", "40", "1.25", "9", "2 %", "0 %", "10 %", "spread_blowout",
        "100 %", "",
    ]  # fmt: skip
    assert of_type["thin_tape"][1] == "FAIL"
    assert of_type["thin_tape"][-1] == "TOO_RARE"
    assert of_type["down_shock"][1] == "NOT EVALUABLE"
    assert of_type["down_shock"][-1] == "DATASET_ABSENT:open_interest"
    assert ["min events", "4", f"{THRESHOLDS.min_events}"] in rows, "measured beside its threshold"


def test_the_sentence_counts_what_e1_admits() -> None:
    quality = quality_of(thin_tape={"n_events": 4})
    told = sentence(page_of(SOME, quality=quality))
    assert told == (
        "3 event types on AAAUSDT, BBBUSDT, 6 days before the holdout (2025-02-01 .. 2025-02-06): "
        "E-1 admits 2, refuses 1 and cannot judge 0."
    )
    unjudged = page_of(SOME)
    bare = replace(unjudged, stories=tuple(replace(s, verdict=None) for s in unjudged.stories))
    assert sentence(bare).endswith("cannot judge 0; not judged: 3.")
    assert "NOT JUDGED" in render_event_page(bare)


def test_events_of_other_symbols_and_of_the_holdout_are_not_shown() -> None:
    stories = {s.event_type.name: s for s in page_of(SOME).stories}
    assert {name: s.n_events for name, s in stories.items()} == {
        "spread_blowout": 6, "thin_tape": 0, "down_shock": 2,
    }  # fmt: skip
    assert "No event on these days." in render_event_page(page_of(SOME))


def test_midnight_belongs_to_the_day_and_hour_that_it_ends() -> None:
    story = page_of(SOME).stories[0]
    assert story.counts == {("AAAUSDT", FIRST): 5, ("BBBUSDT", FIRST): 1}
    assert {h: n for h, n in enumerate(story.hours) if n} == {11: 1, 12: 4, 23: 1}
    assert sum(story.hours) == story.n_events


def test_regimes_and_severity_are_the_types_own() -> None:
    story = page_of(SOME).stories[2]
    assert story.regimes["vol_regime"] == {"low": 1, "mid": 0, "high": 1, "unknown": 0}
    assert story.severity is not None
    assert (story.severity.low, story.severity_max) == (pytest.approx(1.56, abs=0.01), 1.57)


def test_overlap_is_e1s_and_a_type_without_events_has_none() -> None:
    overlap = page_of(SOME).overlap
    assert overlap[0, 0] == 1.0
    assert np.isnan(overlap[1]).all()
    assert overlap[0, 2] == overlap[2, 0] == pytest.approx(1 / (6 + 2 - 1))


# --- the calendar -------------------------------------------------------------------------------


def test_a_calendar_has_a_cell_a_day_and_tells_absence_from_quiet() -> None:
    away = [("BBBUSDT", FIRST + timedelta(days=3))]
    days = days_between(FIRST, FIRST + timedelta(days=5))
    text = render_event_page(page_of(SOME, universe=universe_of(days, without=away)))
    titles = opens_alone(text).titles
    assert "2025-02-01 AAAUSDT: 5" in titles
    assert "2025-02-01 BBBUSDT: 1" in titles
    assert titles.count("2025-02-04 BBBUSDT: not in the universe") == 2, "of each type with events"
    assert not [t for t in titles if t.startswith("2025-02-02 BBBUSDT")], "a quiet day is no mark"


def test_a_long_study_is_drawn_by_weeks_and_stays_light() -> None:
    n_days = 274
    days = days_between(FIRST, FIRST + timedelta(days=n_days - 1))
    rows = [
        (name, symbol, day_start(day) + timedelta(minutes=1 + 60 * k))
        for name in TYPES
        for symbol in SYMBOLS
        for day in days
        for k in range(3)
    ]
    text = render_event_page(page_of(events_at(rows), n_days))
    titles = [t for t in opens_alone(text).titles if t.startswith("2025-02-01")]
    assert titles == [f"2025-02-01 .. 2025-02-07 {s}: 21" for _ in TYPES for s in SYMBOLS]
    assert len(text) < 60_000 * len(TYPES)


# --- the path -----------------------------------------------------------------------------------


def paths_of(name: str, n_events: int) -> pl.DataFrame:
    means = [0.1 * m for m in PATH_MINUTES]
    return pl.DataFrame(
        {
            "event_type": name,
            "minute": PATH_MINUTES,
            "mean_bps": means,
            "se_bps": [1.0] * len(means),
            "low_bps": [m - 2 for m in means],
            "high_bps": [m + 2 for m in means],
            "n_events": n_events,
        }
    )


def test_a_path_says_its_numbers_and_how_many_events_it_is_of() -> None:
    text = render_event_page(page_of(SOME, paths=paths_of("spread_blowout", 5)))
    rows = opens_alone(text).rows
    assert ["+60", "+6.0", "+4.0 .. +8.0"] in rows
    assert ["-60", "-6.0", "-8.0 .. -4.0"] in rows
    assert "5 of 6 events; mean gross path of a long" in text
    assert text.count('class="band"') == 1
    assert "No event has prices over its whole window." in text, "down_shock has events, no path"


def test_what_a_path_is_not_is_said_on_the_page() -> None:
    text = " ".join(render_event_page(page_of(SOME)).split())
    for words in ("in-sample", "gross (no costs, no funding)", "no verdict", "pointwise",
                  "calendar-time standard errors", "The holdout stays unseen"):  # fmt: skip
        assert words in text, words
    told = render_event_page(page_of(SOME, no_path="D0 refuses <every> day."))
    assert "No path could be measured: D0 refuses &lt;every&gt; day." in told


# --- a file that opens --------------------------------------------------------------------------


def test_the_same_content_gives_the_same_bytes_whatever_the_order_of_rows() -> None:
    once = render_event_page(page_of(SOME), "digest")
    assert once == render_event_page(page_of(SOME.reverse()), "digest")
    assert '<meta name="made-from" content="digest">' in once[:400]


def test_what_specs_and_gates_say_is_escaped() -> None:
    page = page_of(SOME)
    evil = '"><b>evil</b>'
    verdict = ItemVerdict("spread_blowout", Outcome.FAIL, (evil,), {evil: (1.0, 2.0)})
    (first, *rest) = page.stories
    spec = first.event_type.model_copy(update={"meaning": evil, "requires": (evil,)})
    changed = replace(first, event_type=spec, verdict=verdict)
    text = render_event_page(replace(page, stories=(changed, *rest)))
    assert "<b>evil" not in text
    assert text.count("&lt;b&gt;evil") >= 5
    opens_alone(text)


def test_no_events_at_all_is_still_a_page() -> None:
    nothing = page_of(EVENTS.empty(), universe=UNIVERSE.empty())
    text = render_event_page(nothing)
    opens_alone(text)
    assert text.count("No event on these days.") == len(TYPES)
    empty = replace(nothing, stories=(), overlap=np.empty((0, 0)))
    assert "The study asks for no event type." in render_event_page(empty)


def test_one_event_is_a_page() -> None:
    one = events_at([("down_shock", "AAAUSDT", NOON)])
    text = render_event_page(page_of(one, paths=paths_of("down_shock", 1)))
    assert re.search(r"1 of 1 events", text)
    assert "2025-02-01 AAAUSDT: 1" in opens_alone(text).titles
