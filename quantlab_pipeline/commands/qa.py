"""`quantlab qa`: a market's data examined, what is wrong with it, and where the page lies."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import groupby
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from quantlab_pipeline.commands.adhoc import BARS, Folder, make_market
from quantlab_pipeline.commands.session import COLOURS, Session, UsageError, short_path
from quantlab_pipeline.core.errors import SourceError
from quantlab_pipeline.core.verdicts import Outcome
from quantlab_pipeline.defs.market_data.opening import open_source
from quantlab_pipeline.defs.qa_runner import QaRun, run_qa
from quantlab_pipeline.defs.reports.qa import MEMBERS, TABLE
from quantlab_pipeline.reports.qa_data import PRESENT, Calendar, QaPage, State
from quantlab_pipeline.reports.qa_page import hindsight_sentence, verdict_sentence
from quantlab_pipeline.research.market_data.spec import MarketSpec
from quantlab_pipeline.sources.base import Source
from quantlab_pipeline.storage.changes import Changes
from quantlab_pipeline.storage.spec_errors import suggestion

NOT_ADMITTED = 3
_REASONS_SHOWN = 3
_DAYS_SHOWN = 10
_PASSED = (State.CLEAN, State.FOUND, State.WAIVED)


@dataclass(frozen=True, slots=True)
class QaRequest:
    """What the command line asked `qa` for: a market by name, or a folder.

    Of a market by name, `folder` has the days and symbols alone.
    """

    market: str | None
    folder: Folder
    as_json: bool


def qa_command(session: Session, request: QaRequest) -> int:
    """Make, examine, print a table or one JSON object; 0 if D0 admits every symbol-day, else 3."""
    from quantlab_pipeline.definitions import build_defs

    market, span = _asked(session, request)
    symbols = request.folder.symbols or market.symbols
    definitions = build_defs(session.project.root, session.data, [market])
    with session.progress(f"qa {market.name}") as progress:
        run = run_qa(session.project, session.data, market, definitions, span, symbols, progress)
    if request.as_json:
        session.out.file.write(json.dumps(summary(run)) + "\n")
    else:
        show(session, run)
    return exit_code(run.page)


def exit_code(page: QaPage) -> int:
    """0 if every symbol-day is admitted and none that ended is left out, else 3."""
    whole = page.admitted == page.symbol_days and not page.left_out
    return 0 if whole else NOT_ADMITTED


def summary(run: QaRun) -> dict[str, Any]:
    """What `--json` prints."""
    page, made = run.page, run.changes
    outcomes = page.outcomes
    return {
        "market": page.facts.market,
        "first_day": str(page.facts.first_day),
        "last_day": str(page.facts.last_day),
        "symbols": list(page.facts.symbols),
        "exit_code": exit_code(page),
        "symbol_days": {
            "all": page.symbol_days,
            "admitted": page.admitted,
            "failed": outcomes[Outcome.FAIL],
            "not_evaluable": outcomes[Outcome.NOT_EVALUABLE],
            "not_examined": page.symbol_days - sum(outcomes.values()),
        },
        "days": {
            "current": len(made.current),
            "made": [str(day) for day in made.made],
            "made_again": {str(day): list(why) for day, why in made.again.items()},
        },
        "datasets": [
            {
                "symbol": c.symbol,
                "dataset": c.dataset,
                "rows": run.rows[c.symbol, c.dataset or ""],
                **_counted(c),
                "reasons": dict(c.reasons),
            }
            for c in page.calendars
        ],
        "left_out": {w.finding.symbol: str(w.finding.day) for w in page.left_out},
        "page": str(run.path),
        "table": str(run.path.with_name(TABLE)),
        "members": str(run.path.with_name(MEMBERS)),
    }


def show(session: Session, run: QaRun) -> None:
    """What was made, D0's table, and where the page is."""
    for line in told_changes(run.changes, run.before):
        session.say(escape(line))
    session.out.print(_table(run))
    session.say(escape(verdict_sentence(run.page)))
    if flattering := hindsight_sentence(run.page):
        session.say(f"[yellow]{escape(flattering)}[/]")
    if run.page.facts.synthetic:
        session.say("[dim]A generated market: nothing here is ever admissible.[/]")
    session.say(f"Page    {escape(short_path(run.path))}")
    session.say(f"Table   {escape(short_path(run.path.with_name(TABLE)))}")
    session.say(f"Members {escape(short_path(run.path.with_name(MEMBERS)))}")


def told_changes(made: Changes, before: Sequence[date] = ()) -> list[str]:
    """What was made, and why again, in lines; days with one reason are told together."""
    n = len(made.current) + len(made.made) + len(made.again)
    parts = [f"{len(made.current):,} of {n:,} days already current"]
    parts += [f"{len(made.made):,} made"] if made.made else []
    parts += [f"{len(made.again):,} made again"] if made.again else []
    if len(parts) == 1:
        parts.append("nothing to make")
    lines = [", ".join(parts) + (":" if made.again else ".")]
    spans = _spans(made.again)
    for span in spans[:_DAYS_SHOWN]:
        when = str(span[0]) if len(span) == 1 else f"{span[0]} .. {span[-1]}"
        lines.append(f"  {when}  {_first_of(made.again[span[0]])}")
    if len(spans) > _DAYS_SHOWN:
        lines.append(f"  and {sum(len(s) for s in spans[_DAYS_SHOWN:])} more days")
    if made.same:
        n_same = len(made.same)
        lines.append(
            f"The source sent other files of {n_same:,} of these days; their rows are the same."
        )
    if before:
        lines.append(f"Made too, because these look back at them: {before[0]} .. {before[-1]}.")
    return lines


def _spans(again: Mapping[date, tuple[str, ...]]) -> list[list[date]]:
    """Consecutive days with one reason."""
    numbered = enumerate(sorted(again))
    groups = groupby(numbered, key=lambda pair: (again[pair[1]], pair[1].toordinal() - pair[0]))
    return [[day for _, day in group] for _, group in groups]


def _first_of(reasons: Sequence[str]) -> str:
    left = len(reasons) - _REASONS_SHOWN
    shown = "; ".join(reasons[:_REASONS_SHOWN])
    return f"{shown} and {left} more" if left > 0 else shown


def _table(run: QaRun) -> Table:
    """One line a symbol under D0, and one for each of its datasets."""
    facts = run.page.facts
    title = f"D0 on {facts.market}, {facts.first_day} .. {facts.last_day}"
    table = Table(title=title, title_justify="left", title_style="bold", box=SIMPLE_HEAD)
    table.add_column("symbol", no_wrap=True)
    table.add_column("dataset", no_wrap=True)
    for name in ("rows", "passed", "failed", "not evaluable"):
        table.add_column(name, justify="right")
    table.add_column("main reasons", overflow="fold")
    for overall in run.page.overall:
        mine = [c for c in run.page.calendars if c.symbol == overall.symbol]
        _add(table, overall, "", "bold")
        for calendar in mine:
            if not calendar.never:
                _add(table, calendar, f"{run.rows[calendar.symbol, calendar.dataset or '']:,}", "")
        never = [c.dataset or "" for c in mine if c.never]
        if never:
            told = f"optional, absent on every day: {', '.join(never)}"
            name = f"{len(never)} others"
            table.add_row(overall.symbol, name, "", "", "", "", told, style="dim")
        table.add_section()
    return table


def _add(table: Table, calendar: Calendar, rows: str, style: str) -> None:
    counted = _counted(calendar)
    colour = COLOURS[Outcome.FAIL]
    failed = f"[{colour}]{counted['failed']}[/]" if counted["failed"] else "0"
    numbers = (str(counted["passed"]), failed, str(counted["not_evaluable"]))
    name = calendar.dataset or "D0"
    table.add_row(calendar.symbol, name, rows, *numbers, escape(_reasons(calendar)), style=style)


def _counted(calendar: Calendar) -> dict[str, int]:
    counts = calendar.counts
    passed = sum(counts[state] for state in _PASSED)
    failed = counts[State.FAIL]
    return {"passed": passed, "failed": failed, "not_evaluable": counts.total() - passed - failed}


def _reasons(calendar: Calendar) -> str:
    """Checks and how many days each stops; absence, where that is all there is to say."""
    shown = [f"{check} x{n}" for check, n in calendar.reasons[:_REASONS_SHOWN]]
    left = len(calendar.reasons) - len(shown)
    shown += [f"{left} more"] if left else []
    counts = calendar.counts
    if calendar.dataset and counts[State.ABSENT]:
        shown.append(f"absent x{counts[State.ABSENT]}")
    if calendar.dataset is None and not any(counts[s] for s in (*PRESENT, State.MISSING)):
        shown.append("not examined")
    return ", ".join(shown)


def _asked(session: Session, request: QaRequest) -> tuple[MarketSpec, tuple[date, date]]:
    """The market and its days, from the source's own where the market has no end."""
    folder = request.folder
    own = folder.kind is not None or folder.path is not None
    if (request.market is not None) is own:
        raise UsageError(
            "Name one market, or one folder with --source and --path.",
            "Markets: " + ", ".join(session.project.names("markets")) + ".",
        )
    if request.market is None:
        market = make_market(session.project, folder)
        session.err.print(escape(market.name), soft_wrap=True)
        assert market.last_day is not None
        return market, (market.first_day, market.last_day)
    market = session.project.market(request.market)
    for symbol in folder.symbols or ():
        if symbol not in market.symbols:
            raise UsageError(
                f"{market.name} has no symbol {symbol}.",
                suggestion(symbol, market.symbols, "symbols"),
                symbol=symbol,
            )
    return market, _span(session, market, folder)


def _span(session: Session, market: MarketSpec, folder: Folder) -> tuple[date, date]:
    """The days asked for, else all; a folder that is not there is told before anything runs."""
    lo, hi = market.first_day, market.last_day
    if hi is None or market.source.kind != "world":
        source = open_source(session.project, market, session.data)
        hi = hi or _last_of(market, source)
    first, last = folder.first_day or lo, folder.last_day or hi
    if last < first:
        raise UsageError(f"--to {last} is before --from {first}.", "Swap them.")
    if first < lo or last > hi:
        raise UsageError(
            f"{market.name} has the days {lo} .. {hi}, not all of {first} .. {last}.",
            "Choose --from and --to inside them.",
            first=str(lo),
            last=str(hi),
        )
    return first, last


def _last_of(market: MarketSpec, source: Source) -> date:
    spans = [source.days(BARS, symbol) for symbol in market.symbols]
    ends = [span[1] for span in spans if span is not None]
    if not ends:
        raise SourceError(
            f"The source of {market.name} has no perpetual minute bars of its symbols.",
            "Point its market to a folder that has, or name others in its document.",
            market=market.name,
        )
    return max(ends)
