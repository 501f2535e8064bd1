"""Checks as the UI shows them: one evaluation a partition, also in a range; schemas on demand."""

from __future__ import annotations

from typing import Any

import dagster as dg
import polars as pl
import pytest

from quantlab_pipeline.core.verdicts import Gate
from quantlab_pipeline.defs.check_events import check_name
from quantlab_pipeline.defs.partitions import range_tags
from quantlab_pipeline.defs.schema_checks import NAME as SCHEMA_CHECK
from quantlab_pipeline_tests.defs.builders import NAME, QUIET, World, failures


def evaluations(result: dg.ExecuteInProcessResult, name: str) -> dict[str | None, Any]:
    found = [e for e in result.get_asset_check_evaluations() if e.check_name == name]
    assert len({e.partition for e in found}) == len(found), "one evaluation a partition"
    return {e.partition: e for e in found}


def check_schemas(world: World, table: str, **tags: str) -> dg.ExecuteInProcessResult:
    """The schema check of one table alone, as someone asks for it in the UI."""
    check = dg.AssetCheckKey(dg.AssetKey([NAME, table]), SCHEMA_CHECK)
    job = dg.define_asset_job("look", selection=dg.AssetSelection.checks(check))
    definitions = dg.Definitions.merge(world.definitions(), dg.Definitions(jobs=[job]))
    return definitions.resolve_job_def("look").execute_in_process(
        instance=world.instance, run_config=QUIET, tags=tags, raise_on_error=False
    )


@pytest.mark.parametrize("gate", [Gate.D0, Gate.PIT1])
def test_a_range_run_evaluates_a_gate_once_a_day(world: World, gate: Gate) -> None:
    result = world.run("days")
    shown = evaluations(result, check_name(gate))
    assert sorted(map(str, shown)) == world.days
    assert all(e.passed and not e.blocking for e in shown.values())
    assert {e.severity for e in shown.values()} == {dg.AssetCheckSeverity.ERROR}


def test_an_evaluation_speaks_of_the_newest_materialization_of_its_day(world: World) -> None:
    world.run("days")
    # The last day often, so that the newest records are not one a day.
    for _ in range(3):
        world.run("days", world.days[-1], tables=["qa_report"])
    shown = evaluations(look_again(world), check_name(Gate.D0))
    records = world.instance.fetch_materializations(
        dg.AssetKey([NAME, "qa_report"]), limit=100
    ).records
    newest: dict[str | None, int] = {}
    for record in records:
        newest.setdefault(record.partition_key, record.storage_id)
    told = {day: e.target_materialization_data.storage_id for day, e in shown.items()}
    assert told == newest


def look_again(world: World) -> dg.ExecuteInProcessResult:
    """Gate D0 alone over all days, without its asset."""
    check = dg.AssetCheckKey(dg.AssetKey([NAME, "qa_report"]), check_name(Gate.D0))
    job = dg.define_asset_job("look", selection=dg.AssetSelection.checks(check))
    definitions = dg.Definitions.merge(world.definitions(), dg.Definitions(jobs=[job]))
    return definitions.resolve_job_def("look").execute_in_process(
        instance=world.instance,
        run_config=QUIET,
        tags=range_tags(world.days[0], world.days[-1]),
        raise_on_error=False,
    )


def test_one_symbols_bad_day_does_not_stop_the_range(world: World) -> None:
    spoil(world, world.days[2], "AAAUSDT")
    result = world.run("days")
    assert result.success, failures(result)
    assert evaluations(result, check_name(Gate.D0))[world.days[2]].passed
    members = world.lake().read("universe", [world.days[2]])
    assert members["symbol"].to_list() == ["BBBUSDT"]


def test_a_day_on_which_nobody_is_left_is_shown_and_does_not_stop_the_range(world: World) -> None:
    spoil(world, world.days[2], "AAAUSDT", "BBBUSDT")
    result = world.run("days")
    assert result.success, failures(result)
    shown = evaluations(result, check_name(Gate.D0))
    assert [day for day, e in shown.items() if not e.passed] == [world.days[2]]
    lake = world.lake()
    assert lake.read("features_pt", world.days).height == 2 * 4 * 1440
    assert lake.manifests.current("labels_fwd", f"day={world.days[2]}").notes == {
        "nothing admitted by": "D0"
    }


def test_a_range_on_which_nobody_is_left_is_stopped(world: World) -> None:
    for day in world.days:
        spoil(world, day, "AAAUSDT", "BBBUSDT")
    result = world.run("days")
    assert not result.success
    assert all(e.blocking for e in evaluations(result, check_name(Gate.D0)).values())
    assert [told.split(":")[0] for told in failures(result)] == [f"{NAME}__qa_report_D0"]


def spoil(world: World, day: str, *symbols: str) -> None:
    """Take the day's last ten hours of bars from these symbols."""
    lake = world.lake()
    bars = lake.read("bars_1m_perp", [day], gated=False)
    late = pl.col("ts") > pl.col("ts").min() + pl.duration(hours=14)
    bad = bars.filter(~(late & pl.col("symbol").is_in(symbols)))
    manifest = lake.manifests.current("bars_1m_perp", f"day={day}")
    lake.write("bars_1m_perp", bad, [day], observed={day: manifest.observed})


def test_schema_checks_run_on_demand_alone(world: World) -> None:
    assert not evaluations(world.run("days"), SCHEMA_CHECK)


@pytest.mark.parametrize("table", ["bars_1m_perp", "features_pt", "events"])
def test_a_schema_check_shows_every_day_of_a_range(world: World, table: str) -> None:
    result = check_schemas(world, table, **range_tags(world.days[0], world.days[-1]))
    assert result.success, failures(result)
    shown = evaluations(result, SCHEMA_CHECK)
    assert sorted(map(str, shown)) == world.days
    assert all(e.passed for e in shown.values())


def test_a_schema_check_tells_what_is_wrong_and_blocks_nothing(world: World) -> None:
    manifests = world.data / "lake" / NAME / "manifests" / "events"
    (manifests / f"day={world.days[1]}.json").unlink()
    result = check_schemas(world, "events", **range_tags(world.days[0], world.days[1]))
    assert result.success
    shown = evaluations(result, SCHEMA_CHECK)
    assert {day: e.passed for day, e in shown.items()} == {
        world.days[0]: True,
        world.days[1]: False,
    }
    assert "events has no" in str(shown[world.days[1]].metadata["problem"].value)
    assert not any(e.blocking for e in shown.values())


def test_a_schema_check_of_a_study_table(world: World) -> None:
    world.run("study")
    tags = {"dagster/partition": NAME}
    shown = evaluations(check_schemas(world, "event_quality", **tags), SCHEMA_CHECK)
    assert {study: e.passed for study, e in shown.items()} == {NAME: True}
