"""Dagster's partitions: a market's days, and its studies. Symbols lie inside a day, in the lake."""

from __future__ import annotations

from datetime import timedelta

import dagster as dg

from quantlab_pipeline.research.market_data.spec import MarketSpec

RANGE_START = "dagster/asset_partition_range_start"
RANGE_END = "dagster/asset_partition_range_end"


def days_of(market: MarketSpec) -> dg.DailyPartitionsDefinition:
    """The market's days; they end where its data has a declared end."""
    end = None if market.last_day is None else str(market.last_day + timedelta(days=1))
    return dg.DailyPartitionsDefinition(start_date=str(market.first_day), end_date=end)


def studies_of(market: MarketSpec) -> dg.DynamicPartitionsDefinition:
    """The market's studies, synced from `specs/studies/` by the command."""
    return dg.DynamicPartitionsDefinition(name=f"{market.name}_studies")


def range_tags(first: str, last: str) -> dict[str, str]:
    """Run tags that make one run of all days from `first` to `last`."""
    return {RANGE_START: first, RANGE_END: last}
