"""The QA page as an asset: a market's data, day by day, in one page. Never gated."""

from datetime import date
from typing import Any

import dagster as dg

from quantlab_pipeline.core.verdicts import Outcome
from quantlab_pipeline.defs.factory import asset_key, group_of
from quantlab_pipeline.defs.jobs import QA_CALENDAR
from quantlab_pipeline.defs.reports.qa import (
    REPORT,
    qa_content,
    qa_folder,
    reported_days,
    write_membership,
    write_qa,
)
from quantlab_pipeline.defs.resources import LakesResource
from quantlab_pipeline.reports.qa_data import QaPage
from quantlab_pipeline.research.market_data.spec import MarketSpec


class QaCalendarConfig(dg.Config):
    """Which days and symbols the page shows; what is not said is for the lake to decide."""

    first_day: str | None = None
    last_day: str | None = None
    symbols: list[str] | None = None


def qa_asset(market: MarketSpec) -> dg.AssetsDefinition:
    """`[market, qa_calendar]`: the page of every examined day, or of the days in its config."""

    @dg.asset(
        key=asset_key(market, QA_CALENDAR),
        group_name=group_of(market, "reports"),
        description="One page a market: a calendar a dataset and symbol, every finding with its "
        "places beside its threshold. Reads the QA report and D0's verdicts, is gated by none.",
        deps=[asset_key(market, REPORT)],
        kinds={"html"},
    )
    def _asset(config: QaCalendarConfig, lakes: LakesResource) -> dg.MaterializeResult[None]:
        lake = lakes.lake(market)
        first, last = config.first_day, config.last_day
        if first is None or last is None:
            there = reported_days(market, lake)
            span = (date.fromisoformat(first or str(there[0])), there[1])
        else:
            span = (date.fromisoformat(first), date.fromisoformat(last))
        page = qa_content(lakes.project(), market, lake, span, config.symbols or ())
        folder = qa_folder(lakes.data(), market.name)
        write_membership(lake, span, folder)
        path = write_qa(page, folder)
        return dg.MaterializeResult(metadata=_metadata(page, str(path)))

    return _asset


def _metadata(page: QaPage, path: str) -> dict[str, Any]:
    rows: list[dict[str, str | int]] = [
        {
            "check": c.check,
            "dataset": c.dataset,
            "symbol-days": c.found,
            "stopped": c.stopped,
            "count": c.total,
        }
        for c in page.checks
        if c.found
    ]
    columns = [dg.TableColumn("check"), dg.TableColumn("dataset")]
    columns += [dg.TableColumn(n, type="int") for n in ("symbol-days", "stopped", "count")]
    table = dg.TableMetadataValue([dg.TableRecord(r) for r in rows], dg.TableSchema(columns))
    return {
        "page": dg.MetadataValue.path(path),
        "symbol-days": page.symbol_days,
        "admitted": page.admitted,
        "refused": page.outcomes[Outcome.FAIL],
        "findings": table,
    }
