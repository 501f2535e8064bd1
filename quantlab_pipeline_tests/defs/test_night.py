"""The night: which range a tick asks for, which studies follow it, and the board after them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import dagster as dg
import pytest

from quantlab_pipeline.core.errors import GateNotPassedError
from quantlab_pipeline.core.verdicts import Gate
from quantlab_pipeline.defs.partitions import RANGE_END, RANGE_START, studies_of
from quantlab_pipeline.defs.resources import LakesResource
from quantlab_pipeline.defs.schedules import LONGEST_DAYS, TRAILING_DAYS, trailing_window
from quantlab_pipeline.defs.sensors import is_done, waits_for
from quantlab_pipeline_tests.defs.builders import FIRST, N_DAYS, NAME, WAIVED, World, failures

LAST = FIRST + timedelta(days=N_DAYS - 1)


def lakes(world: World) -> LakesResource:
    return LakesResource(project_root=str(world.root), data_root=str(world.data))


def tick(world: World, at: datetime) -> dg.ScheduleExecutionData:
    schedule = world.definitions().get_schedule_def(f"{NAME}__nightly")
    context = dg.build_schedule_context(
        instance=world.instance,
        scheduled_execution_time=at,
        resources={"lakes": lakes(world)},
    )
    return schedule.evaluate_tick(context)


def live(world: World, **study: Any) -> World:
    """The same market without a declared end, and a study that ends two days before the data."""
    world.edit("markets/tiny", "last_day", to=None)
    world.edit("studies/tiny", "last_day", to=LAST - timedelta(days=2))
    for key, value in study.items():
        world.edit("studies/tiny", key, to=value)
    return world


def night_after(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, 1, 30, tzinfo=UTC) + timedelta(days=1)


# --- the schedule ------------------------------------------------------------------------------


def test_a_tick_asks_for_one_run_over_the_trailing_window(world: World) -> None:
    live(world)
    (request,) = tick(world, night_after(LAST + timedelta(days=1))).run_requests or []
    assert request.tags[RANGE_START] == str(FIRST), "clipped at the market's first day"
    assert request.tags[RANGE_END] == str(LAST + timedelta(days=1))
    assert request.partition_key is None


def test_the_night_after_the_last_declared_day_still_runs_and_later_ones_end(world: World) -> None:
    (request,) = tick(world, night_after(LAST)).run_requests or []
    assert request.tags[RANGE_END] == str(LAST)
    later = tick(world, night_after(LAST + timedelta(days=TRAILING_DAYS)))
    assert not later.run_requests
    assert "no day in the window" in (later.skip_message or "")


def test_a_market_without_any_day_waits_for_its_first_backfill(world: World) -> None:
    live(world).forget("events")
    data = tick(world, night_after(LAST))
    assert not data.run_requests
    assert "Backfill" in (data.skip_message or "")


@pytest.mark.parametrize(
    ("made", "first", "last"),
    [
        (date(2025, 6, 9), date(2025, 6, 4), date(2025, 6, 10)),
        (date(2025, 6, 1), date(2025, 6, 2), date(2025, 6, 10)),
        (date(2025, 4, 1), date(2025, 4, 2), date(2025, 4, 2) + timedelta(days=LONGEST_DAYS - 1)),
    ],
    ids=["every night", "after a pause", "after a long pause"],
)
def test_missed_nights_are_caught_up(world: World, made: date, first: date, last: date) -> None:
    live(world)
    assert TRAILING_DAYS == 7
    assert trailing_window(world.market, night_after(date(2025, 6, 10)), made) == (first, last)


def test_the_window_finishes_the_labels_of_a_day_that_came_late() -> None:
    # A day that is published `LATE_DAYS` late ends the labels of two days before it.
    assert TRAILING_DAYS >= 4 + 1 + 2


def test_a_night_whose_newest_day_is_not_published_makes_the_others(world: World) -> None:
    live(world)
    world.forget("events", world.days[-1])
    unpublished = LAST + timedelta(days=1)
    result = world.run("days", world.days[2], str(unpublished))
    assert result.success, failures(result)
    shown = {e.partition: e.passed for e in gate_events(result, "D0")}
    assert shown == {**dict.fromkeys(world.days[2:], True), str(unpublished): False}
    lake = world.lake()
    assert all(lake.is_current("events", day) for day in [LAST, unpublished])
    assert lake.read("features_pt", [LAST, unpublished]).height == 2 * 1440
    assert lake.read("features_pt", [unpublished], gated=False).is_empty()
    with pytest.raises(GateNotPassedError, match="DATASET_ABSENT"):
        lake.read("bars_1m_perp", [unpublished])


def test_a_day_that_is_not_published_cannot_be_made_alone(world: World) -> None:
    live(world)
    unpublished = str(LAST + timedelta(days=1))
    alone = world.run("days", unpublished)
    assert not alone.success
    assert [e.blocking for e in gate_events(alone, "D0")] == [True]
    behind = world.run("days", unpublished, tables=["labels_fwd"])
    assert "GATE_NOT_PASSED" in failures(behind)[0]


def gate_events(result: dg.ExecuteInProcessResult, check: str) -> list[Any]:
    return [e for e in result.get_asset_check_evaluations() if e.check_name == check]


# --- live studies ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def night(ran: World, tmp_path_factory: pytest.TempPathFactory) -> dg.ExecuteInProcessResult:
    """A night's run that ended well; what the lake holds then is each test's own affair."""
    return ran.copy(tmp_path_factory.mktemp("night") / "world").run("days")


def follow(world: World, name: str, after: dg.ExecuteInProcessResult) -> list[Any]:
    """What a sensor asks for after a run."""
    sensor = world.definitions().get_sensor_def(f"{NAME}__{name}")
    ends = (dg.DagsterEventType.RUN_SUCCESS, dg.DagsterEventType.RUN_FAILURE)
    event = next(e for e in after.all_events if e.event_type in ends)
    context = dg.build_run_status_sensor_context(
        sensor_name=sensor.name,
        dagster_instance=world.instance,
        dagster_run=after.dagster_run,
        dagster_event=event,
        resources={"lakes": lakes(world)} if name == "live_studies" else None,
    )
    asked = sensor(context)
    return list(asked) if isinstance(asked, Iterable) and not isinstance(asked, tuple) else [asked]


def requests(asked: list[Any]) -> list[dg.RunRequest]:
    return [each for each in asked if isinstance(each, dg.RunRequest)]


def test_a_study_is_launched_once_when_its_last_day_is_final(
    world: World, night: dg.ExecuteInProcessResult
) -> None:
    live(world)
    (request,) = requests(follow(world, "live_studies", night))
    assert request.partition_key == NAME
    assert world.instance.get_dynamic_partitions(studies_of(world.market).name or "") == [NAME]
    again = requests(follow(world, "live_studies", night))
    assert [r.run_key for r in again] == [request.run_key], "Dagster starts one run a key"
    assert not world.run("study").success, "V1 stops it"
    assert not requests(follow(world, "live_studies", night)), "a stop is an end"


@pytest.mark.parametrize("ends_before", [0, 1])
def test_a_study_waits_for_the_days_of_its_labels(
    world: World, ends_before: int, night: dg.ExecuteInProcessResult
) -> None:
    live(world, last_day=LAST - timedelta(days=ends_before))
    (skipped,) = follow(world, "live_studies", night)
    assert f"is final when {LAST + timedelta(days=2 - ends_before)} is there" in str(skipped)


def test_an_empty_day_does_not_end_the_labels(world: World) -> None:
    live(world, last_day=LAST - timedelta(days=1))
    night = world.run("days", world.days[2], str(LAST + timedelta(days=1)))
    assert night.success, failures(night)
    assert not requests(follow(world, "live_studies", night))


def test_a_study_of_a_market_that_ended_is_final(
    world: World, night: dg.ExecuteInProcessResult
) -> None:
    (request,) = requests(follow(world, "live_studies", night))
    assert request.partition_key == NAME


@pytest.mark.parametrize("table", ["events", "labels_fwd"])
def test_a_study_waits_for_a_hole_in_its_days(
    world: World, table: str, night: dg.ExecuteInProcessResult
) -> None:
    live(world)
    world.forget(table, world.days[1])
    (skipped,) = follow(world, "live_studies", night)
    assert f"{table} has no {world.days[1]}" in str(skipped)


def test_a_study_waits_for_a_stale_day(world: World, night: dg.ExecuteInProcessResult) -> None:
    live(world)
    lake = world.lake()
    bars = lake.read("bars_1m_perp", [world.days[0]], gated=False)
    lake.write("bars_1m_perp", bars.head(2000), [world.days[0]])
    assert "built from an older" in (
        waits_for(world.market, world.lake(), world.project.study(NAME)) or ""
    )
    assert not requests(follow(world, "live_studies", night))


def test_a_correction_asks_the_study_again_under_another_key(
    world: World, night: dg.ExecuteInProcessResult
) -> None:
    live(world)
    (before,) = requests(follow(world, "live_studies", night))
    world.edit("studies/tiny", "seed", to=8)
    (after,) = requests(follow(world, "live_studies", night))
    assert before.run_key != after.run_key


# --- the board ---------------------------------------------------------------------------------


def test_the_board_follows_a_study_that_a_gate_stopped(world: World) -> None:
    stopped = world.run("study")
    assert not stopped.success
    (request,) = requests(follow(world, "board_after_failure", stopped))
    assert request.partition_key == NAME
    board = world.run("board")
    assert board.success, failures(board)
    assert (world.data / "lake" / NAME / "artifacts" / NAME / "gate_board.html").is_file()


def test_the_board_follows_a_study_that_passed_and_the_study_is_done(
    world: World, night: dg.ExecuteInProcessResult
) -> None:
    world.waive(*WAIVED)
    passed = world.run("study")
    assert passed.success, failures(passed)
    assert world.lake().is_judged(Gate.P, NAME)
    (request,) = requests(follow(world, "board_after_success", passed))
    assert (request.partition_key, request.run_key) == (NAME, passed.run_id)
    assert is_done(world.lake(), world.project.study(NAME))
    assert not requests(follow(world, "live_studies", night))
