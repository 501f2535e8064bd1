"""The neighbourhood of a holding time, on bars: does the edge live on a plateau or on a spike?

Belongs here: laying a blueprint's signals on the minute grid for the bar kernel, many holding times
at once. Bars are coarser than the engine: fills are at the next open plus an assumed spread, impact
is left out, and back-to-back positions of one side are carried on. The unscaled holding time is run
too, so that neighbours are compared with their like.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from quantlab_pipeline.core.clocks import DAY_MINUTES, MINUTE_US, day_of
from quantlab_pipeline.research.backtest.backtest import EPOCH, Study
from quantlab_pipeline.research.backtest.blueprint import Blueprint
from quantlab_pipeline.research.backtest.schema import SEGMENTS
from quantlab_pipeline.simulation.costs import assumed_half_spread_bps
from quantlab_pipeline.simulation.metrics import max_drawdown, sharpe
from quantlab_pipeline.simulation.tape import Tape

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]


def hold_neighbours(
    plan: Blueprint,
    entries: pl.DataFrame,
    study: Study,
    multiples: Sequence[float],
    feed: Sequence[Tape],
) -> list[dict[str, Any]]:
    """Rows of `stress_results`, without share_of_base, for 1 and `multiples` of the hold.

    `feed` needs no quotes.
    """
    scales = sorted({1.0, *multiples})
    hold = np.array([max(1, round(plan.horizon_min * s)) for s in scales], dtype=np.int64)
    daily = np.zeros((2, len(scales), len(study.days)))
    fills = np.zeros((2, len(scales)), dtype=np.int64)
    mine = entries.filter(pl.col("candidate_id") == plan.candidate_id).with_columns(day=day_of())
    for tape in (t for t in feed if t.symbol in plan.symbols):
        for s, segment in enumerate(SEGMENTS):
            is_holdout = pl.col("day") >= study.holdout_from
            wanted = is_holdout if segment == "holdout" else ~is_holdout
            signals = mine.filter(wanted, pl.col("symbol") == tape.symbol).sort("ts", "event_id")
            if signals.height:
                _add(daily[s], fills[s], plan, tape, signals, study, hold)
    capital = plan.capital_usd / plan.notional_usd
    return [
        _row(plan, segment, scale, daily[s, k], int(fills[s, k]), study, capital)
        for s, segment in enumerate(SEGMENTS)
        for k, scale in enumerate(scales)
    ]


def _add(
    daily: F64,
    fills: I64,
    plan: Blueprint,
    tape: Tape,
    signals: pl.DataFrame,
    study: Study,
    hold: I64,
) -> None:
    from quantlab_pipeline.kernels import bar_backtest as kernel

    profile = study.costs.profiles[plan.profile]
    bars = bar_tape(tape, study)
    first = (study.days[0] - EPOCH).days * DAY_MINUTES
    # The bar that closes at ts has index (ts in minutes) - first - 1. An order that arrives after
    # it finds the next open only, as in the engine.
    late = math.ceil(plan.latency_s / 60.0)
    at = signals["ts"].dt.epoch("us").to_numpy() // MINUTE_US - first - 1 + late
    entry, keep = np.unique(at[at < bars.open.size], return_index=True)
    side = signals["side"].to_numpy().astype(np.int8)[keep]
    targets = kernel.hold_targets(entry, side, hold, bars.open.size, plan.overlap == "extend")
    targets[:, -1] = 0
    volume = tape.volume_usd[np.isfinite(tape.volume_usd)]
    typical = np.array([np.median(volume) if volume.size else np.nan])
    half = float(assumed_half_spread_bps(profile, typical)[0])
    fee = study.costs.fee_rates(plan.profile, tape.symbol).taker_bps
    stats = kernel.sweep(bars, targets, fee, half, np.zeros(0))
    daily += stats.daily
    fills += stats.n_fills


def bar_tape(tape: Tape, study: Study) -> Any:
    """The study's minutes as the bar kernel's tape; a minute without a bar has NaN prices."""
    from quantlab_pipeline.kernels.bar_backtest import BarTape

    n = len(study.days) * DAY_MINUTES
    first = (study.days[0] - EPOCH).days * DAY_MINUTES
    at = tape.open_us // MINUTE_US - first
    inside = (at >= 0) & (at < n)
    opens, closes = np.full(n, np.nan), np.full(n, np.nan)
    opens[at[inside]] = np.where(tape.traded, tape.open, np.nan)[inside]
    closes[at[inside]] = tape.close[inside]
    rate, mark = np.zeros(n), np.full(n, np.nan)
    paid_at = tape.stamp_us // MINUTE_US - first - 1
    known = (paid_at >= 0) & (paid_at < n)
    rate[paid_at[known]] = tape.rate[known]
    published = np.where(np.isfinite(tape.mark), tape.mark, tape.close_at(tape.stamp_us))
    mark[paid_at[known]] = published[known]
    return BarTape(opens, closes, mark, rate, np.arange(n, dtype=np.int64) // DAY_MINUTES)


def _row(
    plan: Blueprint,
    segment: str,
    scale: float,
    daily: F64,
    fills: int,
    study: Study,
    capital: float,
) -> dict[str, Any]:
    inside = np.array([study.segment(d) == segment for d in study.days])
    net_bps = 1e4 * daily / capital
    # A position opened in sample may end on a holdout day; its P&L stays with its entry.
    days = net_bps[inside] if segment == "holdout" else net_bps
    n_trades = fills // 2
    return {
        "strategy_id": plan.strategy_id,
        "scenario": f"hold_x{scale:g}",
        "model": "bars",
        "segment": segment,
        "judged": False,
        "n_trades": n_trades,
        "net_bps": 1e4 * float(daily.sum()) / n_trades if n_trades else None,
        "net_bps_per_day": float(days.sum() / max(1, inside.sum())),
        "sharpe": sharpe(net_bps[inside]).value,
        "max_drawdown_bps": max_drawdown(days).value,
    }
