"""Market data: what a source sent becomes tables, is examined, and admits a universe."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date
from functools import partial
from typing import Any

import polars as pl

from quantlab_pipeline.core.clocks import day_of
from quantlab_pipeline.core.columns import TableSchema
from quantlab_pipeline.core.findings import Finding
from quantlab_pipeline.core.verdicts import Gate
from quantlab_pipeline.defs.market_data import endings
from quantlab_pipeline.defs.market_data.landing import (
    findings_from,
    parse_as_known,
    provenance,
    raw_sink,
)
from quantlab_pipeline.defs.market_data.opening import source_of, usage_of
from quantlab_pipeline.defs.stage_run import Body, GateBody, Judged, Made, StageRun
from quantlab_pipeline.research.market_data import qa, schema
from quantlab_pipeline.research.market_data.basis import basis_state as basis_of
from quantlab_pipeline.research.market_data.book import aggregate_book
from quantlab_pipeline.research.market_data.funding_state import funding_state as state_of
from quantlab_pipeline.research.market_data.gate import judge_d0
from quantlab_pipeline.research.market_data.parsed import findings_frame, within
from quantlab_pipeline.research.market_data.universe import build_universe

LANDED = tuple(s.name for s in schema.LANDED)
"""Tables that are parsed from a source's files."""


def landed(dataset: str, run: StageRun) -> Made:
    """A dataset's rows as the source sent them; what parsing set aside goes into the manifests."""
    if dataset not in run.market.datasets:
        return Made(_schema(dataset).empty(), {"absent": "not a dataset of this market"})
    source, sink = source_of(run), raw_sink(run)
    files = {s: source.land(dataset, s, run.days, sink) for s in run.symbols}
    rows = _Rows(_schema(dataset), run.days)
    findings: list[Finding] = []
    for symbol, kept in files.items():
        if kept:
            parsed = parse_as_known(source, dataset, symbol, kept, sink, run.days)
            rows.take(parsed.frame)
            findings += parsed.findings
    frames = rows.by_day()
    notes: dict[date, dict[str, Any]] = {day: {} for day in run.days}
    if dataset == endings.BARS:
        findings += endings.omitted_ends(run, source)
        bars = pl.concat(frame.select("symbol", "ts") for frame in frames.values())
        for day, stopped in endings.stopped_symbols(run, source, sink, bars).items():
            notes[day][endings.NOTE] = stopped
    for day, note in notes.items():
        note["findings"] = [f for f in findings if f.day == day]
    raw = provenance(f for kept in files.values() for f in kept)
    return Made(
        frames,
        {
            "raw files": len(raw["raw"]),
            "rows set aside": sum(f.count for f in findings),
            **usage_of(run.market),
        },
        notes=dict(zip(run.partitions, notes.values(), strict=True)),
        observed=dict.fromkeys(run.partitions, raw),
    )


class _Rows:
    """Rows of many symbols by day: a month of a book is never in memory twice."""

    def __init__(self, table: TableSchema, days: Sequence[date]) -> None:
        self._table = table
        self._parts: dict[date, list[pl.DataFrame]] = {day: [] for day in days}

    def take(self, frame: pl.DataFrame) -> None:
        dated = frame.with_columns(day_of().alias("_day"))
        for (day,), part in dated.partition_by("_day", as_dict=True, include_key=False).items():
            self._parts[day].append(part)

    def by_day(self) -> dict[date, pl.DataFrame]:
        """Each day's rows; what was taken is given away."""
        return {
            day: pl.concat([self._table.empty(), *self._parts.pop(day)])
            for day in list(self._parts)
        }


def tob_1m_agg(run: StageRun) -> Made:
    """Minutes of the book from its grid samples."""
    grid_s = run.market.tob_grid_s

    def one(day: date) -> pl.DataFrame:
        return aggregate_book(run.load("tob_snapshots", days=[day]), grid_s=grid_s)

    return Made(_by_day(run, one, schema.TOB_1M_AGG.empty()))


def basis_state(run: StageRun) -> Made:
    """The basis from simultaneous mids, from closes where a leg has no book."""

    def one(day: date) -> pl.DataFrame:
        names = ("tob_snapshots", "bars_1m_perp", "bars_1m_spot")
        book, perp, spot = (run.load(name, days=[day]) for name in names)
        return basis_of(book, perp, spot, run.market.tob_grid_s)

    return Made(_by_day(run, one, schema.BASIS_STATE.empty()))


def funding_state(run: StageRun) -> Made:
    """What was known of funding, minute by minute; the day before holds what it begins with."""
    state = state_of(run.load("funding"), run.load("mark_index"))
    return Made(pl.concat([schema.FUNDING_STATE.empty(), within(state, run.days)]))


def qa_report(run: StageRun) -> Made:
    """Every check on every dataset, symbol and day, zero counts included."""
    names = ("bars_1m_perp", "bars_1m_spot", "funding", "mark_index", "open_interest", "tob_1m_agg")
    tables = qa.MarketTables(
        **{name: run.load(name) for name in names},
        raw_findings=_raw_findings(run),
        ends=endings.ends_of(run, run.days),
    )
    thresholds = run.project.gates().d0
    report = qa.examine(tables, run.days, run.symbols, run.market.datasets, thresholds)
    wrong = report.filter(pl.col("count") > 0)
    return Made(report, {"checks": report.height, "checks with findings": wrong.height})


def universe(run: StageRun) -> Made:
    """Members of each day: symbols that D0 admits."""
    return Made(build_universe(run.load("qa_report"), run.load("bars_1m_perp"), run.days))


def d0(run: StageRun) -> Judged:
    """Gate D0 on every symbol and day."""
    judged = judge_d0(run.own(), run.project.gates().d0, run.market.tob_grid_s)
    return Judged({str(day): verdicts for day, verdicts in judged.items()})


BODIES: dict[str, Body] = {
    **{name: partial(landed, name) for name in LANDED},
    "tob_1m_agg": tob_1m_agg,
    "basis_state": basis_state,
    "funding_state": funding_state,
    "qa_report": qa_report,
    "universe": universe,
}
GATES: dict[Gate, GateBody] = {Gate.D0: d0}


def _schema(dataset: str) -> TableSchema:
    return next(s for s in schema.MARKET_DATA if s.name == dataset)


def _by_day(
    run: StageRun, make: Callable[[date], pl.DataFrame], empty: pl.DataFrame
) -> pl.DataFrame:
    """A day at a time: a month of one-second samples never stands in memory at once."""
    return pl.concat([empty, *(make(day) for day in run.days)])


def _raw_findings(run: StageRun) -> pl.DataFrame:
    noted = (run.note(name, p).get("findings", ()) for name in LANDED for p in run.partitions)
    return findings_frame(findings_from(f for each in noted for f in each))
