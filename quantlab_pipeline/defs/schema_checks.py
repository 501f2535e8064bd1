"""A schema check for every table, made by a loop: what lies in the lake is still of its schema.

A write validates already; this check reads the stored rows back and says so in the UI. It does not
block: the gates do.
"""

from collections.abc import Iterator, Mapping

import dagster as dg

from quantlab_pipeline.core.errors import QuantlabError
from quantlab_pipeline.core.tables import TableSpec
from quantlab_pipeline.defs.check_events import Shown, show
from quantlab_pipeline.defs.factory import asset_key, stage_run
from quantlab_pipeline.defs.partitions import days_of, studies_of
from quantlab_pipeline.defs.resources import LakesResource
from quantlab_pipeline.defs.stage_run import StageRun
from quantlab_pipeline.research.market_data.spec import MarketSpec

NAME = "every_row_is_of_its_schema"


def schema_checks(
    market: MarketSpec, tables: Mapping[str, TableSpec]
) -> list[dg.AssetChecksDefinition]:
    """One check a table of the market. They run on demand, not with every materialisation."""
    return [_schema_check(market, table) for table in tables.values()]


def _schema_check(market: MarketSpec, table: TableSpec) -> dg.AssetChecksDefinition:
    partitions = days_of(market) if table.partition == "day" else studies_of(market)

    key = asset_key(market, table.name)

    # As for gates: the decorator's type forgets that a check may yield its evaluations.
    @dg.asset_check(  # type: ignore[arg-type]
        asset=key,
        name=NAME,
        description=f"Stored rows of {table.name} have exactly its columns, types and ranges.",
        partitions_def=partitions,
    )
    def _check(
        context: dg.AssetCheckExecutionContext, lakes: LakesResource
    ) -> Iterator[dg.AssetCheckEvaluation | dg.Output[None]]:
        runs = {p: stage_run(lakes, market, table, [p]) for p in context.partition_keys}
        yield from show(context, key, NAME, {p: _look(run) for p, run in runs.items()})

    return _check


def _look(run: StageRun) -> Shown:
    try:
        rows = run.table.schema.validate(run.own()).height
    except QuantlabError as error:
        return Shown(passed=False, metadata={"problem": str(error)})
    return Shown(passed=True, metadata={"rows": rows})
