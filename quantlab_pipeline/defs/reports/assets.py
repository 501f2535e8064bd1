"""The gate board, the study's artifacts, the research backlog: made from verdicts, never gated."""

from typing import Any

import dagster as dg

from quantlab_pipeline.core.errors import QuantlabError
from quantlab_pipeline.core.verdicts import Gate
from quantlab_pipeline.defs.factory import asset_key, group_of
from quantlab_pipeline.defs.jobs import BACKLOG, BOARD
from quantlab_pipeline.defs.partitions import studies_of
from quantlab_pipeline.defs.reports.artifacts import write_artifacts
from quantlab_pipeline.defs.reports.candidate_pages import CANDIDATES
from quantlab_pipeline.defs.reports.outcome import StudyOutcome, study_outcome
from quantlab_pipeline.defs.reports.page_assets import page_assets
from quantlab_pipeline.defs.resources import CatalogResource, LakesResource, utc_now
from quantlab_pipeline.research.market_data.spec import MarketSpec
from quantlab_pipeline.storage.project_lake import market_root


def report_assets(market: MarketSpec) -> list[dg.AssetsDefinition]:
    """The report assets of one market."""
    return [*page_assets(market), _gate_board(market), _backlog(market)]


def _gate_board(market: MarketSpec) -> dg.AssetsDefinition:
    @dg.asset(
        key=asset_key(market, BOARD),
        group_name=group_of(market, "reports"),
        description="One page a study: the funnel, every threshold beside its measured value, the "
        "survivors. Also writes the study's artifacts. Reads verdicts, is gated by none.",
        deps=[asset_key(market, name) for name in ("portfolio", CANDIDATES.table)],
        partitions_def=studies_of(market),
        kinds={"html"},
    )
    def _asset(
        context: dg.AssetExecutionContext, lakes: LakesResource, catalog: CatalogResource
    ) -> dg.MaterializeResult[None]:
        project = lakes.project()
        study = project.study(context.partition_key)
        outcome = study_outcome(project, market, study, lakes.lake(market), lakes.data(), utc_now)
        folder = market_root(lakes.data(), market.name) / "artifacts" / study.name
        board = write_artifacts(outcome, folder, run_id=context.run.run_id)
        metadata = _metadata(outcome, str(board))
        return dg.MaterializeResult(metadata={**metadata, **_prevalence(catalog, outcome)})

    return _asset


def _backlog(market: MarketSpec) -> dg.AssetsDefinition:
    @dg.asset(
        key=asset_key(market, BACKLOG),
        group_name=group_of(market, "atlas"),
        description="One row per event type of a study: asked, what came of it, what to do next.",
        deps=[asset_key(market, BOARD)],
        partitions_def=studies_of(market),
        kinds={"csv"},
    )
    def _asset(
        context: dg.AssetExecutionContext, lakes: LakesResource
    ) -> dg.MaterializeResult[None]:
        from quantlab_pipeline.research.atlas.backlog import build_backlog
        from quantlab_pipeline.storage.objects import write_atomic

        project = lakes.project()
        study = project.study(context.partition_key)
        outcome = study_outcome(project, market, study, lakes.lake(market), lakes.data(), utc_now)
        quality, candidates = outcome.table("event_quality"), outcome.table("phase2_candidates")
        backlog = build_backlog(quality, candidates, outcome.trials)
        folder = market_root(lakes.data(), market.name) / "artifacts" / study.name
        write_atomic(folder / "research_backlog.csv", backlog.write_csv().encode())
        return dg.MaterializeResult(
            metadata={
                "dagster/row_count": backlog.height,
                **dict(backlog["status"].value_counts(sort=True).iter_rows()),
                "results recorded at": str(outcome.trials["recorded_at"].max() or "never"),
            }
        )

    return _asset


def _prevalence(catalog: CatalogResource, outcome: StudyOutcome) -> dict[str, Any]:
    """Events by type over the study's days, by SQL; nothing where a gate refuses the events."""
    query = "select event_type, count(*) as n from events group by all order by n desc, event_type"
    study = outcome.study
    try:
        rows = catalog.catalog(outcome.market).sql(query, study.first_day, study.last_day)
    except QuantlabError:
        return {}
    table = dg.TableMetadataValue(
        records=[dg.TableRecord(row) for row in rows.to_dicts()],
        schema=dg.TableSchema([dg.TableColumn("event_type"), dg.TableColumn("n", type="int")]),
    )
    return {"events": table}


def _metadata(outcome: StudyOutcome, board: str) -> dict[str, Any]:
    rows = [
        {
            "gate": g.gate.value,
            "verdict": g.outcome.value,
            "judged": g.judged,
            "admitted": g.admitted,
            "reasons": ", ".join(f"{code} x{n}" for code, n in g.reasons[:4]),
        }
        for g in outcome.gates
    ]
    columns = [
        dg.TableColumn("gate"),
        dg.TableColumn("verdict"),
        dg.TableColumn("judged", type="int"),
        dg.TableColumn("admitted", type="int"),
        dg.TableColumn("reasons"),
    ]
    table = dg.TableMetadataValue(
        records=[dg.TableRecord(row) for row in rows], schema=dg.TableSchema(columns)
    )
    admitted = {f"{g.gate.value} admitted": g.admitted for g in outcome.gates if g.gate in Gate}
    return {"verdicts": table, "board": dg.MetadataValue.path(board), **outcome.numbers, **admitted}
