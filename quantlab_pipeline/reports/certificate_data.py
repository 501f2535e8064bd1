"""What the certificate's page and the gate board say of the calibration, from its document.

Belongs here: words and rows, as pure functions of a certificate as it was kept. Drawing is
`certificate_page`'s work.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quantlab_pipeline.reports.pages import format_number, format_percent

EXPERIMENTS = {
    "PT-01": "Nothing is planted and nothing costs: how often does anything pass, and how often "
    "does the test reject?",
    "PT-02": "An edge of six standard errors after costs: is it found, under its own horizon, with "
    "an interval that covers it; and how many other passes are false?",
    "PT-03": "An edge of the reported MDE80: is it found four times in five, as was said?",
    "PT-04": "Every symbol or day copied: a copy holds no news, so that nothing may change.",
    "PT-05": "A drift of every symbol: no edge, however far it moves the raw z.",
    "PT-26": "An edge in turbulent times alone: it passes, and is told as not the same everywhere; "
    "its even twin is not.",
}
"""What each experiment asks."""

NONE = "none; quantlab calibrate makes one"
_MAIN = {
    "power": "power at six standard errors",
    "own_cell_passes": "own cell passes",
    "coverage": "95 % intervals that cover",
    "false_discoveries_planted": "false passes, at the budget, net of cost",
    "false_discoveries_planted_free": "false passes, at the family's own m, free of costs",
}


@dataclass(frozen=True, slots=True)
class Line:
    """A figure in the page's tables: what it is, what was measured, its band, whether it holds."""

    experiment: str
    name: str
    measured: str
    band: str
    cases: str
    holds: bool


@dataclass(frozen=True, slots=True)
class MutantLine:
    """A broken rule: what it gets wrong, whether it was killed, and the band that killed it."""

    name: str
    told: str
    killed: bool
    by: Line | None
    others: int


def certificate_facts(path: Path, code_now: str) -> tuple[tuple[str, str], ...]:
    """Pairs for the gate board's header: the newest certificate's date, verdict and main figures.

    `path` is where it is kept, `code_now` the digest of today's code: one of other code says so.
    Where there is none, or it cannot be read, the one pair says how to make one.
    """
    try:
        document = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return (("calibration", NONE),)
    main, plan = document["main"], document["plan"]
    state = "holds" if document["holds"] else "DOES NOT HOLD"
    told = f"{state}, {document['observed']['date']}, {plan['worlds']} worlds"
    if document["code"] != code_now:
        told += ", of other code than today's"
    killed = sum(m["killed"] for m in document["mutants"])
    return (
        ("calibration", told),
        ("power", share_of(main["power"])),
        ("coverage", share_of(main["coverage"])),
        ("size at 5 %", format_percent(size_at(document, 0.05))),
        ("mutants killed", f"{killed} of {len(document['mutants'])}"),
    )


def size_at(document: Mapping[str, Any], level: float) -> float | None:
    """The final rule's size at `level`, all horizons together; None if it was not measured."""
    found = (s["size"] for s in document["size"] if s["horizon"] == "all" and s["level"] == level)
    return next(found, None)


def share_of(counted: Mapping[str, Any]) -> str:
    """A share with its exact interval."""
    low, high = format_percent(counted["low95"]), format_percent(counted["high95"])
    return f"{format_percent(counted['share'])} ({low} to {high})"


def band_lines(document: Mapping[str, Any]) -> list[Line]:
    """Every band, in its order."""
    return [_line(band) for band in document["bands"]]


def mutant_lines(document: Mapping[str, Any]) -> list[MutantLine]:
    """Every mutant, with the first band that killed it among the experiments meant for it."""
    out = []
    for mutant in document["mutants"]:
        broken: Sequence[Mapping[str, Any]] = mutant["broken"]
        meant = [band for band in broken if band["experiment"] in mutant["meant_for"]]
        by = _line(meant[0]) if meant else None
        others = len(broken) - (1 if meant else 0)
        out.append(MutantLine(mutant["name"], mutant["told"], mutant["killed"], by, others))
    return out


def main_lines(document: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """The main shares: what each is, the share with its interval, and its counts."""
    return [
        (words, share_of(counted), f"{counted['events']:,} of {counted['cases']:,}")
        for name, words in _MAIN.items()
        if (counted := document["main"].get(name)) is not None
    ]


def verdict_words(document: Mapping[str, Any]) -> str:
    """The certificate in one sentence."""
    bands = document["bands"]
    held = sum(band["holds"] for band in bands)
    mutants = document["mutants"]
    killed = sum(m["killed"] for m in mutants)
    plan, family = document["plan"], document["family"]
    state = "The certificate holds" if document["holds"] else "The certificate does not hold"
    return (
        f"{state}: {held} of {len(bands)} bands hold on {plan['worlds']:,} markets and "
        f"{plan['size_worlds']:,} more for the tail, {family['candidates']:,} candidates each; "
        f"{killed} of {len(mutants)} broken rules are refused."
    )


def _line(band: Mapping[str, Any]) -> Line:
    return Line(
        band["experiment"],
        band["name"],
        format_number(band["measured"]),
        band_words(band["low"], band["high"]),
        f"{band['cases']:,}",
        band["holds"],
    )


def band_words(low: float | None, high: float | None) -> str:
    """A band in words; an open side is left out."""
    if low is None:
        return "" if high is None else f"at most {format_number(high)}"
    if high is None:
        return f"at least {format_number(low)}"
    return f"{format_number(low)} to {format_number(high)}"
