"""The demo, whole: what a person sees after `make demo`. Minutes, so with the calibrations."""

from __future__ import annotations

from pathlib import Path

import pytest

from quantlab_pipeline.commands.demo import _passed_on
from quantlab_pipeline_tests.cli.conftest import typed


def test_a_childs_progress_is_told_and_its_other_words_are_kept() -> None:
    told: list[tuple[str, int, int]] = []

    def progress(name: str, done: int, total: int) -> None:
        told.append((name, done, total))

    assert _passed_on("null: 3/45 tob_snapshots\n", "null", progress)
    assert not _passed_on("quantlab: no space left\n", "null", progress)
    assert not _passed_on("other: 3/45 x\n", "null", progress)
    assert told == [("tob_snapshots", 3, 45)]


@pytest.mark.calibrate
def test_the_demo_goes_as_it_should(tmp_path: Path) -> None:
    done = typed("demo", "--data", tmp_path / "data")
    assert done.returncode == 0, done.stderr
    rows = [line.split() for line in done.stdout.splitlines() if line.strip()]
    worlds = {row[0]: row for row in rows if row[0] in {"planted_edges", "null"}}
    assert int(worlds["planted_edges"][3]) >= 2
    assert worlds["null"][3:] == ["0", "0", "0"]
    assert int(worlds["null"][2]) > 0, "the naive test is fooled"
    assert "PIT-1 FAIL" in done.stdout
    assert "bars_1m_perp, 60 s ahead" in done.stdout
    for what_next in ("quantlab why", "quantlab ui", "quantlab run --source freqtrade"):
        assert what_next in done.stdout
