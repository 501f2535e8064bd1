"""The trial ledger counts every trial once, and any tampering is found at its exact record."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
from datetime import date
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from quantlab_pipeline.core.errors import LedgerError
from quantlab_pipeline.core.fingerprints import canonical_bytes, chain
from quantlab_pipeline.core.ports import (
    BUDGET_SPENT,
    FAMILY_CHANGED,
    FamilyRecord,
    Source,
    Trial,
    TrialLedger,
    TrialResult,
)
from quantlab_pipeline.core.records import GENESIS
from quantlab_pipeline.storage.chained_log import DAMAGED, TRUNCATED, UNKNOWN_HEAD
from quantlab_pipeline.storage.trial_fold import connected
from quantlab_pipeline.storage.trial_ledger import UNREGISTERED, DataLineage, FileTrialLedger
from quantlab_pipeline_tests.storage.builders import ticking

JANUARY = DataLineage("venue", date(2026, 1, 1), date(2026, 1, 31))
MARCH = DataLineage("venue", date(2026, 3, 1), date(2026, 3, 31))
BRIDGE = DataLineage("venue", date(2026, 1, 31), date(2026, 3, 1))


DATA = Source("sha256:data")


def trials(*names: str) -> list[Trial]:
    """A trial per name; `a@2` asks the rule of `a` of other days or symbols."""
    return [Trial(f"sha256:{n}", n, f"rule:{n.partition('@')[0]}") for n in names]


def results(*names: str, p: float | None = 0.5, status: str = "FAIL") -> list[TrialResult]:
    """A result per name."""
    return [TrialResult(f"sha256:{n}", n, p, status) for n in names]


def family(grid: str, data: str = "d") -> FamilyRecord:
    """What a registration says beside its trials."""
    return FamilyRecord("events_by_context", "sha256:file", f"sha256:{grid}", f"sha256:{data}")


def ledger(
    root: Path, lineage: DataLineage = JANUARY, budget: int = 10, code: str = "c1"
) -> FileTrialLedger:
    """A ledger with a small budget."""
    return FileTrialLedger(root, lineage, ticking(), budget, code)


def reason(error: pytest.ExceptionInfo[LedgerError]) -> tuple[object, object]:
    """Reason and seq of a ledger error."""
    return error.value.fields.get("reason"), error.value.fields.get("seq")


def test_it_is_the_port(tmp_path: Path) -> None:
    port: TrialLedger = ledger(tmp_path)
    assert port.state().n_trials == 0
    assert port.state().head == GENESIS


def test_the_same_family_again_adds_nothing(tmp_path: Path) -> None:
    first = ledger(tmp_path).register("s", family("f"), trials("a", "b"))
    again = ledger(tmp_path).register("s", family("f"), trials("b", "a"))
    assert first == again
    assert first.n_trials == 2
    done = ledger(tmp_path).record("s", results("a", "b", p=0.5), DATA)
    assert ledger(tmp_path).record("s", results("a", "b", p=0.5), DATA) == done
    assert done.n_trials == 2


def test_a_larger_family_adds_only_what_is_new(tmp_path: Path) -> None:
    ledger(tmp_path).register("s", family("f"), trials("a", "b"))
    assert ledger(tmp_path).register("s", family("g"), trials("a", "b", "c")).n_trials == 3
    assert ledger(tmp_path).register("other", family("h"), trials("a", "d")).n_trials == 4


def test_the_fourth_revision_of_the_code_counts_anew(tmp_path: Path) -> None:
    counts = [
        ledger(tmp_path, code=f"c{i}").register("s", family("f"), trials("a")).n_trials
        for i in range(5)
    ]
    assert counts == [1, 1, 1, 2, 3]


def test_a_family_that_lost_candidates_after_their_results_is_refused(tmp_path: Path) -> None:
    ledger(tmp_path).register("s", family("f"), trials("a", "b"))
    before = ledger(tmp_path).record("s", results("a", "b"), DATA)
    with pytest.raises(LedgerError, match="lacks now") as caught:
        ledger(tmp_path).register("s", family("g"), trials("a", "c"))
    assert caught.value.fields["reason"] == FAMILY_CHANGED
    assert caught.value.fields["missing"] == ["b"], "a person knows it by its name"
    assert "lacks now: b. Put them back" in str(caught.value)
    assert ledger(tmp_path).state() == before, "nothing of the changed family is held"
    assert ledger(tmp_path).register("s", family("g"), trials("a", "b", "c")).n_trials == 3


def test_a_smaller_family_of_before_is_refused_once_more_was_seen(tmp_path: Path) -> None:
    ledger(tmp_path).register("s", family("f"), trials("a"))
    ledger(tmp_path).record("s", results("a"), DATA)
    ledger(tmp_path).register("s", family("g"), trials("a", "b"))
    ledger(tmp_path).record("s", results("a", "b"), DATA)
    with pytest.raises(LedgerError, match="lacks now"):
        ledger(tmp_path).register("s", family("f"), trials("a"))


def test_what_nobody_has_seen_may_be_changed(tmp_path: Path) -> None:
    """Killed before its results, or not testable: nothing was learnt from it."""
    ledger(tmp_path).register("s", family("f"), trials("a", "b", "c"))
    ledger(tmp_path).record("s", results("a"), DATA)
    ledger(tmp_path).record("s", results("b", p=None, status="NOT_EVALUABLE"), DATA)
    assert ledger(tmp_path).register("s", family("g"), trials("a", "d")).n_trials == 4
    # Once seen, seen for ever: that it could not be tested later does not unsay it.
    ledger(tmp_path).record("s", results("a", p=None, status="NOT_EVALUABLE"), DATA)
    with pytest.raises(LedgerError, match="lacks now"):
        ledger(tmp_path).register("s", family("h"), trials("d"))


def test_the_same_rules_on_other_days_are_new_trials_and_none_is_missing(tmp_path: Path) -> None:
    """A window that moves on by a day every night, or another universe."""
    ledger(tmp_path).register("s", family("f"), trials("a", "b"))
    ledger(tmp_path).record("s", results("a", "b"), DATA)
    moved = DataLineage("venue", date(2026, 1, 2), date(2026, 2, 1))
    book = ledger(tmp_path, moved)
    assert book.register("s", family("g"), trials("a@2", "b@2")).n_trials == 4
    with pytest.raises(LedgerError, match="lacks now") as caught:
        book.register("s", family("h"), trials("a@3"))
    assert caught.value.fields["missing"] == ["b"], "moving the days does not let one drop a rule"


def test_fresh_days_and_other_names_owe_nothing_to_a_family(tmp_path: Path) -> None:
    ledger(tmp_path).register("s", family("f"), trials("a", "b"))
    ledger(tmp_path).record("s", results("a", "b"), DATA)
    assert ledger(tmp_path, MARCH).register("s", family("g"), trials("a@3")).n_trials == 1
    assert ledger(tmp_path).register("t", family("g"), trials("a", "c")).n_trials == 3


def test_a_ledger_of_before_rules_were_kept_counts_and_can_miss_none(tmp_path: Path) -> None:
    book = ledger(tmp_path)
    old = {"candidate_hash": "sha256:a", "candidate_id": "a"}
    about = {"study": "s", "first_day": "2026-01-01", "last_day": "2026-01-31", "code_hash": "c0"}
    result = {**old, "p_value": 0.5, "status": "FAIL"}
    with book.log.writing():
        unseen = {**old, "p_value": None, "status": None}
        book.log.append({"kind": "register", "trials": [unseen], "family_hash": "f", **about}, {})
        book.log.append({"kind": "result", "trials": [result], "facts": {}, **about}, {"at": "x"})
    assert book.register("s", family("g"), trials("b")).n_trials == 2


def test_over_the_budget_nothing_is_registered(tmp_path: Path) -> None:
    before = ledger(tmp_path, budget=3).register("s", family("f"), trials("a", "b"))
    with pytest.raises(LedgerError, match="budget of 3") as caught:
        ledger(tmp_path, budget=3).register("t", family("g"), trials("c", "d"))
    assert caught.value.fields["reason"] == BUDGET_SPENT
    assert ledger(tmp_path, budget=3).state() == before
    assert ledger(tmp_path, budget=3).register("t", family("g"), trials("c")).n_trials == 3


def test_results_need_a_registration_and_the_newest_is_current(tmp_path: Path) -> None:
    book = ledger(tmp_path)
    with pytest.raises(LedgerError, match="nobody registered") as caught:
        book.record("s", results("a", p=0.1), DATA)
    assert caught.value.fields["reason"] == UNREGISTERED
    book.register("s", family("f"), trials("a", "b"))
    head = book.record("s", results("a", p=0.1), DATA).head
    book.record("s", results("a", p=0.2), DATA)
    assert book.results()["sha256:a"].p_value == 0.2
    assert book.results(head)["sha256:a"].p_value == 0.1
    assert "sha256:b" not in book.results()


def test_a_prefix_can_be_replayed_at_its_head(tmp_path: Path) -> None:
    book = ledger(tmp_path)
    states = [book.state(), book.register("s", family("f"), trials("a"))]
    states.append(book.record("s", results("a", p=0.1), DATA))
    states.append(book.register("t", family("g"), trials("b", "c")))
    assert [book.state_at(s.head) for s in states] == states
    with pytest.raises(LedgerError, match="does not hold") as caught:
        book.state_at("blake3:00")
    assert caught.value.fields["reason"] == UNKNOWN_HEAD


def test_a_registration_says_what_of_and_when_before_any_result(tmp_path: Path) -> None:
    book = ledger(tmp_path)
    book.register("s", family("f", data="d"), trials("b", "a"))
    (entry,) = book.log.entries()
    assert entry.body["family"] == {
        "family_id": "events_by_context",
        "file_hash": "sha256:file",
        "grid_hash": "sha256:f",
        "grid_size": 2,
        "dataset_hash": "sha256:d",
    }
    assert entry.body["trials"][0] == {
        "candidate_hash": "sha256:a",
        "candidate_id": "a",
        "rule_hash": "rule:a",
    }
    assert set(entry.observed) == {"registered_at"}
    book.record("s", results("a", "b"), Source("sha256:inputs", "sha256:answers"))
    body = book.log.entries()[-1].body
    assert body["facts"] == {"inputs": "sha256:inputs", "answers": "sha256:answers"}
    assert body["code_hash"] == "c1"
    assert book.recorded("s")["sha256:a"].source == Source("sha256:inputs", "sha256:answers")
    assert book.recorded("other") == {}


def test_a_count_is_the_same_when_a_study_runs_again_whatever_others_did(tmp_path: Path) -> None:
    first = ledger(tmp_path).register("s", family("f"), trials("a", "b"))
    seen = ledger(tmp_path).record("s", results("a", "b"), DATA)
    ledger(tmp_path).register("t", family("g"), trials("c", "d"))
    ledger(tmp_path).record("t", results("c", "d"), DATA)
    again = ledger(tmp_path)
    assert again.register("s", family("f"), trials("a", "b")) == first
    assert first.n_trials == 2
    assert again.record("s", results("a", "b"), DATA) == seen
    assert again.state_of("s") == seen
    assert again.state_of("nobody") == again.state()
    assert again.state().n_trials == 4
    # New data is a new registration: it counts what is there by now.
    assert again.register("s", family("f", data="new"), trials("a", "b")).n_trials == 4


def test_the_account_tells_whose_the_trials_are(tmp_path: Path) -> None:
    for i in range(5):
        ledger(tmp_path, code=f"c{i}").register("s", family("f"), trials("a", "b"))
    ledger(tmp_path).register("t", family("g"), trials("b", "c"))
    found = ledger(tmp_path).account("s")
    assert (found.own, found.distinct, found.n_trials, found.budget) == (2, 3, 7, 10)
    assert found.revisions == 5
    assert ledger(tmp_path).account("new").own == 0


def test_a_fail_is_known_by_its_inputs_and_its_code_until_either_changes(tmp_path: Path) -> None:
    book = ledger(tmp_path)
    book.register("s", family("f"), trials("a", "b", "c"))
    kept = Source("sha256:data", "sha256:file")
    book.record("s", [*results("a", "b"), *results("c", status="UNDERPOWERED")], kept)
    assert book.falsified("sha256:data") == {"sha256:file": {"sha256:a", "sha256:b"}}
    assert book.falsified("sha256:other") == {}
    assert ledger(tmp_path, code="c2").falsified("sha256:data") == {}
    # The newest result alone counts: `a` was measured on other data since, `b` passes now.
    book.record("s", results("a"), Source("sha256:new", "sha256:later"))
    book.record("s", results("b", status="PASS"), kept)
    assert book.falsified("sha256:data") == {}
    assert book.falsified("sha256:new") == {"sha256:later": {"sha256:a"}}
    assert book.answers() == {"sha256:file", "sha256:later"}


def test_days_that_overlap_share_a_budget_also_through_others(tmp_path: Path) -> None:
    ledger(tmp_path, JANUARY).register("jan", family("f"), trials("a", "b"))
    ledger(tmp_path, MARCH).register("mar", family("f"), trials("c"))
    assert ledger(tmp_path, JANUARY).state().n_trials == 2
    assert ledger(tmp_path, MARCH).state().n_trials == 1
    assert ledger(tmp_path, BRIDGE).state().n_trials == 3
    ledger(tmp_path, BRIDGE).register("both", family("f"), trials("d"))
    assert ledger(tmp_path, JANUARY).state().n_trials == 4


def test_other_sources_and_synthetic_worlds_charge_nothing(tmp_path: Path) -> None:
    ledger(tmp_path).register("s", family("f"), trials("a"))
    elsewhere = DataLineage("other venue", JANUARY.first_day, JANUARY.last_day)
    world = DataLineage("venue", JANUARY.first_day, JANUARY.last_day, synthetic=True)
    assert ledger(tmp_path, elsewhere).state().n_trials == 0
    ledger(tmp_path, world).register("w", family("f"), trials("x", "y"))
    assert ledger(tmp_path).state().n_trials == 1


WINDOWS = st.lists(
    st.tuples(st.integers(10, 40), st.integers(0, 5)).map(
        lambda w: (f"2026-{w[0]}", f"2026-{w[0] + w[1]}")
    ),
    min_size=1,
    max_size=8,
)


@given(windows=WINDOWS)
def test_lineages_are_the_connected_components_of_overlap(windows: list[tuple[str, str]]) -> None:
    parts = [connected(w, windows) for w in windows]
    for own, part in zip(windows, parts, strict=True):
        assert own in part
        for other, theirs in zip(windows, parts, strict=True):
            overlap = own[0] <= other[1] and other[0] <= own[1]
            assert not overlap or theirs == part
            assert (theirs == part) == bool(theirs & part)


def test_the_head_does_not_depend_on_the_clock_or_the_order_of_trials(tmp_path: Path) -> None:
    heads: list[str] = []
    for name, order in (("x", "abc"), ("y", "cba")):
        book = FileTrialLedger(tmp_path / name, JANUARY, ticking(), 10, "c")
        for _ in range(len(heads) * 5):
            book._clock()
        book.register("s", family("f"), trials(*order))
        heads.append(book.record("s", results(*order, p=0.5), DATA).head)
    assert heads[0] == heads[1]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Root of a ledger of five records."""
    root = tmp_path_factory.mktemp("ledger")
    book = ledger(root)
    book.register("s", family("f"), trials("a", "b"))
    book.record("s", results("a", p=0.25), Source("é"))
    book.record("s", results("b", p=0.75), DATA)
    book.register("t", family("g"), trials("c"))
    book.record("t", results("c", p=None), DATA)
    return root


def test_a_line_is_canonical_json_and_the_chain_binds_its_body_and_place(written: Path) -> None:
    head = GENESIS
    for seq, line in enumerate(ledger(written).log.path.read_bytes().splitlines(), start=1):
        record = json.loads(line)
        assert canonical_bytes(record) == line
        head = chain(head, {"body": record["body"], "seq": seq})
        assert (record["hash"], record["seq"]) == (head, seq)
        assert record["check"] == chain(head, record["observed"])
    assert ledger(written).state().head == head


def tampered(written: Path, root: Path, change: object) -> FileTrialLedger:
    """A copy of the ledger whose lines went through `change`."""
    shutil.rmtree(root, ignore_errors=True)
    shutil.copytree(written, root)
    book = ledger(root)
    lines = book.log.path.read_bytes().splitlines(keepends=True)
    book.log.path.write_bytes(b"".join(change(lines)))  # type: ignore[operator]
    return book


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(seq=st.integers(1, 5), where=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_any_flipped_bit_is_found_at_its_record(
    written: Path, tmp_path: Path, seq: int, where: float, bit: int
) -> None:
    def flip(lines: list[bytes]) -> list[bytes]:
        line = bytearray(lines[seq - 1])
        line[int(where * len(line))] ^= 1 << bit
        return [*lines[: seq - 1], bytes(line), *lines[seq:]]

    with pytest.raises(LedgerError) as caught:
        tampered(written, tmp_path / "x", flip).verify()
    assert caught.value.fields["seq"] == seq


@pytest.mark.parametrize("seq", [1, 2, 3, 4])
def test_a_dropped_record_and_two_that_changed_places_are_found(
    written: Path, tmp_path: Path, seq: int
) -> None:
    with pytest.raises(LedgerError) as caught:
        tampered(written, tmp_path / "x", lambda ls: ls[: seq - 1] + ls[seq:]).state()
    assert reason(caught) == (DAMAGED, seq)

    def swap(lines: list[bytes]) -> list[bytes]:
        return [*lines[: seq - 1], lines[seq], lines[seq - 1], *lines[seq + 1 :]]

    with pytest.raises(LedgerError) as caught:
        tampered(written, tmp_path / "y", swap).register("s", family("f"), trials("a", "b"))
    assert reason(caught) == (DAMAGED, seq)


@pytest.mark.parametrize("left", [0, 1, 4])
def test_a_tail_that_was_cut_off_is_found_by_the_anchor(
    written: Path, tmp_path: Path, left: int
) -> None:
    book = tampered(written, tmp_path / "x", lambda lines: lines[:left])
    with pytest.raises(LedgerError, match="are gone") as caught:
        book.verify()
    assert reason(caught) == (TRUNCATED, left + 1)
    half = tampered(written, tmp_path / "y", lambda ls: [*ls[:left], ls[left][:20]])
    with pytest.raises(LedgerError) as caught:
        half.verify()
    assert reason(caught) == (TRUNCATED, left + 1)


def test_an_older_copy_with_its_anchor_is_found_by_a_verdict_s_head(
    written: Path, tmp_path: Path
) -> None:
    book = tampered(written, tmp_path / "x", lambda lines: lines)
    seen = book.state().head
    assert book.has_head(seen)
    lines = book.log.path.read_bytes().splitlines(keepends=True)
    book.log.path.write_bytes(b"".join(lines[:3]))
    head = json.loads(lines[2])["hash"]
    book.log.anchor_path.write_text(json.dumps({"hash": head, "seq": 3}))
    assert book.verify() == head
    assert not book.has_head(seen)
    with pytest.raises(LedgerError) as caught:
        book.verify([seen])
    assert reason(caught) == (UNKNOWN_HEAD, 4)


def test_a_lost_or_broken_anchor_is_found(written: Path, tmp_path: Path) -> None:
    book = tampered(written, tmp_path / "x", lambda lines: lines)
    book.log.anchor_path.write_text("{}")
    with pytest.raises(LedgerError, match="anchor cannot be read"):
        book.state()
    book.log.anchor_path.unlink()
    with pytest.raises(LedgerError, match="anchor is gone"):
        book.state()


def test_a_killed_append_is_left_out_and_then_removed(written: Path, tmp_path: Path) -> None:
    book = tampered(written, tmp_path / "x", lambda lines: [*lines, b'{"body":{"ki'])
    before = ledger(written).state()
    assert book.state() == before
    after = book.register("u", family("h"), trials("d"))
    assert after.n_trials == before.n_trials + 1
    assert book.verify() == after.head


def test_a_kill_between_record_and_anchor_loses_nothing(written: Path, tmp_path: Path) -> None:
    book = tampered(written, tmp_path / "x", lambda lines: lines)
    anchor = book.log.anchor_path.read_bytes()
    after = book.register("u", family("h"), trials("d"))
    book.log.anchor_path.write_bytes(anchor)
    assert book.state() == after


def test_writers_wait_for_each_other(tmp_path: Path) -> None:
    def work(name: str) -> None:
        for i in range(5):
            ledger(tmp_path, budget=100).register(f"{name}{i}", family("f"), trials(f"{name}{i}"))

    threads = [threading.Thread(target=work, args=(n,)) for n in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ledger(tmp_path, budget=100).state().n_trials == 20
    ledger(tmp_path).verify()


REGISTERING = """
import sys
from pathlib import Path
from quantlab_pipeline_tests.storage.test_trial_ledger import family, ledger, trials
root, name = Path(sys.argv[1]), sys.argv[2]
for i in range(10):
    ledger(root, budget=100).register(f"{name}{i}", family("f"), trials(f"{name}{i}", "shared"))
"""


def test_two_processes_register_at_once_and_none_is_lost(tmp_path: Path) -> None:
    command = [sys.executable, "-c", REGISTERING, str(tmp_path)]
    writers = [subprocess.Popen([*command, name]) for name in "xy"]
    assert [writer.wait(timeout=60) for writer in writers] == [0, 0]
    assert ledger(tmp_path, budget=100).state().n_trials == 21
    assert len(ledger(tmp_path).log.entries()) == 20
    ledger(tmp_path).verify()
