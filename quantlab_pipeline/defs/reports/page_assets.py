"""The pages of a study as assets, beside the tables they tell of."""

from collections import Counter
from typing import Any

import dagster as dg

from quantlab_pipeline.defs.factory import asset_key, group_of
from quantlab_pipeline.defs.jobs import (
    CANDIDATE_PAGES,
    EVENT_PAGE,
    FEATURE_PAGE,
    PIT1_PAGE,
    STRATEGY_PAGES,
)
from quantlab_pipeline.defs.partitions import studies_of
from quantlab_pipeline.defs.reports.candidate_pages import CANDIDATES
from quantlab_pipeline.defs.reports.outcome import StudyOutcome, study_outcome
from quantlab_pipeline.defs.reports.pages import EVENTS, FEATURES, PIT1
from quantlab_pipeline.defs.reports.strategy_pages import STRATEGIES
from quantlab_pipeline.defs.reports.study_page import StudyPage, write_page
from quantlab_pipeline.defs.resources import LakesResource, utc_now
from quantlab_pipeline.research.market_data.spec import MarketSpec
from quantlab_pipeline.storage.project_lake import market_root

DESCRIPTIONS = {
    EVENT_PAGE: "One page a study: every event type with E-1's numbers, a calendar, severity, and "
    "the mean price path around it, before the holdout. Gated by none.",
    FEATURE_PAGE: "One page a study: every feature with its spec, coverage, distribution, drift, "
    "correlations and PIT-1's verdict, before the holdout. Gated by none.",
    PIT1_PAGE: "One page a study: how every feature was attacked, and of each that saw ahead the "
    "first row, the input it saw through, how far, and what to do. Gated by none.",
    CANDIDATE_PAGES: "A page for every survivor of V1 and every nearest miss, and one that ranks "
    "them: path, daily P&L, slices, costs, capacity, what a pass would need. Gated by none.",
    STRATEGY_PAGES: "A tear sheet for every strategy that was executed, and one that lists them: "
    "equity, falls, trades on price, costs, stresses, assumptions, risk. Gated by none.",
}


def page_assets(market: MarketSpec) -> list[dg.AssetsDefinition]:
    """`[market, event_page]` and the other pages, a partition a study."""
    quality = dg.AssetDep(asset_key(market, EVENTS.table))
    every_day = dg.AllPartitionMapping()
    features = dg.AssetDep(asset_key(market, FEATURES.table), partition_mapping=every_day)
    later = ("stress_results", "backtest_risk", "assumption_ledger", "portfolio")
    tables = (CANDIDATES.table, STRATEGIES.table, *later)
    executed = [dg.AssetDep(asset_key(market, name)) for name in tables]
    return [
        _page_asset(market, EVENT_PAGE, EVENTS, quality),
        _page_asset(market, FEATURE_PAGE, FEATURES, features),
        _page_asset(market, PIT1_PAGE, PIT1, features),
        _page_asset(
            market, CANDIDATE_PAGES, CANDIDATES, dg.AssetDep(asset_key(market, CANDIDATES.table))
        ),
        _page_asset(market, STRATEGY_PAGES, STRATEGIES, *executed),
    ]


def _page_asset(
    market: MarketSpec, name: str, page: StudyPage, *upstream: dg.AssetDep
) -> dg.AssetsDefinition:
    @dg.asset(
        key=asset_key(market, name),
        group_name=group_of(market, "reports"),
        description=DESCRIPTIONS[name],
        deps=upstream,
        partitions_def=studies_of(market),
        kinds={"html"},
    )
    def _asset(
        context: dg.AssetExecutionContext, lakes: LakesResource
    ) -> dg.MaterializeResult[None]:
        project, lake = lakes.project(), lakes.lake(market)
        study = project.study(context.partition_key)
        outcome = study_outcome(project, market, study, lake, lakes.data(), utc_now)
        folder = market_root(lakes.data(), market.name) / "artifacts" / study.name
        with lake.one_look():
            path = write_page(outcome, page, folder)
            if path is None:
                told = f"{page.table} of study {study.name} is not current: no page"
                return dg.MaterializeResult(metadata={"page": told})
            return dg.MaterializeResult(
                metadata={
                    "page": dg.MetadataValue.path(str(path)),
                    "link": dg.MetadataValue.url(path.absolute().as_uri()),
                    **_counts(outcome, page),
                }
            )

    return _asset


def _counts(outcome: StudyOutcome, page: StudyPage) -> dict[str, Any]:
    """Items of the page's gate by outcome."""
    found = Counter(v.outcome.value for v in outcome.items_of(page.gate))
    return {f"{page.gate.value} {name}": found[name] for name in sorted(found)}
