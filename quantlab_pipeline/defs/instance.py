"""The one Dagster home of a project: `data/dagster/`, with telemetry off."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

import dagster as dg
from sqlalchemy import event
from sqlalchemy.engine import Engine

from quantlab_pipeline.defs.partitions import studies_of
from quantlab_pipeline.storage.spec_files import Project

_CONFIG = """\
# Written once by quantlab; yours to change.
telemetry:
  enabled: false
nux:
  enabled: false
run_monitoring:
  enabled: true
run_retries:
  # A run whose process was killed goes on; what a gate or a body refused is not asked again.
  enabled: true
  max_retries: 2
  retry_on_asset_or_op_failure: false
"""


def home_of(data_root: Path) -> Path:
    """The Dagster home, made with its configuration if it is not there."""
    home = (data_root / "dagster").absolute()
    home.mkdir(parents=True, exist_ok=True)
    config = home / "dagster.yaml"
    if not config.exists():
        config.write_text(_CONFIG, encoding="utf-8")
    return home


def open_instance(data_root: Path) -> dg.DagsterInstance:
    """The project's instance: runs of the command stand in the UI's history."""
    home = home_of(data_root)
    os.environ["DAGSTER_HOME"] = str(home)
    if not event.contains(Engine, "connect", _without_fsync):
        event.listen(Engine, "connect", _without_fsync)
    return dg.DagsterInstance.from_config(str(home))


def _without_fsync(connection: object, _: object) -> None:
    """Half the time of a range run went into fsync of Dagster's history, one event at a time.

    A power cut may cost the UI its history; data, verdicts and ledger are written by the lake.
    """
    if isinstance(connection, sqlite3.Connection):
        connection.execute("PRAGMA synchronous=OFF")


def sync_studies(instance: dg.DagsterInstance, project: Project) -> None:
    """Make every study of the project a partition of its market; those that are gone leave."""
    studies = project.studies()
    for market in project.markets():
        name = studies_of(market).name or ""
        due = [s.name for s in studies if s.market == market.name]
        for gone in set(instance.get_dynamic_partitions(name)) - set(due):
            instance.delete_dynamic_partition(name, gone)
        instance.add_dynamic_partitions(name, due)
