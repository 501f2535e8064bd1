"""The event page and the feature page of a study: made once, linked, removed once stale."""

from __future__ import annotations

import re
from pathlib import Path

import dagster as dg
import pytest

from quantlab_pipeline.core.verdicts import Gate
from quantlab_pipeline.defs.jobs import CANDIDATE_PAGES, EVENT_PAGE, FEATURE_PAGE
from quantlab_pipeline.defs.reports import study_page as composed
from quantlab_pipeline.defs.reports.artifacts import write_artifacts
from quantlab_pipeline.defs.reports.candidate_pages import CANDIDATES, FOLDER, page_path
from quantlab_pipeline.defs.reports.outcome import StudyOutcome, study_outcome
from quantlab_pipeline.defs.reports.pages import EVENTS, FEATURES, PAGES
from quantlab_pipeline.defs.reports.strategy_pages import FOLDER as SHEETS
from quantlab_pipeline.defs.reports.strategy_pages import STRATEGIES, sheet_path
from quantlab_pipeline.defs.reports.study_page import write_page
from quantlab_pipeline.defs.resources import utc_now
from quantlab_pipeline_tests.defs.builders import FIRST, NAME, World, failures
from quantlab_pipeline_tests.reports.pages import opens_alone


def folder_of(world: World) -> Path:
    return world.data / "lake" / NAME / "artifacts" / NAME


def outcome_of(world: World) -> StudyOutcome:
    study = world.project.study(NAME)
    return study_outcome(world.project, world.market, study, world.lake(), world.data, utc_now)


@pytest.fixture(scope="module")
def boarded(ran: World, tmp_path_factory: pytest.TempPathFactory) -> World:
    """The tiny market with its study and board run. Look, do not change."""
    world = ran.copy(tmp_path_factory.mktemp("pages") / "world")
    world.waive(Gate.V1, Gate.B, Gate.S, Gate.P)
    world.run("study")
    board = world.run("board")
    assert board.success, failures(board)
    return world


def test_the_board_job_writes_every_page_and_links_them(boarded: World) -> None:
    folder = folder_of(boarded)
    board = (folder / "gate_board.html").read_text(encoding="utf-8")
    for page in PAGES:
        assert f'<a href="{page.file}">{page.title}</a>' in board
        text = (folder / page.file).read_text(encoding="utf-8")
        opens_alone(text)
        assert 'href="gate_board.html"' in text


def test_each_page_tells_of_the_study_and_of_no_day_of_its_holdout(boarded: World) -> None:
    study = boarded.project.study(NAME)
    events = (folder_of(boarded) / EVENTS.file).read_text(encoding="utf-8")
    features = (folder_of(boarded) / FEATURES.file).read_text(encoding="utf-8")
    for name in study.event_types:
        assert f'id="{name}"' in events
    for name in boarded.project.features().names:
        assert name in features
    for text in (events, features):
        days = set(re.findall(r"2025-03-\d\d", text))
        assert str(FIRST) in days
        assert days <= {str(d) for d in (*study.evaluation_days, study.holdout_start)}
    assert 'class="band"' in events, "a path was measured"


def test_a_page_asset_says_where_its_page_is_and_what_its_gate_says(boarded: World) -> None:
    for name, page in ((EVENT_PAGE, EVENTS), (FEATURE_PAGE, FEATURES)):
        event = boarded.instance.get_latest_materialization_event(dg.AssetKey([NAME, name]))
        assert event is not None
        assert event.asset_materialization is not None
        metadata = event.asset_materialization.metadata
        path = folder_of(boarded) / page.file
        assert metadata["page"].value == str(path)
        assert metadata["link"].value == path.as_uri()
        assert metadata[f"{page.gate.value} PASS"].value > 0


def test_a_page_that_is_current_is_left_alone_and_an_edited_one_is_made_again(
    boarded: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outcome = outcome_of(boarded)
    for page in PAGES:
        path = write_page(outcome, page, tmp_path)
        assert path is not None
        whole = path.read_bytes()
        assert whole == (folder_of(boarded) / page.file).read_bytes(), "the same bytes again"
        stamp = path.stat().st_mtime_ns
        write_page(outcome, page, tmp_path)
        assert path.stat().st_mtime_ns == stamp
        path.write_bytes(b"<p>an older page</p>")
        write_page(outcome, page, tmp_path)
        assert path.read_bytes() == whole
        monkeypatch.setattr(composed, "template_text", lambda *_: "another look")
        write_page(outcome, page, tmp_path)
        assert path.read_bytes() != whole, "it names what it was made from"
        monkeypatch.undo()


def test_a_page_whose_tables_are_not_current_is_removed_and_no_longer_linked(
    boarded: World, tmp_path: Path
) -> None:
    world = boarded.copy(tmp_path / "world")
    folder = folder_of(world)
    world.forget("events", world.days[0])
    board = write_artifacts(outcome_of(world), folder, "a run").read_text(encoding="utf-8")
    assert not (folder / EVENTS.file).exists()
    assert EVENTS.file not in board
    assert f'href="{FEATURES.file}"' in board
    world.forget("features_pt", world.days[1])
    write_artifacts(outcome_of(world), folder, "a run")
    assert not (folder / FEATURES.file).exists()


def test_every_followed_candidate_has_a_page_and_the_list_leads_to_it(boarded: World) -> None:
    folder, outcome = folder_of(boarded), outcome_of(boarded)
    studies = outcome.table("candidate_studies")
    assert studies is not None
    assert studies.height > 1
    found = {path.name for path in (folder / FOLDER).iterdir()}
    assert found == {f"{name}.html" for name in studies["candidate_id"]}
    text = (folder / CANDIDATES.file).read_text(encoding="utf-8")
    for name in studies["candidate_id"]:
        assert f'href="{page_path(name)}"' in text
        page = (folder / page_path(name)).read_text(encoding="utf-8")
        opens_alone(page)
        assert 'href="../candidates.html"' in page
        days = set(re.findall(r"2025-03-\d\d", page))
        study = boarded.project.study(NAME)
        assert days <= {str(d) for d in (*study.evaluation_days, study.holdout_start)}


def test_a_candidate_that_is_followed_no_more_loses_its_page(
    boarded: World, tmp_path: Path
) -> None:
    write_page(outcome_of(boarded), CANDIDATES, tmp_path)
    kept = sorted((tmp_path / FOLDER).iterdir())
    stranger = tmp_path / FOLDER / "not.followed.any.more.html"
    stranger.write_text("a page of an older run", encoding="utf-8")
    stamps = [path.stat().st_mtime_ns for path in kept]
    write_page(outcome_of(boarded), CANDIDATES, tmp_path)
    assert sorted((tmp_path / FOLDER).iterdir()) == kept
    assert [path.stat().st_mtime_ns for path in kept] == stamps, "current ones are left alone"


def test_candidates_pages_go_with_their_table_and_come_back_with_it(
    boarded: World, tmp_path: Path
) -> None:
    world = boarded.copy(tmp_path / "world")
    folder = folder_of(world)
    manifest = world.data / "lake" / NAME / "manifests" / "candidate_studies" / f"study={NAME}.json"
    manifest.unlink()
    write_artifacts(outcome_of(world), folder, "a run")
    assert not (folder / CANDIDATES.file).exists()
    assert not (folder / "candidate_studies.parquet").exists()
    assert not list((folder / FOLDER).iterdir())
    result = world.run("board")
    assert result.success, failures(result)
    assert list((folder / FOLDER).iterdir())
    assert manifest.is_file()


def test_every_executed_strategy_has_a_tear_sheet_that_its_pages_lead_to(boarded: World) -> None:
    folder, outcome = folder_of(boarded), outcome_of(boarded)
    results = outcome.table("bridge_results")
    assert results is not None
    assert results.height
    names = results["strategy_id"].to_list()
    assert {path.name for path in (folder / SHEETS).iterdir()} == {f"{n}.html" for n in names}
    listed = (folder / STRATEGIES.file).read_text(encoding="utf-8")
    opens_alone(listed)
    board = (folder / "gate_board.html").read_text(encoding="utf-8")
    for row in results.iter_rows(named=True):
        name = row["strategy_id"]
        assert f'href="{sheet_path(name)}"' in listed
        assert f'href="{sheet_path(name)}"' in board
        candidate = (folder / page_path(name)).read_text(encoding="utf-8")
        assert f'href="../{sheet_path(name)}"' in candidate
        sheet = (folder / sheet_path(name)).read_text(encoding="utf-8")
        opens_alone(sheet)
        assert f'href="../{page_path(name)}"' in sheet
        assert row["records_head"] in sheet
        assert outcome.lake.fingerprint("bridge_results", NAME) in sheet
        assert "its market is generated" in sheet
        assert "was waived" in sheet or "were waived" in sheet


def test_tear_sheets_go_with_the_bridge_and_candidates_forget_them(
    boarded: World, tmp_path: Path
) -> None:
    world = boarded.copy(tmp_path / "world")
    folder, outcome = folder_of(world), outcome_of(world)
    (name, *_) = sorted(outcome.executed)
    stranger = folder / SHEETS / "not.executed.any.more.html"
    stranger.write_text("a page of an older run", encoding="utf-8")
    sheet = folder / sheet_path(name)
    stamp = sheet.stat().st_mtime_ns
    assert write_page(outcome, STRATEGIES, folder) == folder / STRATEGIES.file
    assert not stranger.exists()
    assert sheet.stat().st_mtime_ns == stamp, "a current one is left alone"
    manifests = world.data / "lake" / NAME / "manifests"
    (manifests / "blueprints" / f"study={NAME}.json").unlink()
    write_page(outcome_of(world), STRATEGIES, folder)
    text = sheet.read_text(encoding="utf-8")
    opens_alone(text)
    assert "It was not backtested" in text, "what stands on blueprints is not current either"
    (manifests / "bridge_results" / f"study={NAME}.json").unlink()
    board = write_artifacts(outcome_of(world), folder, "a run").read_text(encoding="utf-8")
    assert not (folder / STRATEGIES.file).exists()
    assert not list((folder / SHEETS).iterdir())
    assert SHEETS not in board
    candidate = (folder / page_path(name)).read_text(encoding="utf-8")
    assert SHEETS not in candidate


def test_a_missing_holdout_day_costs_no_page(boarded: World, tmp_path: Path) -> None:
    world = boarded.copy(tmp_path / "world")
    world.forget("features_pt", str(world.project.study(NAME).last_day))
    assert write_page(outcome_of(world), FEATURES, tmp_path / "pages") is not None


def test_a_study_that_never_ran_has_no_page_and_its_assets_say_so(world: World) -> None:
    result = world.run("board", tables=[EVENT_PAGE])
    assert result.success, failures(result)
    (event,) = result.get_asset_materialization_events()
    told = event.materialization.metadata["page"].value
    assert "event_quality of study tiny is not current" in str(told)
    assert not (folder_of(world) / EVENTS.file).exists()
    result = world.run("board", tables=["candidate_studies", CANDIDATE_PAGES])
    assert result.success, failures(result)
    study, page = result.get_asset_materialization_events()
    told = str(study.materialization.metadata["not made"].value)
    assert told == "phase2_candidates is not current"
    assert "candidate_studies of study tiny" in str(page.materialization.metadata["page"].value)
    result = world.run("board", tables=[FEATURE_PAGE])
    assert result.success, failures(result)
    assert (folder_of(world) / FEATURES.file).is_file(), "its days were run and judged"
