"""`quantlab attack`: a study's stored features attacked as gate PIT-1 does, and who saw ahead."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from quantlab_pipeline.commands.session import (
    NothingRunError,
    Progress,
    Session,
    UsageError,
    short_path,
)
from quantlab_pipeline.defs.features.attack import FEATURES, AttackPlan, attack_features
from quantlab_pipeline.defs.reports.pit import attack_page, write_attack
from quantlab_pipeline.defs.stage_run import StageRun
from quantlab_pipeline.reports.pit_data import PitPage, ToldLeak
from quantlab_pipeline.reports.pit_page import verdict_sentence
from quantlab_pipeline.reports.pit_story import attack_of, span_text
from quantlab_pipeline.research.features.gate import REASONS
from quantlab_pipeline.research.features.leaks import Pit1Report
from quantlab_pipeline.research.study import StudySpec
from quantlab_pipeline.storage.lake import Lake
from quantlab_pipeline.storage.project_lake import open_market_lake
from quantlab_pipeline.storage.spec_errors import suggestion

RED = 3


@dataclass(frozen=True, slots=True)
class AttackRequest:
    """What the command line asked `attack` for; what is not said is all that the study has."""

    study: str
    first_day: date | None
    last_day: date | None
    features: tuple[str, ...] | None
    symbols: tuple[str, ...] | None
    full: bool
    as_json: bool


@dataclass(frozen=True, slots=True)
class Attacked:
    """A finished attack: report, page and its path, seconds, days that are no longer current."""

    report: Pit1Report
    page: PitPage
    path: Path
    seconds: float
    stale: tuple[date, ...]


def attack_command(session: Session, request: AttackRequest) -> int:
    """Attack, write the page, print what is red or one JSON object; 0 if nothing is, else 3."""
    study = session.project.study(request.study)
    plan = _planned(session, study, request)
    with session.progress(f"attack {study.name}") as progress:
        done = _attack(session, study, plan, progress)
    if request.as_json:
        session.out.file.write(json.dumps(summary(done, full=plan.full)) + "\n")
    else:
        show(session, done)
    return exit_code(done.page)


def exit_code(page: PitPage) -> int:
    """0 if no feature is red, else 3."""
    return RED if page.red else 0


def summary(done: Attacked, *, full: bool) -> dict[str, Any]:
    """What `--json` prints: a verdict a feature (its worst day), the first leak of each attack."""
    page, coverage = done.page, done.report.coverage
    return {
        "market": page.facts.market,
        "study": page.facts.study,
        "first_day": str(page.facts.first_day),
        "last_day": str(page.facts.last_day),
        "symbols": list(page.facts.symbols),
        "full": full,
        "exit_code": exit_code(page),
        "seconds": round(done.seconds, 3),
        "coverage": asdict(coverage),
        "stale_days": [str(day) for day in done.stale],
        "features": [
            {
                "feature": line.feature,
                "verdict": line.outcome.value,
                "reasons": list(line.reasons),
                "red_days": line.red_days,
                "values": line.values,
            }
            for line in page.features
        ],
        "leaks": [_leak(told) for told in page.leaks],
        "page": str(done.path),
    }


def show(session: Session, done: Attacked) -> None:
    """What is red, or that all is green; time and coverage; where the page is."""
    page = done.page
    if page.red:
        session.out.print(_table(page))
    session.say(escape(verdict_sentence(page)))
    built = sum(done.report.coverage.rebuilds.values())
    session.say(f"[dim]{span_text(done.seconds)}, features built again {built:,} times[/]")
    if done.stale:
        session.say(
            f"[yellow]{FEATURES} of {_n_days(done.stale)} was made by older code, specs or data; "
            f"a difference may be that alone: quantlab run {page.facts.study}.[/]"
        )
    if page.facts.synthetic:
        session.say("[dim]A generated market: nothing here is ever admissible.[/]")
    session.say(f"Page  {escape(short_path(done.path))}")


def _n_days(days: Sequence[date]) -> str:
    return f"{days[0]}" if len(days) == 1 else f"{len(days):,} days ({days[0]} .. {days[-1]})"


def _attack(session: Session, study: StudySpec, plan: AttackPlan, progress: Progress) -> Attacked:
    market = session.project.market(study.market)
    lake = open_market_lake(session.project, market, session.data, session.clock)
    table = lake.graph.spec(FEATURES)
    _require_built(lake, study, plan.days)

    def run_of(days: Sequence[date]) -> StageRun:
        names = tuple(str(day) for day in days)
        return StageRun(session.project, market, lake, table, names, session.data, session.clock)

    begun = session.clock()
    report = attack_features(run_of, plan, progress)
    seconds = (session.clock() - begun).total_seconds()
    page = attack_page(market, study, plan, report)
    path = write_attack(page, session.artifacts(study))
    return Attacked(report, page, path, seconds, _stale(lake, plan.days))


def _require_built(lake: Lake, study: StudySpec, days: Sequence[date]) -> None:
    built = set(lake.days(FEATURES))
    missing = [day for day in days if day not in built]
    if not missing:
        return
    there = [day for day in study.days if day in built]
    rather = f" or choose --from and --to inside {there[0]} .. {there[-1]}" if there else ""
    raise NothingRunError(
        f"The features of {study.name} were never built on {_n_days(missing)}.",
        f"Run it: quantlab run {study.name}{rather}.",
        study=study.name,
    )


def _stale(lake: Lake, days: Sequence[date]) -> tuple[date, ...]:
    current = lake.current_of(FEATURES, days)
    return tuple(day for day in days if f"day={day}" not in current)


def _leak(told: ToldLeak) -> dict[str, Any]:
    leak = told.leak
    instants = {"tau": leak.tau.isoformat(), "ts": leak.ts.isoformat()}
    return {**asdict(leak), **instants, "saw": told.saw, "remedy": told.remedy}


def _table(page: PitPage) -> Table:
    """One line a leak, and one for each feature that is red for another reason."""
    facts = page.facts
    title = f"PIT-1 on {facts.study}, {facts.first_day} .. {facts.last_day}"
    table = Table(title=title, title_justify="left", title_style="bold", box=SIMPLE_HEAD)
    table.add_column("feature", overflow="fold")
    table.add_column("reason", overflow="fold", style="red")
    for name in ("first row", "input", "saw"):
        table.add_column(name, overflow="fold")
    for line in page.red:
        for told in (t for t in page.leaks if t.leak.feature == line.feature):
            row = f"{told.leak.symbol} {told.leak.ts:%m-%d %H:%M}"
            texts = (line.feature, REASONS[told.leak.attack], row, told.source, told.saw)
            table.add_row(*map(escape, texts))
        for code in (c for c in line.reasons if attack_of(c) is None):
            table.add_row(escape(line.feature), escape(code))
    return table


def _planned(session: Session, study: StudySpec, request: AttackRequest) -> AttackPlan:
    """What to attack, each name checked against what there is. UsageError with the nearest."""
    study.require_within(session.project.market(study.market))
    first, last = request.first_day or study.first_day, request.last_day or study.last_day
    if last < first:
        raise UsageError(f"--to {last} is before --from {first}.", "Swap them.")
    if first < study.first_day or last > study.last_day:
        raise UsageError(
            f"{study.name} has the days {study.first_day} .. {study.last_day}, not all of "
            f"{first} .. {last}.",
            "Choose --from and --to inside them.",
        )
    symbols = request.symbols or study.symbols
    for symbol in symbols:
        if symbol not in study.symbols:
            hint = suggestion(symbol, study.symbols, "symbols")
            raise UsageError(f"{study.name} has no symbol {symbol}.", hint, symbol=symbol)
    days = tuple(day for day in study.days if first <= day <= last)
    specs = session.project.features()
    chosen = specs.only(request.features) if request.features else specs
    return AttackPlan(days, tuple(symbols), chosen, request.full)
