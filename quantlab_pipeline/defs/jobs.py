"""Jobs of a market: its days, its studies, its boards, its QA page. Each runs in one process."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import (
    UnresolvedAssetJobDefinition,
)

from quantlab_pipeline.core.tables import PartitionKind, TableSpec
from quantlab_pipeline.defs.check_events import check_name
from quantlab_pipeline.defs.factory import asset_key
from quantlab_pipeline.research.market_data.spec import MarketSpec
from quantlab_pipeline.research.tables import JUDGED_TABLE

BOARD = "gate_board"
BACKLOG = "research_backlog"
QA_CALENDAR = "qa_calendar"
EVENT_PAGE = "event_page"
FEATURE_PAGE = "feature_page"
PIT1_PAGE = "pit1_page"
CANDIDATE_PAGES = "candidate_pages"
STRATEGY_PAGES = "strategy_pages"


def days_job(market: MarketSpec, tables: Mapping[str, TableSpec]) -> UnresolvedAssetJobDefinition:
    """From a source's files to events, for any range of days in one run."""
    return dg.define_asset_job(
        f"{market.name}__days",
        selection=_with_gates(market, tables, "day"),
        executor_def=dg.in_process_executor,
        description=f"{market.name}: from raw files to events, for a range of days.",
    )


def study_job(market: MarketSpec, tables: Mapping[str, TableSpec]) -> UnresolvedAssetJobDefinition:
    """From event quality to the portfolio, for one study."""
    return dg.define_asset_job(
        f"{market.name}__study",
        selection=_with_gates(market, tables, "study"),
        executor_def=dg.in_process_executor,
        description=f"{market.name}: from events to the portfolio, for one study.",
    )


def board_job(market: MarketSpec, tables: Mapping[str, TableSpec]) -> UnresolvedAssetJobDefinition:
    """The gate board, the pages and the artifacts of one study, wherever its chain stopped.

    Tables that explain verdicts are made here: a study's own run ends at the gate that stops it.
    """
    names = [name for name, spec in tables.items() if spec.regardless]
    names += [BOARD, BACKLOG, EVENT_PAGE, FEATURE_PAGE, PIT1_PAGE, CANDIDATE_PAGES, STRATEGY_PAGES]
    return dg.define_asset_job(
        f"{market.name}__board",
        selection=dg.AssetSelection.assets(
            *(asset_key(market, name) for name in names)
        ).without_checks(),
        executor_def=dg.in_process_executor,
        description=f"{market.name}: the gate board and the pages of one study.",
    )


def qa_job(market: MarketSpec) -> UnresolvedAssetJobDefinition:
    """The QA page of all days that were examined, or of those in its config."""
    return dg.define_asset_job(
        f"{market.name}__qa",
        selection=dg.AssetSelection.assets(asset_key(market, QA_CALENDAR)),
        executor_def=dg.in_process_executor,
        description=f"{market.name}: the page of what is wrong with its data.",
    )


def _with_gates(
    market: MarketSpec, tables: Mapping[str, TableSpec], kind: PartitionKind
) -> dg.AssetSelection:
    """The tables of a kind with their gates, without the checks that only look.

    Not those that explain verdicts: a gate that refuses all would stop them.
    """
    mine = (name for name, spec in tables.items() if spec.partition == kind)
    names = [name for name in mine if not tables[name].regardless]
    keys = [asset_key(market, name) for name in names]
    gates = gates_on(market, names)
    return dg.AssetSelection.assets(*keys).without_checks() | dg.AssetSelection.checks(*gates)


def gates_on(market: MarketSpec, names: Collection[str]) -> list[dg.AssetCheckKey]:
    """The checks of the gates that judge one of the tables `names`."""
    return [
        dg.AssetCheckKey(asset_key(market, table), check_name(gate))
        for gate, table in JUDGED_TABLE.items()
        if table in names
    ]
