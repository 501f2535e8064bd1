"""`quantlab run` and `quantlab gates`: a study through every gate, and what each gate said."""

from __future__ import annotations

import getpass
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rich.markup import escape

from quantlab_pipeline.commands.adhoc import Folder, make_adhoc
from quantlab_pipeline.commands.session import (
    NothingRunError,
    Progress,
    Session,
    UsageError,
    gate_table,
    short_path,
)
from quantlab_pipeline.core.errors import SourceError
from quantlab_pipeline.core.verdicts import ADMITTED, Gate
from quantlab_pipeline.defs.market_data.opening import open_source
from quantlab_pipeline.defs.reports.outcome import StudyOutcome
from quantlab_pipeline.defs.reports.pages import PAGES
from quantlab_pipeline.research.market_data.spec import MarketSpec
from quantlab_pipeline.research.study import StudySpec
from quantlab_pipeline.sources.base import Source
from quantlab_pipeline.storage.spec_checks import check_study
from quantlab_pipeline.storage.spec_errors import suggestion
from quantlab_pipeline.storage.waivers import Waiver

NOT_ADMITTED = 3
_BY_DAY = (Gate.D0, Gate.PIT1)


@dataclass(frozen=True, slots=True)
class RunRequest:
    """What the command line asked `run` for: a study by name, or a folder."""

    study: str | None
    folder: Folder
    waive: tuple[str, ...]
    reason: str
    as_json: bool


def run_command(session: Session, request: RunRequest) -> int:
    """Run, print the gate table or one JSON object; 0 if every gate admits something, else 3."""
    gates = [_gate(name) for name in request.waive]
    if gates and not request.reason.strip():
        raise UsageError("A waiver needs a reason.", 'Add --reason "...".')
    market, study = _asked(session, request)
    waivers = [_waiver(session, gate, study, request.reason) for gate in gates]
    with session.progress(study.name) as progress:
        outcome = run_study_of(session, study, market, waivers, progress)
    if request.as_json:
        session.out.file.write(json.dumps(summary(session, outcome)) + "\n")
    else:
        show(session, outcome)
    return exit_code(outcome)


def gates_command(session: Session, name: str) -> int:
    """Print a study's gate table from the lake. NothingRunError if nothing in it is current."""
    study = session.project.study(name)
    outcome = session.outcome(study)
    if not any(gate.judged for gate in outcome.gates):
        raise NothingRunError(
            f"No verdict on study {name} is current: it was not run, or code or specs changed.",
            f"Run it: quantlab run {name}.",
            study=name,
        )
    show(session, outcome)
    return exit_code(outcome)


def run_study_of(
    session: Session,
    study: StudySpec,
    market: MarketSpec,
    waivers: Sequence[Waiver],
    progress: Progress,
) -> StudyOutcome:
    """The whole chain through Dagster in this process."""
    from quantlab_pipeline.definitions import build_defs
    from quantlab_pipeline.defs.runner import run_study

    definitions = build_defs(session.project.root, session.data, [market])
    return run_study(
        session.project, session.data, study, market, definitions, waivers, progress
    ).outcome


def exit_code(outcome: StudyOutcome) -> int:
    """0 if every gate admits something, else 3."""
    return 0 if all(g.outcome in ADMITTED for g in outcome.gates) else NOT_ADMITTED


def summary(session: Session, outcome: StudyOutcome) -> dict[str, Any]:
    """What `--json` prints; a gate's reasons are codes, the most frequent first."""
    artifacts = session.artifacts(outcome.study)
    return {
        "market": outcome.market.name,
        "study": outcome.study.name,
        "exit_code": exit_code(outcome),
        "gates": [
            {
                "gate": g.gate.value,
                "verdict": g.outcome.value,
                "judged": g.judged,
                "passed": g.admitted,
                "reasons": [code for code, _ in g.reasons],
            }
            for g in outcome.gates
        ],
        "artifacts": str(artifacts),
        "manifest": str(artifacts / "run_manifest.json"),
    }


def show(session: Session, outcome: StudyOutcome) -> None:
    """The gate table, where everything is, and what to type next."""
    study, market = outcome.study, outcome.market
    title = f"{study.name} on {market.name}, {study.first_day} .. {study.last_day}"
    session.out.print(gate_table(title, outcome.gates))
    if market.synthetic:
        session.say("[dim]A generated market: nothing here is ever admissible.[/]")
    elif not outcome.admissible:
        session.say("[yellow]A gate was waived: nothing after it is admissible.[/]")
    if outcome.refused:
        session.say(f"[yellow]The trial ledger took no candidate. {escape(outcome.refused)}[/]")
    session.say(f"Trials      {outcome.budget.sentence()}")
    if served := [f"{n} of {m} of {table}" for table, (n, m) in outcome.served.items() if n]:
        session.say(f"Served      {', '.join(served)}: computed before, to the same bytes")
    artifacts = session.artifacts(study)
    session.say(f"Artifacts   {escape(short_path(artifacts))}")
    session.say(f"Gate board  {escape(short_path(artifacts / 'gate_board.html'))}")
    pages = [page.file for page in PAGES if (artifacts / page.file).is_file()]
    if pages:
        session.say(f"Pages       {', '.join(pages)}, beside it")
    session.say(f"Next        {_next_step(outcome)}")


def _next_step(outcome: StudyOutcome) -> str:
    tested = outcome.candidates.height > 0
    first = f"quantlab why --study {outcome.study.name}" if tested else ""
    return ", ".join(filter(None, (first, "quantlab ui")))


def _asked(session: Session, request: RunRequest) -> tuple[MarketSpec, StudySpec]:
    if (request.study is None) is not request.folder.given:
        raise UsageError(
            "Name one study, or one folder with --source and --path.",
            "Studies: " + ", ".join(session.project.names("studies")) + ".",
        )
    if request.study is None:
        market, study = make_adhoc(session.project, request.folder)
        days = f"{study.first_day} .. {study.last_day}"
        symbols = ", ".join(study.symbols)
        session.err.print(f"{escape(study.name)}: {symbols}, {days}", soft_wrap=True)
    else:
        study = session.project.study(request.study)
        market = session.project.market(study.market)
    check_study(session.project, study)
    if market.source.kind != "world":
        # A folder that is not there is told now, not after Dagster has started.
        _require_bars(open_source(session.project, market, session.data), market, study)
    return market, study


def _require_bars(source: Source, market: MarketSpec, study: StudySpec) -> None:
    """SourceError if a symbol has no file of perpetual bars near any of the study's days."""
    for symbol in study.symbols:
        span = source.days("bars_1m_perp", symbol)
        if span is None or span[1] < study.first_day or span[0] > study.last_day:
            fetched = market.source.kind in {"binance", "binance_archive"}
            raise SourceError(
                f"{market.name} has no perpetual minute bars of {symbol} for {study.first_day} .. "
                f"{study.last_day}" + (f": it has {span[0]} .. {span[1]}." if span else "."),
                f"Fetch them: quantlab fetch --study {study.name}."
                if fetched
                else "Add them to its folder, or choose another study.",
                market=market.name,
                symbol=symbol,
            )


def _gate(name: str) -> Gate:
    names = [gate.value for gate in Gate]
    found = next((gate for gate in Gate if gate.value.lower() == name.lower()), None)
    if found is None:
        raise UsageError(f"There is no gate {name}.", suggestion(name, names, "gates"), gate=name)
    return found


def _waiver(session: Session, gate: Gate, study: StudySpec, reason: str) -> Waiver:
    """For the study's days where the gate judges days, else for the study."""
    who, at = getpass.getuser(), session.clock().isoformat()
    if gate in _BY_DAY:
        span = (study.first_day, study.last_day)
        return Waiver(gate, reason, who, first_day=span[0], last_day=span[1], at=at)
    return Waiver(gate, reason, who, study=study.name, at=at)
