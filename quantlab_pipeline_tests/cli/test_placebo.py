"""`quantlab calibrate --placebo`: a stored study's events moved, its counts told and kept."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from quantlab_pipeline.defs.validation import placebo as stored
from quantlab_pipeline_tests.cli.builders import Command
from quantlab_pipeline_tests.cli.conftest import Ran, typed


@pytest.fixture(scope="module")
def judged(ran: Ran, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the data of the study that was run, whose few events were let through E-1."""
    data = tmp_path_factory.mktemp("judged") / "data"
    shutil.copytree(ran.data, data)
    own = ("--project", ran.project, "--data", data)
    words = ("--waive", "E-1", "--reason", "few days are enough here")
    run = typed("run", ran.summary["study"], *words, *own)
    assert "V1" in run.stdout, run.stderr
    return data


@pytest.fixture
def places(ran: Ran, judged: Path, tmp_path: Path) -> tuple[str, ...]:
    """The study on a copy of that data."""
    shutil.copytree(judged, tmp_path / "data")
    own = ("--project", str(ran.project), "--data", str(tmp_path / "data"))
    return (ran.summary["study"], *own)


def artifacts(ran: Ran, data: Path) -> Path:
    return data / "lake" / ran.summary["market"] / "artifacts" / ran.summary["study"]


def ledgers(data: Path) -> dict[Path, bytes]:
    return {p: p.read_bytes() for p in (data / "ledger").rglob("*") if p.is_file()}


def test_a_window_too_short_to_move_events_in_is_refused_with_what_it_needs(
    places: tuple[str, ...], quantlab: Command, ran: Ran, tmp_path: Path
) -> None:
    said = quantlab("calibrate", "--placebo", *places)
    assert said.code == 2
    assert "has no rotation" in said.err
    assert "days before its holdout" in said.err
    assert not (artifacts(ran, tmp_path / "data") / stored.FILE).exists()


def test_counts_are_told_kept_and_shown_on_the_board_and_no_trial_is_charged(
    places: tuple[str, ...],
    quantlab: Command,
    ran: Ran,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Features that look back no whole day: then a few days have a rotation."""
    monkeypatch.setattr(stored, "lookback_days", lambda _run: 0)
    data = tmp_path / "data"
    before = ledgers(data)
    said = quantlab("calibrate", "--placebo", *places, "--json")
    assert said.code == 0, said.err
    told = json.loads(said.out)
    assert told["rotations"] >= 1
    assert told["rows"][0]["shift_days"] == 0
    assert told["actual"]["n_tested"] > 0
    assert json.loads((artifacts(ran, data) / stored.FILE).read_bytes()) == told
    assert ledgers(data) == before
    plain = quantlab("calibrate", "--placebo", *places)
    assert "rotations of its events by" in plain.out
    assert "V1 passes" in plain.out
    facts = dict(stored.placebo_facts(told))
    assert facts["placebo"] == f"{told['rotations']} rotations of the events"
    assert f"{told['actual']['n_naive']:,} against" in facts["naive t-test"]


def test_a_placebo_of_other_candidates_is_not_current(tmp_path: Path) -> None:
    summary = {"made_from": "one", "rotations": 3}
    stored.write_placebo(summary, tmp_path)
    assert stored.current_placebo(tmp_path, "one") == summary
    assert stored.current_placebo(tmp_path, "another") is None
    assert stored.placebo_facts(None)[0][1].startswith("not made")


def test_options_of_generated_markets_have_no_meaning_with_it(
    places: tuple[str, ...], quantlab: Command
) -> None:
    said = quantlab("calibrate", "--placebo", *places, "--quick")
    assert said.code == 2
    assert "Say only: quantlab calibrate --placebo" in said.err


def test_a_study_that_was_never_run_is_named(places: tuple[str, ...], quantlab: Command) -> None:
    said = quantlab("calibrate", "--placebo", "smoke", *places[1:])
    assert said.code == 2
    assert "Run it first: quantlab run smoke" in said.err
