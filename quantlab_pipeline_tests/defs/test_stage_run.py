"""What a body is given: its own days and those around them, as far as they may be relied on.

A look-ahead day that is there but not usable yet counts as absent: the run goes on without it, and
what it makes stays stale until the day is mended.
"""

from __future__ import annotations

import shutil
from datetime import date
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from quantlab_pipeline.core.verdicts import Gate
from quantlab_pipeline.defs.stage_run import StageRun
from quantlab_pipeline.storage.lake import Lake
from quantlab_pipeline.storage.manifests import ABSENT
from quantlab_pipeline_tests.storage.builders import (
    DAYS,
    FIRST,
    SYMBOLS,
    TABLES,
    build,
    build_chain,
    judge_days,
    rows,
    ticking,
    toy_lake,
)

BEFORE_QA = ("bars", "book", "basis", "qa")
OWN, AHEAD = DAYS[1], DAYS[2]


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake of two whole days."""
    root = tmp_path_factory.mktemp("two_days")
    build_chain(toy_lake(root), DAYS[:2])
    return root


@pytest.fixture
def lake(template: Path, tmp_path: Path) -> Lake:
    shutil.copytree(template, tmp_path / "lake")
    return toy_lake(tmp_path / "lake")


def labels_of(lake: Lake, *days: date, **market: Any) -> StageRun:
    """The run that makes labels, which look a day ahead, of `days`."""
    known = SimpleNamespace(**{"symbols": SYMBOLS, "first_day": FIRST, "last_day": None, **market})
    partitions = tuple(str(day) for day in days)
    table, nothing = TABLES["labels"], cast("Any", None)
    return StageRun(nothing, cast("Any", known), lake, table, partitions, Path(), ticking())


def seen_ahead(run: StageRun) -> set[str]:
    """Fingerprints and admissions that the lineage of `OWN` names on the day ahead."""
    edges = run.lineage()[f"day={OWN}"]
    return {edge.fingerprint for edge in edges if edge.partition == f"day={AHEAD}"}


def arrive(lake: Lake, *, judged: bool) -> None:
    """The day ahead is written, and judged or not yet."""
    for table in BEFORE_QA:
        build(lake, table, [AHEAD])
    if judged:
        judge_days(lake, Gate.D0, [AHEAD])


def make_labels(lake: Lake, run: StageRun) -> None:
    lake.write("labels", rows("labels", [OWN]), [OWN], reads=run.lineage())


def test_a_day_ahead_that_is_judged_is_read(lake: Lake) -> None:
    arrive(lake, judged=True)
    run = labels_of(lake, OWN)
    assert run.unusable_ahead == frozenset()
    assert run.days_read("bars") == [OWN, AHEAD]
    assert run.load("bars").height == 2 * run.load("bars", days=[OWN]).height
    assert lake.fingerprint("bars", AHEAD) in seen_ahead(run)
    assert ABSENT not in seen_ahead(run)


def test_a_day_ahead_that_never_came_is_absent_and_no_fault(lake: Lake) -> None:
    run = labels_of(lake, OWN)
    assert run.unusable_ahead == frozenset()
    assert run.load("bars").equals(run.load("bars", days=[OWN]))
    assert seen_ahead(run) == {ABSENT}


def test_a_day_ahead_that_no_gate_judged_yet_counts_as_absent(lake: Lake) -> None:
    arrive(lake, judged=False)
    run = labels_of(lake, OWN)
    assert run.unusable_ahead == {AHEAD}
    assert run.days_read("bars") == [OWN]
    assert run.load("bars").equals(run.load("bars", days=[OWN]))
    assert seen_ahead(run) == {ABSENT}


def test_a_day_ahead_whose_bytes_changed_since_its_verdict_counts_as_absent(lake: Lake) -> None:
    arrive(lake, judged=True)
    lake.write("bars", rows("bars", [AHEAD], value=9.0), [AHEAD])
    run = labels_of(lake, OWN)
    assert run.unusable_ahead == {AHEAD}
    assert seen_ahead(run) == {ABSENT}


def test_the_arrival_of_a_day_ahead_makes_stale_what_was_made_without_it(lake: Lake) -> None:
    make_labels(lake, labels_of(lake, OWN))
    assert labels_of(lake, OWN).stale() == []
    arrive(lake, judged=True)
    assert labels_of(lake, OWN).stale() == [str(OWN)]


def test_what_was_made_beside_an_unusable_day_is_not_taken_for_whole(lake: Lake) -> None:
    """It is stale at once, and stays so until the day is mended and it is made again."""
    arrive(lake, judged=False)
    make_labels(lake, labels_of(lake, OWN))
    assert labels_of(lake, OWN).stale() == [str(OWN)]
    judge_days(lake, Gate.D0, [AHEAD])
    assert labels_of(lake, OWN).stale() == [str(OWN)]
    make_labels(lake, labels_of(lake, OWN))
    assert labels_of(lake, OWN).stale() == []


def test_a_days_own_bars_are_never_taken_for_absent(lake: Lake) -> None:
    """Only what lies ahead may be missing: within a run each day is its own."""
    arrive(lake, judged=False)
    run = labels_of(lake, OWN, AHEAD)
    assert run.unusable_ahead == frozenset()
    assert run.days_read("bars")[:2] == [OWN, AHEAD]


def test_nothing_is_read_beyond_the_markets_end(lake: Lake) -> None:
    arrive(lake, judged=True)
    assert labels_of(lake, OWN, last_day=OWN).days_read("bars") == [OWN]
