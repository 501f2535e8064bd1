"""PT-07: a leak in the registry, under a name that says nothing, in the chain as people run it.

Its author registers a verb and a spec in good faith; the shift has the wrong sign. Gate PIT-1 must
stop it before V1 sees it, on every route, and its honest twin must go all the way. What a red gate
does to everybody on every route is `test_bypass`' matter.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import numpy as np
import pytest

from quantlab_pipeline.core.errors import GateNotPassedError
from quantlab_pipeline.core.seeds import child_seed
from quantlab_pipeline.core.verdicts import Gate, Outcome
from quantlab_pipeline.defs.factory import asset_key, check_name
from quantlab_pipeline.defs.jobs import gates_on
from quantlab_pipeline.defs.partitions import range_tags
from quantlab_pipeline.research.features.computations import COMPUTATIONS
from quantlab_pipeline.research.features.verbs import VERBS, ChangeParams, Verb
from quantlab_pipeline_tests.defs.builders import NAME, QUIET, World, base, failures
from quantlab_pipeline_tests.defs.conftest import shared_folder
from quantlab_pipeline_tests.test_planted_truth.test_bypass import (
    READERS,
    assert_refused,
    not_passed,
    turn_checks_to_warnings,
)

ID = f"{child_seed(20_261_126, 'canary') % 16**8:08x}"
COLUMN, VERB = f"f_{ID}", f"v_{ID}"
MINUTES = 5
SPEC = {
    "meaning": "Change of the close over five minutes.",
    "unit": "bps",
    "inputs": ["bars_1m_perp.close"],
    "verb": VERB,
    "params": {"window_min": MINUTES},
    "aggregation": "last",
    "normalisation": "log",
    "lookback_min": MINUTES,
    "warmup_min": MINUTES,
    "min_valid": 1,
    "needs": ["bars_1m_perp"],
}
BEHIND = ("events", "event_quality", "phase2_candidates")


def change_ahead(inputs, params, _grid):
    """The change over some minutes; `np.roll` was given the wrong sign."""
    moved = np.roll(inputs[0], -params.window_min)
    moved[-params.window_min :] = np.nan
    return 1e4 * np.log(moved / inputs[0])


def change_behind(inputs, params, _grid):
    """The change over some minutes."""
    moved = np.roll(inputs[0], params.window_min)
    moved[: params.window_min] = np.nan
    return 1e4 * np.log(inputs[0] / moved)


@pytest.fixture(scope="module")
def days_run(tmp_path_factory: pytest.TempPathFactory) -> World:
    """The tiny market, its days run and judged without the canary. Look, do not change."""
    return base(shared_folder(tmp_path_factory))


@pytest.fixture
def world(days_run: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """A copy in which the canary is registered, and nothing was made of the features yet."""
    return registered(days_run, tmp_path / "world", change_ahead, monkeypatch)


@pytest.fixture(scope="module")
def stopped(
    days_run: World, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[World, dg.ExecuteInProcessResult]]:
    """The chain of days, run with the canary. Look, do not change."""
    with pytest.MonkeyPatch.context() as patch:
        world = registered(
            days_run, tmp_path_factory.mktemp("canary") / "world", change_ahead, patch
        )
        yield world, world.run("days")


def registered(days_run: World, place: Path, verb, patch: pytest.MonkeyPatch) -> World:
    """A copy of the market whose registry has the column, computed by `verb`."""
    world = days_run.copy(place)
    patch.setitem(VERBS, VERB, Verb(1, ChangeParams))
    patch.setitem(COMPUTATIONS, VERB, verb)
    world.edit("feature_specs", "features", COLUMN, to=SPEC)
    world.forget("events")
    return world


def run_alone(world: World, selection: dg.AssetSelection) -> dg.ExecuteInProcessResult:
    """A job that a user makes of a selection, on all days."""
    job = dg.define_asset_job(f"{NAME}__own", selection, executor_def=dg.in_process_executor)
    merged = dg.Definitions.merge(world.definitions(), dg.Definitions(jobs=[job]))
    return merged.resolve_job_def(f"{NAME}__own").execute_in_process(
        instance=world.instance,
        run_config=QUIET,
        tags=range_tags(world.days[0], world.days[-1]),
        raise_on_error=False,
    )


def assets(world: World, *tables: str) -> dg.AssetSelection:
    keys = [asset_key(world.market, table) for table in tables]
    return dg.AssetSelection.assets(*keys).without_checks()


def assert_v1_saw_nothing(world: World) -> None:
    assert not any(world.lake().partitions(table) for table in BEHIND)
    assert not list((world.data / "ledger").rglob("*.*")), "no trial was counted"


def test_the_gate_is_red_in_the_same_run_and_names_the_canary_alone(stopped) -> None:
    world, result = stopped
    assert not result.success
    assert not_passed(result) == {check_name(Gate.PIT1)}
    for day in world.days:
        record = world.lake().verdicts.current(Gate.PIT1, f"day={day}")
        failed = {v.item: v.reasons for v in record.items if v.outcome is Outcome.FAIL}
        assert list(failed) == [COLUMN]
        assert "LEAK_PREFIX" in failed[COLUMN]


def test_nothing_behind_it_was_made_in_the_same_run(stopped) -> None:
    world, result = stopped
    made = {event.asset_key.path[-1] for event in result.get_asset_materialization_events()}
    assert "features_pt" in made
    assert not made & set(BEHIND)
    assert_v1_saw_nothing(world)


@pytest.mark.parametrize(
    ("job", "tables"), [("days", ["events"]), ("study", None), ("study", ["event_quality"])]
)
def test_a_new_run_is_refused(stopped, job: str, tables: list[str] | None) -> None:
    world, _ = stopped
    assert_refused(world.run(job, tables=tables))
    assert_v1_saw_nothing(world)


def test_candidates_by_themselves_are_not_made(stopped) -> None:
    world, _ = stopped
    assert not world.run("study", tables=["phase2_candidates"]).success
    assert_v1_saw_nothing(world)


@pytest.mark.parametrize("way", list(READERS))
def test_python_is_refused(stopped, way: str) -> None:
    with pytest.raises(GateNotPassedError, match=GateNotPassedError.code):
        READERS[way](stopped[0], "features_pt")


def test_a_check_that_runs_after_the_consumer_comes_in_time(world: World) -> None:
    consumed = run_alone(world, assets(world, "features_pt", "events"))
    assert_refused(consumed, Gate.PIT1)
    assert_v1_saw_nothing(world)
    checked = run_alone(world, dg.AssetSelection.checks(*gates_on(world.market, ["features_pt"])))
    assert not_passed(checked) == {check_name(Gate.PIT1)}
    assert_refused(run_alone(world, assets(world, "events")), Gate.PIT1)
    assert_refused(world.run("study"))
    assert_v1_saw_nothing(world)


def test_a_check_turned_to_warn_opens_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    turn_checks_to_warnings(monkeypatch)
    result = world.run("days")
    assert_refused(result, Gate.PIT1)
    assert failures(result)[0].startswith(f"{NAME}__events"), "Dagster let the run through"
    assert_refused(world.run("study"))
    assert_v1_saw_nothing(world)


def test_the_honest_twin_goes_all_the_way_to_v1(
    days_run: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = registered(days_run, tmp_path / "world", change_behind, monkeypatch)
    result = world.run("days")
    assert result.success, failures(result)
    assert world.lake().read("features_pt", world.days)[COLUMN].count()
    world.run("study")
    assert world.lake().partitions("phase2_candidates") == [f"study={NAME}"]
    assert list((world.data / "ledger").rglob("*.*"))
