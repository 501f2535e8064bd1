"""Running a study's whole chain through Dagster in this process, as the command does.

Belongs here: the order of runs, monthly chunks, and what stopped a run as an outcome. What
an asset does stands with it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import dagster as dg
from dagster._core.errors import (
    DagsterAssetCheckFailedError,
    DagsterExecutionInterruptedError,
    DagsterUserCodeExecutionError,
)
from dagster._core.utils import make_new_run_id

from quantlab_pipeline.core.errors import GateNotPassedError
from quantlab_pipeline.core.verdicts import ADMITTED
from quantlab_pipeline.defs.instance import open_instance
from quantlab_pipeline.defs.partitions import range_tags, studies_of
from quantlab_pipeline.defs.reports.outcome import StudyOutcome, study_outcome
from quantlab_pipeline.defs.resources import utc_now
from quantlab_pipeline.research.market_data.spec import MarketSpec
from quantlab_pipeline.research.study import StudySpec
from quantlab_pipeline.research.tables import LABEL_LOOKAHEAD_DAYS
from quantlab_pipeline.storage.project_lake import market_root, open_market_lake
from quantlab_pipeline.storage.spec_files import Project
from quantlab_pipeline.storage.waivers import Waiver

Progress = Callable[[str, int, int], None]
"""Told the name of what was just finished, how many are done, and of how many."""


@dataclass(frozen=True)
class StudyRun:
    """A finished run: what the lake says now, and where the artifacts lie."""

    outcome: StudyOutcome
    artifacts: Path

    @property
    def exit_code(self) -> int:
        """0 if every gate admits something, else 3."""
        return 0 if all(g.outcome in ADMITTED for g in self.outcome.gates) else 3


def run_study(
    project: Project,
    data_root: Path,
    study: StudySpec,
    market: MarketSpec,
    definitions: dg.Definitions,
    waivers: Sequence[Waiver] = (),
    progress: Progress = lambda *_: None,
) -> StudyRun:
    """From the source's files to the board. A gate that stops the chain is an outcome, no error.

    Raises QuantlabError for bad specs, sources or data.
    """
    study.require_within(market)
    lake = open_market_lake(project, market, data_root, utc_now)
    for waiver in waivers:
        lake.waivers.put(waiver)
    with open_instance(data_root) as instance:
        instance.add_dynamic_partitions(studies_of(market).name or "", [study.name])
        stages = [
            *((f"{market.name}__days", range_tags(*span)) for span in months(study.days)),
            (f"{market.name}__study", {"dagster/partition": study.name}),
            (f"{market.name}__board", {"dagster/partition": study.name}),
        ]
        steps = [len(definitions.resolve_job_def(name).all_node_defs) for name, _ in stages]
        told = Steps(progress, f"{market.name}__", sum(steps))
        for number, (name, tags) in enumerate(stages):
            passed = execute(definitions, instance, name, told, tags)
            told.done = sum(steps[: number + 1])
            if not passed and name.endswith("__days"):
                told.done = sum(steps[:-1])
                execute(definitions, instance, stages[-1][0], told, stages[-1][1])
                break
    progress("done", sum(steps), sum(steps))
    outcome = study_outcome(
        project,
        market,
        study,
        open_market_lake(project, market, data_root, utc_now),
        data_root,
        utc_now,
    )
    return StudyRun(outcome, market_root(data_root, market.name) / "artifacts" / study.name)


def months(days: Sequence[date]) -> Iterator[tuple[str, str]]:
    """First and last day of each run: a calendar month, which bounds memory.

    A run begins early enough to finish the labels of the month before, whose ends were not there.
    """
    for _, group in groupby(days, key=lambda d: (d.year, d.month)):
        chunk = list(group)
        first = max(days[0], chunk[0] - timedelta(days=LABEL_LOOKAHEAD_DAYS))
        yield str(first), str(chunk[-1])


class Steps:
    """Passes every step that Dagster finishes on to a `Progress`; `done` of `total` so far."""

    def __init__(self, progress: Progress, prefix: str, total: int) -> None:
        self.done = 0
        self._progress, self._prefix, self._total = progress, prefix, total

    def __call__(self, entry: dg.EventLogEntry, _: object = None) -> None:
        """Told by Dagster of each event."""
        event = entry.dagster_event
        if event is not None and event.event_type is dg.DagsterEventType.STEP_SUCCESS:
            self.done += 1
            name = (event.step_key or "").removeprefix(self._prefix)
            self._progress(name, min(self.done, self._total), self._total)


class Selection(NamedTuple):
    """Part of a job."""

    assets: Sequence[dg.AssetKey]
    checks: Sequence[dg.AssetCheckKey]


def execute(
    definitions: dg.Definitions,
    instance: dg.DagsterInstance,
    job: str,
    told: Steps,
    tags: Mapping[str, str],
    *,
    tables: Selection | None = None,
    config: Mapping[str, Any] | None = None,
) -> bool:
    """Run a job in this process. False if a gate stopped it; a body's own error is raised.

    `tables` narrows it to some of its assets and checks; `config` is of its assets, by name.
    """
    resolved = definitions.resolve_job_def(job)
    if tables is not None:
        resolved = resolved.get_subset(
            asset_selection=set(tables.assets), asset_check_selection=set(tables.checks)
        )
    partition = tags.get("dagster/partition")
    run_id = make_new_run_id()
    instance.add_event_listener(run_id, told)
    try:
        resolved.execute_in_process(
            instance=instance,
            partition_key=partition,
            tags=None if partition else dict(tags),
            run_config={
                "loggers": {"console": {"config": {"log_level": "CRITICAL"}}},
                "ops": dict(config or {}),
            },
            raise_on_error=True,
            run_id=run_id,
        )
    except DagsterAssetCheckFailedError:
        return False
    except DagsterUserCodeExecutionError as error:
        if isinstance(error.user_exception, GateNotPassedError):
            return False
        raise error.user_exception from error
    except GateNotPassedError:
        return False
    except DagsterExecutionInterruptedError as error:
        raise KeyboardInterrupt from error
    return True
