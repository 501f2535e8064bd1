"""A run whose process is gone is told from one that lives."""

from __future__ import annotations

import os
import subprocess
import sys

import dagster as dg
import pytest
from dagster._core.events import EngineEventData
from dagster._core.test_utils import create_run_for_test

from quantlab_pipeline.defs import dead_runs
from quantlab_pipeline.defs.dead_runs import report_dead_runs


@pytest.fixture
def instance() -> dg.DagsterInstance:
    return dg.DagsterInstance.ephemeral()


def begun(instance: dg.DagsterInstance, *processes: int) -> str:
    """A run that was started and has named these processes."""
    run = create_run_for_test(instance, status=dg.DagsterRunStatus.STARTED)
    for process in processes:
        instance.report_engine_event("at work", run, EngineEventData.in_process(process))
    return run.run_id


def gone() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def status(instance: dg.DagsterInstance, run_id: str) -> dg.DagsterRunStatus:
    run = instance.get_run_by_id(run_id)
    assert run is not None
    return run.status


def test_a_run_without_its_process_has_failed(instance: dg.DagsterInstance) -> None:
    dead = begun(instance, gone())
    assert report_dead_runs(instance) == [dead]
    assert status(instance, dead) is dg.DagsterRunStatus.FAILURE
    assert report_dead_runs(instance) == [], "told once"


def test_a_run_with_a_process_goes_on(instance: dg.DagsterInstance) -> None:
    alive = [begun(instance, os.getpid()), begun(instance, gone(), os.getpid()), begun(instance)]
    assert report_dead_runs(instance) == []
    assert {status(instance, run) for run in alive} == {dg.DagsterRunStatus.STARTED}


def test_a_process_that_was_given_a_dead_ones_number_is_not_the_run(
    instance: dg.DagsterInstance,
) -> None:
    run_id = begun(instance, 1_000_000_000)
    (entry,) = instance.all_logs(run_id, of_type=dg.DagsterEventType.ENGINE_EVENT)
    named_at = entry.timestamp
    late = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        assert dead_runs._is_alive(late.pid, named_at + 60)
        assert not dead_runs._is_alive(late.pid, named_at - 60), "it began after the run named it"
        assert dead_runs._is_alive(os.getpid(), named_at)
    finally:
        late.communicate(b"\n")
    assert not dead_runs._is_alive(late.pid, named_at + 60)
