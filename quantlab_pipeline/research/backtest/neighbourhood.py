"""The neighbourhood of a rule, on bars: does the edge live on a plateau or on a spike?

Belongs here: one parameter moved at a time (holding time, delay, each number that defines the
event), laying the signals on the minute grid for the bar kernel, many neighbours at once. Not here:
which definitions are neighbours (`thresholds`), and how flat is flat enough (gate S). Bars are
coarser than the engine: fills are at the next open plus an assumed spread, impact is left out, and
back-to-back positions of one side are carried on. The unmoved rule is run too, so that neighbours
are compared with their like.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from quantlab_pipeline.core.clocks import DAY_MINUTES, MINUTE_US, day_of
from quantlab_pipeline.research.backtest.backtest import Study
from quantlab_pipeline.research.backtest.blueprint import Blueprint
from quantlab_pipeline.research.backtest.marking import EPOCH
from quantlab_pipeline.research.backtest.schema import NOT_EVALUABLE, SEGMENTS
from quantlab_pipeline.research.backtest.spec import NeighbourSpec
from quantlab_pipeline.research.backtest.thresholds import Moved
from quantlab_pipeline.simulation.costs import assumed_half_spread_bps
from quantlab_pipeline.simulation.metrics import max_drawdown, sharpe
from quantlab_pipeline.simulation.tape import Tape, tapes

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]
I8 = npt.NDArray[np.int8]

BASE_ON_BARS = "hold_x1"
"""The unmoved rule."""


@dataclass(frozen=True, slots=True)
class MovedEntries:
    """Signed entries of every candidate of an event type under a moved definition of it.

    `entries` is None where the definition could not be evaluated, for the reason `missing`.
    """

    moved: Moved
    entries: pl.DataFrame | None
    missing: str = ""


@dataclass(frozen=True, slots=True)
class _Neighbour:
    """A rule beside the blueprint's: its signals, how long it holds and how late it decides."""

    scenario: str
    parameter: str | None
    note: str | None
    entries: pl.DataFrame | None
    hold_min: int
    late_min: int = 0


def neighbour_rows(
    blueprints: Sequence[Blueprint],
    entries: pl.DataFrame,
    study: Study,
    spec: NeighbourSpec,
    moved: Mapping[str, Sequence[MovedEntries]],
) -> list[dict[str, Any]]:
    """Rows of `stress_results`, without share_of_base, of every blueprint and its neighbours.

    `entries` are signed entries, `moved` those under the moved definitions of each event type.
    """
    symbols = sorted({s for plan in blueprints for s in plan.symbols})
    feed = list(tapes(replace(study.window(), quotes=None), symbols))
    rows: list[dict[str, Any]] = []
    for plan in blueprints:
        neighbours = list(_neighbours(plan, entries, spec, moved.get(plan.event_type, ())))
        rows += _run(plan, neighbours, study, feed)
    return rows


def _neighbours(
    plan: Blueprint, entries: pl.DataFrame, spec: NeighbourSpec, moved: Sequence[MovedEntries]
) -> Iterator[_Neighbour]:
    hold = plan.horizon_min
    yield _Neighbour(BASE_ON_BARS, None, None, entries, hold)
    for multiple in spec.hold_multiples:
        minutes = max(1, round(hold * multiple))
        if minutes != hold:
            note = f"hold {minutes} min"
            yield _Neighbour(f"hold_x{multiple:g}", "hold", note, entries, minutes)
    for late in spec.delays_min:
        note = f"decided {late} min late"
        yield _Neighbour(f"late_{late}min", "delay", note, entries, hold, late)
    for other in moved:
        name = other.moved.parameter
        note = other.moved.rule
        if other.entries is None:
            note = f"{NOT_EVALUABLE}: {other.missing}"
        scenario = f"{name} x{other.moved.multiple:g}"
        yield _Neighbour(scenario, name, note, other.entries, hold)


def _run(
    plan: Blueprint, neighbours: Sequence[_Neighbour], study: Study, feed: Sequence[Tape]
) -> list[dict[str, Any]]:
    daily = np.zeros((2, len(neighbours), len(study.days)))
    fills = np.zeros((2, len(neighbours)), dtype=np.int64)
    signals = [_signals(plan, n.entries) for n in neighbours]
    for tape in (t for t in feed if t.symbol in plan.symbols):
        for s, segment in enumerate(SEGMENTS):
            targets = np.vstack(
                [
                    _targets(plan, neighbour, own, tape.symbol, segment, study)
                    for neighbour, own in zip(neighbours, signals, strict=True)
                ]
            )
            if targets.any():
                _add(daily[s], fills[s], plan, tape, targets, study)
    return [
        _row(plan, neighbour, segment, daily[s, k], int(fills[s, k]), study)
        for s, segment in enumerate(SEGMENTS)
        for k, neighbour in enumerate(neighbours)
    ]


def _signals(plan: Blueprint, entries: pl.DataFrame | None) -> pl.DataFrame | None:
    if entries is None:
        return None
    mine = entries.filter(pl.col("candidate_id") == plan.candidate_id)
    return mine.sort("ts", "event_id").with_columns(day=day_of())


def _targets(
    plan: Blueprint,
    neighbour: _Neighbour,
    signals: pl.DataFrame | None,
    symbol: str,
    segment: str,
    study: Study,
) -> I8:
    """The positions wanted at each minute of the study, shape [1, minutes]."""
    from quantlab_pipeline.kernels.bar_backtest import hold_targets

    n = len(study.days) * DAY_MINUTES
    if signals is None:
        return np.zeros((1, n), dtype=np.int8)
    held_out = pl.col("day") >= study.holdout_from
    inside = held_out if segment == "holdout" else ~held_out
    mine = signals.filter(inside, pl.col("symbol") == symbol)
    first = (study.days[0] - EPOCH).days * DAY_MINUTES
    # The bar that closes at ts has index (ts in minutes) - first - 1. An order that arrives after
    # it finds the next open only, as in the engine.
    late = math.ceil(plan.latency_s / 60.0) + neighbour.late_min
    at = mine["ts"].dt.epoch("us").to_numpy() // MINUTE_US - first - 1 + late
    entry, keep = np.unique(at[at < n], return_index=True)
    side = mine["side"].to_numpy().astype(np.int8)[keep]
    hold = np.array([neighbour.hold_min], dtype=np.int64)
    targets: I8 = hold_targets(entry, side, hold, n, plan.overlap == "extend")
    targets[:, -1] = 0
    return targets


def _add(daily: F64, fills: I64, plan: Blueprint, tape: Tape, targets: I8, study: Study) -> None:
    from quantlab_pipeline.kernels import bar_backtest as kernel

    profile = study.costs.profiles[plan.profile]
    volume = tape.volume_usd[np.isfinite(tape.volume_usd)]
    typical = np.array([np.median(volume) if volume.size else np.nan])
    half = float(assumed_half_spread_bps(profile, typical)[0])
    bars = _minute_tape(tape, study)
    fee = study.costs.fee_rates(plan.profile, tape.symbol).taker_bps
    costs = kernel.BarCosts(fee, np.full(1, half), np.zeros(1), 0.0)
    stats = kernel.sweep(bars, targets, costs)
    daily += stats.daily
    fills += stats.n_fills


def _minute_tape(tape: Tape, study: Study) -> Any:
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
    plan: Blueprint, neighbour: _Neighbour, segment: str, daily: F64, fills: int, study: Study
) -> dict[str, Any]:
    inside = np.array([study.segment(d) == segment for d in study.days])
    net_bps = 1e4 * daily * plan.notional_usd / plan.capital_usd
    # A position opened in sample may end on a holdout day; its P&L stays with its entry.
    days = net_bps[inside] if segment == "holdout" else net_bps
    n_trades = fills // 2
    known = neighbour.entries is not None
    return {
        "strategy_id": plan.strategy_id,
        "scenario": neighbour.scenario,
        "model": "bars",
        "segment": segment,
        "judged": False,
        "n_trades": n_trades,
        "net_bps": 1e4 * float(daily.sum()) / n_trades if n_trades else None,
        "net_bps_per_day": float(days.sum() / max(1, inside.sum())) if known else None,
        "sharpe": sharpe(net_bps[inside]).value if known else None,
        "max_drawdown_bps": max_drawdown(days).value if known else None,
        "parameter": neighbour.parameter,
        "note": neighbour.note,
    }
