"""How a gate is shown in the UI: one check evaluation per partition, also in a range run.

Dagster's own `AssetCheckResult` is recorded without its partition in a range run, so a check yields
evaluation events itself. The private import and the preview warning that this needs live here and
nowhere else; Dagster's version is pinned. What stops a pipeline is not this event but the verdict
in the lake.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import dagster as dg
from dagster._core.definitions.asset_checks.asset_check_evaluation import (
    AssetCheckEvaluationTargetMaterializationData,
)

from quantlab_pipeline.core.verdicts import ADMITTED, Gate, ItemVerdict, overall

warnings.filterwarnings("ignore", category=dg.PreviewWarning)
warnings.filterwarnings("ignore", category=dg.BetaWarning)


def evaluations(
    context: dg.AssetCheckExecutionContext,
    asset_key: dg.AssetKey,
    gate: Gate,
    judged: Mapping[str, Sequence[ItemVerdict]],
) -> Iterator[Any]:
    """One evaluation per partition, then the empty output that Dagster expects.

    An evaluation passes if the gate as a whole admits; it blocks only where no item is left, so
    that one symbol's bad day does not stop the month.
    """
    targets = _materializations(context, asset_key, list(judged))
    for partition, verdicts in judged.items():
        outcome = overall(gate, verdicts)
        admitted = outcome in ADMITTED
        yield dg.AssetCheckEvaluation(
            asset_key=asset_key,
            check_name=check_name(gate),
            passed=admitted,
            metadata=_metadata(outcome, verdicts),
            severity=dg.AssetCheckSeverity.ERROR,
            partition=partition,
            blocking=not admitted,
            target_materialization_data=targets.get(partition),
        )
    output = context.op_execution_context.op_def.output_defs[0].name
    yield dg.Output(None, output_name=output)


def check_name(gate: Gate) -> str:
    """The gate's short name in the characters that Dagster allows."""
    return gate.value.replace("-", "_")


def _metadata(outcome: str, verdicts: Sequence[ItemVerdict]) -> dict[str, Any]:
    rows = [
        {"item": v.item, "verdict": v.outcome.value, "reasons": ", ".join(v.reasons)}
        for v in sorted(verdicts, key=lambda v: (v.outcome in ADMITTED, v.rank, v.item))[:200]
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
    wanted = dg.AssetRecordsFilter(asset_key=asset_key, asset_partitions=partitions)
    records = context.instance.fetch_materializations(wanted, limit=2 * len(partitions)).records
    newest: dict[str, AssetCheckEvaluationTargetMaterializationData] = {}
    for record in records:
        if record.partition_key is not None and record.partition_key not in newest:
            newest[record.partition_key] = AssetCheckEvaluationTargetMaterializationData(
                storage_id=record.storage_id, run_id=record.run_id, timestamp=record.timestamp
            )
    return newest
