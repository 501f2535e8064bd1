"""What Dagster loads: the assets, checks, jobs, schedules and sensors of every enabled market."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import dagster as dg
from dagster_duckdb import DuckDBResource

from quantlab_pipeline.defs.dead_runs import dead_runs_sensor
from quantlab_pipeline.defs.factory import gate_check, table_asset
from quantlab_pipeline.defs.io_managers import LakeIOManager
from quantlab_pipeline.defs.jobs import board_job, days_job, qa_job, study_job
from quantlab_pipeline.defs.registry import BODIES, GATES, RENEWED
from quantlab_pipeline.defs.reports.assets import report_assets
from quantlab_pipeline.defs.reports.qa_assets import qa_asset
from quantlab_pipeline.defs.resources import CatalogResource, EngineResource, LakesResource
from quantlab_pipeline.defs.schedules import nightly_schedule
from quantlab_pipeline.defs.schema_checks import schema_checks
from quantlab_pipeline.defs.sensors import market_sensors
from quantlab_pipeline.research.market_data.spec import MarketSpec
from quantlab_pipeline.research.tables import JUDGED_TABLE, all_tables
from quantlab_pipeline.storage.project_lake import project_of
from quantlab_pipeline.storage.spec_files import Project
from quantlab_pipeline.storage.table_graph import TableGraph


def build_defs(
    project_root: Path | None = None,
    data_root: Path | None = None,
    markets: Sequence[MarketSpec] | None = None,
    **overrides: Any,
) -> dg.Definitions:
    """Definitions of the project's enabled markets, or of `markets` alone.

    `overrides` replace resources by name (`lakes`, `engine`, `lake_io`), as tests do.
    """
    root = Project(project_root).root
    data = data_root or Path(os.environ.get("QUANTLAB_DATA", root / "data"))
    project = project_of(root, data)
    tables = all_tables(project.features())
    graph = TableGraph(tables, JUDGED_TABLE)
    chosen = [m for m in project.markets() if m.enabled] if markets is None else list(markets)
    kinds = ("assets", "checks", "jobs", "schedules", "sensors")
    parts: dict[str, list[Any]] = {kind: [] for kind in kinds}
    for market in chosen:
        jobs = [days_job(market, tables), study_job(market, tables), board_job(market, tables)]
        parts["assets"] += [
            table_asset(market, table, graph, BODIES[name], RENEWED.get(name))
            for name, table in tables.items()
        ]
        parts["assets"] += [*report_assets(market), qa_asset(market)]
        parts["checks"] += [
            gate_check(market, gate, tables[JUDGED_TABLE[gate]], body)
            for gate, body in GATES.items()
        ]
        parts["checks"] += schema_checks(market, tables)
        parts["jobs"] += [*jobs, qa_job(market)]
        parts["schedules"].append(nightly_schedule(market, jobs[0]))
        parts["sensors"] += market_sensors(market, *jobs)
    parts["sensors"].append(dead_runs_sensor())
    lakes = LakesResource(project_root=str(project.root), data_root=str(data))
    duckdb = DuckDBResource(database=":memory:")
    resources = {
        "lakes": lakes,
        "duckdb": duckdb,
        "catalog": CatalogResource(lakes=lakes, duckdb=duckdb),
        "engine": EngineResource(threads=os.cpu_count() or 1),
        "lake_io": LakeIOManager(lakes=lakes),
        **overrides,
    }
    return dg.Definitions(
        assets=parts["assets"],
        asset_checks=parts["checks"],
        jobs=parts["jobs"],
        schedules=parts["schedules"],
        sensors=parts["sensors"],
        resources=resources,
        executor=dg.in_process_executor,
    )


@cache
def _shared() -> dg.Definitions:
    return build_defs()


def __getattr__(name: str) -> Any:
    """`defs`, made when Dagster asks for it: the command builds only the market that it runs."""
    if name == "defs":
        return _shared()
    raise AttributeError(name)
