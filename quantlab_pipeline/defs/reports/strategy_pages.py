"""The tear sheets of a study, composed from its lake: one that lists them, one for each strategy.

Belongs here: what they are made from. What they say is the reports' own matter, when they may stand
`study_page`'s.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import partial
from typing import Any

import polars as pl

from quantlab_pipeline.core.code_hash import ALONE
from quantlab_pipeline.core.errors import QuantlabError
from quantlab_pipeline.core.verdicts import Gate
from quantlab_pipeline.defs.reports.outcome import StudyOutcome
from quantlab_pipeline.defs.reports.study_page import Render, StudyPage
from quantlab_pipeline.reports import strategy_page
from quantlab_pipeline.reports.strategy_data import (
    JUDGES,
    Prices,
    PriceSource,
    StrategyFacts,
    StrategyTables,
)
from quantlab_pipeline.reports.strategy_data import StrategyPage as Sheet
from quantlab_pipeline.reports.strategy_data import strategy_page as sheet_of

FOLDER = "strategies"
_BRIDGE = "bridge_results"
_TABLES = {
    "executions": "bridge_executions",
    "blueprints": "blueprints",
    "returns": "backtest_returns",
    "trades": "backtest_trades",
    "risk": "backtest_risk",
    "stress": "stress_results",
    "assumptions": "assumption_ledger",
    "portfolio": "portfolio",
}
"""What a sheet tells of beside the bridge's results, each if it is there and current."""


def sheet_path(strategy_id: str) -> str:
    """Where a strategy's tear sheet lies, from the study's artifacts."""
    return f"{FOLDER}/{strategy_id}.html"


def sheets_of(outcome: StudyOutcome, names: Collection[str], prices_of: PriceSource) -> list[Sheet]:
    """The content of these strategies' sheets, in their order."""
    facts, tables = _facts(outcome), _tables(outcome)
    verdicts = {gate: {v.item: v for v in outcome.items_of(gate)} for gate in JUDGES}
    return [sheet_of(facts, tables, name, verdicts, prices_of) for name in names]


def _current(outcome: StudyOutcome) -> dict[str, str]:
    """Fingerprints of the current ones of all tables that sheets are made from."""
    lake, study = outcome.lake, outcome.study.name
    known = (t for t in (_BRIDGE, *_TABLES.values()) if t in lake.graph.tables)
    return {t: lake.fingerprint(t, study) for t in known if lake.is_current(t, study)}


def _tables(outcome: StudyOutcome) -> StrategyTables:
    current, study = _current(outcome), outcome.study.name
    frames = {
        field: outcome.lake.read(table, [study], gated=False)
        for field, table in _TABLES.items()
        if table in current
    }
    followed = outcome.table("candidate_studies")
    names = frozenset(() if followed is None else followed["candidate_id"].to_list())
    bridge = outcome.lake.read(_BRIDGE, [study], gated=False)
    return StrategyTables(bridge, outcome.candidates, **frames, followed=names)


def _facts(outcome: StudyOutcome) -> StrategyFacts:
    study, costs = outcome.study, outcome.project.costs().at(outcome.market.venue)
    return StrategyFacts(
        study=study.name,
        market=outcome.market.name,
        synthetic=outcome.market.synthetic,
        symbols=study.symbols,
        days=(study.first_day, study.last_day),
        holdout_from=study.holdout_start,
        costs=(costs.version, costs.spec_hash()),
        waived=_waived(outcome),
        made_from=tuple(_current(outcome).items()),
    )


def _waived(outcome: StudyOutcome) -> tuple[str, ...]:
    return tuple(g.gate.value for g in outcome.gates if g.waiver is not None)


def _prices(outcome: StudyOutcome, symbol: str) -> Prices | str:
    """Closes of the study's days that D0 admits, or why none may be read."""
    columns = ["symbol", "ts", "close"]
    try:
        bars = outcome.lake.scan("bars_1m_perp", outcome.study.days, columns=columns)
    except QuantlabError as error:
        return str(error)
    mine = bars.filter(pl.col("symbol") == symbol, pl.col("close").is_not_null()).collect()
    mine = mine.sort("ts")
    return Prices(symbol, mine["ts"].dt.epoch("us").to_list(), mine["close"].to_list())


def _source(outcome: StudyOutcome) -> Any:
    """Every table, the verdicts on strategies and books, waivers, and whose candidate has a page.

    The bridge's results name the bars in their lineage, so that the prices are told too.
    """
    current = _current(outcome)
    if _BRIDGE not in current:
        return None
    records = [record.digest for gate in JUDGES for record in outcome.records_of(gate)]
    studies = "candidate_studies"
    followed = outcome.lake.is_current(studies, outcome.study.name)
    pages = outcome.lake.fingerprint(studies, outcome.study.name) if followed else None
    return [current, records, list(_waived(outcome)), pages]


def _list(outcome: StudyOutcome, made_from: str) -> str:
    sheets = sheets_of(outcome, sorted(outcome.executed), lambda _: "not drawn in a list")
    links = {sheet.name: sheet_path(sheet.name) for sheet in sheets}
    names = outcome.study.name, outcome.market.name
    return strategy_page.render_strategies_page(*names, sheets, links, made_from)


def _parts(outcome: StudyOutcome) -> Mapping[str, Render]:
    return {sheet_path(name): partial(_sheet, name) for name in sorted(outcome.executed)}


def _sheet(strategy_id: str, outcome: StudyOutcome, made_from: str) -> str:
    (sheet,) = sheets_of(outcome, [strategy_id], partial(_prices, outcome))
    return strategy_page.render_strategy_page(sheet, made_from)


STRATEGIES = StudyPage(
    "strategies.html",
    "Strategies",
    _BRIDGE,
    Gate.B,
    (strategy_page.TEMPLATE, strategy_page.LIST_TEMPLATE, *strategy_page.STYLES),
    ("quantlab_pipeline.reports.strategy_page", f"{__name__}{ALONE}"),
    _source,
    _list,
    parts=_parts,
    parts_folder=FOLDER,
)
