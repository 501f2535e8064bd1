"""V1's survivors, executed at quotes; gate B."""

from __future__ import annotations

import polars as pl

from quantlab_pipeline.core.verdicts import Gate
from quantlab_pipeline.defs.stage_run import Body, GateBody, Judged, Made, StageRun
from quantlab_pipeline.research.bridge.entries import signed_entries
from quantlab_pipeline.research.bridge.execute import run_bridge
from quantlab_pipeline.research.bridge.gate import judge_b
from quantlab_pipeline.simulation.tape import MarketTables


def bridge_results(run: StageRun) -> Made:
    """Every survivor at every latency of the cost model, before the holdout."""
    survivors = run.load("phase2_candidates")
    result = run_bridge(
        survivors,
        entries_of(run, survivors),
        market_tables(run),
        run.project.instruments().by_symbol(run.symbols, assume=run.assumes_instruments),
        run.costs,
        run.project.gates().b,
        run.days,
    )
    records = sum(len(r) for r in result.records.values())
    return Made(result.results, {"trades": result.trades.height, "records": records})


def b(run: StageRun) -> Judged:
    """Gate B on every strategy."""
    (study,) = run.partitions
    return Judged({study: judge_b(run.own(), run.project.gates().b)})


def entries_of(run: StageRun, candidates: pl.DataFrame) -> pl.DataFrame:
    """The signed entries of `candidates` on the run's days."""
    family = run.project.family(run.study.family)
    events, features = run.load("events"), run.load("features_pt")
    return signed_entries(candidates, events, features, family, run.costs)


def market_tables(run: StageRun) -> MarketTables:
    """What the engine reads; quotes stay lazy and are collected symbol by symbol."""
    return MarketTables(
        bars=run.load("bars_1m_perp"),
        quotes=run.scan("tob_snapshots"),
        funding=run.load("funding"),
        mark_index=run.load("mark_index"),
    )


BODIES: dict[str, Body] = {"bridge_results": bridge_results}
GATES: dict[Gate, GateBody] = {Gate.B: b}
