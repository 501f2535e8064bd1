"""A month of days and one night for real: `dagster dev`, its daemon, its queue, its API.

Takes minutes; run it alone: `pytest -m calibrate quantlab_pipeline_tests/defs/test_daemon.py -s`.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, TypeVar

import dagster as dg
import pytest

from quantlab_pipeline.core.errors import GateNotPassedError
from quantlab_pipeline.core.verdicts import Gate
from quantlab_pipeline.defs.instance import home_of
from quantlab_pipeline_tests.defs.builders import NAME, REPOSITORY, World, make_project

pytestmark = pytest.mark.calibrate

DAYS = 31
T = TypeVar("T")

LOCATION = """
from pathlib import Path

from quantlab_pipeline.defs import schedules

schedules.CRON = "* * * * *"  # the night comes every minute

from quantlab_pipeline.definitions import build_defs

root = Path(__file__).parent
defs = build_defs(root, root / "data")
"""
LAUNCH = """
mutation($p: LaunchBackfillParams!) { launchPartitionBackfill(backfillParams: $p) {
  __typename ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message } } }
"""
BACKFILL = """
query($b: String!) { partitionBackfillOrError(backfillId: $b) { ... on PartitionBackfill {
  status error { message } runs(limit: 50) { id status startTime endTime } } } }
"""
START = """
mutation($s: ScheduleSelector!) { startSchedule(scheduleSelector: $s) {
  __typename ... on PythonError { message } } }
"""
STOP = """
mutation($i: String!) { stopRunningSchedule(id: $i) {
  __typename ... on PythonError { message } } }
"""
SCHEDULE = """
query($s: ScheduleSelector!) { scheduleOrError(scheduleSelector: $s) { ... on Schedule {
  scheduleState { id ticks(limit: 5) { status runIds error { message } } } } } }
"""
RUN = """
query($r: ID!) { runOrError(runId: $r) { ... on Run {
  status startTime endTime tags { key value } } } }
"""


@dataclass(frozen=True)
class Dagster:
    """A running `dagster dev`: its API, and its process group."""

    process: subprocess.Popen[bytes]
    port: int

    def ask(self, query: str, **variables: Any) -> Any:
        """The `data` of one GraphQL query."""
        body = json.dumps({"query": query, "variables": variables}).encode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/graphql", body, {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            told = json.load(answer)
        assert "errors" not in told, told
        return told["data"]

    def is_up(self) -> bool:
        try:
            locations = self.ask(
                "{ locationStatusesOrError { ... on "
                "WorkspaceLocationStatusEntries { entries { loadStatus } } } }"
            )
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return False
        entries = locations["locationStatusesOrError"]["entries"]
        return bool(entries) and all(e["loadStatus"] == "LOADED" for e in entries)

    def kill(self, how: signal.Signals) -> None:
        """Signal the whole process group and wait for its end."""
        os.killpg(self.process.pid, how)
        self.process.wait(60)


@contextmanager
def dagster_dev(world: World) -> Iterator[Dagster]:
    """`dagster dev` on the world's own home; stopped at the end if it still runs."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {
        **os.environ,
        "DAGSTER_HOME": str(home_of(world.data)),
        "PYTHONPATH": str(REPOSITORY),
        "PYTHONWARNINGS": "ignore",
    }
    location = str(world.root / "location.py")
    with (world.root / "dagster.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "dagster", "dev", "-f", location, "-p", str(port)],
            env=environment,
            cwd=world.root,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        dagster = Dagster(process, port)
        try:
            wait_for(dagster.is_up, 120, "dagster dev")
            yield dagster
        finally:
            if process.poll() is None:
                dagster.kill(signal.SIGTERM)


def wait_for(ready: Callable[[], T], seconds: float, what: str) -> T:
    """The first truthy answer of `ready`."""
    until = time.monotonic() + seconds
    while not (answer := ready()):
        assert time.monotonic() < until, f"{what} took longer than {seconds} s"
        time.sleep(0.5)
    return answer


@pytest.fixture(scope="module")
def month(tmp_path_factory: pytest.TempPathFactory) -> World:
    """A live market whose data ended yesterday, a month of it; nothing is made yet."""
    first = datetime.now(tz=UTC).date() - timedelta(days=DAYS)
    world = make_project(
        tmp_path_factory.mktemp("month") / "world",
        scenario={"first_day": first, "duration_min": DAYS * 1440},
        market={"first_day": first, "last_day": None},
        study={"first_day": first, "last_day": first + timedelta(days=DAYS - 4)},
    )
    (world.root / "location.py").write_text(LOCATION, encoding="utf-8")
    return world


def days_of(world: World) -> list[str]:
    first = world.market.first_day
    return [str(first + timedelta(days=i)) for i in range(DAYS)]


def launch(dagster: Dagster, tables: list[str], days: list[str]) -> str:
    params = {
        "assetSelection": [{"path": [NAME, table]} for table in tables],
        "partitionNames": days,
        "fromFailure": False,
    }
    told = dagster.ask(LAUNCH, p=params)["launchPartitionBackfill"]
    assert "backfillId" in told, told
    return str(told["backfillId"])


def ended(dagster: Dagster, backfill: str) -> dict[str, Any] | None:
    told = dagster.ask(BACKFILL, b=backfill)["partitionBackfillOrError"]
    return None if told["status"] in ("REQUESTED", "IN_PROGRESS") else told


def made(world: World, table: str) -> dict[str, dict[str, Any]]:
    """What was observed of each day of a table when it was written."""
    lake = world.lake()
    found = {key: lake.manifests.current(table, key) for key in lake.partitions(table)}
    return {key: dict(m.observed) for key, m in found.items() if m is not None}


def day_tables(world: World) -> list[str]:
    return [name for name, spec in world.lake().graph.tables.items() if spec.partition == "day"]


def test_a_month_is_backfilled_through_the_daemon_though_killed_in_the_middle(
    month: World,
) -> None:
    tables, days = day_tables(month), days_of(month)[:-1]
    began = time.monotonic()
    with dagster_dev(month) as dagster:
        print(f"\nup after {time.monotonic() - began:.1f} s")
        backfill = launch(dagster, tables, days)
        wait_for(lambda: made(month, "mark_index"), 120, "the first days of mark_index")
        dagster.kill(signal.SIGKILL)
    left = {table: made(month, table) for table in tables}
    print(
        f"killed after {time.monotonic() - began:.1f} s: { {t: len(d) for t, d in left.items()} }"
    )
    assert len(left["events"]) < len(days)
    with dagster_dev(month) as dagster:
        told = wait_for(lambda: ended(dagster, backfill), 400, "the backfill")
    print(f"backfill {told['status']} after {time.monotonic() - began:.1f} s: {told['runs']}")
    assert told["status"] == "COMPLETED_SUCCESS", told
    for table, before in left.items():
        now = made(month, table)
        assert list(now) == [f"day={day}" for day in days], table
        redone = [key for key, seen in before.items() if now[key] != seen]
        assert not redone, f"{table}: finished days were made again"
    lake = month.lake()
    assert lake.read("events", days).height
    assert all(lake.is_judged(gate, day) for gate in (Gate.D0, Gate.PIT1) for day in days)


def test_a_night_runs_through_the_daemon(month: World) -> None:
    if not made(month, "events"):
        pytest.skip("the month was not made")
    began = time.monotonic()
    selector = {
        "repositoryName": "__repository__",
        "repositoryLocationName": "location.py",
        "scheduleName": f"{NAME}__nightly",
    }
    with dagster_dev(month) as dagster:
        started = dagster.ask(START, s=selector)["startSchedule"]
        assert started["__typename"] == "ScheduleStateResult", started

        def ticked() -> Any:
            state = dagster.ask(SCHEDULE, s=selector)["scheduleOrError"]["scheduleState"]
            return state if any(t["runIds"] for t in state["ticks"]) else None

        state = wait_for(ticked, 150, "a tick")
        dagster.ask(STOP, i=state["id"])
        (run_id,) = next(t["runIds"] for t in state["ticks"] if t["runIds"])

        def done() -> Any:
            run = dagster.ask(RUN, r=run_id)["runOrError"]
            return run if run["status"] in ("SUCCESS", "FAILURE", "CANCELED") else None

        run = wait_for(done, 200, "the night's run")
    tags = {t["key"]: t["value"] for t in run["tags"]}
    yesterday = date.fromisoformat(days_of(month)[-1])
    print(
        f"\nnight {run['status']}: {run['endTime'] - run['startTime']:.1f} s of run, "
        f"{time.monotonic() - began:.1f} s with start and tick"
    )
    assert run["status"] == "SUCCESS"
    assert tags["dagster/asset_partition_range_end"] == str(yesterday)
    assert month.lake().read("events", [yesterday]) is not None


def test_a_backfill_behind_a_red_gate_is_refused(month: World) -> None:
    if not made(month, "events"):
        pytest.skip("the month was not made")
    days = days_of(month)[10:13]
    before = made(month, "events")
    month.edit("gates", "d0", "max_stale_frac", to=0.2)
    with dagster_dev(month) as dagster:
        backfill = launch(dagster, ["events"], days)
        told = wait_for(lambda: ended(dagster, backfill), 200, "the backfill")
    assert told["status"] == "COMPLETED_FAILED", told
    (run,) = told["runs"]
    with dg.DagsterInstance.from_config(str(home_of(month.data))) as instance:
        messages = [str(log.dagster_event) for log in instance.all_logs(run["id"])]
    assert any(GateNotPassedError.code in message for message in messages)
    assert made(month, "events") == before
