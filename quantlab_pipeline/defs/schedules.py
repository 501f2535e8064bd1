"""The night: one range run over a trailing window, so that late data and corrections come in."""

from datetime import date, datetime, timedelta

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import (
    UnresolvedAssetJobDefinition,
)

from quantlab_pipeline.defs.partitions import range_tags
from quantlab_pipeline.research.market_data.spec import MarketSpec

TRAILING_DAYS = 3
CRON = "30 1 * * *"
"""01:30 UTC: the venue's archive publishes a day some hours after it ends."""


def trailing_window(market: MarketSpec, now: datetime) -> tuple[date, date] | None:
    """First and last day of the night's range: the last whole days inside the market's, or None."""
    last = now.date() - timedelta(days=1)
    first = max(last - timedelta(days=TRAILING_DAYS - 1), market.first_day)
    last = min(last, market.last_day or last)
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
    def _nightly(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        at = context.scheduled_execution_time
        window = trailing_window(market, at)
        if window is None:
            return dg.SkipReason(f"{market.name} has no day in the window before {at.date()}.")
        first, last = map(str, window)
        return dg.RunRequest(run_key=f"{first}..{last}", tags=range_tags(first, last))

    return _nightly
