"""The certificate in its quick form: every experiment and broken rule, under fixed seeds."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import pytest

from quantlab_pipeline.calibration.certificate.certify import Run, certify
from quantlab_pipeline.calibration.certificate.document import document_of, failures
from quantlab_pipeline.calibration.certificate.grading import is_covered, is_found
from quantlab_pipeline.calibration.certificate.sealing import Plan
from quantlab_pipeline.core.fingerprints import canonical_bytes, digest_bytes
from quantlab_pipeline_tests.calibration.certificate.builders import bench, small_bench

NONCE = "5eed5eed5eed5eed"
QUICK = Plan(worlds=2, size_worlds=1, copied_worlds=1, mutant_worlds=2)
TINY = Plan(worlds=2, size_worlds=1, copied_worlds=1, mutant_worlds=1)
NEEDS_MORE_WORLDS = {"naive_mde", "training_mean", "in_sample_mean"}
"""Mutants that two worlds cannot tell from the right rule."""


@cache
def quick() -> Run:
    """Two worlds of the shipped bench."""
    return certify(bench(), NONCE, QUICK)


def bytes_of(run: Run) -> bytes:
    return canonical_bytes(document_of(small_bench(), run))


def test_every_band_holds_and_the_control_breaks_none() -> None:
    run = quick()
    assert [h for h in run.graded.held if not h.holds] == []
    assert run.control == ()


def test_every_experiment_has_its_bands() -> None:
    found = {held.experiment for held in quick().graded.held}
    assert found == {"PT-01", "PT-02", "PT-03", "PT-04", "PT-05", "PT-26"}


def test_broken_rules_are_refused_by_the_experiments_meant_for_them() -> None:
    survivors = {fate.mutant.name for fate in quick().fates if not fate.killed}
    assert survivors <= NEEDS_MORE_WORLDS


def test_a_certificate_without_all_its_kills_does_not_hold() -> None:
    run = quick()
    dead = tuple(fate for fate in run.fates if fate.killed)
    assert replace(run, fates=dead).holds
    alive = replace(dead[0], broken=())
    failed = replace(run, fates=(alive, *dead[1:]))
    assert not failed.holds
    told = failures(document_of(bench(), failed))
    assert told == [f"mutant {alive.mutant.name} survived"]


def test_planted_edges_are_found_and_covered_by_their_own_questions() -> None:
    cases = quick().cases["planted"]
    assert [is_found(case) for case in cases] == [True] * len(cases)
    assert [is_covered(case) for case in cases] == [True] * len(cases)


def test_an_edge_of_six_standard_errors_is_six_from_zero() -> None:
    """By the truth and the reported error; the planted drift adds a little to the variance."""
    for case in quick().cases["planted"]:
        se = (case.figure("ci95_high_bps") - case.figure("ci95_low_bps")) / 3.92
        raw = float(case.truth.effects.net[case.own]) / se
        assert raw > 5.4
        assert raw < 8.0


def test_the_document_names_what_it_was_made_of() -> None:
    run = quick()
    document = document_of(bench(), run)
    assert document["truth"] == digest_bytes(run.truth) == run.digest
    assert document["nonce"] == NONCE
    assert document["family"]["candidates"] == 800
    assert [w["seed"] for w in document["worlds"]] == [w.seed for w in run.sealed.worlds]
    canonical_bytes(document)


@pytest.fixture(scope="module")
def tiny() -> tuple[bytes, list[str]]:
    """The small certificate, and what was told while it was made."""
    told: list[str] = []

    def progress(name: str, _done: int, _total: int) -> None:
        told.append(name)

    run = certify(small_bench(), NONCE, TINY, tell_seal=told.append, progress=progress)
    return bytes_of(run), told


def test_the_seal_is_told_before_the_first_market(tiny: tuple[bytes, list[str]]) -> None:
    _, told = tiny
    assert told[0].startswith("sha256:")
    assert told[1:] == ["market 1", "market 2", "market 3"]


def test_processes_change_no_byte(tiny: tuple[bytes, list[str]]) -> None:
    assert bytes_of(certify(small_bench(), NONCE, TINY, processes=2)) == tiny[0]
