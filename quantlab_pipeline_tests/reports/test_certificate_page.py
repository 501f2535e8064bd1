"""The certificate's page and its line on the gate board: every figure, band and broken rule."""

from __future__ import annotations

from pathlib import Path

import pytest

from quantlab_pipeline.core.fingerprints import canonical_bytes
from quantlab_pipeline.reports.certificate_data import (
    band_words,
    certificate_facts,
    mutant_lines,
    verdict_words,
)
from quantlab_pipeline.reports.certificate_page import render_certificate
from quantlab_pipeline_tests.reports.certificates import band, document, mutant, size
from quantlab_pipeline_tests.reports.pages import opens_alone


def put(folder: Path, **changes) -> Path:
    path = folder / "certificate.json"
    path.write_bytes(canonical_bytes(document(**changes)))
    return path


# --- the page -----------------------------------------------------------------------------------


def test_the_page_opens_alone_and_is_the_same_again() -> None:
    page = render_certificate(document())
    elements = opens_alone(page)
    assert elements.titles == ["Certificate of gate V1"]
    assert render_certificate(document()) == page


def test_every_band_size_and_mutant_has_a_row() -> None:
    rows = opens_alone(render_certificate(document())).rows
    assert ["PT-01", "size at 0.05, 24h", "0.0484", "at most 0.062", "200", "✓"] in rows
    assert ["PT-02", "own cell passes, top z", "0.96", "at least 0.9", "200", "✓"] in rows
    level = next(r for r in rows if r and r[0] == "0.05")
    assert level[1:4] == ["0.045 ± 0.005"] * 3
    killed = next(r for r in rows if r and r[0] == "iid_t")
    assert killed[2:] == ["PT-01: size at 0.05, 24h", "0.18", "at most 0.11", "1", "✓"]


def test_the_sentence_counts_bands_markets_and_mutants() -> None:
    assert verdict_words(document()) == (
        "The certificate holds: 2 of 2 bands hold on 200 markets and 800 more for the tail, "
        "800 candidates each; 2 of 2 broken rules are refused."
    )


def test_what_does_not_hold_is_marked() -> None:
    broken = document(
        holds=False,
        bands=[band("PT-01", "size at 0.05, 24h", 0.2, high=0.06, holds=False)],
        mutants=[mutant("iid_t", killed=False)],
    )
    page = render_certificate(broken)
    rows = opens_alone(page).rows
    assert ["PT-01", "size at 0.05, 24h", "0.2", "at most 0.06", "200", "×"] in rows
    assert next(r for r in rows if r and r[0] == "iid_t")[2:] == ["–", "", "", "0", "×"]
    assert "The certificate does not hold: 0 of 1 bands hold" in page


def test_a_size_without_a_rejection_or_a_measurement_is_drawn_without_a_point() -> None:
    sizes = [size("all", 0.05, 0.045), size("all", 1e-3, 0.0), size("all", 1e-5, None)]
    page = render_certificate(document(size=sizes))
    assert "– ±" in page
    assert page.count('class="line"') == 1


def test_earlier_runs_of_the_same_code_are_told() -> None:
    observed = document()["observed"]
    observed["earlier"] = [{"nonce": "ffee" * 8, "holds": False, "date": "2026-11-20"}]
    page = render_certificate(document(observed=observed))
    assert "ffeeffeeffee (did not hold, 2026-11-20)" in page


def test_names_are_escaped() -> None:
    page = render_certificate(document(bands=[band("PT-01", "<b>x</b>", 1.0)]))
    assert "<b>x</b>" not in page
    opens_alone(page)


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [(None, None, ""), (0.9, None, "at least 0.9"), (None, 1e-9, "at most 1.0e-09"),
     (0.7, 0.9, "0.7 to 0.9")],
)  # fmt: skip
def test_bands_in_words(low, high, words) -> None:
    assert band_words(low, high) == words


def test_a_mutant_is_killed_by_an_experiment_that_is_meant_for_it() -> None:
    other = band("PT-05", "shift", 1.0, low=5.0, holds=False)
    meant = band("PT-01", "any pass", 9.0, high=5.0, holds=False)
    line = mutant_lines(document(mutants=[mutant("x", other, meant)]))[0]
    assert line.by is not None
    assert (line.by.experiment, line.others) == ("PT-01", 1)


# --- the gate board -----------------------------------------------------------------------------


def test_the_board_tells_date_verdict_and_main_figures(tmp_path: Path) -> None:
    facts = certificate_facts(put(tmp_path), "sha256:c0de")
    assert facts == (
        ("calibration", "holds, 2026-11-21, 200 worlds"),
        ("power", "96 % (92.3 % to 98.3 %)"),
        ("coverage", "94.8 % (92.1 % to 96.7 %)"),
        ("size at 5 %", "4.5 %"),
        ("mutants killed", "2 of 2"),
    )


def test_the_board_says_when_the_code_is_not_todays(tmp_path: Path) -> None:
    told = certificate_facts(put(tmp_path, holds=False), "sha256:another")[0][1]
    assert told == "DOES NOT HOLD, 2026-11-21, 200 worlds, of other code than today's"


def test_no_certificate_is_told_with_the_way_to_make_one(tmp_path: Path) -> None:
    path = tmp_path / "certificate.json"
    told = (("calibration", "none; quantlab calibrate makes one"),)
    assert certificate_facts(path, "sha256:c0de") == told
    path.write_text("{half")
    assert certificate_facts(path, "sha256:c0de") == told
