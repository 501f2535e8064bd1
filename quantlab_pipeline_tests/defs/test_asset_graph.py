"""What Dagster is given: assets, checks, jobs, schedules and sensors of the enabled markets.

After an intended change, write the snapshot anew:
`python -m quantlab_pipeline_tests.defs.test_asset_graph`.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from quantlab_pipeline.core.verdicts import Gate
from quantlab_pipeline.definitions import build_defs
from quantlab_pipeline.defs.check_events import check_name
from quantlab_pipeline.defs.jobs import (
    BACKLOG,
    BOARD,
    CANDIDATE_PAGES,
    EVENT_PAGE,
    FEATURE_PAGE,
    PIT1_PAGE,
    QA_CALENDAR,
    STRATEGY_PAGES,
)
from quantlab_pipeline.defs.schema_checks import NAME as SCHEMA_CHECK
from quantlab_pipeline.research.tables import JUDGED_TABLE, all_tables
from quantlab_pipeline.storage.spec_files import Project
from quantlab_pipeline_tests.defs.builders import REPOSITORY

SNAPSHOT = REPOSITORY / "quantlab_pipeline_tests" / "__snapshots__" / "asset_graph.json"
HEAVY = ("numba", "scipy", "statsmodels", "pandera", "cvxpy", "arch", "plotly", "pandas", "sklearn")


@pytest.fixture(scope="module")
def definitions(tmp_path_factory: pytest.TempPathFactory) -> dg.Definitions:
    return build_defs(REPOSITORY, tmp_path_factory.mktemp("data"))


def graph_of(definitions: dg.Definitions) -> dict[str, Any]:
    """The graph as people review it, once for all markets: nothing in it depends on a body's code.

    `[market, table]` is shown as `table`, a group `<market>__<stage>` as `stage`.
    """
    graph = definitions.resolve_asset_graph()
    shapes: dict[str, Any] = {}
    for key in sorted(graph.get_all_asset_keys()):
        market, table = key.path
        node = graph.get(key)
        assert {parent.path[0] for parent in node.parent_keys} <= {market}, "markets are strangers"
        shapes.setdefault(market, {})[table] = {
            "group": (node.group_name or "").removeprefix(f"{market}__"),
            "partitions": type(node.partitions_def).__name__,
            "deps": sorted(parent.path[1] for parent in node.parent_keys),
            "checks": {
                check.name: "blocks" if graph.get(check).blocking else "looks"
                for check in sorted(node.check_keys)
            },
        }
    first, *others = shapes.values()
    assert all(shape == first for shape in others), "every market has the same tables"
    return {"markets": sorted(shapes), "graph of each": first}


def encoded(graph: dict[str, Any]) -> str:
    return json.dumps(graph, indent=1, sort_keys=True) + "\n"


def test_the_graph_is_the_one_that_was_reviewed(definitions: dg.Definitions) -> None:
    assert SNAPSHOT.read_text(encoding="utf-8") == encoded(graph_of(definitions)), (
        "the asset graph changed; if that is meant: "
        "python -m quantlab_pipeline_tests.defs.test_asset_graph"
    )


def test_definitions_are_loadable(definitions: dg.Definitions) -> None:
    dg.Definitions.validate_loadable(definitions)


def test_every_enabled_market_has_every_table_under_its_own_name(
    definitions: dg.Definitions,
) -> None:
    project = Project(REPOSITORY)
    names = [*all_tables(project.features()), BOARD, BACKLOG, QA_CALENDAR]
    names += [EVENT_PAGE, FEATURE_PAGE, PIT1_PAGE, CANDIDATE_PAGES, STRATEGY_PAGES]
    markets = [m.name for m in project.markets() if m.enabled]
    expected = {(market, name) for market in markets for name in names}
    keys = definitions.resolve_asset_graph().get_all_asset_keys()
    assert {tuple(key.path) for key in keys} == expected


def test_every_gate_blocks_with_a_check_on_its_table(definitions: dg.Definitions) -> None:
    graph = definitions.resolve_asset_graph()
    for market in {key.path[0] for key in graph.get_all_asset_keys()}:
        for gate, table in JUDGED_TABLE.items():
            check = dg.AssetCheckKey(dg.AssetKey([market, table]), check_name(gate))
            assert graph.get(check).blocking, check
    assert set(JUDGED_TABLE) == set(Gate)


def test_every_asset_and_check_says_what_it_is(definitions: dg.Definitions) -> None:
    graph = definitions.resolve_asset_graph()
    assets = [graph.get(key) for key in graph.get_all_asset_keys()]
    silent = [str(node.key) for node in assets if len(node.description or "") < 30]
    checks = [graph.get(key) for key in graph.asset_check_keys]
    silent += [str(node.key) for node in checks if len(node.description or "") < 30]
    assert not silent


def test_every_table_has_a_schema_check_that_does_not_block(definitions: dg.Definitions) -> None:
    graph = definitions.resolve_asset_graph()
    tables = all_tables(Project(REPOSITORY).features())
    for key in graph.get_all_asset_keys():
        if key.path[1] in tables:
            assert not graph.get(dg.AssetCheckKey(key, SCHEMA_CHECK)).blocking


def test_every_market_has_its_jobs_schedule_and_sensors(definitions: dg.Definitions) -> None:
    repository = definitions.get_repository_def()
    for market in (m.name for m in Project(REPOSITORY).markets() if m.enabled):
        assert {f"{market}__{job}" for job in ("days", "study", "board", "qa")} <= set(
            repository.job_names
        )
        assert repository.has_schedule_def(f"{market}__nightly")
        sensors = {s.name for s in repository.sensor_defs if s.name.startswith(f"{market}__")}
        assert sensors == {
            f"{market}__live_studies",
            f"{market}__board_after_success",
            f"{market}__board_after_failure",
        }


def test_a_day_job_holds_no_study_table_and_no_schema_check(definitions: dg.Definitions) -> None:
    names = {node.name for node in definitions.resolve_job_def("world_smoke__days").nodes}
    steps = {name.removeprefix("world_smoke__") for name in names}
    assert {"bars_1m_perp", "events", "qa_report_D0", "features_pt_PIT_1"} <= steps
    assert not steps & {"event_quality", "phase2_candidates", BOARD}
    assert not [step for step in steps if step.endswith(SCHEMA_CHECK)]


def test_what_explains_verdicts_is_made_with_the_board_where_no_gate_can_stop_it(
    definitions: dg.Definitions,
) -> None:
    def steps(job: str) -> set[str]:
        nodes = definitions.resolve_job_def(f"world_smoke__{job}").nodes
        return {node.name.removeprefix("world_smoke__") for node in nodes}

    assert "candidate_studies" in steps("board")
    assert "candidate_studies" not in steps("study")
    assert not [step for step in steps("board") if step.endswith((SCHEMA_CHECK, "_V1"))]
    board = definitions.resolve_asset_graph().get(dg.AssetKey(["world_smoke", BOARD]))
    assert dg.AssetKey(["world_smoke", "candidate_studies"]) in board.parent_keys


LOAD = """
import sys, time
began = time.perf_counter()
from quantlab_pipeline.definitions import defs
defs.get_repository_def()
seconds = time.perf_counter() - began
loaded = {module.split(".")[0] for module in sys.modules}
print(f"{seconds:.2f}", *sorted(loaded & set(sys.argv[1].split(","))))
"""


def test_the_code_location_loads_without_heavy_libraries(
    tmp_path: Path, record_property: Any
) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", LOAD, ",".join(HEAVY)],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    )
    seconds, *heavy = done.stdout.split()
    record_property("code_location_load_s", seconds)
    print(f"code location: {seconds} s")
    assert not heavy, f"loaded with the code location: {heavy}"


if __name__ == "__main__":
    SNAPSHOT.write_text(encoded(graph_of(build_defs(REPOSITORY))), encoding="utf-8")
