"""V1's survivors, executed at quotes in every way; the worst of them; gate B."""

from __future__ import annotations

import polars as pl

from quantlab_pipeline.core.verdicts import Gate
from quantlab_pipeline.defs.served import feed_of, shelf_of, told
from quantlab_pipeline.defs.stage_run import Body, GateBody, Judged, Made, StageRun
from quantlab_pipeline.research.bridge.entries import signed_entries
from quantlab_pipeline.research.bridge.executions import Venue, execute
from quantlab_pipeline.research.bridge.gate import judge_b
from quantlab_pipeline.research.bridge.results import reduce_executions
from quantlab_pipeline.simulation.tape import MarketTables


def bridge_executions(run: StageRun) -> Made:
    """Every survivor in every way of the cost model, before the holdout.

    What was computed before is served.
    """
    survivors, costs, shelf = run.load("phase2_candidates"), run.costs, shelf_of(run)
    instruments = run.project.instruments().by_symbol(run.symbols, assume=run.assumes_instruments)
    venue = Venue(feed_of(run), instruments, costs, run.days)
    names = survivors["candidate_id"].to_list()
    frame = execute(names, entries_of(run, survivors), venue, shelf)
    numbers = {"strategies": len(names), "ways": frame["way"].n_unique()}
    return told(Made(frame, numbers), run, shelf)


def bridge_results(run: StageRun) -> Made:
    """Every survivor's worst judged execution."""
    frame = reduce_executions(
        run.load("phase2_candidates"),
        run.load("bridge_executions"),
        run.costs,
        run.project.gates().b,
    )
    return Made(frame, {"strategies": frame.height})


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


BODIES: dict[str, Body] = {
    "bridge_executions": bridge_executions,
    "bridge_results": bridge_results,
}
GATES: dict[Gate, GateBody] = {Gate.B: b}
