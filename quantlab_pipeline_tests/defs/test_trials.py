"""The trial ledger under the stage: a family counted before its results, FAILs that are served."""

from __future__ import annotations

import io
from collections.abc import Mapping
from datetime import date
from typing import Any

import pytest
from rich.console import Console

from quantlab_pipeline.commands.run import gates_command
from quantlab_pipeline.commands.session import Session
from quantlab_pipeline.commands.why import why_command
from quantlab_pipeline.core.errors import LedgerError
from quantlab_pipeline.core.tables import TableSpec
from quantlab_pipeline.core.verdicts import Gate, ItemVerdict, Outcome
from quantlab_pipeline.defs.events import assets as events
from quantlab_pipeline.defs.factory import judge, make
from quantlab_pipeline.defs.reports.outcome import StudyOutcome, study_outcome
from quantlab_pipeline.defs.resources import utc_now
from quantlab_pipeline.defs.stage_run import Body, GateBody, StageRun
from quantlab_pipeline.defs.validation import assets as validation
from quantlab_pipeline.research.atlas.backlog import build_backlog
from quantlab_pipeline.storage.manifests import Manifest
from quantlab_pipeline.storage.project_lake import ledger_of
from quantlab_pipeline.storage.trial_ledger import FileTrialLedger
from quantlab_pipeline_tests.defs.builders import NAME, STUDY, World, failures, write_yaml

STAGES: tuple[tuple[str, Body, Gate, GateBody], ...] = (
    ("event_quality", events.event_quality, Gate.E1, events.e1),
    ("phase2_candidates", validation.phase2_candidates, Gate.V1, validation.v1),
)


@pytest.fixture
def house(world: World) -> World:
    """The tiny market under thresholds by which its candidates fail: five days are enough."""
    for name, to in (("min_active_days", 1), ("min_n_eff", 0.1), ("mde_cost_multiple", 1e6)):
        world.edit("gates", "v1", name, to=to)
    world.edit("candidate_family", "horizons", to=["5m", "15m"])
    return world


def ask(house: World, study: str = NAME) -> Manifest:
    """Event quality and candidates of `study` made and judged; the candidates' manifest."""
    for table, body, gate, gate_body in STAGES:
        run = stage(house, table, study)
        batch = make(run, body, {})
        made = batch.made
        run.lake.write(
            table, made.frame, [study], reads=batch.lineage, notes=made.notes,
            observed=made.observed,
        )  # fmt: skip
        judge(stage(house, table, study), gate, gate_body, "run")
    manifest = house.lake().manifests.current("phase2_candidates", f"study={study}")
    assert manifest is not None
    return manifest


def stage(house: World, table: str, study: str = NAME) -> StageRun:
    lake = house.lake()
    spec: TableSpec = lake.graph.spec(table)
    return StageRun(house.project, house.market, lake, spec, (study,), house.data, utc_now)


def book(house: World, study: str = NAME) -> FileTrialLedger:
    return ledger_of(house.market, house.project.study(study), house.data, utc_now)


def verdicts(house: World, study: str = NAME) -> list[ItemVerdict]:
    record = house.lake().verdicts.current(Gate.V1, f"study={study}")
    assert record is not None
    return list(record.items)


def outcome(house: World, study: str = NAME) -> StudyOutcome:
    asked = house.project.study(study)
    return study_outcome(house.project, house.market, asked, house.lake(), house.data, utc_now)


def another(house: World, name: str, **changes: Any) -> None:
    """A second study of the same market."""
    write_yaml(
        house.root / "specs" / "studies" / f"{name}.yaml", {**STUDY, "name": name, **changes}
    )


def lose(house: World, study: str = NAME) -> None:
    """Delete the candidates' manifest: the table was never made."""
    (house.data / f"lake/{NAME}/manifests/phase2_candidates/study={study}.json").unlink()


def failed(house: World) -> int:
    return sum(v.outcome is Outcome.FAIL for v in verdicts(house))


def test_a_family_is_registered_with_its_document_and_data_before_its_results(house: World) -> None:
    ask(house)
    registered, recorded = book(house).log.entries()
    assert (registered.body["kind"], recorded.body["kind"]) == ("register", "result")
    family = house.project.family()
    said = registered.body["family"]
    assert said["file_hash"] == family.spec_hash()
    assert said["grid_size"] == family.size(3) == len(registered.body["trials"])
    assert "registered_at" in registered.observed
    assert recorded.body["code_hash"] == registered.body["code_hash"] == book(house).code_hash
    assert book(house).state().n_trials == family.size(3)
    assert "synthetic" in book(house).log.path.parts, "a generated market charges no real lineage"
    record = house.lake().verdicts.current(Gate.V1, f"study={NAME}")
    assert record is not None
    assert record.ledger_head == recorded.hash
    assert book(house).state_at(record.ledger_head).n_trials == family.size(3)


def test_a_lost_table_is_made_again_from_the_ledger_to_the_same_bytes(house: World) -> None:
    first, head = ask(house), book(house).state().head
    said = [house.lake().verdicts.current(Gate.V1, f"study={NAME}")]
    assert first.observed[validation.SERVED] == 0
    n_failed = failed(house)
    assert n_failed > 20, "or this test shows nothing"
    another(house, "between", event_types=["oi_surge"], symbols=["AAAUSDT"])
    ask(house, "between")
    assert book(house).state().head != head
    lose(house)
    again = ask(house)
    assert again.observed[validation.SERVED] == n_failed
    assert again.files == first.files
    assert again.fingerprint == first.fingerprint, "another study in between changes no count"
    said.append(house.lake().verdicts.current(Gate.V1, f"study={NAME}"))
    assert said[0] is not None
    assert said[1] is not None
    assert said[0].digest == said[1].digest


def test_another_study_of_the_same_days_is_served_and_pays_for_what_is_new(house: World) -> None:
    first = ask(house)
    n_failed, spent = failed(house), book(house).state().n_trials
    another(house, "twin")
    twin = ask(house, "twin")
    assert twin.observed[validation.SERVED] == n_failed
    assert twin.files == first.files, "the very same rows"
    assert book(house).state().n_trials == spent
    assert outcome(house, "twin").budget.own == spent
    # Fewer events under another name: the first one's trials stay counted, nothing is missing.
    another(house, "part", event_types=["oi_surge"])
    ask(house, "part")
    assert outcome(house, "part").refused is None
    assert book(house).state().n_trials == spent


def test_new_data_is_measured_anew_and_is_no_new_trial(house: World) -> None:
    ask(house)
    spent = book(house).state().n_trials
    house.edit("feature_specs", "version", to=house.project.features().version + 1)
    result = house.run("days", house.days[0], house.days[-1])
    assert result.success, failures(result)
    again = ask(house)
    assert again.observed[validation.SERVED] == 0
    assert book(house).state().n_trials == spent
    registered = [e.body for e in book(house).log.entries() if e.body["kind"] == "register"]
    assert len({body["family"]["dataset_hash"] for body in registered}) == 2


CHANGES: Mapping[str, tuple[str, tuple[str, ...], Any, float]] = {
    "an event type dropped": (
        f"studies/{NAME}",
        ("event_types",),
        ["oi_surge", "thin_tape"],
        1 / 3,
    ),
    "a horizon removed": ("candidate_family", ("horizons",), ["5m"], 1 / 2),
    "another cost profile": ("candidate_family", ("cost_profile",), "base", 1),
}


@pytest.mark.parametrize("change", CHANGES)
def test_candidates_changed_after_their_results_void_v1(house: World, change: str) -> None:
    document, path, value, share = CHANGES[change]
    ask(house)
    tested = sum(v.outcome is not Outcome.NOT_EVALUABLE for v in verdicts(house))
    before = book(house).state()
    content = (house.root / "specs" / f"{document}.yaml").read_text()
    house.edit(document, *path, to=value)
    manifest = ask(house)
    assert {(v.outcome, v.reasons) for v in verdicts(house)} == {
        (Outcome.NOT_EVALUABLE, ("FAMILY_CHANGED",))
    }
    frame = house.lake().read("phase2_candidates", [NAME], gated=False)
    assert frame["z_raw"].null_count() == frame.height, "nothing is measured"
    missing = manifest.notes[validation.REFUSAL]["missing"]
    assert len(missing) == pytest.approx(share * tested, rel=0.5)
    assert book(house).state() == before, "and nothing is registered"
    told = outcome(house)
    assert told.refused is not None
    assert "Put them back" in told.refused
    assert told.board().refused == told.refused
    for command in (gates_command, lambda s, study: why_command(s, verdicts(house)[0].item, study)):
        out = io.StringIO()
        quiet = Console(file=io.StringIO())
        command(
            Session(house.project, house.data, utc_now, Console(file=out, width=500), quiet), NAME
        )
        assert out.getvalue().count("Put them back") == 1, "the remedy is told once"
    (house.root / "specs" / f"{document}.yaml").write_text(content)
    assert validation.REFUSAL not in ask(house).notes
    assert failed(house) > 0


def test_edges_moved_after_the_results_void_v1_and_name_their_buckets(house: World) -> None:
    ask(house)
    house.edit("event_registry", "regimes", "vol_regime", "edges", "at", to=[0.3, 0.7])
    result = house.run("days", house.days[0], house.days[-1])
    assert result.success, failures(result)
    missing = ask(house).notes[validation.REFUSAL]["missing"]
    assert {name.split(".")[1] for name in missing} == {"vol_low", "vol_high"}
    assert {v.reasons for v in verdicts(house)} == {("FAMILY_CHANGED",)}


def test_days_that_move_on_and_fewer_symbols_spend_budget_and_void_nothing(house: World) -> None:
    ask(house)
    one = book(house).state().n_trials
    house.edit(f"studies/{NAME}", "first_day", to=date(2025, 3, 2))
    assert validation.REFUSAL not in ask(house).notes
    assert book(house).state().n_trials == 2 * one
    house.edit(f"studies/{NAME}", "symbols", to=["AAAUSDT"])
    assert validation.REFUSAL not in ask(house).notes
    assert book(house).state().n_trials == 3 * one
    house.edit(f"studies/{NAME}", "event_types", to=["oi_surge"])
    assert validation.REFUSAL in ask(house).notes, "moving the days hides no dropped event type"


def test_a_run_killed_between_registration_and_results_goes_on(
    house: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    for where, call in ((validation, "evaluate_family"), (FileTrialLedger, "record")):
        with monkeypatch.context() as dying:
            dying.setattr(where, call, _die)
            with pytest.raises(KeyboardInterrupt):
                ask(house)
        assert [e.body["kind"] for e in book(house).log.entries()] == ["register"]
    manifest = ask(house)
    assert [e.body["kind"] for e in book(house).log.entries()] == ["register", "result"]
    assert manifest.observed[validation.SERVED] == 0
    assert failed(house) > 0
    folder = book(house).log.path.parent / "answers"
    assert len(list(folder.iterdir())) == 1, "what the killed run left is the same file"


def _die(*_: object, **__: object) -> None:
    """What SIGKILL leaves: nothing after this call happens."""
    raise KeyboardInterrupt


def test_kept_answers_that_were_touched_stop_the_run_and_lost_ones_cost_time_alone(
    house: World,
) -> None:
    first = ask(house)
    (path,) = (book(house).log.path.parent / "answers").iterdir()
    data = path.read_bytes()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    lose(house)
    with pytest.raises(LedgerError, match="Delete the file") as caught:
        ask(house)
    assert caught.value.fields["path"] == str(path)
    path.unlink()
    again = ask(house)
    assert (again.fingerprint, again.observed[validation.SERVED]) == (first.fingerprint, 0)
    assert path.read_bytes() == data


def test_a_spent_budget_measures_nothing_and_the_board_says_so(house: World) -> None:
    size = house.project.family().size(3)
    house.edit(f"markets/{NAME}", "trial_budget", to=size)
    ask(house)
    budget = outcome(house).budget
    assert (budget.own, budget.spent, budget.total, budget.left) == (size, size, size, 0)
    another(house, "more", symbols=["AAAUSDT"])
    ask(house, "more")
    assert {v.reasons for v in verdicts(house, "more")} == {("BUDGET_SPENT",)}
    told = outcome(house, "more").refused
    assert told is not None
    assert "fresh dates" in told


def test_the_backlog_remembers_what_was_falsified_and_opens_it_when_its_data_change(
    house: World,
) -> None:
    ask(house)
    found = outcome(house)
    tables = found.table("event_quality"), found.table("phase2_candidates")
    closed = build_backlog(*tables, found.trials).filter(status="FALSIFIED")
    assert closed.height
    assert set(closed["ledger_head"]) == {book(house).state().head}
    assert set(closed["asked_until"]) == {"2025-03-05"}
    house.edit("feature_specs", "version", to=house.project.features().version + 1)
    stale = outcome(house)
    assert stale.table("phase2_candidates") is None
    again = build_backlog(None, None, stale.trials)
    opened = again.filter(status="OPEN_AGAIN")
    assert opened["event_type"].to_list() == closed["event_type"].to_list()
    assert opened["ledger_head"].to_list() == closed["ledger_head"].to_list()
