"""The bridge: V1's survivors, executed at bid and ask after a delay, fees and funding paid.

Every signed entry is a trade of its own, as in V1, so that both speak of the same mean;
one-position rules come with the backtest. Every order is a taker (`simulation.fills` names the
models); passive fills are not tried. All latencies of the cost model are run, and a strategy's row
is its worst.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import polars as pl

from quantlab_pipeline.core.clocks import day_end, day_of
from quantlab_pipeline.core.instruments import Instrument
from quantlab_pipeline.core.records import Record, chain_head
from quantlab_pipeline.core.verdicts import Outcome
from quantlab_pipeline.research.bridge.gate import verdict
from quantlab_pipeline.research.bridge.schema import BRIDGE_RESULTS
from quantlab_pipeline.research.bridge.spec import BThresholds
from quantlab_pipeline.simulation.accounting import records_of
from quantlab_pipeline.simulation.capacity import best_participation
from quantlab_pipeline.simulation.costs import CostModel
from quantlab_pipeline.simulation.engine import RunSettings, Simulation, simulate
from quantlab_pipeline.simulation.tape import MarketTables, tapes
from quantlab_pipeline.simulation.trades import CLOSED, INTENTS, PARTS


@dataclass(frozen=True, slots=True)
class BridgeRun:
    """`results` is `bridge_results`; trades and records are of each strategy's worst latency."""

    results: pl.DataFrame
    trades: pl.DataFrame
    records: Mapping[str, tuple[Record, ...]]


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
    ids = survivors["candidate_id"].sort().to_list()
    mine = entries.filter(pl.col("candidate_id").is_in(ids))
    intents = intents_for(mine)
    ways = [RunSettings(s, costs.execution.profile) for s in costs.execution.latency.latency_s]
    symbols = intents["symbol"].unique().sort().to_list()
    window = tables.until(day_end(days[-1]))
    runs = simulate(intents, tapes(window, symbols), instruments, costs, ways)
    admissible = dict(survivors.select("candidate_id", "admissible").iter_rows())
    rows, records, trades = [], {}, []
    for strategy_id in ids:
        worst = _worst(runs, strategy_id)
        kept = worst.trades.filter(pl.col("strategy_id") == strategy_id)
        written = records_of(worst, strategy_id, instruments, costs)
        row = _row(strategy_id, kept, worst, costs, len(days))
        row["net_bps_by_latency"] = json.dumps(
            {f"{r.settings.latency_s:g}": _mean_net(r, strategy_id) for r in runs}
        )
        row["records_head"] = chain_head(written)
        judged = verdict(row, thresholds)
        row["status"] = judged.outcome.value
        row["reason_codes"] = ";".join(judged.reasons)
        row["admissible"] = bool(admissible[strategy_id]) and judged.outcome is Outcome.PASS
        rows.append(row)
        trades.append(kept)
        records[strategy_id] = written
    frame = pl.DataFrame(rows, schema={c.name: c.dtype for c in BRIDGE_RESULTS.columns})
    return BridgeRun(
        BRIDGE_RESULTS.conform(frame), pl.concat(trades) if trades else runs[0].trades, records
    )


def _closed(run: Simulation, strategy_id: str) -> pl.DataFrame:
    return run.trades.filter(pl.col("strategy_id") == strategy_id, pl.col("status").is_in(CLOSED))


def _mean_net(run: Simulation, strategy_id: str) -> float | None:
    net = _closed(run, strategy_id)["net_bps"].to_numpy()
    return float(net.mean()) if net.size else None


def _worst(runs: list[Simulation], strategy_id: str) -> Simulation:
    """The run with the lowest mean net; without trades, the slowest."""
    means = [_mean_net(run, strategy_id) for run in runs]
    known = [(m, i) for i, m in enumerate(means) if m is not None]
    return runs[min(known)[1]] if known else runs[-1]


def _row(
    strategy_id: str, trades: pl.DataFrame, run: Simulation, costs: CostModel, n_days: int
) -> dict[str, Any]:
    closed = trades.filter(pl.col("status").is_in(CLOSED))
    count = dict(trades.group_by("status", maintain_order=True).len().iter_rows())
    not_filled, n = count.get("not_filled", 0), closed.height
    row: dict[str, Any] = {
        "strategy_id": strategy_id,
        "candidate_id": strategy_id,
        "n_intents": trades.height,
        "n_trades": n,
        "n_not_filled": not_filled,
        "n_forced": count.get("forced", 0),
        "n_skipped": trades.height - n - not_filled,
        "fill_rate": n / (n + not_filled) if n + not_filled else None,
        "active_days": 0,
        "worst_latency_s": run.settings.latency_s,
        "spread_source": "none",
        "se_bps": None,
        "t_stat": None,
        "turnover_per_day": None,
        "capacity_usd": None,
        "executed_score": None,
        "assumed_mark_share": _assumed_marks(run, strategy_id),
        **dict.fromkeys((f"{part}_bps" for part in PARTS), None),
    }
    if n:
        row |= {f"{p}_bps": float(closed[f"{p}_bps"].to_numpy().mean()) for p in PARTS}
        row |= _precision(closed, row["net_bps"], row["fill_rate"])
        row["capacity_usd"] = _capacity_usd(closed, row, run, costs)
        row["turnover_per_day"] = 2.0 * n / (n_days * trades["symbol"].n_unique())
        measured = closed["measured"]
        row["spread_source"] = (
            "measured" if measured.all() else "mixed" if measured.any() else "assumed"
        )
    return row


def _assumed_marks(run: Simulation, strategy_id: str) -> float | None:
    paid = run.payments.filter(pl.col("strategy_id") == strategy_id)["mark_assumed"].to_numpy()
    return float(paid.mean()) if paid.size else None


def _precision(closed: pl.DataFrame, mean: float, fill_rate: float) -> dict[str, Any]:
    """Error clustered by the day of the decision, with G/(G-1); None below two days."""
    day = closed.select(day_of())["ts"]
    days, index = np.unique(day.to_numpy(), return_inverse=True)
    sums = np.bincount(index, closed["net_bps"].to_numpy() - mean, days.size)
    out: dict[str, Any] = {"active_days": int(days.size)}
    if days.size >= 2:
        spread = math.sqrt(float(sums @ sums) * days.size / (days.size - 1))
        out["se_bps"] = spread / closed.height
        if out["se_bps"] > 0:
            out["t_stat"] = mean / out["se_bps"]
            out["executed_score"] = out["t_stat"] * fill_rate
    return out


def _capacity_usd(
    closed: pl.DataFrame, row: Mapping[str, Any], run: Simulation, costs: CostModel
) -> float | None:
    """Size of one trade that earns most under square-root impact, at median liquidity."""
    sigma, volume = closed["sigma_d_bps"].median(), closed["volume_usd"].median()
    if not isinstance(sigma, float) or not isinstance(volume, float):
        return None
    share = best_participation(
        row["gross_bps"] + row["funding_bps"],
        row["spread_bps"] + row["fee_bps"],
        sigma,
        costs.profiles[run.settings.profile].impact_y,
    )
    return share * volume if math.isfinite(share) else None
