"""Fixtures of the storage tests: a whole judged chain is built once and copied for each test."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from quantlab_pipeline.storage.lake import Lake
from quantlab_pipeline_tests.storage.builders import Keys, build_chain, toy_lake


@pytest.fixture(scope="session")
def chain_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Root of a lake in which everything is built and judged."""
    root = tmp_path_factory.mktemp("template")
    build_chain(toy_lake(root))
    return root


@pytest.fixture
def keys() -> Keys:
    """Today's hashes, for a test to change."""
    return Keys()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """An empty root of a lake."""
    return tmp_path / "lake"


@pytest.fixture
def lake(root: Path, keys: Keys) -> Lake:
    """An empty lake."""
    return toy_lake(root, keys)


@pytest.fixture
def chained(root: Path, keys: Keys, chain_template: Path) -> Lake:
    """A lake in which everything is built and judged; c3 failed V1."""
    shutil.copytree(chain_template, root)
    return toy_lake(root, keys)
