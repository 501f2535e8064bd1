"""How an asset's rows get into the lake and out: through its one door, whole ranges at once."""

from collections.abc import Mapping
from dataclasses import dataclass

import dagster as dg
import polars as pl

from quantlab_pipeline.defs.resources import LakesResource
from quantlab_pipeline.defs.stage_run import Made, StageRun
from quantlab_pipeline.storage.manifests import Lineage


@dataclass(frozen=True)
class Batch:
    """What one asset run made, with the lineage that was taken before it read anything."""

    run: StageRun
    lineage: Mapping[str, Lineage]
    made: Made


class LakeIOManager(dg.ConfigurableIOManager):
    """Writes a `Batch`; reads a table's partitions, gates in force."""

    lakes: dg.ResourceDependency[LakesResource]

    def handle_output(self, context: dg.OutputContext, obj: Batch | None) -> None:
        """Write every partition of the batch atomically; None says that all were current."""
        if obj is None:
            return
        report = obj.run.lake.write(
            obj.run.table.name,
            obj.made.frame,
            obj.run.partitions,
            reads=obj.lineage,
            run_id=context.run_id,
            notes=obj.made.notes,
            observed=obj.made.observed,
        )
        context.add_output_metadata(
            {
                "dagster/row_count": report.rows,
                "files written": report.written,
                "files unchanged": report.unchanged,
            }
        )

    def load_input(self, context: dg.InputContext) -> pl.DataFrame:
        """The partitions' rows. Refuses with GATE_NOT_PASSED where a gate has not admitted them."""
        market, table = context.asset_key.path
        lake = self.lakes.lake(self.lakes.project().market(market))
        return lake.read(table, list(context.asset_partition_keys))
