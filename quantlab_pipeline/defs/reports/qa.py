"""The QA page of a market, composed from its lake, and its files under the names people rely on.

Belongs here: which days and verdicts count as current, and where the page lies. What it says is the
reports' own matter.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import date
from functools import partial
from pathlib import Path

from quantlab_pipeline.core.errors import MissingPartitionError
from quantlab_pipeline.core.verdicts import Gate, ItemVerdict
from quantlab_pipeline.reports.qa_data import QaFacts, QaPage, qa_page
from quantlab_pipeline.reports.qa_findings import findings_table
from quantlab_pipeline.reports.qa_page import render_qa_page
from quantlab_pipeline.research.market_data.checks import TOB_DATASETS
from quantlab_pipeline.research.market_data.gate import judge_d0
from quantlab_pipeline.research.market_data.membership import membership
from quantlab_pipeline.research.market_data.schema import QA_REPORT, UNIVERSE
from quantlab_pipeline.research.market_data.spec import MarketSpec
from quantlab_pipeline.storage.lake import Lake
from quantlab_pipeline.storage.objects import write_atomic
from quantlab_pipeline.storage.project_lake import market_root
from quantlab_pipeline.storage.spec_files import Project

REPORT = "qa_report"
PAGE = "qa_report.html"
TABLE = "qa_report.csv"
MEMBERS = "membership.csv"
_ISO = "%Y-%m-%dT%H:%M:%SZ"
LONGEST_DAYS = 366
"""A page whose days nobody named shows the last so many."""


def qa_folder(data_root: Path, market: str) -> Path:
    """Where a market's QA page and its table lie."""
    return market_root(data_root, market) / "artifacts" / "qa"


def reported_days(market: MarketSpec, lake: Lake) -> tuple[date, date]:
    """First and last day of a page whose days nobody named. MissingPartitionError if none."""
    days = lake.days(REPORT)
    if not days:
        raise MissingPartitionError(
            f"{market.name} has no {REPORT} yet.",
            f"Make its days first: quantlab qa {market.name}, or a backfill in the UI.",
            table=REPORT,
        )
    return days[-LONGEST_DAYS:][0], days[-1]


def qa_content(
    project: Project,
    market: MarketSpec,
    lake: Lake,
    span: tuple[date, date],
    symbols: Sequence[str] = (),
) -> QaPage:
    """What the lake says of the data now; only current reports and verdicts count.

    `symbols` narrow what is shown, `span` is the first and the last day.
    """
    facts = QaFacts(
        market.name, market.venue, market.synthetic, tuple(symbols or market.symbols), *span
    )
    there = [day for day in lake.days(REPORT) if span[0] <= day <= span[1]]
    current = lake.current_of(REPORT, there)
    read = [day for day in there if f"day={day}" in current]
    report = lake.read(REPORT, read, gated=False) if read else QA_REPORT.empty()
    judge = partial(judge_d0, thresholds=project.gates().d0, grid_s=market.tob_grid_s)
    return qa_page(report, _verdicts(lake, read), facts, judge)


def _verdicts(lake: Lake, days: Sequence[date]) -> dict[date, Sequence[ItemVerdict]]:
    judged = lake.judged_of(Gate.D0, days)
    records = {d: lake.verdicts.current(Gate.D0, f"day={d}") for d in days if f"day={d}" in judged}
    return {day: record.items for day, record in records.items() if record is not None}


def write_membership(lake: Lake, span: tuple[date, date], folder: Path) -> None:
    """Write who was in the universe from when to when, and why, or why not, over the span."""
    there = [day for day in lake.days("universe") if span[0] <= day <= span[1]]
    current = lake.current_of("universe", there)
    read = [day for day in there if f"day={day}" in current]
    members = lake.read("universe", read, gated=False) if read else UNIVERSE.empty()
    spells = membership(members, _verdicts(lake, read))
    write_atomic(folder / MEMBERS, spells.write_csv(datetime_format=_ISO).encode())


def write_qa(page: QaPage, folder: Path) -> Path:
    """Write the page and the table of all its findings beside it; the page's path."""
    findings = findings_table((*page.weighed, *page.left_out))
    write_atomic(folder / TABLE, findings.write_csv().encode())
    write_atomic(folder / PAGE, render_qa_page(page, TABLE).encode())
    return folder / PAGE


def rows_of(lake: Lake, page: QaPage) -> Counter[tuple[str, str]]:
    """Rows that the lake holds of each (symbol, dataset) shown; of a book, minutes of its leg."""
    facts = page.facts
    datasets = {c.dataset for c in page.calendars if c.dataset in lake.graph.tables}
    rows: Counter[tuple[str, str]] = Counter()
    for dataset in sorted(d for d in datasets if d is not None):
        for day in facts.days:
            manifest = lake.manifests.current(dataset, f"day={day}")
            for file in manifest.files if manifest is not None else ():
                rows[str(file.symbol), dataset] += file.rows
    there = set(lake.days("tob_1m_agg"))
    days = [day for day in facts.days if day in there]
    book = lake.read("tob_1m_agg", days, gated=False, columns=["symbol", "leg"]) if days else None
    if book is not None:
        for symbol, leg, n in book.group_by("symbol", "leg").len().iter_rows():
            rows[symbol, TOB_DATASETS[leg]] += n
    return rows
