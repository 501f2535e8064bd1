"""A schema check for every table, made by a loop: what lies in the lake is still of its schema.

A write validates already; this check reads the stored rows back and says so in the UI. It does not
block: the gates do.
"""

from collections.abc import Mapping

import dagster as dg

from quantlab_pipeline.core.errors import QuantlabError
from quantlab_pipeline.core.tables import TableSpec
from quantlab_pipeline.defs.factory import asset_key, stage_run
from quantlab_pipeline.defs.partitions import days_of, studies_of
from quantlab_pipeline.defs.resources import LakesResource
from quantlab_pipeline.research.market_data.spec import MarketSpec

NAME = "every_row_is_of_its_schema"


def schema_checks(
    market: MarketSpec, tables: Mapping[str, TableSpec]
) -> list[dg.AssetChecksDefinition]:
    """One check a table of the market. They run on demand, not with every materialisation."""
    return [_schema_check(market, table) for table in tables.values()]


def _schema_check(market: MarketSpec, table: TableSpec) -> dg.AssetChecksDefinition:
    partitions = days_of(market) if table.partition == "day" else studies_of(market)

    @dg.asset_check(
        asset=asset_key(market, table.name),
        name=NAME,
        description=f"Stored rows of {table.name} have exactly its columns, types and ranges.",
        partitions_def=partitions,
    )
    def _check(
        context: dg.AssetCheckExecutionContext, lakes: LakesResource
    ) -> dg.AssetCheckResult:
        run = stage_run(lakes, market, table, list(context.partition_keys))
        try:
            rows = table.schema.validate(run.own()).height
        except QuantlabError as error:
            return dg.AssetCheckResult(passed=False, metadata={"problem": str(error)})
        return dg.AssetCheckResult(passed=True, metadata={"rows": rows})

    return _check
