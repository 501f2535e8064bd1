"""Assets and checks from the table registry: one asset a (market, table), one check a (market, gate).

Here Dagster's contexts become a `StageRun`. What a table's body does stands in `<stage>/assets.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import dagster as dg

from quantlab_pipeline.core.code_hash import code_hash
from quantlab_pipeline.core.fingerprints import short
from quantlab_pipeline.core.tables import Read, TableSpec
from quantlab_pipeline.core.verdicts import Gate
from quantlab_pipeline.defs.check_events import check_name, evaluations
from quantlab_pipeline.defs.partitions import days_of, studies_of
from quantlab_pipeline.defs.resources import EngineResource, LakesResource, utc_now
from quantlab_pipeline.defs.stage_run import Body, GateBody, Made, StageRun
from quantlab_pipeline.research.market_data.spec import MarketSpec

CHECK_SENTENCES = {
    Gate.D0: "Every symbol that is left has whole, aligned, plausible data on this day.",
    Gate.PIT1: "No feature changes when the future is cut off or poisoned.",
    Gate.E1: "Every event type that is left is neither rare, nor constant, nor another's alias.",
    Gate.V1: "Some candidate's edge, net of its own cost, survives the whole trial budget.",
    Gate.B: "Some strategy earns more than it pays when executed at quotes, late, with funding.",
    Gate.S: "Some strategy holds outside the window it was fitted in, and under stress.",
    Gate.P: "The portfolio earns net of costs and impact, diversified also under stress.",
}


def asset_key(market: MarketSpec, table: str) -> dg.AssetKey:
    """`[market, table]`."""
    return dg.AssetKey([market.name, table])


def group_of(market: MarketSpec, table: TableSpec) -> str:
    """The asset group: market and stage."""
    return f"{market.name}__{table.stage}"


def table_asset(
    market: MarketSpec, table: TableSpec, tables: dict[str, TableSpec], body: Body
) -> dg.AssetsDefinition:
    """The asset of one table of one market."""
    is_day = table.partition == "day"

    @dg.asset(
        key=asset_key(market, table.name),
        group_name=group_of(market, table),
        description=table.grain,
        deps=[_dep(market, table, tables[read.table]) for read in table.reads],
        partitions_def=days_of(market) if is_day else studies_of(market),
        backfill_policy=dg.BackfillPolicy.single_run() if is_day else None,
        code_version=short(code_hash(*table.modules)),
        metadata={"reads": _reads_metadata(table.reads)},
        kinds={"polars"},
        io_manager_key="lake_io",
    )
    def _asset(
        context: dg.AssetExecutionContext, lakes: LakesResource, engine: EngineResource
    ) -> Any:
        run = _stage_run(lakes, engine, market, table, context.partition_keys)
        stale = tuple(p for p in run.partitions if not run.lake.is_current(table.name, p))
        context.log.info(f"{len(stale)} of {len(run.partitions)} partitions to make")
        if not stale:
            return dg.Output(None, metadata={"made": 0, "current": len(run.partitions)})
        made = body(_stage_run(lakes, engine, market, table, stale))
        return dg.Output((stale, made), metadata={"made": len(stale), **made.metadata})

    return _asset


def gate_check(
    market: MarketSpec, gate: Gate, table: TableSpec, body: GateBody
) -> dg.AssetChecksDefinition:
    """The blocking check of one gate: verdicts into the lake first, then events for the UI."""
    partitions = days_of(market) if table.partition == "day" else studies_of(market)

    @dg.asset_check(
        asset=asset_key(market, table.name),
        name=check_name(gate),
        description=CHECK_SENTENCES[gate],
        blocking=True,
        partitions_def=partitions,
    )
    def _check(
        context: dg.AssetCheckExecutionContext, lakes: LakesResource, engine: EngineResource
    ) -> Iterator[Any]:
        run = _stage_run(lakes, engine, market, table, list(context.partition_keys))
        stale = tuple(p for p in run.partitions if not run.lake.verdict_is_current(gate, p))
        if stale:
            judged = body(_stage_run(lakes, engine, market, table, stale))
            for partition in stale:
                run.lake.put_verdict(gate, partition, judged.get(partition, ()), context.run_id)
        shown = {p: run.lake.verdict(gate, p).items for p in run.partitions}
        yield from evaluations(context, asset_key(market, table.name), gate, shown)

    return _check


def _stage_run(
    lakes: LakesResource,
    engine: EngineResource,
    market: MarketSpec,
    table: TableSpec,
    partitions: Any,
) -> StageRun:
    project = lakes.project()
    lake = lakes.lake(market)
    return StageRun(project, market, lake, table, tuple(partitions), utc_now, engine.engine)


def _dep(market: MarketSpec, table: TableSpec, upstream: TableSpec) -> dg.AssetDep:
    key = asset_key(market, upstream.name)
    if table.partition == "study" and upstream.partition == "day":
        return dg.AssetDep(key, partition_mapping=dg.AllPartitionMapping())
    return dg.AssetDep(key)


def _reads_metadata(reads: tuple[Read, ...]) -> dict[str, list[int]]:
    return {r.table: [-r.lookback_days, r.lookahead_days] for r in reads}


class LakeIOManager(dg.ConfigurableIOManager):
    """Writes what a body made through the lake's one door; days arrive together, go in singly."""

    lakes: dg.ResourceDependency[LakesResource]

    def handle_output(self, context: dg.OutputContext, obj: Any) -> None:
        """Write `(partitions, Made)`; None means that all was current."""
        if obj is None:
            return
        partitions, made = obj
        assert isinstance(made, Made)
        market_name, table = context.asset_key.path
        market = self.lakes.project().market(market_name)
        report = self.lakes.lake(market).write(
            table, made.frame, partitions, notes=made.notes, run_id=context.run_id
        )
        context.add_output_metadata(
            {
                "dagster/row_count": made.frame.height,
                "files_written": report.written,
                "files_unchanged": report.unchanged,
            }
        )

    def load_input(self, context: dg.InputContext) -> Any:
        """The partitions' rows, gates in force."""
        market_name, table = context.asset_key.path
        market = self.lakes.project().market(market_name)
        return self.lakes.lake(market).read(table, list(context.asset_partition_keys))
