"""What follows a run: live studies after a market's days, the gate board after a study."""

from collections.abc import Iterator
from datetime import date, timedelta

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import (
    UnresolvedAssetJobDefinition,
)

from quantlab_pipeline.defs.partitions import studies_of
from quantlab_pipeline.defs.resources import LakesResource
from quantlab_pipeline.research.market_data.spec import MarketSpec
from quantlab_pipeline.research.study import StudySpec
from quantlab_pipeline.research.tables import LABEL_LOOKAHEAD_DAYS
from quantlab_pipeline.storage.lake import Lake

Job = UnresolvedAssetJobDefinition


def market_sensors(market: MarketSpec, days: Job, study: Job, board: Job) -> list[dg.SensorDefinition]:
    """The market's sensors. They are off until they are switched on in the UI."""
    return [_live_studies(market, days, study), *_boards(market, study, board)]


def is_final(market: MarketSpec, lake: Lake, study: StudySpec) -> bool:
    """Whether the study's last day can change no more: its labels' days are there or never come."""
    if market.last_day is not None and study.last_day <= market.last_day:
        needed = min(study.last_day + timedelta(days=LABEL_LOOKAHEAD_DAYS), market.last_day)
    else:
        needed = study.last_day + timedelta(days=LABEL_LOOKAHEAD_DAYS)
    there: set[date] = set(lake.days("labels_fwd"))
    return needed in there and study.first_day in there


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
        due = [
            s.name
            for s in mine
            if is_final(market, lake, s) and not lake.is_current("phase2_candidates", s.name)
        ]
        if not due:
            yield dg.SkipReason("no study has become final, or all are current")
            return
        context.instance.add_dynamic_partitions(studies_of(market).name or "", due)
        for name in due:
            key = f"{name}@{lake.fingerprint('events', str(lakes.project().study(name).last_day))}"
            yield dg.RunRequest(run_key=key, partition_key=name)

    return _sensor


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

