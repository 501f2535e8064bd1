"""`quantlab calibrate`: V1 on fresh markets whose truth is sealed, and the certificate of it.

Belongs here: the nonce, the wall clock, what is printed and what is kept. The experiments are
`calibration.certificate`'s.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from quantlab_pipeline.calibration.certificate.bench import bench_of
from quantlab_pipeline.calibration.certificate.certify import certify
from quantlab_pipeline.calibration.certificate.document import document_of, failures
from quantlab_pipeline.calibration.certificate.sealing import Plan, require_nonce
from quantlab_pipeline.commands.session import Session, UsageError, short_path
from quantlab_pipeline.core.fingerprints import canonical_bytes
from quantlab_pipeline.reports.certificate_data import (
    Line,
    band_lines,
    main_lines,
    mutant_lines,
    verdict_words,
)
from quantlab_pipeline.reports.certificate_page import render_certificate
from quantlab_pipeline.storage.certificates import history, keep_certificate

DOES_NOT_HOLD = 3
QUICK_WORLDS = 12
NONCE_BYTES = 16
MOST_PROCESSES = 8


@dataclass(frozen=True, slots=True)
class CalibrateRequest:
    """What the command line asked: how many worlds, under which nonce (fresh where None)."""

    quick: bool
    worlds: int | None
    nonce: str | None
    as_json: bool


def calibrate_command(session: Session, request: CalibrateRequest) -> int:
    """Run the experiments, keep and print the certificate; 0 if it holds, else 3."""
    if request.quick and request.worlds is not None:
        raise UsageError("--quick and --worlds both say how many worlds.", "Give one of them.")
    nonce = require_nonce(request.nonce or os.urandom(NONCE_BYTES).hex())
    bench = bench_of(session.project, session.project.scenario)
    plan = Plan.of(bench.bands, QUICK_WORLDS if request.quick else request.worlds)
    processes = min(os.cpu_count() or 1, MOST_PROCESSES)
    began = session.clock()

    def tell_seal(digest: str) -> None:
        session.err.print(f"nonce {nonce}, sealed truth {digest}", soft_wrap=True)

    with session.progress("calibrate") as progress:
        run = certify(
            bench, nonce, plan, processes=processes, tell_seal=tell_seal, progress=progress
        )
    document = document_of(bench, run)
    document["observed"] = {
        "date": began.date().isoformat(),
        "seconds": round((session.clock() - began).total_seconds(), 1),
        "processes": processes,
        "commit": _commit(session.project.root),
        "earlier": _earlier(session.data, document),
    }
    kept = keep_certificate(session.data, document, render_certificate(document), run.truth)
    if request.as_json:
        session.out.file.write(canonical_bytes(document).decode() + "\n")
    else:
        _show(session, document, kept)
    return 0 if run.holds else DOES_NOT_HOLD


def _commit(root: Path) -> str | None:
    """The commit that is checked out at `root`; None outside a repository, or without git."""
    git = shutil.which("git")
    if git is None:
        return None
    asked = [git, "-C", str(root), "rev-parse", "HEAD"]
    done = subprocess.run(asked, capture_output=True, text=True, check=False)  # noqa: S603
    return done.stdout.strip() or None


def _earlier(data: Path, document: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Runs of the same code and documents under other nonces: a rerun is told, not hidden."""
    same = ("code", "documents", "plan")
    return [
        {"nonce": old["nonce"], "holds": old["holds"], "date": old["observed"]["date"]}
        for old in history(data)
        if all(old[name] == document[name] for name in same) and old["nonce"] != document["nonce"]
    ]


def _show(session: Session, document: Mapping[str, Any], kept: Path) -> None:
    session.out.print(_bands(document))
    for what, share, counts in main_lines(document):
        session.say(f"  {what}: {share}, {counts}")
    session.out.print(_mutants(document))
    session.say(verdict_words(document))
    for failure in failures(document):
        session.say(f"  does not hold: {failure}")
    if not document["holds"]:
        session.say(
            "A band may refuse what is right once in a thousand: one rerun is allowed, and told."
        )
    session.say(f"certificate: {short_path(kept)}, page: {short_path(kept.with_suffix('.html'))}")


def _bands(document: Mapping[str, Any]) -> Table:
    table = Table(title="V1 on markets whose truth is known", title_justify="left", box=SIMPLE_HEAD)
    table.add_column("experiment", no_wrap=True)
    table.add_column("figure", overflow="fold")
    for name in ("measured", "band", "of"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("holds", no_wrap=True)
    for line in band_lines(document):
        table.add_row(*_cells(line))
    return table


def _cells(line: Line) -> tuple[str, ...]:
    verdict = "[green]yes[/]" if line.holds else "[red]NO[/]"
    words = line.experiment, line.name, line.measured, line.band, line.cases
    return (*(escape(text) for text in words), verdict)


def _mutants(document: Mapping[str, Any]) -> Table:
    table = Table(title="Broken rules, refused by", title_justify="left", box=SIMPLE_HEAD)
    for name in ("rule", "refused by"):
        table.add_column(name, overflow="fold")
    for name in ("measured", "band"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("killed", no_wrap=True)
    for mutant in mutant_lines(document):
        by = mutant.by
        told = ("", "", "") if by is None else (f"{by.experiment}: {by.name}", by.measured, by.band)
        verdict = "[green]yes[/]" if mutant.killed else "[red]NO[/]"
        table.add_row(escape(mutant.name), *(escape(text) for text in told), verdict)
    return table
