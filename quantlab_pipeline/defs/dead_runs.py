"""Runs whose process is gone: a kill or a power cut leaves them "started", and others wait on them.

Dagster's own monitoring cannot ask after the processes of its default launcher. They live on this
machine, so their process ids tell. A run that is reported as failed here is started again by
`run_retries`, and goes on where the lake says that it was.
"""

import os
from pathlib import Path

import dagster as dg
from dagster._core.launcher.default_run_launcher import DefaultRunLauncher

EVERY_S = 30
_CLOCK_SLACK_S = 2.0


def report_dead_runs(instance: dg.DagsterInstance) -> list[str]:
    """Report every run as failed whose processes are all gone; the ids of those runs.

    A run that has not said yet which process it is stays: the daemon's start timeout is for it.
    """
    going_on = dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING])
    dead = []
    for run in instance.get_runs(going_on):
        processes = _processes(instance, run.run_id)
        if processes and not any(_is_alive(*named) for named in processes.items()):
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


def _processes(instance: dg.DagsterInstance, run_id: str) -> dict[int, float]:
    """Processes that the run's own events name, and when they last did, in seconds since 1970."""
    logs = instance.all_logs(run_id, of_type=dg.DagsterEventType.ENGINE_EVENT)
    named: dict[int, float] = {}
    for log in logs:
        event = log.dagster_event
        pid = event.engine_event_data.metadata.get("pid") if event is not None else None
        if pid is not None:
            named[int(str(pid.value))] = log.timestamp
    return named


def _is_alive(process: int, named_at: float) -> bool:
    """Whether the process still runs; another one may have its number by now."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    began = _began_at(process)
    return began is None or began <= named_at + _CLOCK_SLACK_S


def _began_at(process: int) -> float | None:
    """When a process began, in seconds since 1970; None where the system does not say."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        boot = Path("/proc/stat").read_text().partition("btime ")[2].split()
        return int(boot[0]) + int(fields[19]) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError):
        return None
