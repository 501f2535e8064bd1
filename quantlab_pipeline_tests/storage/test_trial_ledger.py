"""The trial ledger counts every trial once, and any tampering is found at its exact record."""

from __future__ import annotations

import json
import shutil
import threading
from datetime import date
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from quantlab_pipeline.core.errors import LedgerError
from quantlab_pipeline.core.ports import Trial, TrialLedger
from quantlab_pipeline.core.records import GENESIS
from quantlab_pipeline.storage.chained_log import DAMAGED, TRUNCATED, UNKNOWN_HEAD
from quantlab_pipeline.storage.trial_ledger import (
    BUDGET_SPENT,
    FAMILY_CHANGED,
    UNREGISTERED,
    DataLineage,
    FileTrialLedger,
    connected,
)
from quantlab_pipeline_tests.storage.builders import ticking

JANUARY = DataLineage("venue", date(2026, 1, 1), date(2026, 1, 31))
MARCH = DataLineage("venue", date(2026, 3, 1), date(2026, 3, 31))
BRIDGE = DataLineage("venue", date(2026, 1, 31), date(2026, 3, 1))


def trials(*names: str, p: float | None = None) -> list[Trial]:
    """A trial per name."""
    return [Trial(f"sha256:{n}", n, p, None if p is None else "FAIL") for n in names]


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
    first = ledger(tmp_path).register("s", "f", trials("a", "b"))
    again = ledger(tmp_path).register("s", "f", trials("b", "a"))
    assert first == again
    assert first.n_trials == 2
    done = ledger(tmp_path).record("s", trials("a", "b", p=0.5), {"x": 1})
    assert ledger(tmp_path).record("s", trials("a", "b", p=0.5), {"x": 1}) == done
    assert done.n_trials == 2


def test_a_larger_family_adds_only_what_is_new(tmp_path: Path) -> None:
    ledger(tmp_path).register("s", "f", trials("a", "b"))
    assert ledger(tmp_path).register("s", "g", trials("a", "b", "c")).n_trials == 3
    assert ledger(tmp_path).register("other", "h", trials("a", "d")).n_trials == 4


def test_the_fourth_revision_of_the_code_counts_anew(tmp_path: Path) -> None:
    counts = [
        ledger(tmp_path, code=f"c{i}").register("s", "f", trials("a")).n_trials for i in range(5)
    ]
    assert counts == [1, 1, 1, 2, 3]


def test_a_family_that_lost_candidates_is_refused(tmp_path: Path) -> None:
    ledger(tmp_path).register("s", "f", trials("a", "b"))
    with pytest.raises(LedgerError, match="lacks now") as caught:
        ledger(tmp_path).register("s", "g", trials("a", "c"))
    assert caught.value.fields["reason"] == FAMILY_CHANGED
    assert caught.value.fields["missing"] == ["sha256:b"]


def test_over_the_budget_nothing_is_registered(tmp_path: Path) -> None:
    before = ledger(tmp_path, budget=3).register("s", "f", trials("a", "b"))
    with pytest.raises(LedgerError, match="budget of 3") as caught:
        ledger(tmp_path, budget=3).register("t", "g", trials("c", "d"))
    assert caught.value.fields["reason"] == BUDGET_SPENT
    assert ledger(tmp_path, budget=3).state() == before
    assert ledger(tmp_path, budget=3).register("t", "g", trials("c")).n_trials == 3


def test_results_need_a_registration_and_the_newest_is_current(tmp_path: Path) -> None:
    book = ledger(tmp_path)
    with pytest.raises(LedgerError, match="nobody registered") as caught:
        book.record("s", trials("a", p=0.1), {})
    assert caught.value.fields["reason"] == UNREGISTERED
    book.register("s", "f", trials("a", "b"))
    head = book.record("s", trials("a", p=0.1), {}).head
    book.record("s", trials("a", p=0.2), {})
    assert book.results()["sha256:a"].p_value == 0.2
    assert book.results(head)["sha256:a"].p_value == 0.1
    assert "sha256:b" not in book.results()


def test_a_prefix_can_be_replayed_at_its_head(tmp_path: Path) -> None:
    book = ledger(tmp_path)
    states = [book.state(), book.register("s", "f", trials("a"))]
    states.append(book.record("s", trials("a", p=0.1), {}))
    states.append(book.register("t", "g", trials("b", "c")))
    assert [book.state_at(s.head) for s in states] == states
    with pytest.raises(LedgerError, match="does not hold") as caught:
        book.state_at("blake3:00")
    assert caught.value.fields["reason"] == UNKNOWN_HEAD


def test_days_that_overlap_share_a_budget_also_through_others(tmp_path: Path) -> None:
    ledger(tmp_path, JANUARY).register("jan", "f", trials("a", "b"))
    ledger(tmp_path, MARCH).register("mar", "f", trials("c"))
    assert ledger(tmp_path, JANUARY).state().n_trials == 2
    assert ledger(tmp_path, MARCH).state().n_trials == 1
    assert ledger(tmp_path, BRIDGE).state().n_trials == 3
    ledger(tmp_path, BRIDGE).register("both", "f", trials("d"))
    assert ledger(tmp_path, JANUARY).state().n_trials == 4


def test_other_sources_and_synthetic_worlds_charge_nothing(tmp_path: Path) -> None:
    ledger(tmp_path).register("s", "f", trials("a"))
    elsewhere = DataLineage("other venue", JANUARY.first_day, JANUARY.last_day)
    world = DataLineage("venue", JANUARY.first_day, JANUARY.last_day, synthetic=True)
    assert ledger(tmp_path, elsewhere).state().n_trials == 0
    ledger(tmp_path, world).register("w", "f", trials("x", "y"))
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
        book.register("s", "f", trials(*order))
        heads.append(book.record("s", trials(*order, p=0.5), {"k": [1]}).head)
    assert heads[0] == heads[1]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Root of a ledger of five records."""
    root = tmp_path_factory.mktemp("ledger")
    book = ledger(root)
    book.register("s", "f", trials("a", "b"))
    book.record("s", trials("a", p=0.25), {"note": "é"})
    book.record("s", trials("b", p=0.75), {})
    book.register("t", "g", trials("c"))
    book.record("t", trials("c", p=None), {})
    return root


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
        tampered(written, tmp_path / "y", swap).register("s", "f", trials("a", "b"))
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
    after = book.register("u", "h", trials("d"))
    assert after.n_trials == before.n_trials + 1
    assert book.verify() == after.head


def test_a_kill_between_record_and_anchor_loses_nothing(written: Path, tmp_path: Path) -> None:
    book = tampered(written, tmp_path / "x", lambda lines: lines)
    anchor = book.log.anchor_path.read_bytes()
    after = book.register("u", "h", trials("d"))
    book.log.anchor_path.write_bytes(anchor)
    assert book.state() == after


def test_writers_wait_for_each_other(tmp_path: Path) -> None:
    def work(name: str) -> None:
        for i in range(5):
            ledger(tmp_path, budget=100).register(f"{name}{i}", "f", trials(f"{name}{i}"))

    threads = [threading.Thread(target=work, args=(n,)) for n in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ledger(tmp_path, budget=100).state().n_trials == 20
    ledger(tmp_path).verify()
