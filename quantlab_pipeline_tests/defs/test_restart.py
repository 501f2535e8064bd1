"""Killed and started again; twice the same; day by day the same as all at once."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import time
from pathlib import Path
from typing import Any

from quantlab_pipeline.core.verdicts import Gate
from quantlab_pipeline.storage.manifests import Manifest
from quantlab_pipeline_tests.defs.builders import (
    NAME,
    WAIVED,
    World,
    failures,
    make_project,
    python,
)

DAYS_JOB = """
import sys
from pathlib import Path
from quantlab_pipeline_tests.defs.builders import World, failures
result = World(Path(sys.argv[1])).run("days")
print(failures(result))
sys.exit(not result.success)
"""
WHOLE_CHAIN = """
import sys
from pathlib import Path
from quantlab_pipeline_tests.defs.builders import WAIVED, World, failures
world = World(Path(sys.argv[1]))
world.waive(*WAIVED)
results = [world.run(job) for job in ("days", "study", "board")]
print([failures(result) for result in results])
sys.exit(not all(result.success for result in results))
"""
OBSERVED = ("run_manifest.json",)
"""Artifacts that hold facts about the wall clock, under `observed`."""


def manifests(world: World) -> dict[tuple[str, str], Manifest]:
    """Every manifest of the market, by table and partition."""
    lake = world.lake()
    keys = [(t, p) for t in lake.graph.tables for p in lake.partitions(t)]
    found = {key: lake.manifests.current(*key) for key in keys}
    return {key: manifest for key, manifest in found.items() if manifest is not None}


def fingerprints(world: World) -> dict[tuple[str, str], str]:
    return {key: manifest.fingerprint for key, manifest in manifests(world).items()}


def verdicts(world: World) -> dict[tuple[str, str], str]:
    store = world.lake().verdicts
    records = {(g.value, p): store.current(g, p) for g in Gate for p in store.partitions(g)}
    return {key: record.digest for key, record in records.items() if record is not None}


def first_difference(one: dict[Any, Any], other: dict[Any, Any]) -> str:
    changed = [key for key in {**one, **other} if one.get(key) != other.get(key)]
    return f"{len(changed)} differ: {sorted(changed)[:5]}"


# --- killed and started again ------------------------------------------------------------------


def test_a_run_killed_twice_goes_on_where_it_was(ran: World, tmp_path: Path) -> None:
    world = make_project(tmp_path / "world")
    kill_when(world, "bars_1m_spot")
    begun = manifests(world)
    assert ("events", f"day={world.days[-1]}") not in begun, "it had not ended"
    kill_when(world, "features_pt")
    further = manifests(world)
    assert begun, "it had begun"
    assert len(further) > len(begun), "and went further"
    result = world.run("days")
    assert result.success, failures(result)
    now = manifests(world)
    for left in (begun, further):
        redone = [key for key, m in left.items() if now[key].observed != m.observed]
        assert not redone, "finished days are not made again"
    assert fingerprints(world) == fingerprints(ran), first_difference(
        fingerprints(world), fingerprints(ran)
    )


def kill_when(world: World, table: str) -> None:
    """Run the days in a process of their own and kill it when a day of `table` is there."""
    folder = world.data / "lake" / NAME / "manifests" / table
    process = python(DAYS_JOB, world)
    until = time.monotonic() + 120
    while not any(folder.glob("day=*.json")):
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < until
        time.sleep(0.002)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL


def test_a_run_on_finished_days_makes_nothing(world: World) -> None:
    before = manifests(world)
    result = world.run("days")
    assert result.success
    assert {k: m.observed for k, m in manifests(world).items()} == {
        k: m.observed for k, m in before.items()
    }


# --- twice the same ----------------------------------------------------------------------------


def test_two_runs_are_the_same_to_the_byte(world: World, tmp_path: Path) -> None:
    """One in this process, one in another with other threads, hash seed and folder."""
    other = make_project(tmp_path / "other")
    environment = {"POLARS_MAX_THREADS": "1", "NUMBA_NUM_THREADS": "1", "PYTHONHASHSEED": "1"}
    process = python(WHOLE_CHAIN, other, **environment)
    world.waive(*WAIVED)
    for job in ("study", "board"):
        result = world.run(job)
        assert result.success, failures(result)
    told = process.communicate()[0]
    assert process.returncode == 0, told
    for state in (fingerprints, verdicts, artifacts):
        assert state(world) == state(other), first_difference(state(world), state(other))
    assert ("portfolio", f"study={NAME}") in fingerprints(world), "the whole chain was run"
    assert len(verdicts(world)) == 2 * len(world.days) + 5


def artifacts(world: World) -> dict[str, str]:
    """A digest of each artifact, without what was observed."""
    folder = world.data / "lake" / NAME / "artifacts" / NAME
    found = {}
    for file in sorted(f for f in folder.rglob("*") if f.is_file()):
        data = file.read_bytes()
        if file.name in OBSERVED:
            content = json.loads(data)
            assert content.pop("observed")
            data = json.dumps(content).encode()
        found[file.name] = hashlib.sha256(data).hexdigest()
    assert {"phase2_candidates.csv", "gate_verdicts.json", "blueprints.jsonl"} <= set(found)
    return found


# --- day by day the same as all at once --------------------------------------------------------


def test_day_by_day_is_the_same_as_all_at_once(ran: World, tmp_path: Path) -> None:
    world = make_project(tmp_path / "world")
    first, second, third, *_, last = world.days
    for span in ((first, first), (second, second), (third, last)):
        result = world.run("days", *span)
        assert result.success, failures(result)
        if second in span:
            unresolved = resolved_share(world, second)
    # The labels of the days that were made alone end on days that came later.
    result = world.run("days")
    assert result.success, failures(result)
    one, other = fingerprints(world), fingerprints(ran)
    assert one == other, first_difference(one, other)
    assert unresolved < resolved_share(world, second), "tomorrow's arrival made them stale"


def resolved_share(world: World, day: str) -> float:
    labels = world.lake().read("labels_fwd", [day], gated=False)
    return float(labels["fwd_ret_24h"].is_not_null().mean() or 0.0)
