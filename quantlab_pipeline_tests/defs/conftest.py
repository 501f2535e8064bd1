"""The tiny market: run once a session, copied for each test."""

from __future__ import annotations

from pathlib import Path

import pytest

from quantlab_pipeline_tests.defs.builders import World, base


@pytest.fixture(scope="session")
def ran(tmp_path_factory: pytest.TempPathFactory) -> World:
    """The tiny market with its days run and judged. Look, do not change."""
    return base(shared_folder(tmp_path_factory))


@pytest.fixture
def world(ran: World, tmp_path: Path) -> World:
    """A copy of the tiny market for one test."""
    return ran.copy(tmp_path / "world")


def shared_folder(factory: pytest.TempPathFactory) -> Path:
    """A folder that all workers of one pytest-xdist run share."""
    own = factory.getbasetemp()
    return own.parent if own.name.startswith("popen-") else own
