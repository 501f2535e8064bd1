"""`quantlab calibrate`: what it prints, what it keeps, and what it exits with."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from quantlab_pipeline.calibration.certificate.sealing import Plan
from quantlab_pipeline.commands import calibrate as command
from quantlab_pipeline.core.fingerprints import digest_bytes
from quantlab_pipeline_tests.calibration.certificate.builders import small_bench
from quantlab_pipeline_tests.cli.builders import Command

NONCE = "5eed5eed5eed5eed"


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """The experiments on markets too small for them to hold, in this process."""
    monkeypatch.setattr(command, "bench_of", lambda *_: small_bench())
    monkeypatch.setattr(command, "MOST_PROCESSES", 1)
    monkeypatch.setattr(Plan, "of", classmethod(lambda *_: Plan(2, 0, 0, 1)))


def folder(data: Path) -> Path:
    return data / "calibration"


def test_a_run_is_sealed_printed_and_kept_and_so_is_its_rerun(
    small: None, quantlab: Command, tmp_path: Path
) -> None:
    told = quantlab("calibrate", "--nonce", NONCE, "--data", tmp_path)
    assert told.code == 3
    kept = json.loads((folder(tmp_path) / "certificate.json").read_bytes())
    seal = f"nonce {NONCE}, sealed truth {kept['truth']}"
    assert told.err.index(seal) < told.err.index("calibrate: 1/2")
    truth = (folder(tmp_path) / "truth.json").read_bytes()
    assert digest_bytes(truth) == kept["truth"]
    for words in ("PT-01", "PT-26", "iid_t", "The certificate does not hold", "does not hold: mut"):
        assert words in told.out
    assert "one rerun is allowed" in told.out
    assert (folder(tmp_path) / "certificate.html").read_text().startswith("<!doctype html>")

    again = json.loads(quantlab("calibrate", "--json", "--data", tmp_path).out)
    assert re.fullmatch(r"[0-9a-f]{32}", again["nonce"])
    assert again["truth"] != kept["truth"]
    assert [run["nonce"] for run in again["observed"]["earlier"]] == [NONCE]
    names = {p.name for p in (folder(tmp_path) / "history").iterdir()}
    assert names == {NONCE, again["nonce"]}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--nonce", "xyz"), "is no nonce"),
        (("--nonce", "abcd"), "at least 16 hexadecimal digits"),
        (("--quick", "--worlds", "5"), "Give one of them"),
    ],
)
def test_bad_arguments_are_refused_in_one_sentence(
    quantlab: Command, tmp_path: Path, arguments: tuple[str, ...], words: str
) -> None:
    told = quantlab("calibrate", *arguments, "--data", tmp_path)
    assert told.code == 2
    assert words in told.err
    assert not folder(tmp_path).exists()


def test_one_world_is_refused(quantlab: Command) -> None:
    assert quantlab("calibrate", "--worlds", "1").code == 2
