"""A red gate stops everybody, on every way around it that an orchestrator leaves open.

Three gates are turned red by running the real chain. Each refusal has its control: the same step
goes through while the gate is green.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest
from dagster_shared.record import replace

from quantlab_pipeline.core.errors import GateNotPassedError
from quantlab_pipeline.core.verdicts import Gate
from quantlab_pipeline.defs import factory
from quantlab_pipeline.defs.registry import BODIES
from quantlab_pipeline.defs.stage_run import Body, Made, StageRun
from quantlab_pipeline.storage.open_lake import ReadOnlyLake
from quantlab_pipeline_tests.defs.builders import N_DAYS, NAME, World, base, failures
from quantlab_pipeline_tests.defs.conftest import shared_folder

REFUSED = GateNotPassedError.code
BEHIND = {
    Gate.D0: ("days", "universe"),
    Gate.PIT1: ("days", "events"),
    Gate.V1: ("study", "bridge_executions"),
}
"""The job and the first table behind each gate that is turned red here."""
DAILY = [Gate.D0, Gate.PIT1]


@pytest.fixture(scope="session")
def green(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Days run and judged, all admitted. Look, do not change."""
    return base(shared_folder(tmp_path_factory))


@pytest.fixture
def world(green: World, tmp_path: Path) -> World:
    return green.copy(tmp_path / "world")


@pytest.fixture(scope="module", params=list(BEHIND))
def red(
    green: World, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[World, Gate]]:
    """The real chain was run up to a gate that refuses."""
    gate: Gate = request.param
    world = green.copy(tmp_path_factory.mktemp("red") / "world")
    with pytest.MonkeyPatch.context() as patch:
        if gate is Gate.D0:
            make_every_minute_an_outlier(world)
        if gate is Gate.PIT1:
            patch.setitem(BODIES, "features_pt", leaking(BODIES["features_pt"]))
            world.forget("features_pt")
        result = world.run(BEHIND[gate][0])
        assert not result.success
        assert not_passed(result) == {factory.check_name(gate)}
        yield world, gate


def make_every_minute_an_outlier(world: World) -> None:
    world.edit("gates", "d0", "outlier_min_bps", to=0.001)
    world.edit("gates", "d0", "outlier_mad_k", to=0.001)


def leaking(body: Body) -> Body:
    """The right features, but for one: the last return is the next minute's."""

    def leak(run: StageRun) -> Made:
        ahead = pl.col("ret_1m_bps").shift(-1).over("symbol")
        return Made(body(run).frame.with_columns(ahead.alias("ret_1m_bps")))

    return leak


def not_passed(result: dg.ExecuteInProcessResult) -> set[str]:
    return {e.check_name for e in result.get_asset_check_evaluations() if not e.passed}


def behind(world: World, gate: Gate, **how: Any) -> dg.ExecuteInProcessResult:
    """The table behind the gate, alone, in a run of its own."""
    job, table = BEHIND[gate]
    return world.run(job, tables=[table], **how)


def assert_refused(result: dg.ExecuteInProcessResult, gate: Gate | None = None) -> None:
    told = failures(result)
    assert len(told) == 1, told
    assert REFUSED in told[0], told
    assert gate is None or gate.value in told[0], told


# --- (a) downstream alone, in a run of its own; (b) a backfill --------------------------------


def test_downstream_alone_is_refused(red: tuple[World, Gate]) -> None:
    assert_refused(behind(*red), red[1])


def test_a_backfill_of_what_lies_behind_is_refused(red: tuple[World, Gate]) -> None:
    # As a backfill's daemon tags its runs; one through the daemon is in defs/test_daemon.py.
    assert_refused(behind(*red, tags={"dagster/backfill": "abcdefgh"}), red[1])


@pytest.mark.parametrize("gate", DAILY)
def test_downstream_alone_runs_where_the_gate_is_green(world: World, gate: Gate) -> None:
    table = BEHIND[gate][1]
    before = [world.lake().fingerprint(table, day) for day in world.days]
    world.forget(table)
    result = behind(world, gate)
    assert result.success, failures(result)
    assert [world.lake().fingerprint(table, day) for day in world.days] == before


def test_downstream_alone_runs_where_v1_is_waived(world: World) -> None:
    assert not world.run("study").success
    assert_refused(behind(world, Gate.V1), Gate.V1)
    assert not world.lake().partitions("bridge_executions")
    world.waive(Gate.V1)
    world.run("study", tables=["phase2_candidates"])
    result = behind(world, Gate.V1)
    assert [REFUSED in told for told in failures(result)] in ([], [False]), failures(result)
    assert world.lake().partitions("bridge_executions") == [f"study={NAME}"]


# --- (c) Python, SQL and an asset of one's own ------------------------------------------------

READERS: dict[str, Callable[[World, str], int]] = {
    "lake.read": lambda w, t: w.lake().read(t, partitions(w, t)).height,
    "lake.scan": lambda w, t: w.lake().scan(t, partitions(w, t)).collect().height,
    "a column of it": lambda w, t: w.lake().read(t, partitions(w, t), columns=[KEY[t]]).height,
    "open_lake": lambda w, t: look(w, t).height,
    "sql": lambda w, t: (
        ReadOnlyLake(w.lake())
        .sql(f"select count(*) as n from {t}", w.days[0], w.days[-1], NAME)
        .item()
    ),
}
KEY = {"bars_1m_perp": "ts", "features_pt": "ts", "phase2_candidates": "candidate_id"}
GUARDED = {Gate.D0: "bars_1m_perp", Gate.PIT1: "features_pt", Gate.V1: "phase2_candidates"}


def partitions(world: World, table: str) -> list[str]:
    return [NAME] if table == "phase2_candidates" else world.days


def look(world: World, table: str) -> pl.DataFrame:
    lake = ReadOnlyLake(world.lake())
    if table == "phase2_candidates":
        return lake.study(NAME, table)
    return lake.table(table, world.days[0], world.days[-1])


@pytest.mark.parametrize("way", list(READERS))
def test_python_is_refused(red: tuple[World, Gate], way: str) -> None:
    world, gate = red
    with pytest.raises(GateNotPassedError, match=REFUSED):
        READERS[way](world, GUARDED[gate])


@pytest.mark.parametrize("table", ["bars_1m_perp", "features_pt"])
@pytest.mark.parametrize("way", list(READERS))
def test_python_reads_where_the_gates_are_green(green: World, way: str, table: str) -> None:
    assert READERS[way](green, table) == 2 * N_DAYS * 1440


def with_own_asset(world: World) -> dg.Definitions:
    """The tiny market and an asset that a user adds behind `features_pt`."""

    @dg.asset(
        name="mine",
        ins={"features": dg.AssetIn(key=[NAME, "features_pt"])},
        partitions_def=dg.DailyPartitionsDefinition(world.days[0]),
        backfill_policy=dg.BackfillPolicy.single_run(),
        io_manager_key="nowhere",
    )
    def mine(features: pl.DataFrame) -> int:
        return features.height

    job = dg.define_asset_job(f"{NAME}__mine", selection=[mine])
    added = dg.Definitions(assets=[mine], jobs=[job], resources={"nowhere": dg.mem_io_manager})
    return dg.Definitions.merge(world.definitions(), added)


def run_own_asset(world: World) -> dg.ExecuteInProcessResult:
    days = {
        "dagster/asset_partition_range_start": world.days[0],
        "dagster/asset_partition_range_end": world.days[-1],
    }
    job = with_own_asset(world).resolve_job_def(f"{NAME}__mine")
    return job.execute_in_process(instance=world.instance, tags=days, raise_on_error=False)


@pytest.mark.parametrize("red", DAILY, indirect=True)
def test_an_asset_of_ones_own_is_refused(red: tuple[World, Gate]) -> None:
    assert_refused(run_own_asset(red[0]))


def test_an_asset_of_ones_own_reads_where_the_gates_are_green(world: World) -> None:
    result = run_own_asset(world)
    assert result.success, failures(result)
    assert result.output_for_node("mine") == 2 * N_DAYS * 1440


# --- (d) a stale verdict ----------------------------------------------------------------------


def replace_bars(world: World, day: str) -> None:
    """Other bytes on one day than those that were judged: every price a tenth higher."""
    lake = world.lake()
    bars = lake.read("bars_1m_perp", [day], gated=False)
    moved = bars.with_columns(pl.col("open", "high", "low", "close") * 1.1)
    lake.write("bars_1m_perp", moved, [day])


@pytest.mark.parametrize("table", ["universe", "features_pt", "events", "labels_fwd"])
def test_a_verdict_on_older_bytes_is_refused(world: World, table: str) -> None:
    replace_bars(world, world.days[3])
    with pytest.raises(GateNotPassedError, match=REFUSED):
        world.lake().read(table, world.days)
    assert world.lake().read(table, world.days[:1]).height, "days before it stand"


def test_a_run_on_a_verdict_on_older_bytes_is_refused(world: World) -> None:
    replace_bars(world, world.days[3])
    world.forget("events")
    assert_refused(behind(world, Gate.PIT1))


def test_a_lost_verdict_is_refused_and_a_run_of_the_chain_mends_it(world: World) -> None:
    verdict = world.data / "lake" / NAME / "verdicts" / "D0" / f"day={world.days[1]}"
    (verdict / "current.json").unlink()
    with pytest.raises(GateNotPassedError, match="D0 never judged it"):
        world.lake().read("features_pt", world.days)
    result = world.run("days")
    assert result.success, failures(result)
    assert world.lake().read("features_pt", world.days).height


# --- (e) edited thresholds --------------------------------------------------------------------


@pytest.mark.parametrize("section", [("d0", "max_stale_frac"), ("pit1", "deleted_share")])
def test_an_edited_threshold_is_refused_also_a_looser_one(
    world: World, section: tuple[str, str]
) -> None:
    world.edit("gates", *section, to=0.2)
    with pytest.raises(GateNotPassedError, match=r"thresholds of .* changed"):
        world.lake().read("features_pt", world.days)
    world.forget("events")
    assert_refused(behind(world, Gate.PIT1))


def test_a_threshold_of_another_gate_stops_nobody(world: World) -> None:
    world.edit("gates", "p", "min_days", to=4)
    assert READERS["lake.read"](world, "features_pt") == 2 * N_DAYS * 1440


def test_an_edited_threshold_is_judged_anew_on_what_it_shapes(world: World) -> None:
    make_every_minute_an_outlier(world)
    result = world.run("days")
    assert not_passed(result) == {"D0"}, "the report is measured with the thresholds as they are"


# --- (f) a check of severity WARN -------------------------------------------------------------


def turn_checks_to_warnings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every check reports as before, but with severity WARN and without blocking."""
    shown = factory.evaluations

    def as_warning(*args: Any) -> Iterator[Any]:
        for event in shown(*args):
            if isinstance(event, dg.AssetCheckEvaluation):
                yield replace(event, severity=dg.AssetCheckSeverity.WARN, blocking=False)
            else:
                yield event

    monkeypatch.setattr(factory, "evaluations", as_warning)


def test_a_check_turned_to_warn_opens_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    turn_checks_to_warnings(monkeypatch)
    make_every_minute_an_outlier(world)
    result = world.run("days")
    assert {e.severity for e in result.get_asset_check_evaluations()} == {
        dg.AssetCheckSeverity.WARN
    }
    told = failures(result)
    stopped = {step.split(":")[0] for step in told}
    assert stopped == {f"{NAME}__universe", f"{NAME}__labels_fwd"}, "Dagster let the run through"
    assert all(REFUSED in step for step in told), "and the lake did not"
