"""What follows a run: live studies after a market's days, the gate board after a study."""

from collections.abc import Iterator
from datetime import date, timedelta

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import (
    UnresolvedAssetJobDefinition,
)

from quantlab_pipeline.core.fingerprints import digest, short
from quantlab_pipeline.core.verdicts import Gate
from quantlab_pipeline.defs.partitions import studies_of
from quantlab_pipeline.defs.resources import LakesResource
from quantlab_pipeline.research.market_data.spec import MarketSpec
from quantlab_pipeline.research.study import StudySpec
from quantlab_pipeline.research.tables import LABEL_LOOKAHEAD_DAYS
from quantlab_pipeline.storage.lake import Lake
from quantlab_pipeline.storage.manifests import partition_key

Job = UnresolvedAssetJobDefinition

DAY_INPUTS = ("events", "features_pt", "labels_fwd")
"""Day tables through which a study depends on all others."""
STUDY_GATES = (Gate.E1, Gate.V1, Gate.B, Gate.S, Gate.P)


def market_sensors(
    market: MarketSpec, days: Job, study: Job, board: Job
) -> list[dg.SensorDefinition]:
    """The market's sensors. They are off until they are switched on in the UI."""
    return [_live_studies(market, days, study), *_boards(market, study, board)]


def waits_for(market: MarketSpec, lake: Lake, study: StudySpec) -> str | None:
    """Why the study is not to be run yet, in words; None if its days are whole, judged and final.

    Its last day is final when the day of its labels' ends is there, or a later one, or when the
    market's data ends before. A day without data is there too, and empty: it does not count.
    """
    needed = study.last_day + timedelta(days=LABEL_LOOKAHEAD_DAYS)
    ended = market.last_day is not None and market.last_day < needed
    if not ended and not any(_admits(lake, Gate.D0, day) for day in _later(lake, needed)):
        return f"{study.name}: {study.last_day} is final when {needed} is there"
    for table in DAY_INPUTS:
        missing = sorted(set(study.days) - set(lake.days(table)))
        if missing:
            return f"{study.name}: {table} has no {missing[0]}"
        problems = lake.problems(table, study.days)
        if problems:
            return f"{study.name}: {problems[0]}"
    return None


def is_done(lake: Lake, study: StudySpec) -> bool:
    """Whether current verdicts say how the study ended: at the gate that stopped it, or at P."""
    for gate in STUDY_GATES:
        if not lake.is_judged(gate, study.name):
            return False
        if not _admits(lake, gate, study.name):
            return True
    return True


def _later(lake: Lake, needed: date) -> list[date]:
    return [day for day in reversed(lake.days("labels_fwd")) if day >= needed]


def _admits(lake: Lake, gate: Gate, partition: date | str) -> bool:
    kind = lake.graph.spec(lake.graph.judged(gate)).partition
    record = lake.verdicts.current(gate, partition_key(kind, partition))
    return record is not None and bool(record.admitted)


def _live_studies(market: MarketSpec, days: Job, study: Job) -> dg.SensorDefinition:
    @dg.run_status_sensor(
        name=f"{market.name}__live_studies",
        run_status=dg.DagsterRunStatus.SUCCESS,
        monitored_jobs=[days],
        request_job=study,
        description="After a market's days: every study whose last day has become final, once.",
    )
    def _sensor(
        context: dg.RunStatusSensorContext, lakes: LakesResource
    ) -> Iterator[dg.RunRequest | dg.SkipReason]:
        lake = lakes.lake(market)
        mine = [s for s in lakes.project().studies() if s.market == market.name]
        open_studies = [s for s in mine if not is_done(lake, s)]
        waiting = {s.name: waits_for(market, lake, s) for s in open_studies}
        due = [s for s in open_studies if waiting[s.name] is None]
        if not due:
            told = [reason for reason in waiting.values() if reason is not None]
            yield dg.SkipReason("; ".join(told) or "no study is open")
            return
        names = [s.name for s in due]
        context.instance.add_dynamic_partitions(studies_of(market).name or "", names)
        for each in due:
            yield dg.RunRequest(run_key=_run_key(lake, each), partition_key=each.name)

    return _sensor


def _run_key(lake: Lake, study: StudySpec) -> str:
    """One run for one question on one state of the data: a correction asks again."""
    (lineage,) = lake.lineage_for("phase2_candidates", [study.name], study.days).values()
    days = [edge for edge in lineage if edge.partition.startswith("day=")]
    return f"{study.name}@{short(digest([study.spec_hash(), days]))}"


def _boards(market: MarketSpec, study: Job, board: Job) -> list[dg.SensorDefinition]:
    """A study's run may end in success or be stopped by a gate; the board tells either way."""
    return [
        _board_after(market, study, board, status)
        for status in (dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE)
    ]


def _board_after(
    market: MarketSpec, study: Job, board: Job, status: dg.DagsterRunStatus
) -> dg.SensorDefinition:
    @dg.run_status_sensor(
        name=f"{market.name}__board_after_{status.value.lower()}",
        run_status=status,
        monitored_jobs=[study],
        request_job=board,
        description="The gate board of the study that just ran.",
    )
    def _sensor(context: dg.RunStatusSensorContext) -> dg.RunRequest | dg.SkipReason:
        partition = context.dagster_run.tags.get("dagster/partition")
        if partition is None:
            return dg.SkipReason("the run names no study")
        return dg.RunRequest(run_key=context.dagster_run.run_id, partition_key=partition)

    return _sensor
