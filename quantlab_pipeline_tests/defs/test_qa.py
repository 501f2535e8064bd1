"""The QA page through Dagster: which tables are needed on which days, and the page as an asset."""

from __future__ import annotations

import json
from datetime import date, timedelta
from pathlib import Path

import dagster as dg
import polars as pl
import pytest

from quantlab_pipeline.core.clocks import day_start
from quantlab_pipeline.core.verdicts import Gate
from quantlab_pipeline.defs.qa_runner import Chunk, in_runs, tables_needed
from quantlab_pipeline.defs.reports import qa
from quantlab_pipeline_tests.defs.builders import FIRST, N_DAYS, NAME, QUIET, World
from quantlab_pipeline_tests.storage.builders import DAYS, TABLES, toy_lake

LAST = FIRST + timedelta(days=N_DAYS - 1)


# --- what is needed -----------------------------------------------------------------------------


def test_lookback_and_the_verdicts_it_relies_on_are_followed_to_the_markets_first_day(
    tmp_path: Path,
) -> None:
    needed = tables_needed(toy_lake(tmp_path), ["features"], [DAYS[3]])
    past = {"bars", "book", "qa"}
    assert needed == {
        DAYS[1]: past, DAYS[2]: past, DAYS[3]: {*past, "universe", "features"},
    }  # fmt: skip
    assert list(tables_needed(toy_lake(tmp_path), ["features"], [DAYS[1]])) == DAYS[:2]


def test_a_run_holds_days_of_one_month_that_need_the_same(tmp_path: Path) -> None:
    few, all_of_them = frozenset({"bars"}), frozenset({"bars", "qa"})
    days = [date(2026, 1, 30), date(2026, 1, 31), date(2026, 2, 1), date(2026, 2, 2)]
    needed = {days[0]: few, **dict.fromkeys(days[1:], all_of_them), date(2026, 2, 9): all_of_them}
    assert list(in_runs(needed, list(TABLES))) == [
        Chunk(days[0], days[0], ("bars",)),
        Chunk(days[1], days[1], ("bars", "qa")),
        Chunk(days[2], days[3], ("bars", "qa")),
        Chunk(date(2026, 2, 9), date(2026, 2, 9), ("bars", "qa")),
    ]


# --- the page as an asset -----------------------------------------------------------------------


def drawn(world: World, **config: object) -> dg.ExecuteInProcessResult:
    job = world.definitions().resolve_job_def(f"{NAME}__qa")
    ops = {f"{NAME}__qa_calendar": {"config": config}}
    return job.execute_in_process(
        instance=world.instance, run_config={**QUIET, "ops": ops}, raise_on_error=False
    )


def page(world: World) -> str:
    return (qa.qa_folder(world.data, NAME) / qa.PAGE).read_text(encoding="utf-8")


def test_the_job_draws_every_day_that_was_examined(world: World) -> None:
    result = drawn(world)
    assert result.success
    (event,) = result.asset_materializations_for_node(f"{NAME}__qa_calendar")
    assert event.metadata["symbol-days"].value == 2 * N_DAYS
    assert event.metadata["admitted"].value == 2 * N_DAYS
    text = page(world)
    assert f"({FIRST} .. {LAST}): of 10 symbol-days D0 admits 10, refuses 0" in text
    assert event.metadata["page"].value == str(qa.qa_folder(world.data, NAME) / qa.PAGE)
    assert (qa.qa_folder(world.data, NAME) / qa.TABLE).is_file()


def test_the_job_takes_days_and_symbols(world: World) -> None:
    assert drawn(world, first_day=str(FIRST), last_day=str(FIRST), symbols=["BBBUSDT"]).success
    assert f"BBBUSDT, 1 day ({FIRST} .. {FIRST}): of 1 symbol-days D0 admits 1" in page(world)
    assert "AAAUSDT" not in page(world)


def test_a_day_whose_report_or_verdict_is_stale_is_not_shown_as_examined(world: World) -> None:
    world.edit("gates", "d0", "max_silent_minutes", to=14)
    assert drawn(world).success
    assert "admits 0, refuses 0 and cannot judge 0; not examined: 10" in page(world)


def test_a_day_that_d0_never_judged_is_not_examined(world: World) -> None:
    day = world.days[1]
    (world.data / "lake" / NAME / "verdicts" / Gate.D0 / f"day={day}" / "current.json").unlink()
    assert drawn(world).success
    assert "admits 8, refuses 0 and cannot judge 0; not examined: 2" in page(world)


def test_a_market_without_a_day_says_how_to_make_one(world: World) -> None:
    world.forget(qa.REPORT)
    result = drawn(world)
    assert not result.success
    (failure,) = [e for e in result.all_events if e.event_type_value == "STEP_FAILURE"]
    assert f"quantlab qa {NAME}" in json.dumps(str(failure.step_failure_data.error))


def test_rows_are_those_of_the_lake_and_a_book_counts_its_minutes(ran: World) -> None:
    lake = ran.lake()
    content = qa.qa_content(ran.project, ran.market, lake, (FIRST, LAST))
    rows = qa.rows_of(lake, content)
    assert rows["AAAUSDT", "bars_1m_perp"] == N_DAYS * 1440
    assert rows["AAAUSDT", "tob_perp"] == N_DAYS * 1440
    assert rows["BBBUSDT", "open_interest"] == N_DAYS * 288
    assert rows["AAAUSDT", "tob_spot"] == 0


def test_who_was_a_member_and_why_is_told_from_when_to_when(world: World) -> None:
    assert drawn(world).success
    path = qa.qa_folder(world.data, NAME) / qa.MEMBERS
    spells = pl.read_csv(path, try_parse_dates=True)
    assert spells["symbol"].to_list() == ["AAAUSDT", "BBBUSDT"]
    assert spells["is_member"].to_list() == [True, True]
    assert spells["valid_to"].null_count() == 2, "they trade on"
    assert {day_start(FIRST)} == set(spells["valid_from"].dt.replace_time_zone("UTC"))


@pytest.mark.parametrize("n_days", [400])
def test_a_page_whose_days_nobody_named_shows_the_last_year(ran: World, n_days: int) -> None:
    class Long:
        def days(self, table: str) -> list[date]:
            assert table == qa.REPORT
            return [FIRST + timedelta(days=i) for i in range(n_days)]

    first, last = qa.reported_days(ran.market, Long())  # type: ignore[arg-type]
    assert (last - first).days + 1 == qa.LONGEST_DAYS
