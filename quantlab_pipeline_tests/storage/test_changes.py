"""What a run changed is told by day, with reasons that lie outside the day's own tables."""

from __future__ import annotations

from datetime import date
from itertools import product
from pathlib import Path

import pytest

from quantlab_pipeline.core.verdicts import Gate, Outcome
from quantlab_pipeline.storage.changes import Changes, changes, look
from quantlab_pipeline.storage.lake import Lake
from quantlab_pipeline_tests.storage.builders import (
    DAYS,
    Keys,
    build,
    judge_days,
    rows,
    toy_lake,
)

TABLES = ("bars", "book", "basis", "qa", "universe")
BAR_FILE = ["AAA", "daily/AAA-1m-2026-01-02.zip", "sha256:1"]


def make(lake: Lake, days: list[date]) -> None:
    """Day by day: the toy rows depend on which days are written at once."""
    for day in days:
        for table in TABLES:
            build(lake, table, [day])
            if table == "qa":
                judge_days(lake, Gate.D0, [day])


def land_bars(lake: Lake, day: date, sha: str, value: float) -> None:
    """Bars of a day from one file, as a source sends them."""
    raw = {"raw": [[*BAR_FILE[:2], sha]]}
    lake.write("bars", rows("bars", [day], value=value), [day], observed={str(day): raw})


@pytest.fixture
def keys() -> Keys:
    return Keys()


@pytest.fixture
def lake(tmp_path: Path, keys: Keys) -> Lake:
    """Three of four days are made."""
    lake = toy_lake(tmp_path, keys)
    make(lake, DAYS[:3])
    land_bars(lake, DAYS[1], "sha256:1", value=1.0)
    return lake


def told(lake: Lake, run) -> Changes:
    before = look(lake, TABLES, DAYS)
    run()
    return changes(before, look(lake, TABLES, DAYS), "qa")


def test_a_run_that_makes_nothing_anew_leaves_every_day_current(tmp_path: Path) -> None:
    lake = toy_lake(tmp_path)
    make(lake, DAYS)
    assert told(lake, lambda: make(lake, DAYS)) == Changes(current=tuple(DAYS))


def test_a_new_day_is_made_and_the_others_are_current(lake: Lake) -> None:
    found = told(lake, lambda: make(lake, DAYS[3:]))
    assert found == Changes(current=tuple(DAYS[:3]), made=(DAYS[3],))


def test_a_correction_names_its_file_once_for_all_that_follows_on_its_day(lake: Lake) -> None:
    def corrected() -> None:
        land_bars(lake, DAYS[1], "sha256:2", value=5.0)
        for table, day in product(("basis", "qa"), DAYS[:3]):
            build(lake, table, [day])

    found = told(lake, corrected)
    assert found.again == {
        DAYS[1]: ("bars: AAA-1m-2026-01-02.zip came again with other content",),
    }
    assert found.current == (DAYS[0], DAYS[2], DAYS[3])


def test_another_file_with_the_same_rows_is_told_apart(lake: Lake) -> None:
    found = told(lake, lambda: land_bars(lake, DAYS[1], "sha256:2", value=1.0))
    assert found.again == {}
    assert found.same == (DAYS[1],)
    assert len(found.current) == len(DAYS)


def test_a_file_that_arrives_late_is_no_correction(lake: Lake) -> None:
    def arrived() -> None:
        later = [*BAR_FILE[:1], "daily/AAA-1m-late.zip", "sha256:3"]
        raw = {"raw": [BAR_FILE, later]}
        frame = rows("bars", [DAYS[1]], value=5.0)
        lake.write("bars", frame, [DAYS[1]], observed={str(DAYS[1]): raw})

    assert told(lake, arrived).again[DAYS[1]] == ("bars: AAA-1m-late.zip arrived",)


def test_changed_code_is_named_by_its_table(lake: Lake, keys: Keys) -> None:
    keys.codes["basis"] = "2"
    found = told(lake, lambda: [build(lake, "basis", [day]) for day in DAYS[:2]])
    assert found.again == dict.fromkeys(DAYS[:2], ("the code of basis changed",))


def test_changed_code_of_many_tables_is_one_reason(lake: Lake, keys: Keys) -> None:
    keys.codes.update(dict.fromkeys(TABLES, "2"))
    found = told(lake, lambda: make(lake, DAYS[:1]))
    assert found.again == {DAYS[0]: ("the code of 5 tables changed",)}


def test_a_changed_spec_is_named(lake: Lake, keys: Keys) -> None:
    build(lake, "features", [DAYS[0]])
    keys.specs["feature_specs"] = "2"
    before = look(lake, ["features"], [DAYS[0]])
    build(lake, "features", [DAYS[0]])
    found = changes(before, look(lake, ["features"], [DAYS[0]]), "features")
    assert found.again == {DAYS[0]: ("specs changed: feature_specs",)}


def test_another_verdict_is_a_reason(lake: Lake) -> None:
    def judged_again() -> None:
        judge_days(lake, Gate.D0, [DAYS[0]], AAA=Outcome.FAIL)
        build(lake, "universe", [DAYS[0]])

    found = told(lake, judged_again)
    assert found.again == {DAYS[0]: (f"the verdict of D0 on {DAYS[0]} changed",)}


def test_what_lies_in_another_day_is_named_with_its_day(lake: Lake) -> None:
    tables = (*TABLES, "features")
    build(lake, "features", DAYS[:3])
    before = look(lake, tables, DAYS)
    land_bars(lake, DAYS[0], "sha256:9", value=7.0)
    build(lake, "features", DAYS[:3])
    found = changes(before, look(lake, tables, DAYS), "qa")
    assert found.again[DAYS[1]] == (f"bars of {DAYS[0]} changed",)
    assert found.again[DAYS[2]] == (f"bars of {DAYS[0]} changed",)


def test_a_table_that_was_forgotten_is_a_reason(lake: Lake) -> None:
    lake.objects.delete(f"manifests/universe/day={DAYS[0]}.json")
    found = told(lake, lambda: build(lake, "universe", [DAYS[0]]))
    assert found.again == {DAYS[0]: ("universe was not there",)}
