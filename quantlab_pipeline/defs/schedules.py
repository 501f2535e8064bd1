"""The night: one range run over a trailing window, so that late data and corrections come in."""

from datetime import date, datetime, timedelta

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import (
    UnresolvedAssetJobDefinition,
)

from quantlab_pipeline.defs.partitions import range_tags
from quantlab_pipeline.defs.resources import LakesResource
from quantlab_pipeline.research.market_data.spec import MarketSpec
from quantlab_pipeline.research.tables import LABEL_LOOKAHEAD_DAYS

LATE_DAYS = 4
"""How late a day may be published or corrected and still come in by itself."""
TRAILING_DAYS = LATE_DAYS + 1 + LABEL_LOOKAHEAD_DAYS
"""A late day finishes the labels of the days before it, which must lie in the window too."""
LONGEST_DAYS = 31
"""After a pause the window reaches back to the last day made; this bounds a night's memory."""
CRON = "30 1 * * *"
"""01:30 UTC. What the venue has not published by then comes in with a later night's window."""


def trailing_window(market: MarketSpec, now: datetime, made: date) -> tuple[date, date] | None:
    """First and last day of the night's range: whole days of the market, or None.

    `made` is the last day that the market's tables hold: nights that were missed are caught up.
    """
    last = now.date() - timedelta(days=1)
    first = min(last - timedelta(days=TRAILING_DAYS - 1), made + timedelta(days=1))
    first = max(first, market.first_day)
    last = min(last, first + timedelta(days=LONGEST_DAYS - 1), market.last_day or last)
    return (first, last) if first <= last else None


def nightly_schedule(
    market: MarketSpec, job: UnresolvedAssetJobDefinition
) -> dg.ScheduleDefinition:
    """`<market>__nightly`: ONE run over the trailing window; nothing where the data has ended."""

    @dg.schedule(
        name=f"{market.name}__nightly",
        job=job,
        cron_schedule=CRON,
        execution_timezone="UTC",
        description="One range run over the trailing days; live studies follow it.",
    )
    def _nightly(
        context: dg.ScheduleEvaluationContext, lakes: LakesResource
    ) -> dg.RunRequest | dg.SkipReason:
        at = context.scheduled_execution_time
        made = lakes.lake(market).days("events")
        if not made:
            return dg.SkipReason(
                f"{market.name} has no day yet. Backfill its first days from the UI or with "
                "`quantlab run`; every night goes on from there."
            )
        window = trailing_window(market, at, made[-1])
        if window is None:
            return dg.SkipReason(f"{market.name} has no day in the window before {at.date()}.")
        first, last = map(str, window)
        return dg.RunRequest(run_key=f"{first}..{last}", tags=range_tags(first, last))

    return _nightly
