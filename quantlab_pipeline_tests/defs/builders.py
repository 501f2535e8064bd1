"""A tiny generated market in a project of its own, and short words for running its jobs.

The market is run once a test session (`base`); a test works on its own copy.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import yaml

from quantlab_pipeline.core.verdicts import Gate
from quantlab_pipeline.definitions import build_defs
from quantlab_pipeline.defs.partitions import range_tags, studies_of
from quantlab_pipeline.defs.resources import utc_now
from quantlab_pipeline.research.market_data.spec import MarketSpec
from quantlab_pipeline.sources.archive import codec
from quantlab_pipeline.sources.archive.layout import KLINES, UM, archive_name
from quantlab_pipeline.storage.lake import Lake
from quantlab_pipeline.storage.project_lake import open_market_lake
from quantlab_pipeline.storage.spec_files import Project
from quantlab_pipeline.storage.waivers import Waiver

REPOSITORY = Path(__file__).resolve().parents[2]
NAME = "tiny"
FIRST = date(2025, 3, 1)
N_DAYS = 5
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
WAIVED = (Gate.V1, Gate.B, Gate.S, Gate.P)

SCENARIO: dict[str, Any] = {
    "name": NAME,
    "first_day": FIRST,
    "duration_min": N_DAYS * 1440,
    "seed": 7,
    "symbols": [
        {"symbol": "AAAUSDT", "start_price": 100.0, "tick_size": 0.01, "lot_size": 0.01},
        {"symbol": "BBBUSDT", "start_price": 25.0, "tick_size": 0.0025, "lot_size": 0.1},
    ],
    "dynamics": {"family": "vol_cluster", "alpha": 0.04, "beta": 0.95},
    "book": {"legs": ["perp"], "change_mean_s": 30},
    "episodes": [
        {"kind": "spread_burst", "per_symbol_day": 4, "size": 5, "duration_min": 10},
        {"kind": "oi_jump", "per_symbol_day": 3, "size": 300},
    ],
}
DATASETS = (
    "bars_1m_perp",
    "bars_1m_spot",
    "funding",
    "mark_index",
    "open_interest",
    "tob_snapshots",
)
MARKET: dict[str, Any] = {
    "name": NAME,
    "venue": "generated",
    "enabled": True,
    "synthetic": True,
    "source": {"kind": "world", "scenario": NAME},
    "symbols": ["AAAUSDT", "BBBUSDT"],
    "first_day": FIRST,
    "last_day": FIRST + timedelta(days=N_DAYS - 1),
    "datasets": dict.fromkeys(DATASETS, "required"),
    "tob_grid_s": 30,
}
STUDY: dict[str, Any] = {
    "name": NAME,
    "market": NAME,
    "symbols": ["AAAUSDT", "BBBUSDT"],
    "first_day": FIRST,
    "last_day": FIRST + timedelta(days=N_DAYS - 1),
    "event_types": ["spread_blowout", "oi_surge", "thin_tape"],
    "seed": 7,
}


@dataclass(frozen=True)
class World:
    """A project and its data below one folder."""

    root: Path

    @property
    def data(self) -> Path:
        """Everything that is neither code nor spec."""
        return self.root / "data"

    @property
    def project(self) -> Project:
        """The specs, read anew."""
        return Project(self.root)

    @property
    def market(self) -> MarketSpec:
        """The tiny market as its document says now."""
        return self.project.market(NAME)

    @property
    def days(self) -> list[str]:
        """Every day of the market, as partition keys."""
        return [str(FIRST + timedelta(days=i)) for i in range(N_DAYS)]

    @cached_property
    def instance(self) -> dg.DagsterInstance:
        """A Dagster of this world's own, in memory."""
        return dg.DagsterInstance.ephemeral()

    def lake(self) -> Lake:
        """The market's lake, gates in force, by the specs as they are now."""
        return open_market_lake(self.project, self.market, self.data, utc_now)

    def definitions(self) -> dg.Definitions:
        """Definitions of the tiny market alone."""
        return build_defs(self.root, self.data, [self.market])

    def edit(self, document: str, *path: str, to: Any) -> None:
        """Set the value at `path` of `specs/<document>.yaml`."""
        file = self.root / "specs" / f"{document}.yaml"
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
        inner = content
        for step in path[:-1]:
            inner = inner[step]
        inner[path[-1]] = to
        write_yaml(file, content)

    def run(
        self,
        job: str,
        first: str | None = None,
        last: str | None = None,
        *,
        tables: Sequence[str] | None = None,
        tags: Mapping[str, str] | None = None,
        definitions: dg.Definitions | None = None,
    ) -> dg.ExecuteInProcessResult:
        """One range run of the `days` job, or the `study` or `board` job, in this process.

        `tables` narrows it to these assets and the gates on them. A failure is in the result.
        """
        resolved = (definitions or self.definitions()).resolve_job_def(f"{NAME}__{job}")
        chosen = None if tables is None else [dg.AssetKey([NAME, t]) for t in tables]
        by_day = job == "days"
        days = range_tags(first or self.days[0], last or first or self.days[-1])
        if not by_day:
            self.instance.add_dynamic_partitions(studies_of(self.market).name or "", [NAME])
        return resolved.execute_in_process(
            instance=self.instance,
            run_config=QUIET,
            asset_selection=chosen,
            partition_key=None if by_day else NAME,
            tags={**(days if by_day else {}), **(tags or {})},
            raise_on_error=False,
        )

    def waive(self, *gates: Gate) -> None:
        """Record a waiver of each gate for the study."""
        for gate in gates:
            self.lake().waivers.put(Waiver(gate, "to see the whole chain", "tests", study=NAME))

    def forget(self, table: str, *days: str) -> None:
        """Remove the manifests of these days (all without any): the table was never made there."""
        folder = self.data / "lake" / NAME / "manifests" / table
        for day in days or self.days:
            (folder / f"day={day}.json").unlink()

    def copy(self, place: Path) -> World:
        """The same project and data elsewhere."""
        shutil.copytree(self.root, place)
        return World(place)


def write_yaml(file: Path, content: Any) -> None:
    """`content` as a document; keys keep their order."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")


def make_project(root: Path, **changes: Mapping[str, Any]) -> World:
    """The project of the tiny market; `scenario`, `market` and `study` change their documents."""
    specs = root / "specs"
    keep_out = shutil.ignore_patterns("markets", "studies", "scenarios", "schemas")
    shutil.copytree(REPOSITORY / "specs", specs, ignore=keep_out)
    documents = {"scenario": SCENARIO, "market": MARKET, "study": STUDY}
    folders = {"scenario": "scenarios", "market": "markets", "study": "studies"}
    for kind, document in documents.items():
        content = {**document, **changes.get(kind, {})}
        write_yaml(specs / folders[kind] / f"{NAME}.yaml", content)
    world = World(root)
    # Five days cannot hold ten events of a type on three days before the holdout.
    world.edit("gates", "e1", "min_events", to=3)
    world.edit("gates", "e1", "min_active_days", to=2)
    return world


def publish_klines(mirror: Path, symbol: str, day: date, rows: pl.DataFrame) -> None:
    """Put a day's file of perpetual bars and its checksum into a mirror of the archive."""
    path = mirror / archive_name(UM, KLINES, symbol, day, daily=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    csv = codec.encode_csv(rows, codec.KLINES, header=True)
    path.write_bytes(codec.make_zip(path.name.replace(".zip", ".csv"), csv))
    checksum = codec.make_checksum(path.name, path.read_bytes())
    path.with_name(f"{path.name}.CHECKSUM").write_bytes(checksum)


@contextmanager
def one_at_a_time(place: Path) -> Iterator[None]:
    """Wait until no other process is inside with the same `place`."""
    place.parent.mkdir(parents=True, exist_ok=True)
    with place.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def base(shared: Path) -> World:
    """The tiny market with its days run, made once for all test processes below `shared`."""
    root = shared / "tiny_market"
    with one_at_a_time(shared / "tiny_market.lock"):
        if not root.exists():
            world = make_project(shared / "tiny_market_begun")
            outcome = world.run("days")
            assert outcome.success, failures(outcome)
            world.root.rename(root)
    return World(root)


def failures(result: dg.ExecuteInProcessResult) -> list[str]:
    """The innermost message of each failed step."""
    found = []
    for event in result.all_events:
        if event.event_type_value == "STEP_FAILURE":
            error = event.step_failure_data.error
            while error is not None and error.cause is not None:
                error = error.cause
            found.append(f"{event.step_key}: {error.message if error else ''}")
    return found


def python(code: str, world: World, **environment: str) -> subprocess.Popen[str]:
    """A fresh interpreter on `code`, with the world's root as its only argument."""
    variables = {**os.environ, "PYTHONPATH": str(REPOSITORY), "PYTHONWARNINGS": "ignore"}
    return subprocess.Popen(
        [sys.executable, "-c", code, str(world.root)],
        env={**variables, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=world.root,
    )
