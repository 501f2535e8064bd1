"""The house's structure, kept by a machine: floors, the one door, the one join, no hidden clock.

Each law is a function over one module, and is itself tried on a planted offence.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from quantlab_pipeline_tests.source_laws import (
    PACKAGE,
    REPOSITORY,
    Law,
    Module,
    attributes,
    imports,
    modules,
    offences,
)

BIN = Path(sys.executable).parent

PARQUET = ("scan_parquet", "read_parquet", "write_parquet", "sink_parquet", "ParquetFile")
CLOCKS = (
    "datetime.now",
    "datetime.utcnow",
    "datetime.today",
    "date.today",
    "time.time",
    "time.time_ns",
)
MAY_READ_THE_CLOCK = ("cli", "defs/", "definitions.py", "storage/observed.py")
"""The rim, where a clock is made and passed in, and facts about the wall clock are kept."""

MAY_JOIN = ("core/point_in_time.py", "calibration/leak_zoo/")
"""The one join, and the zoo that shows what comes of any other."""

RANDOM = ("np.random.Generator", "np.random.PCG64")
MAY_CALL_VERBS = ("walk_forward", "features/gate.py", "gates.py", "tables.py", "study.py")
WHAT_A_STAGE_SHOWS = ("schema", "spec")


def no_dagster_below_the_rim(module: Module) -> Iterator[str]:
    if not module.inside.startswith(("defs/", "definitions.py")):
        for node, name in imports(module.tree):
            if name.split(".")[0].startswith("dagster"):
                yield f"{module.at(node)} imports {name}; only defs/ and definitions.py may"


def parquet_through_one_door(module: Module) -> Iterator[str]:
    if not module.inside.startswith("storage/"):
        for node, text in attributes(module.tree):
            if node.attr in PARQUET:
                yield f"{module.at(node)} calls {text}; only storage/ may"


def one_point_in_time_join(module: Module) -> Iterator[str]:
    if not module.inside.startswith(MAY_JOIN):
        for node, text in attributes(module.tree):
            if node.attr == "join_asof":
                yield f"{module.at(node)} calls {text}; use core.point_in_time.asof_join"


def no_hidden_clock(module: Module) -> Iterator[str]:
    if not module.inside.startswith(MAY_READ_THE_CLOCK):
        for node, text in attributes(module.tree):
            if any(text == clock or text.endswith(f".{clock}") for clock in CLOCKS):
                yield f"{module.at(node)} reads the wall clock ({text}); take a core.clocks.Clock"


def randomness_is_seeded(module: Module) -> Iterator[str]:
    if module.inside == "core/seeds.py":
        return
    for node, name in imports(module.tree):
        if name.split(".")[0] in ("random", "secrets", "uuid") or name.startswith("numpy.random"):
            yield f"{module.at(node)} imports {name}; use core.seeds"
    for node, text in attributes(module.tree):
        if text.startswith("np.random.") and text not in RANDOM:
            yield f"{module.at(node)} uses {text}; use core.seeds.generator"


def stages_read_tables_not_verbs(module: Module) -> Iterator[str]:
    floor, _, rest = module.inside.partition("/")
    if floor != "research" or rest.startswith(MAY_CALL_VERBS):
        return
    own = rest.split("/")[0]
    for node, name in imports(module.tree):
        steps = name.split(".")
        if steps[:2] != ["quantlab_pipeline", "research"] or len(steps) < 4 or steps[2] == own:
            continue
        if steps[3] not in WHAT_A_STAGE_SHOWS:
            yield f"{module.at(node)} imports {name}; another stage shows its schema and spec only"


def no_fastmath(module: Module) -> Iterator[str]:
    for found, line in enumerate(module.text.splitlines(), 1):
        if "fastmath=True" in line.replace(" ", ""):
            yield f"{module.place}:{found} turns fastmath on; a NaN would lose its meaning"


LAWS: list[tuple[Law, str, str]] = [
    (no_dagster_below_the_rim, "core/x.py", "def f():\n    import dagster as dg\n"),
    (no_dagster_below_the_rim, "storage/x.py", "from dagster_duckdb import DuckDBResource\n"),
    (
        parquet_through_one_door,
        "research/events/x.py",
        "import polars as pl\npl.scan_parquet('a')\n",
    ),
    (parquet_through_one_door, "defs/x.py", "frame.write_parquet('a')\n"),
    (one_point_in_time_join, "research/features/x.py", "a.join_asof(b, on='ts')\n"),
    (no_hidden_clock, "research/events/x.py", "import datetime as dt\ndt.datetime.now()\n"),
    (no_hidden_clock, "storage/lake.py", "datetime.now(UTC)\n"),
    (no_hidden_clock, "core/x.py", "import time\ntime.time()\n"),
    (randomness_is_seeded, "worlds/x.py", "np.random.default_rng()\n"),
    (randomness_is_seeded, "worlds/x.py", "import random\n"),
    (
        stages_read_tables_not_verbs,
        "research/events/x.py",
        "from quantlab_pipeline.research.features.build import build_features\n",
    ),
    (no_fastmath, "kernels/x.py", "@njit(cache=True, fastmath = True)\ndef f(): ...\n"),
]


@pytest.mark.parametrize("law", dict.fromkeys(law for law, _, _ in LAWS), ids=lambda f: f.__name__)
def test_law(law: Law) -> None:
    found = offences(law)
    assert not found, "\n" + "\n".join(found)


@pytest.mark.parametrize(("law", "place", "text"), LAWS, ids=lambda v: getattr(v, "__name__", ""))
def test_the_law_sees_a_planted_offence(law: Law, place: str, text: str) -> None:
    assert len(list(law(Module(f"quantlab_pipeline/{place}", text)))) == 1


# --- floors ------------------------------------------------------------------------------------


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [str(BIN / "lint-imports"), "--no-cache", "--config", "pyproject.toml"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_the_import_order_is_the_pipeline() -> None:
    done = lint_imports(REPOSITORY)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("place", "statement", "contract"),
    [
        ("core/clocks.py", "research.study", "A floor imports only what stands lower"),
        ("storage/yaml_lines.py", "reports", "A floor imports only what stands lower"),
        ("research/features/spec.py", "research.events.spec", "Inside research"),
        ("research/labels/spec.py", "research.features.spec", "Labels do not know features"),
        ("worlds/spec.py", "research.study", "Worlds know core and kernels alone"),
        ("research/study.py", "worlds.spec", "No stage can see the truth"),
    ],
)
def test_the_contracts_see_a_planted_import(
    tmp_path: Path, place: str, statement: str, contract: str
) -> None:
    shutil.copy(REPOSITORY / "pyproject.toml", tmp_path)
    shutil.copytree(
        PACKAGE, tmp_path / "quantlab_pipeline", ignore=shutil.ignore_patterns("__pycache__")
    )
    path = tmp_path / "quantlab_pipeline" / place
    path.write_text(f"{path.read_text()}\nimport quantlab_pipeline.{statement}\n")
    done = lint_imports(tmp_path)
    assert done.returncode == 1, done.stdout + done.stderr
    broken = [line for line in done.stdout.splitlines() if line.endswith("BROKEN")]
    assert any(line.startswith(contract) for line in broken), done.stdout


# --- dependencies ------------------------------------------------------------------------------


def distribution(requirement: str) -> str:
    """The normalised name at the head of a requirement such as `pandera[polars]`."""
    return re.split(r"[\[<>=!~; ]", requirement.strip())[0].lower().replace("_", "-")


def declared() -> tuple[set[str], set[str]]:
    """Distributions that pyproject.toml names: for the product, and for the work on it."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
    product = {distribution(r) for r in project["project"]["dependencies"]}
    return product, {distribution(r) for r in project["dependency-groups"]["dev"]}


def test_every_import_is_a_declared_dependency() -> None:
    product, _ = declared()
    owners = packages_distributions()
    undeclared = {
        f"{module.at(node)} imports {name}"
        for module in modules()
        for node, name in imports(module.tree)
        if (top := name.split(".")[0]) not in {*sys.stdlib_module_names, "quantlab_pipeline"}
        and not product & {distribution(d) for d in owners.get(top, [])}
    }
    assert not undeclared, "\n" + "\n".join(sorted(undeclared))


def test_every_dependency_is_locked_with_hashes_and_without_a_place() -> None:
    text = (REPOSITORY / "requirements.lock").read_text(encoding="utf-8")
    entries = re.split(r"\n(?=[a-z0-9])", text.split("\n", 2)[2])
    locked = {distribution(entry) for entry in entries}
    product, work = declared()
    assert product | work <= locked, f"run make lock: {sorted((product | work) - locked)}"
    assert all("--hash=sha256:" in entry for entry in entries)
    assert not re.search(r"index-url|find-links|file:|^-e|@ ", text, flags=re.MULTILINE)


# --- tools -------------------------------------------------------------------------------------


def run(*command: str) -> None:
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, "\n" + done.stdout + done.stderr


def test_ruff_finds_nothing() -> None:
    run(str(BIN / "ruff"), "check", "--quiet", "--output-format", "concise", ".")


def test_types_hold_under_strict() -> None:
    run(str(BIN / "mypy"), "--no-error-summary")
