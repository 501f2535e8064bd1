"""A measurement is kept under its digest: touched it is refused, lost it is made again."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from quantlab_pipeline.core.errors import LedgerError
from quantlab_pipeline.storage.trial_answers import ANSWERS_CHANGED, AnsweredLedger, TrialAnswers
from quantlab_pipeline_tests.storage.test_trial_ledger import family, ledger, results, trials


def measured(*names: str, z: float = 1.0) -> pl.DataFrame:
    """Something measured of each candidate."""
    hashes = [f"sha256:{n}" for n in names]
    return pl.DataFrame(
        {"candidate_hash": hashes, "z_raw": z, "daily_net": [[0.5, -0.0]] * len(hashes)}
    )


def book(root: Path, code: str = "c1") -> AnsweredLedger:
    """An answered ledger in which study `s` has registered a, b and c."""
    made = AnsweredLedger(ledger(root, code=code))
    made.ledger.register("s", family("f"), trials("a", "b", "c"))
    return made


def files(made: AnsweredLedger) -> list[str]:
    return sorted(p.name for p in made.answers.folder.iterdir())


def test_what_failed_is_served_and_nothing_else(tmp_path: Path) -> None:
    made = book(tmp_path)
    assert made.falsified("data") is None
    told = [*results("a", "b"), *results("c", status="PASS")]
    made.record("s", told, "data", measured("a", "b", "c"))
    again = book(tmp_path)
    served = again.falsified("data")
    assert served is not None
    assert_frame_equal(served, measured("a", "b"))
    assert again.falsified("other data") is None
    assert book(tmp_path, code="c2").falsified("data") is None


def test_the_same_answers_again_are_the_same_file_and_the_same_head(tmp_path: Path) -> None:
    made = book(tmp_path)
    first = made.record("s", results("a"), "data", measured("a"))
    before = files(made)
    assert book(tmp_path).record("s", results("a"), "data", measured("a")) == first
    assert files(made) == before
    assert len(before) == 1


def test_answers_that_no_newest_result_comes_from_are_swept(tmp_path: Path) -> None:
    made = book(tmp_path)
    made.record("s", results("a", "b"), "data", measured("a", "b"))
    made.record("s", results("a"), "new data", measured("a", z=2.0))
    assert len(files(made)) == 2, "b still comes from the first"
    made.answers.keep(measured("c"))  # killed before its record
    made.record("s", results("b"), "new data", measured("b", z=2.0))
    assert len(files(made)) == 2
    served = made.falsified("new data")
    assert served is not None
    assert sorted(served["candidate_hash"]) == ["sha256:a", "sha256:b"]


def test_answers_that_are_gone_are_measured_again(tmp_path: Path) -> None:
    made = book(tmp_path)
    state = made.record("s", results("a"), "data", measured("a"))
    for path in made.answers.folder.iterdir():
        path.unlink()
    assert made.falsified("data") is None
    assert made.record("s", results("a"), "data", measured("a")) == state
    assert made.falsified("data") is not None


@pytest.mark.parametrize("where", [0, 100, -1])
def test_a_touched_file_is_refused_by_name_with_the_remedy(tmp_path: Path, where: int) -> None:
    made = book(tmp_path)
    made.record("s", results("a"), "data", measured("a"))
    (path,) = made.answers.folder.iterdir()
    data = bytearray(path.read_bytes())
    data[where] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(LedgerError, match="Delete the file") as caught:
        book(tmp_path).falsified("data")
    assert caught.value.fields["reason"] == ANSWERS_CHANGED
    assert str(path) in str(caught.value)
    path.unlink()
    assert book(tmp_path).falsified("data") is None


def test_a_cut_file_and_another_frame_in_its_place_are_refused(tmp_path: Path) -> None:
    answers = TrialAnswers(tmp_path)
    digest, other = answers.keep(measured("a")), answers.keep(measured("a", z=9.0))
    answers.path(digest).write_bytes(answers.path(other).read_bytes())
    with pytest.raises(LedgerError):
        answers.load(digest)
    answers.path(other).write_bytes(answers.path(other).read_bytes()[:-1])
    with pytest.raises(LedgerError):
        answers.load(other)
    assert answers.load("sha256:00") is None
