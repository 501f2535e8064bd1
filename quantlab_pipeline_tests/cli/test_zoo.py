"""`quantlab zoo`: what it prints, and what it exits with when the gate is wrong."""

from __future__ import annotations

import json

import pytest

from quantlab_pipeline.calibration.leak_zoo import zoo as zoo_module
from quantlab_pipeline.calibration.leak_zoo.zoo import herds, run_zoo
from quantlab_pipeline.commands import zoo as command
from quantlab_pipeline_tests.cli.builders import Command


@pytest.fixture
def one_herd(monkeypatch: pytest.MonkeyPatch) -> None:
    """The experiment with its first animals alone."""
    monkeypatch.setattr(
        command,
        "run_zoo",
        lambda limits, seed, progress: run_zoo(limits, seed, herds()[:1], progress=progress),
    )


def test_leaks_are_listed_and_twins_are_counted(one_herd: None, quantlab: Command) -> None:
    told = quantlab("zoo", "--seed", "3")
    assert told.code == 0
    n = zoo_module.HERD
    assert f"{n} of {n} leaks are red and {n} of {n} honest twins are green; 0 wrong." in told.out
    assert told.out.count("LEAK_") >= n


def test_every_animal_is_one_object_for_programs(one_herd: None, quantlab: Command) -> None:
    animals = json.loads(quantlab("zoo", "--json").out)["animals"]
    assert len(animals) == 2 * zoo_module.HERD
    assert all(animal["right"] for animal in animals)
