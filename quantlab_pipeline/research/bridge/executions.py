"""The bridge: V1's survivors, executed in every way (`ways`), fees and funding paid.

Belongs here: running them and one row of figures per strategy and way. Not here: which way is the
worst (`ways`) and what it is worth (`results`). Every signed entry is a trade of its own, as in V1,
so that both speak of the same mean; one-position rules come with the backtest. All ways are run in
one visit of each tape; a strategy whose rows were computed before is served.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from quantlab_pipeline.core.clocks import day_of
from quantlab_pipeline.core.instruments import Instrument
from quantlab_pipeline.core.records import chain_head
from quantlab_pipeline.research.bridge.schema import BRIDGE_EXECUTIONS
from quantlab_pipeline.research.bridge.ways import Way, ways_of, worst_judged
from quantlab_pipeline.simulation.accounting import records_of
from quantlab_pipeline.simulation.costs import CostModel
from quantlab_pipeline.simulation.engine import Simulation, simulate
from quantlab_pipeline.simulation.serving import Feed, Frames, Shelf, rows_digest
from quantlab_pipeline.simulation.shortfall import shortfall
from quantlab_pipeline.simulation.trades import (
    CLOSED,
    INTENTS,
    MARKOUTS_S,
    PARTS,
    UNKNOWN_FUNDING,
)

F64 = npt.NDArray[np.float64]
MOST_ROWS = 1_000_000
"""Trades held at once: more strategies than that are run in several visits of the tapes."""

_CODE = "quantlab_pipeline.research.bridge.executions"


@dataclass(frozen=True, slots=True)
class Venue:
    """What a strategy is executed on: tapes, instruments, the cost model, and the window's days.

    Nothing later than the last day's end may be on the tapes.
    """

    feed: Feed
    instruments: Mapping[str, Instrument]
    costs: CostModel
    days: Sequence[date]


def intents_for(entries: pl.DataFrame) -> pl.DataFrame:
    """Signed entries (`schema.ENTRY_COLUMNS`) as intents.

    Leave after the horizon, one trade per entry.
    """
    if "stress" not in entries.columns:
        entries = entries.with_columns(stress=pl.lit(False))
    return entries.with_columns(
        pl.col("candidate_id").alias("strategy_id"),
        (pl.col("ts") + pl.duration(minutes="horizon_min")).alias("exit_ts"),
        pl.col("side").cast(pl.Int8),
        pl.col("stress").fill_null(False),
    ).select(pl.col(name).cast(dtype) for name, dtype in INTENTS.items())


def execute(
    strategies: Sequence[str], entries: pl.DataFrame, venue: Venue, shelf: Shelf | None = None
) -> pl.DataFrame:
    """`bridge_executions` of `strategies` (candidate ids), every way of the cost model.

    `entries` has `schema.ENTRY_COLUMNS`; those of others are ignored, and an entry whose exit lies
    beyond the window is counted as skipped. A strategy without entries has rows of nulls. With a
    `shelf` only strategies that are not on it are run.
    """
    ids = sorted(set(strategies))
    intents = intents_for(entries.filter(pl.col("candidate_id").is_in(ids)))
    order = ("symbol", "ts", "event_id")
    own = {n: intents.filter(pl.col("strategy_id") == n).sort(order) for n in ids}

    def compute(missing: Sequence[str]) -> dict[str, Frames]:
        return dict(_run({name: own[name] for name in missing}, venue))

    if shelf is None:
        found: Mapping[str, Frames] = compute(ids)
    else:
        found = shelf.results({n: _signature(own[n], venue, shelf) for n in ids}, compute)
    rows = [found[name]["executions"] for name in ids]
    return BRIDGE_EXECUTIONS.conform(pl.concat([BRIDGE_EXECUTIONS.empty(), *rows]))


def _signature(intents: pl.DataFrame, venue: Venue, shelf: Shelf) -> str:
    symbols = intents["symbol"].unique().sort().to_list()
    instruments = [venue.instruments[s] for s in symbols if s in venue.instruments]
    ways = [(w.name, w.settings, w.judged) for w in ways_of(venue.costs)]
    about = [venue.feed.name, list(venue.days), venue.costs.spec_hash(), instruments, ways]
    return shelf.signature([rows_digest(intents), *about], _CODE, *venue.feed.modules)


def _run(
    intents: Mapping[str, pl.DataFrame], venue: Venue
) -> Iterator[tuple[str, dict[str, pl.DataFrame]]]:
    """(strategy, its rows) of each, batch by batch."""
    ways = ways_of(venue.costs)
    for names in _batches({n: f.height for n, f in intents.items()}, MOST_ROWS // len(ways)):
        chosen = pl.concat([intents[name] for name in names])
        tapes = venue.feed.tapes(chosen["symbol"].unique().sort().to_list())
        settings = [way.settings for way in ways]
        runs = simulate(chosen, tapes, venue.instruments, venue.costs, settings)
        for name in names:
            yield name, {"executions": _rows(name, list(zip(ways, runs, strict=True)), venue)}


def _batches(sizes: Mapping[str, int], most: int) -> Iterator[list[str]]:
    """Names in order, cut where the sizes of a batch would exceed `most`."""
    batch: list[str] = []
    held = 0
    for name, size in sizes.items():
        if batch and held + size > most:
            yield batch
            batch, held = [], 0
        batch.append(name)
        held += size
    if batch:
        yield batch


def _rows(name: str, runs: Sequence[tuple[Way, Simulation]], venue: Venue) -> pl.DataFrame:
    """The rows of one strategy; the worst judged one closes the chain of its records."""
    mine = pl.col("strategy_id") == name
    rows = []
    for way, run in runs:
        trades, payments = run.trades.filter(mine), run.payments.filter(mine)
        rows.append(
            {
                "strategy_id": name,
                "way": way.name,
                "entry": way.settings.entry,
                "latency_s": way.settings.latency_s,
                "scenario": way.scenario,
                "cost_multiple": way.cost_multiple,
                "judged": way.judged,
                **figures(trades, payments["mark_assumed"], len(venue.days)),
                "records_head": None,
            }
        )
    worst = worst_judged(rows)
    run = next(run for way, run in runs if way.name == worst["way"])
    worst["records_head"] = chain_head(records_of(run, name, venue.instruments, venue.costs))
    return pl.DataFrame(rows, schema={c.name: c.dtype for c in BRIDGE_EXECUTIONS.columns})


def figures(trades: pl.DataFrame, mark_assumed: pl.Series, n_days: int) -> dict[str, Any]:
    """What one strategy's trades in one way add up to: the figures of `bridge_executions`."""
    closed = trades.filter(pl.col("status").is_in(CLOSED))
    count = dict(trades.group_by("status", maintain_order=True).len().iter_rows())
    not_filled, unknown, n = (
        count.get("not_filled", 0),
        count.get(UNKNOWN_FUNDING, 0),
        closed.height,
    )
    ordered = n + unknown + not_filled
    edge = closed["gross_bps"] + closed["funding_bps"]
    missed = shortfall(trades).select("shortfall_bps", "delay_bps", "opportunity_bps")
    return {
        "n_intents": trades.height,
        "n_trades": n,
        "n_not_filled": not_filled,
        "n_forced": count.get("forced", 0),
        "n_unknown_funding": unknown,
        "n_skipped": trades.height - ordered,
        "fill_rate": _mean(_filled(trades)),
        "active_days": closed.select(day_of())["ts"].n_unique(),
        **{f"{part}_bps": _mean(closed[f"{part}_bps"]) for part in PARTS},
        "se_bps": _clustered_se(closed, closed["net_bps"]),
        "edge_se_bps": _clustered_se(closed, edge),
        **{name: _mean(missed[name]) for name in missed.columns},
        **{f"markout_{s}s_bps": _mean(closed[f"markout_{s}s_bps"]) for s in MARKOUTS_S},
        "turnover_per_day": 2.0 * n / (n_days * trades["symbol"].n_unique()) if n else None,
        "notional_usd": _mean(closed["notional_usd"]),
        "sigma_d_bps": _median(closed["sigma_d_bps"]),
        "volume_usd": _median(closed["volume_usd"]),
        "measured_share": _mean(closed["measured"].cast(pl.Float64)),
        "assumed_mark_share": _mean(mark_assumed.cast(pl.Float64)),
    }


def _mean(values: pl.Series) -> float | None:
    """Mean of what is known, summed in numpy's one order; None if nothing is."""
    known = values.drop_nulls().to_numpy()
    return float(known.mean()) if known.size else None


def _median(values: pl.Series) -> float | None:
    known = values.drop_nulls().to_numpy()
    return float(np.median(known)) if known.size else None


def _clustered_se(closed: pl.DataFrame, values: pl.Series) -> float | None:
    """Error of the mean, clustered by the day of the decision, with G/(G-1); None below 2 days."""
    days, index = np.unique(closed.select(day_of())["ts"].to_numpy(), return_inverse=True)
    if days.size < 2:
        return None
    from_mean = values.to_numpy() - values.to_numpy().mean()
    sums = np.bincount(index, from_mean, days.size)
    return math.sqrt(float(sums @ sums) * days.size / (days.size - 1)) / closed.height


def _filled(trades: pl.DataFrame) -> pl.Series:
    """Share of each entry's lots that were filled; null where none was ordered."""
    share = pl.col("lots") / pl.col("ordered_lots")
    got = pl.col("status").is_in((*CLOSED, UNKNOWN_FUNDING))
    sent = pl.when(got).then(share).when(pl.col("status") == "not_filled").then(0.0)
    return trades.select(filled=sent)["filled"]
