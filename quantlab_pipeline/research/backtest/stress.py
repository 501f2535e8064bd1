"""Stress: the same blueprints under dearer, thinner, later, blinder and less friendly markets.

Belongs here: the list of scenarios and one row per strategy, scenario and segment. Not here: the
neighbours' arithmetic on bars (`neighbourhood`), what an assumption is worth (`assumptions`), and
what must be survived (gate S).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from quantlab_pipeline.core.clocks import DAY_MINUTES, MINUTE_US, day_of
from quantlab_pipeline.core.seeds import generator
from quantlab_pipeline.research.backtest.backtest import (
    WHOLE,
    Damage,
    Study,
    by_way,
    daily_returns,
    simulate_blueprints,
)
from quantlab_pipeline.research.backtest.blueprint import Blueprint, intents_of
from quantlab_pipeline.research.backtest.marking import EPOCH
from quantlab_pipeline.research.backtest.neighbourhood import BASE_ON_BARS
from quantlab_pipeline.research.backtest.schema import SEGMENTS, STRESS_RESULTS
from quantlab_pipeline.research.backtest.spec import StressSpec
from quantlab_pipeline.simulation.costs import CostModel, CostScale
from quantlab_pipeline.simulation.engine import RunSettings, Simulation
from quantlab_pipeline.simulation.metrics import max_drawdown, sharpe
from quantlab_pipeline.simulation.tape import Tape
from quantlab_pipeline.simulation.trades import CLOSED

I64 = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class _Scenario:
    """A finished run under a name; `judged` ones must be survived."""

    name: str
    judged: bool
    run: Simulation


def run_stress(
    blueprints: Sequence[Blueprint],
    entries: pl.DataFrame,
    study: Study,
    spec: StressSpec,
    neighbours: Sequence[dict[str, Any]] = (),
) -> pl.DataFrame:
    """The `stress_results` table: every scenario of `spec`, in sample and in the holdout apart.

    `neighbours` are rows of `neighbourhood.neighbour_rows`, which stand in the same table.
    """
    rows: list[dict[str, Any]] = []
    for way, group in by_way(blueprints, study.costs):
        for scenario in _scenarios(way, group, entries, study, spec):
            rows += _rows(scenario, group, study)
    frame = pl.DataFrame(
        [*rows, *neighbours],
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
    wider = CostScale(spread=spec.spread_multiple)
    ways[f"spread_x{spec.spread_multiple:g}"] = replace(way, scale=wider)
    ways[f"delay_{spec.delay_min}min"] = replace(way, delay_s=60.0 * spec.delay_min)
    adverse = CostScale(funding_paid=spec.funding_paid, funding_received=spec.funding_received)
    ways["funding_adverse"] = replace(way, scale=adverse)
    runs = simulate_blueprints(blueprints, entries, study, list(ways.values()))
    for name, run in zip(ways, runs, strict=True):
        yield _Scenario(name, name != "funding_adverse", run)
    for damage in (shallower(spec.depth_multiple), thinner(spec.volume_multiple)):
        (run,) = simulate_blueprints(blueprints, entries, study, [way], damage=damage)
        yield _Scenario(damage.name, True, run)
    lost = f"drop_{100 * spec.drop_share:g}pct"
    (run,) = with_lost_data([way], blueprints, entries, study, spec)
    yield _Scenario(lost, True, run)
    for leg, decided in (("entry", "ts"), ("exit", "exit_ts")):
        blind = _blind(way, blueprints, entries, study, decided, spec.outage_min)
        yield _Scenario(f"outage_{leg}_{spec.outage_min}min", False, blind)
    for extra in spec.overlay_bps:
        yield _Scenario(f"overlay_{extra:g}bps", False, _surcharged(runs[0], extra))


def shallower(multiple: float) -> Damage:
    """A book whose sizes shown are `multiple` of themselves."""

    def apply(tape: Tape) -> Tape:
        return replace(tape, bid_qty=tape.bid_qty * multiple, ask_qty=tape.ask_qty * multiple)

    return Damage(f"depth_x{multiple!r}", apply)


def thinner(multiple: float) -> Damage:
    """A market with `multiple` of the traded value: impact rises, spread tiers fall."""
    return Damage(
        f"volume_x{multiple!r}", lambda tape: replace(tape, volume_usd=tape.volume_usd * multiple)
    )


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


def with_lost_data(
    ways: Sequence[RunSettings],
    blueprints: Sequence[Blueprint],
    entries: pl.DataFrame,
    study: Study,
    spec: StressSpec,
    costs: CostModel | None = None,
    before: Damage = WHOLE,
) -> list[Simulation]:
    """Runs in which a share of all minutes never arrived: no event, no quote, no bar in them.

    `before` has befallen the tapes already.
    """
    symbols = sorted({s for plan in blueprints for s in plan.symbols})
    lost = {symbol: lost_minutes(symbol, study, spec) for symbol in symbols}
    minute = (pl.col("ts").dt.epoch("us") - 1) // MINUTE_US
    kept = [entries.clear()]
    for symbol in symbols:
        gone = pl.Series(lost[symbol], dtype=pl.Int64)
        kept.append(entries.filter(pl.col("symbol") == symbol, ~minute.is_in(gone.implode())))
    thinned = pl.concat(kept)
    intents = pl.concat([intents_of(plan, thinned) for plan in blueprints])
    damage = Damage(
        f"{before.name}; lost {spec.drop_share!r} by seed {spec.seed} "
        f"on {study.days[0]} to {study.days[-1]}",
        lambda tape: before.apply(tape).without(lost[tape.symbol]),
    )
    return study.simulate(intents, ways, costs, damage)


def lost_minutes(symbol: str, study: Study, spec: StressSpec) -> I64:
    """Minutes since 1970 that `symbol` loses, rising; a day's draw depends on the day alone."""
    parts = [np.zeros(0, dtype=np.int64)]
    for day in study.days:
        draw = generator(spec.seed, "lost", symbol, day.isoformat()).random(DAY_MINUTES)
        start = (day - EPOCH).days * DAY_MINUTES
        parts.append(start + np.flatnonzero(draw < spec.drop_share))
    return np.concatenate(parts)


def _blind(
    way: RunSettings,
    blueprints: Sequence[Blueprint],
    entries: pl.DataFrame,
    study: Study,
    decided: str,
    outage_min: int,
) -> Simulation:
    """A run whose data is away when it is needed: around every instant `decided` of its intents.

    Each plan has outages of its own. The minute before a decision is lost too, so that no quote
    from before stands in for the market.
    """
    runs = []
    for plan in blueprints:
        intents = intents_of(plan, entries)
        gone = _outages(intents, decided, outage_min)

        def apply(tape: Tape, gone: dict[str, I64] = gone) -> Tape:
            return tape.without(gone[tape.symbol])

        damage = Damage(f"blind for {outage_min} min from each intent's {decided} on", apply)
        runs += study.simulate(intents, [way], damage=damage)
    return Simulation(
        pl.concat([run.trades for run in runs]), pl.concat([run.payments for run in runs]), way
    )


def _outages(intents: pl.DataFrame, decided: str, outage_min: int) -> dict[str, I64]:
    """Minutes since 1970 without data, rising, by symbol of `intents`."""
    found = {}
    for (symbol,), mine in intents.group_by(["symbol"], maintain_order=True):
        minute = mine[decided].dt.epoch("us").to_numpy() // MINUTE_US
        around = minute[:, None] + np.arange(-1, outage_min)
        found[str(symbol)] = np.unique(around)
    return found


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
                    "parameter": None,
                    "note": None,
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
    """Each row beside the base of its own model: the engine's, or the unmoved rule on bars."""
    base = rows.filter(pl.col("scenario").is_in(("base", BASE_ON_BARS))).select(
        "strategy_id", "segment", "model", pl.col("net_bps").alias("base_bps")
    )
    return rows.join(
        base, on=["strategy_id", "segment", "model"], how="left", maintain_order="left"
    ).with_columns(
        pl.when(pl.col("base_bps") > 0)
        .then(pl.col("net_bps") / pl.col("base_bps"))
        .alias("share_of_base")
    )
