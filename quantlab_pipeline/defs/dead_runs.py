"""Runs whose process is gone: a kill or a power cut leaves them "started", and others wait on them.

Dagster's own monitoring cannot ask after the processes of its default launcher. They live on this
machine, so their process ids tell. A run that is reported as failed here is started again by
`run_retries`, and goes on where the lake says that it was.
"""

import os

import dagster as dg
from dagster._core.launcher.default_run_launcher import DefaultRunLauncher

EVERY_S = 30


def report_dead_runs(instance: dg.DagsterInstance) -> list[str]:
    """Report every run as failed whose processes are all gone; the ids of those runs.

    A run that has not said yet which process it is stays: the daemon's start timeout is for it.
    """
    going_on = dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING])
    dead = []
    for run in instance.get_runs(going_on):
        processes = _processes(instance, run.run_id)
        if processes and not any(_is_alive(process) for process in processes):
            instance.report_run_failed(run, "Its process is gone: killed, or the machine stopped.")
            dead.append(run.run_id)
    return dead


def dead_runs_sensor() -> dg.SensorDefinition:
    """One sensor for the whole code location. On from the start: it starts nothing by itself."""

    @dg.sensor(
        name="runs_whose_process_is_gone",
        minimum_interval_seconds=EVERY_S,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Reports a run as failed whose process was killed, so that it is begun again.",
    )
    def _sensor(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        if not isinstance(context.instance.run_launcher, DefaultRunLauncher):
            return dg.SkipReason("runs are on other machines, whose launcher watches them")
        dead = report_dead_runs(context.instance)
        return dg.SkipReason(f"gone: {', '.join(dead)}" if dead else "every run has its process")

    return _sensor


def _processes(instance: dg.DagsterInstance, run_id: str) -> set[int]:
    """Ids of the processes that the run's own events name."""
    logs = instance.all_logs(run_id, of_type=dg.DagsterEventType.ENGINE_EVENT)
    events = [log.dagster_event for log in logs if log.dagster_event is not None]
    pids = [event.engine_event_data.metadata.get("pid") for event in events]
    return {int(str(pid.value)) for pid in pids if pid is not None}


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
