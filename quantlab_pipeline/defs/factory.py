"""Assets and checks from the table registry: an asset a (market, table), a check a (market, gate).

Here Dagster's contexts become a `StageRun`. What a table's body does stands in `<stage>/assets.py`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import dagster as dg

from quantlab_pipeline.core.code_hash import code_hash
from quantlab_pipeline.core.errors import GateNotPassedError
from quantlab_pipeline.core.fingerprints import short
from quantlab_pipeline.core.tables import Read, TableSpec
from quantlab_pipeline.core.verdicts import Gate
from quantlab_pipeline.defs.check_events import check_name, evaluations
from quantlab_pipeline.defs.io_managers import Batch
from quantlab_pipeline.defs.partitions import days_of, studies_of
from quantlab_pipeline.defs.resources import EngineResource, LakesResource, utc_now
from quantlab_pipeline.defs.stage_run import Body, GateBody, Made, Renewed, StageRun
from quantlab_pipeline.research.market_data.spec import MarketSpec
from quantlab_pipeline.storage.table_graph import TableGraph

CHECK_SENTENCES = {
    Gate.D0: "Every symbol that is left has whole, aligned, plausible data on this day.",
    Gate.PIT1: "No feature changes when the future is cut off or poisoned.",
    Gate.E1: "Every event type that is left is neither rare, nor constant, nor another's alias.",
    Gate.V1: "Some candidate's edge, net of its own cost, survives the whole trial budget.",
    Gate.B: "Some strategy earns more than it pays when executed at quotes, late, with funding.",
    Gate.S: "Some strategy holds outside the window it was fitted in, and under stress.",
    Gate.P: "The book earns net of costs and impact, diversified also under stress.",
}


def asset_key(market: MarketSpec, table: str) -> dg.AssetKey:
    """`[market, table]`."""
    return dg.AssetKey([market.name, table])


def group_of(market: MarketSpec, stage: str) -> str:
    """The asset group: market and stage."""
    return f"{market.name}__{stage}"


def table_asset(
    market: MarketSpec,
    table: TableSpec,
    graph: TableGraph,
    body: Body,
    renewed: Renewed | None = None,
) -> dg.AssetsDefinition:
    """The asset of one table of one market. Partitions that are current are not made again.

    `renewed` names days whose origin outside the lake has changed (a source's files). A table that
    explains verdicts is not made, and says so, where the chain never came to what it explains: it
    must not cost the study its board.
    """
    is_day = table.partition == "day"

    @dg.asset(
        key=asset_key(market, table.name),
        group_name=group_of(market, table.stage),
        description=table.grain,
        deps=[_dep(market, table, graph.spec(name)) for name in upstream_of(table, graph)],
        partitions_def=days_of(market) if is_day else studies_of(market),
        backfill_policy=dg.BackfillPolicy.single_run() if is_day else None,
        code_version=short(code_hash(*table.modules)),
        metadata={"reads (days back, ahead)": _reads_metadata(table.reads)},
        kinds={"polars"},
        io_manager_key="lake_io",
    )
    def _asset(
        context: dg.AssetExecutionContext, lakes: LakesResource, engine: EngineResource
    ) -> dg.Output[Batch | None]:
        run = stage_run(lakes, market, table, list(context.partition_keys))
        run = replace(run, make_simulator=engine.simulator)
        if (lacking := run.lacks()) is not None:
            return dg.Output(None, metadata={"not made": f"{lacking} is not current"})
        stale = stale_partitions(run, renewed)
        shut = run.shut() if stale else {}
        facts = {"made": len(stale), "already current": len(run.partitions) - len(stale)}
        try:
            batch = make(replace(run, partitions=tuple(stale)), body, shut) if stale else None
        except GateNotPassedError as error:
            if not table.regardless:
                raise
            context.log.warning(str(error))
            return dg.Output(None, metadata={"not made": str(error)})
        return dg.Output(batch, metadata={**facts, **(batch.made.metadata if batch else {})})

    return _asset


def stale_partitions(run: StageRun, renewed: Renewed | None) -> list[str]:
    """Partitions to make: never written, made from something that changed, or sent anew."""
    stale = run.stale()
    if renewed is None or len(stale) == len(run.partitions):
        return stale
    days = {str(day) for day in renewed(run)}
    return [p for p in run.partitions if p in stale or p in days]


def make(run: StageRun, body: Body, shut: Mapping[str, Gate]) -> Batch:
    """Run a body. The lineage is taken before anything is read.

    Days that a gate has `shut` are written without rows and say so: those around them can be made.
    """
    empty = {p: {"nothing admitted by": shut[p].value} for p in run.partitions if p in shut}
    left = replace(run, partitions=tuple(p for p in run.partitions if p not in empty))
    with run.lake.one_look():
        lineage = replace(run, partitions=tuple(empty)).lineage() if empty else {}
        if not left.partitions:
            return Batch(run, lineage, Made(run.table.schema.empty(), notes=empty))
        lineage |= left.lineage()
        made = body(left)
    return Batch(run, lineage, replace(made, notes={**made.notes, **empty}))


def gate_check(
    market: MarketSpec, gate: Gate, table: TableSpec, body: GateBody
) -> dg.AssetChecksDefinition:
    """The blocking check of one gate: verdicts into the lake first, then events for the UI."""
    key = asset_key(market, table.name)

    # The decorator's type forgets that a check may yield its evaluations, one a partition.
    @dg.asset_check(  # type: ignore[arg-type]
        asset=key,
        name=check_name(gate),
        description=CHECK_SENTENCES[gate],
        blocking=True,
        partitions_def=days_of(market) if table.partition == "day" else studies_of(market),
    )
    def _check(
        context: dg.AssetCheckExecutionContext, lakes: LakesResource
    ) -> Iterator[dg.AssetCheckEvaluation | dg.Output[None]]:
        run = stage_run(lakes, market, table, list(context.partition_keys))
        stale = run.unjudged(gate)
        if stale:
            judge(stage_run(lakes, market, table, stale), gate, body, context.run.run_id)
        shown = {p: run.verdicts(gate, p) for p in run.partitions}
        yield from evaluations(context, key, gate, shown)

    return _check


def judge(run: StageRun, gate: Gate, body: GateBody, run_id: str) -> None:
    """Run a gate's body and keep its verdicts, under the waivers that people recorded."""
    before = {p: run.lake.fingerprint(run.table.name, p) for p in run.partitions}
    with run.lake.one_look():
        judged = body(run)
    top_n = getattr(run.project.gates().section(gate), "waiver_top_n", 0)
    for partition in run.partitions:
        run.lake.record_verdicts(
            gate,
            partition,
            judged.verdicts.get(partition, ()),
            input_fingerprint=before[partition],
            waiver=run.waiver(gate, partition),
            waiver_top_n=top_n,
            ledger_head=judged.ledger_head,
            run_id=run_id,
        )


def stage_run(
    lakes: LakesResource, market: MarketSpec, table: TableSpec, partitions: Sequence[str]
) -> StageRun:
    """The run of some partitions, on a lake opened with today's specs."""
    lake = lakes.lake(market)
    return StageRun(lakes.project(), market, lake, table, tuple(partitions), lakes.data(), utc_now)


def upstream_of(table: TableSpec, graph: TableGraph) -> list[str]:
    """Tables that must be there first: those read, and those whose gate a read relies on."""
    names = [read.table for read in table.reads]
    gates = [gate for name in names for gate in graph.gates_of_read(table.name, name)]
    return list(dict.fromkeys([*names, *(graph.judged(gate) for gate in gates)]))


def _dep(market: MarketSpec, table: TableSpec, upstream: TableSpec) -> dg.AssetDep:
    key = asset_key(market, upstream.name)
    if table.partition == "study" and upstream.partition == "day":
        return dg.AssetDep(key, partition_mapping=dg.AllPartitionMapping())
    return dg.AssetDep(key)


def _reads_metadata(reads: tuple[Read, ...]) -> dict[str, list[int]]:
    return {r.table: [r.lookback_days, r.lookahead_days] for r in reads}
