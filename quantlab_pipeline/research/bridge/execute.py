"""The whole bridge in memory: survivors executed in every way, reduced and judged.

Belongs here: putting the stage's verbs together for a notebook, an experiment or a test. The assets
call the verbs one by one (`executions`, `results`), so that what was computed before is served.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

import polars as pl

from quantlab_pipeline.core.clocks import day_end
from quantlab_pipeline.core.instruments import Instrument
from quantlab_pipeline.core.records import Record
from quantlab_pipeline.research.bridge.executions import Venue, execute, intents_for
from quantlab_pipeline.research.bridge.results import reduce_executions
from quantlab_pipeline.research.bridge.spec import BThresholds
from quantlab_pipeline.research.bridge.ways import ways_of
from quantlab_pipeline.simulation.accounting import records_of
from quantlab_pipeline.simulation.costs import CostModel
from quantlab_pipeline.simulation.engine import simulate
from quantlab_pipeline.simulation.serving import Feed
from quantlab_pipeline.simulation.tape import MarketTables, tapes


@dataclass(frozen=True, slots=True)
class BridgeRun:
    """`bridge_results`, the `bridge_executions` that they are made of, and what they trade on."""

    results: pl.DataFrame
    executions: pl.DataFrame
    entries: pl.DataFrame
    venue: Venue

    @property
    def records(self) -> Mapping[str, tuple[Record, ...]]:
        """The records of each strategy in its worst way, which `records_head` closes."""
        ways = {way.name: way.settings for way in ways_of(self.venue.costs)}
        out = {}
        for name, worst in self.results.select("strategy_id", "worst_way").rows():
            intents = intents_for(self.entries.filter(pl.col("candidate_id") == name))
            feed = self.venue.feed.tapes(intents["symbol"].unique().sort().to_list())
            instruments, costs = self.venue.instruments, self.venue.costs
            (run,) = simulate(intents, feed, instruments, costs, [ways[worst]])
            out[name] = records_of(run, name, instruments, costs)
        return out


def run_bridge(
    survivors: pl.DataFrame,
    entries: pl.DataFrame,
    tables: MarketTables,
    instruments: Mapping[str, Instrument],
    costs: CostModel,
    thresholds: BThresholds,
    days: list[date],
) -> BridgeRun:
    """Execute `survivors` (candidate_id, admissible, ...) and judge them.

    `entries` has `schema.ENTRY_COLUMNS`; `days` are the evaluation window's: nothing later than its
    end is read, and an entry whose exit lies beyond it is truncated and counted. One row per
    survivor.
    """
    window = tables.until(day_end(days[-1]))
    feed = Feed(f"until {days[-1]}", lambda symbols: tapes(window, symbols))
    venue = Venue(feed, instruments, costs, days)
    executions = execute(survivors["candidate_id"].to_list(), entries, venue)
    results = reduce_executions(survivors, executions, costs, thresholds)
    return BridgeRun(results, executions, entries, venue)
