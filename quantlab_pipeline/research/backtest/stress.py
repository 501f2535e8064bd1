"""Stress: the same blueprints under higher costs, wider spreads, delay, lost data, and surcharges.

Belongs here: the list of scenarios and one row per strategy, scenario and segment. Not here: the
holding-time neighbourhood's arithmetic (`neighbourhood`) and what must be survived (gate S).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl

from quantlab_pipeline.core.clocks import DAY_MINUTES, MINUTE_US, day_of
from quantlab_pipeline.core.seeds import generator
from quantlab_pipeline.research.backtest.backtest import (
    EPOCH,
    Study,
    by_way,
    daily_returns,
    simulate_blueprints,
)
from quantlab_pipeline.research.backtest.blueprint import Blueprint, intents_of
from quantlab_pipeline.research.backtest.neighbourhood import hold_neighbours
from quantlab_pipeline.research.backtest.schema import SEGMENTS, STRESS_RESULTS
from quantlab_pipeline.research.backtest.spec import StressSpec
from quantlab_pipeline.simulation.costs import CostScale
from quantlab_pipeline.simulation.engine import RunSettings, Simulation, simulate
from quantlab_pipeline.simulation.metrics import max_drawdown, sharpe
from quantlab_pipeline.simulation.tape import Tape, tapes
from quantlab_pipeline.simulation.trades import CLOSED


@dataclass(frozen=True, slots=True)
class _Scenario:
    """A finished run under a name; `judged` ones must be survived."""

    name: str
    judged: bool
    run: Simulation


def run_stress(
    blueprints: Sequence[Blueprint], entries: pl.DataFrame, study: Study, spec: StressSpec
) -> pl.DataFrame:
    """The `stress_results` table: every scenario of `spec`, in sample and in the holdout apart."""
    rows: list[dict[str, Any]] = []
    for way, group in by_way(blueprints, study.costs):
        for scenario in _scenarios(way, group, entries, study, spec):
            rows += _rows(scenario, group, study)
        feed = list(tapes(replace(study.window(), quotes=None), _symbols(group)))
        for plan in group:
            rows += hold_neighbours(plan, entries, study, spec.hold_multiples, feed)
    frame = pl.DataFrame(
        rows,
        schema={c.name: c.dtype for c in STRESS_RESULTS.columns if c.name != "share_of_base"},
    )
    return STRESS_RESULTS.conform(_with_share(frame))


def _scenarios(
    way: RunSettings,
    blueprints: Sequence[Blueprint],
    entries: pl.DataFrame,
    study: Study,
    spec: StressSpec,
) -> Iterator[_Scenario]:
    ways = {"base": way}
    for factor in spec.cost_multiples:
        scale = CostScale(fee=factor, spread=factor, impact=factor)
        ways[f"costs_x{factor:g}"] = replace(way, scale=scale)
    ways[f"spread_x{spec.spread_multiple:g}"] = replace(
        way, scale=CostScale(spread=spec.spread_multiple)
    )
    ways[f"delay_{spec.delay_min}min"] = replace(way, delay_s=60.0 * spec.delay_min)
    runs = simulate_blueprints(blueprints, entries, study, list(ways.values()))
    for name, run in zip(ways, runs, strict=True):
        yield _Scenario(name, True, run)
    lost = f"drop_{100 * spec.drop_share:g}pct"
    yield _Scenario(lost, True, _with_lost_data(way, blueprints, entries, study, spec))
    for extra in spec.overlay_bps:
        yield _Scenario(f"overlay_{extra:g}bps", False, _surcharged(runs[0], extra))


def _surcharged(run: Simulation, extra_bps: float) -> Simulation:
    """`run` with `extra_bps` of notional charged on every round trip, as if it were a fee."""
    extra = pl.col("notional_usd") * extra_bps * 1e-4
    trades = run.trades.with_columns(
        pl.col("fee_usd") + extra,
        pl.col("net_usd") - extra,
        pl.col("fee_bps") + extra_bps,
        pl.col("net_bps") - extra_bps,
    )
    return replace(run, trades=trades)


def _with_lost_data(
    way: RunSettings,
    blueprints: Sequence[Blueprint],
    entries: pl.DataFrame,
    study: Study,
    spec: StressSpec,
) -> Simulation:
    """A run in which a share of all minutes never arrived: no event, no quote, no bar in them."""
    symbols = _symbols(blueprints)
    lost = {symbol: lost_minutes(symbol, study, spec) for symbol in symbols}
    minute = (pl.col("ts").dt.epoch("us") - 1) // MINUTE_US
    kept = [entries.clear()]
    for symbol in symbols:
        gone = pl.Series(lost[symbol], dtype=pl.Int64)
        kept.append(entries.filter(pl.col("symbol") == symbol, ~minute.is_in(gone.implode())))
    thinned = pl.concat(kept)
    intents = pl.concat([intents_of(plan, thinned) for plan in blueprints])

    def damaged() -> Iterator[Tape]:
        for tape in tapes(study.window(), symbols):
            yield tape.without(lost[tape.symbol])

    return simulate(intents, damaged(), study.instruments, study.costs, [way])[0]


def _symbols(blueprints: Sequence[Blueprint]) -> list[str]:
    return sorted({s for plan in blueprints for s in plan.symbols})


def lost_minutes(
    symbol: str, study: Study, spec: StressSpec
) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Minutes since 1970 that `symbol` loses, rising; a day's draw depends on the day alone."""
    parts = [np.zeros(0, dtype=np.int64)]
    for day in study.days:
        draw = generator(spec.seed, "lost", symbol, day.isoformat()).random(DAY_MINUTES)
        start = (day - EPOCH).days * DAY_MINUTES
        parts.append(start + np.flatnonzero(draw < spec.drop_share))
    return np.concatenate(parts)


def _rows(
    scenario: _Scenario, blueprints: Sequence[Blueprint], study: Study
) -> list[dict[str, Any]]:
    daily = daily_returns(scenario.run, blueprints, study)
    in_holdout = day_of() >= study.holdout_from
    closed = scenario.run.trades.filter(pl.col("status").is_in(CLOSED)).with_columns(
        segment=pl.when(in_holdout).then(pl.lit(SEGMENTS[1])).otherwise(pl.lit(SEGMENTS[0]))
    )
    rows = []
    for plan in blueprints:
        for segment in SEGMENTS:
            mine = (pl.col("strategy_id") == plan.strategy_id) & (pl.col("segment") == segment)
            days = daily.filter(mine)["net_bps"].to_numpy()
            net = closed.filter(mine)["net_bps"].to_numpy()
            rows.append(
                {
                    "strategy_id": plan.strategy_id,
                    "scenario": scenario.name,
                    "model": "executed",
                    "segment": segment,
                    "judged": scenario.judged,
                    "n_trades": net.size,
                    "net_bps": float(net.mean()) if net.size else None,
                    **day_figures(days),
                }
            )
    return rows


def day_figures(net_bps: np.ndarray[Any, np.dtype[np.float64]]) -> dict[str, float | None]:
    """Per-day figures of one strategy in one segment; a segment without days has a mean of 0."""
    return {
        "net_bps_per_day": float(net_bps.mean()) if net_bps.size else 0.0,
        "sharpe": sharpe(net_bps).value,
        "max_drawdown_bps": max_drawdown(net_bps).value,
    }


def _with_share(rows: pl.DataFrame) -> pl.DataFrame:
    base = rows.filter(pl.col("scenario") == "base").select(
        "strategy_id", "segment", pl.col("net_bps").alias("base_bps")
    )
    return rows.join(
        base, on=["strategy_id", "segment"], how="left", maintain_order="left"
    ).with_columns(
        pl.when(pl.col("base_bps") > 0)
        .then(pl.col("net_bps") / pl.col("base_bps"))
        .alias("share_of_base")
    )
