"""How a gate is shown in the UI: one check evaluation per partition, also in a range run.

Dagster's own `AssetCheckResult` is recorded without its partition in a range run, so a check yields
evaluation events itself. The private import and the preview warning that this needs live here and
nowhere else; Dagster's version is pinned. What stops a pipeline is not this event but the verdict
in the lake.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import dagster as dg
from dagster._core.definitions.asset_checks.asset_check_evaluation import (
    AssetCheckEvaluationTargetMaterializationData,
)

from quantlab_pipeline.core.verdicts import ADMITTED, Gate, ItemVerdict, Outcome, overall

warnings.filterwarnings("ignore", category=dg.PreviewWarning)
warnings.filterwarnings("ignore", category=dg.BetaWarning)


SHOWN = 200
"""Items in a check's table; all are in `gate_verdicts.json`."""


def evaluations(
    context: dg.AssetCheckExecutionContext,
    asset_key: dg.AssetKey,
    gate: Gate,
    judged: Mapping[str, Sequence[ItemVerdict]],
) -> Iterator[Any]:
    """One evaluation per partition of a gate, then the empty output that Dagster expects.

    An evaluation passes if the gate as a whole admits. It blocks where nothing is left in the whole
    run, so that a day on which the venue was down, or which is not published yet, does not stop the
    month; the lake lets no one read such a day. A failed feature refuses the table, so it blocks.
    """
    outcomes = {partition: overall(gate, verdicts) for partition, verdicts in judged.items()}
    nothing_left = not any(outcome in ADMITTED for outcome in outcomes.values())
    shown = {
        partition: Shown(
            passed=outcome in ADMITTED,
            blocking=nothing_left or (gate is Gate.PIT1 and outcome is Outcome.FAIL),
            metadata=_metadata(gate, outcome, judged[partition]),
        )
        for partition, outcome in outcomes.items()
    }
    yield from show(context, asset_key, check_name(gate), shown)


class Shown(NamedTuple):
    """What the UI is told of one partition."""

    passed: bool
    metadata: Mapping[str, Any]
    blocking: bool = False


def show(
    context: dg.AssetCheckExecutionContext,
    asset_key: dg.AssetKey,
    name: str,
    shown: Mapping[str, Shown],
) -> Iterator[Any]:
    """An evaluation of the check `name` for each partition, and the check's empty output."""
    targets = _materializations(context, asset_key, list(shown))
    for partition, told in shown.items():
        yield dg.AssetCheckEvaluation(
            asset_key=asset_key,
            check_name=name,
            passed=told.passed,
            metadata=told.metadata,
            severity=dg.AssetCheckSeverity.ERROR,
            partition=partition,
            blocking=told.blocking and not told.passed,
            target_materialization_data=targets.get(partition),
        )
    output = context.op_execution_context.op_def.output_defs[0].name
    yield dg.Output(None, output_name=output)


def check_name(gate: Gate) -> str:
    """The gate's short name in the characters that Dagster allows."""
    return gate.value.replace("-", "_")


def _metadata(gate: Gate, outcome: str, verdicts: Sequence[ItemVerdict]) -> dict[str, Any]:
    # First what a person looks for: what is wrong with the data, or what survived the search.
    first = gate in (Gate.D0, Gate.PIT1, Gate.E1)
    order = sorted(verdicts, key=lambda v: ((v.outcome in ADMITTED) == first, v.rank, v.item))
    rows = [
        {"item": v.item, "verdict": v.outcome.value, "reasons": ", ".join(v.reasons)}
        for v in order[:SHOWN]
    ]
    passed = sum(v.outcome in ADMITTED for v in verdicts)
    table = dg.TableMetadataValue(
        records=[dg.TableRecord(r) for r in rows],
        schema=dg.TableSchema([dg.TableColumn(c) for c in ("item", "verdict", "reasons")]),
    )
    return {"verdict": str(outcome), "judged": len(verdicts), "passed": passed, "items": table}


def _materializations(
    context: dg.AssetCheckExecutionContext, asset_key: dg.AssetKey, partitions: list[str]
) -> dict[str, AssetCheckEvaluationTargetMaterializationData]:
    """The newest materialization of each partition, which its evaluation speaks of."""
    newest = context.instance.get_latest_storage_id_by_partition(
        asset_key, dg.DagsterEventType.ASSET_MATERIALIZATION, set(partitions)
    )
    if not newest:
        return {}
    wanted = dg.AssetRecordsFilter(asset_key=asset_key, storage_ids=sorted(newest.values()))
    records = context.instance.fetch_materializations(wanted, limit=len(newest)).records
    return {
        record.partition_key: AssetCheckEvaluationTargetMaterializationData(
            storage_id=record.storage_id, run_id=record.run_id, timestamp=record.timestamp
        )
        for record in records
        if record.partition_key is not None
    }
