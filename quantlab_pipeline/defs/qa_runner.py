"""Making a market's data, examining it and drawing its QA page, through Dagster in this process.

Belongs here: which tables are needed on which days, and the order of the runs. What a table or the
page holds stands with its asset.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import groupby
from pathlib import Path
from typing import Any

import dagster as dg

from quantlab_pipeline.core.clocks import days_between
from quantlab_pipeline.core.verdicts import Gate
from quantlab_pipeline.defs.factory import asset_key
from quantlab_pipeline.defs.instance import open_instance
from quantlab_pipeline.defs.jobs import QA_CALENDAR, gates_on
from quantlab_pipeline.defs.partitions import range_tags
from quantlab_pipeline.defs.reports.qa import PAGE, REPORT, qa_content, qa_folder, rows_of
from quantlab_pipeline.defs.resources import utc_now
from quantlab_pipeline.defs.runner import Progress, Selection, Steps, execute
from quantlab_pipeline.reports.qa_data import QaPage
from quantlab_pipeline.research.market_data.spec import MarketSpec
from quantlab_pipeline.storage.changes import Changes, changes, look
from quantlab_pipeline.storage.lake import Lake
from quantlab_pipeline.storage.project_lake import open_market_lake
from quantlab_pipeline.storage.spec_files import Project

UNIVERSE = "universe"
"""The last table that is made: behind gate D0."""


@dataclass(frozen=True, slots=True)
class QaRun:
    """A finished run: the page's content, its path, rows of each (symbol, dataset), what was made.

    `before` are the days before the first that were made because their tables are looked back at.
    """

    page: QaPage
    path: Path
    rows: Mapping[tuple[str, str], int]
    changes: Changes
    before: tuple[date, ...]


@dataclass(frozen=True, slots=True)
class Chunk:
    """One run: days of one calendar month on which the same tables are needed."""

    first: date
    last: date
    tables: tuple[str, ...]


def run_qa(
    project: Project,
    data_root: Path,
    market: MarketSpec,
    definitions: dg.Definitions,
    span: tuple[date, date],
    symbols: Sequence[str] = (),
    progress: Progress = lambda *_: None,
) -> QaRun:
    """Every table up to the universe on the days of `span`, D0 on them, and the page.

    What is current is not made again. A gate that admits nothing is an outcome, no error. Raises
    QuantlabError for bad specs, sources or data.
    """
    lake = open_market_lake(project, market, data_root, utc_now)
    needed = tables_needed(lake, [UNIVERSE], days_between(*span))
    tables = [t for t in lake.graph.tables if any(t in names for names in needed.values())]
    before = look(lake, tables, list(needed))
    chunks = list(in_runs(needed, tables))
    steps = [len(c.tables) + (REPORT in c.tables) for c in chunks]
    told = Steps(progress, f"{market.name}__", sum(steps) + 1)
    with open_instance(data_root) as instance:
        for number, chunk in enumerate(chunks):
            keys = [asset_key(market, t) for t in chunk.tables]
            part = Selection(keys, gates_on(market, chunk.tables))
            tags = range_tags(str(chunk.first), str(chunk.last))
            execute(definitions, instance, f"{market.name}__days", told, tags, tables=part)
            told.done = sum(steps[: number + 1])
        config = _page_config(market, span, symbols)
        execute(definitions, instance, f"{market.name}__qa", told, {}, config=config)
    made = changes(before, look(lake, tables, list(needed)), REPORT)
    page = qa_content(project, market, lake, span, symbols)
    path = qa_folder(data_root, market.name) / PAGE
    return QaRun(page, path, rows_of(lake, page), *_of_span(made, span[0]))


def tables_needed(
    lake: Lake, targets: Sequence[str], days: Sequence[date]
) -> dict[date, frozenset[str]]:
    """Day tables to make on each day so that `targets` can be made on `days`, by day.

    Reads are followed back in time, and so are the verdicts that a read relies on; the market's
    first day ends it.
    """
    needed: dict[date, set[str]] = {}
    todo = [(table, day) for table in targets for day in days]
    while todo:
        table, day = todo.pop()
        if day < lake.first_day or table in needed.setdefault(day, set()):
            continue
        needed[day].add(table)
        for read in lake.graph.spec(table).reads:
            gates: list[Gate] = lake.graph.gates_of_read(table, read.table)
            above = {read.table, *(lake.graph.judged(gate) for gate in gates)}
            past = (day - timedelta(days=n) for n in range(read.lookback_days + 1))
            todo += [(name, d) for d in past for name in above]
    return {day: frozenset(needed[day]) for day in sorted(needed) if needed[day]}


def in_runs(needed: Mapping[date, frozenset[str]], order: Sequence[str]) -> Iterator[Chunk]:
    """Consecutive days of one month that need the same tables, as one run: that bounds memory."""

    def kind(pair: tuple[int, date]) -> tuple[int, int, int, frozenset[str]]:
        number, day = pair
        return day.toordinal() - number, day.year, day.month, needed[day]

    for (*_, names), group in groupby(enumerate(needed), key=kind):
        days = [day for _, day in group]
        yield Chunk(days[0], days[-1], tuple(t for t in order if t in names))


def _page_config(
    market: MarketSpec, span: tuple[date, date], symbols: Sequence[str]
) -> dict[str, Any]:
    shown = {"first_day": str(span[0]), "last_day": str(span[1]), "symbols": list(symbols)}
    return {f"{market.name}__{QA_CALENDAR}": {"config": shown}}


def _of_span(made: Changes, first: date) -> tuple[Changes, tuple[date, ...]]:
    """The changes of the days asked for, and the earlier days that were made for them."""
    earlier = sorted(d for d in (*made.made, *made.again) if d < first)
    own = Changes(
        tuple(d for d in made.current if d >= first),
        tuple(d for d in made.made if d >= first),
        {d: why for d, why in made.again.items() if d >= first},
        tuple(d for d in made.same if d >= first),
    )
    return own, tuple(earlier)
