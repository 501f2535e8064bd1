"""A stage's door to the result cache: what of the lake a simulation follows from.

Belongs here: joining a `StageRun` with `simulation.serving`, and saying what was served. A body
that simulates makes one `shelf_of(run)` before it reads, gives it to `simulate_served` (or
`shelf.results` for results of its own), and returns `told(made, run, shelf)`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import polars as pl

from quantlab_pipeline.core.clocks import day_end
from quantlab_pipeline.core.fingerprints import digest
from quantlab_pipeline.core.verdicts import Gate
from quantlab_pipeline.defs.stage_run import Made, StageRun
from quantlab_pipeline.simulation.serving import Feed, Shelf, Tally
from quantlab_pipeline.simulation.tape import MarketTables, Tape, tapes
from quantlab_pipeline.storage.manifests import day_of_key, partition_key
from quantlab_pipeline.storage.project_lake import lock_hash
from quantlab_pipeline.storage.result_cache import LakeResults

SERVED = "results served"
"""What a manifest says outside its fingerprint: [served, asked]."""

MARKET_TABLES = ("bars_1m_perp", "tob_snapshots", "funding", "mark_index")
"""What a tape is made of."""


def shelf_of(run: StageRun) -> Shelf:
    """The lake's results for this run: on the days of market data that its table is made from."""
    read = {*MARKET_TABLES, f"gate:{Gate.D0.value}"}
    (partition,) = run.partitions
    lineage = run.lineage()[partition_key("study", partition)]
    days = [e for e in lineage if e.table in read and day_of_key(e.partition) is not None]
    return Shelf(LakeResults(run.lake.objects), digest(days), lock_hash(), Tally())


def feed_of(run: StageRun) -> Feed:
    """The tapes of the run's own days, without anything later.

    What may be opened is settled now, and refuses now; bytes are read when a tape is asked for.
    """
    bars, quotes, funding, marks = (run.scan(name) for name in MARKET_TABLES)
    last_day = run.days[-1]

    def tapes_of(symbols: Sequence[str]) -> Iterable[Tape]:
        mine = pl.col("symbol").is_in(list(symbols))
        read = [frame.filter(mine).collect() for frame in (bars, funding, marks)]
        tables = MarketTables(read[0], quotes, read[1], read[2])
        return tapes(tables.until(day_end(last_day)), symbols)

    return Feed(f"until {last_day}", tapes_of)


def told(made: Made, run: StageRun, shelf: Shelf) -> Made:
    """`made`, saying in the UI and in the manifest how many results were served."""
    served, asked = shelf.tally.served, shelf.tally.asked
    (partition,) = run.partitions
    observed: dict[str, dict[str, Any]] = {partition: {SERVED: [served, asked]}}
    for key, facts in made.observed.items():
        observed[key] = {**facts, **observed.get(key, {})}
    metadata = {**made.metadata, "served": f"{served} of {asked}"}
    return replace(made, metadata=metadata, observed=observed)
