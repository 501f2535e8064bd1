"""What every test shares: a private, quiet Dagster, steady Hypothesis, the real data's place."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# Before anything imports Dagster: no telemetry, and no home but our own.
_HOME = Path(tempfile.mkdtemp(prefix="quantlab-dagster-"))
atexit.register(shutil.rmtree, _HOME, ignore_errors=True)
(_HOME / "dagster.yaml").write_text("telemetry:\n  enabled: false\n", encoding="utf-8")
os.environ["DAGSTER_HOME"] = str(_HOME)

# The same examples on every machine: a failure is a fact about the code, not about the day.
settings.register_profile(
    "house", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("house")


HEAVY_FIRST = (
    *("/chain/", "test_planted_truth", "/defs/", "/calibration/"),
    *("test_architecture", "/cli/", "/worlds/"),
)
"""Files that take longest: begun first, so that two workers end together."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Bring the heavy files to the front, the order within and between files otherwise kept."""

    def place(item: pytest.Item) -> int:
        path = item.path.as_posix()
        found = [rank for rank, part in enumerate(HEAVY_FIRST) if part in path]
        return min(found, default=len(HEAVY_FIRST))

    items.sort(key=place)


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the repository."""
    return Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of recorded market data; the test is skipped where none is named."""
    place = os.environ.get("QUANTLAB_REAL_DATA")
    if not place or not Path(place).is_dir():
        pytest.skip("QUANTLAB_REAL_DATA names no folder of recorded market data")
    return Path(place).resolve()
