"""A strategy that was really executed, backtested and stressed on a planted market, as tables.

Every table comes from the engine's own runs, so that what a tear sheet says can be held against
them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import date, timedelta

import numpy as np
import polars as pl

from quantlab_pipeline.core.clocks import TS, day_of
from quantlab_pipeline.core.records import chain_head
from quantlab_pipeline.reports.strategy_data import Prices, StrategyFacts, StrategyTables
from quantlab_pipeline.research.backtest.backtest import Study, run_backtest, simulate_blueprints
from quantlab_pipeline.research.backtest.blueprint import make_blueprints, read_blueprints
from quantlab_pipeline.research.backtest.schema import (
    ASSUMPTION_LEDGER,
    BACKTEST_RISK,
    BACKTEST_TRADES,
)
from quantlab_pipeline.research.backtest.spec import StressSpec
from quantlab_pipeline.research.backtest.stress import run_stress
from quantlab_pipeline.research.bridge.execute import intents_for, run_bridge
from quantlab_pipeline.research.bridge.schema import BRIDGE_EXECUTIONS, ENTRY_COLUMNS
from quantlab_pipeline.research.bridge.spec import BThresholds
from quantlab_pipeline.simulation import metrics
from quantlab_pipeline.simulation.accounting import records_of
from quantlab_pipeline.simulation.costs import CostScale
from quantlab_pipeline.simulation.engine import RunSettings, Simulation, simulate
from quantlab_pipeline.simulation.tape import MarketTables, tapes
from quantlab_pipeline.simulation.trades import CLOSED, PARTS
from quantlab_pipeline_tests.simulation.builders import (
    BTC,
    START,
    bars_of,
    cost_model,
    funding_of,
    quotes_of,
)

NAME = "calm_drop.all.1h.directional.with"
LOSER = "calm_drop.all.1h.directional.against"
SILENT = "oi_surge.all.1h.directional.with"
INSTRUMENTS = {"BTC": BTC}
MINUTE = timedelta(minutes=1)


@dataclass(frozen=True)
class Executed:
    """A study with its tables, and the simulation behind the backtest's."""

    study: Study
    tables: StrategyTables
    base: Simulation


def candidates() -> pl.DataFrame:
    """Three candidates of one family."""
    names = [name.split(".") for name in (NAME, LOSER, SILENT)]
    return pl.DataFrame(
        {
            "candidate_id": [NAME, LOSER, SILENT],
            "event_type": [n[0] for n in names],
            "bucket": [n[1] for n in names],
            "horizon": [n[2] for n in names],
            "template": [n[3] for n in names],
            "side": [1, -1, 1],
            "candidate_hash": ["sha256:edge", "sha256:mirror", "sha256:silent"],
            "admissible": [True, True, True],
        }
    )


def planted(n_days: int, every_min: int, drift_bps: float = 40.0, step_s: int = 0) -> Executed:
    """Six days or more of one symbol that rises after each event; the last third is held out.

    With `step_s` there is a book, else every spread is assumed.
    """
    n = n_days * 1440
    moves = np.random.default_rng(5).normal(0, 3e-4, n)
    at = np.arange(8 * 60, n - 120, every_min)
    for t in at:
        moves[t + 2 : t + 32] += drift_bps / 30 / 1e4
    close = 50_000 * np.exp(np.cumsum(moves))
    bars = bars_of(close)
    stamps = [START + timedelta(hours=8 * i, minutes=30) for i in range(1, 3 * n_days)]
    quotes = None
    if step_s:
        mid = np.interp(np.arange(0, n * 60, step_s), np.arange(1, n + 1) * 60.0, close)
        quotes = quotes_of(mid, 1.0, step_s=step_s)
    days = [START.date() + timedelta(days=i) for i in range(n_days)]
    costs = cost_model(fee_bps=4.0, impact_y=0.3, half_bps=1.0, latency=(1.0, 2.0, 5.0))
    funding = funding_of(stamps, 1e-4)
    study = Study(
        MarketTables(bars, quotes, funding), INSTRUMENTS, costs, days, days[2 * n_days // 3]
    )
    return executed(study, entries_at([START + int(t) * MINUTE for t in at]))


def entries_at(instants: list) -> pl.DataFrame:
    """Long entries of the edge and the mirror's short ones at the same instants."""
    rows = [
        (name, "BTC", t, side, 60, f"{name}-{i}")
        for name, side in ((NAME, 1), (LOSER, -1))
        for i, t in enumerate(instants)
    ]
    return pl.DataFrame(rows, schema=ENTRY_COLUMNS, orient="row")


def executed(study: Study, entries: pl.DataFrame) -> Executed:
    """All tables of a study from its entries, before the holdout for the bridge."""
    before = [day for day in study.days if day < study.holdout_from]
    early = entries.filter(day_of() < study.holdout_from)
    survivors = candidates().select("candidate_id", "admissible")
    ran = run_bridge(
        survivors, early, study.tables, INSTRUMENTS, study.costs, BThresholds(min_trades=10), before
    )
    passed = ran.results.filter(pl.col("status") == "PASS")
    plans = make_blueprints(passed, candidates(), ["BTC"], "skip", study.costs)
    blueprints = read_blueprints(plans["blueprint"])
    backtest = run_backtest(blueprints, entries, study)
    stress = run_stress(blueprints, entries, study, StressSpec())
    trades = trades_table(backtest.trades, study)
    way = RunSettings(5.0, "conservative")
    base = simulate_blueprints(blueprints, entries, study, [way])[0]
    tables = StrategyTables(
        ran.results,
        candidates(),
        executions_table(study, early, before),
        plans,
        backtest.returns,
        trades,
        risk_table(backtest.returns, trades),
        stress,
        assumptions_table(study, entries, blueprints),
    )
    return Executed(study, tables, base)


def executions_table(study: Study, entries: pl.DataFrame, days: list[date]) -> pl.DataFrame:
    """`bridge_executions`: takers at each latency, and at the slowest with dearer costs."""
    costs, intents = study.costs, intents_for(entries)
    window = study.tables.until(START + timedelta(days=len(days)))
    ways = {(s, "as_is"): RunSettings(s, "conservative") for s in costs.execution.latency.latency_s}
    for m in (1.5, 2.0):
        scale = CostScale(fee=m, spread=m, impact=m)
        ways[5.0, f"costs_x{m:g}"] = RunSettings(5.0, "conservative", scale)
    runs = simulate(intents, tapes(window, ["BTC"]), INSTRUMENTS, costs, list(ways.values()))
    rows = []
    for (latency, scenario), run in zip(ways, runs, strict=True):
        for name in (NAME, LOSER):
            mine = run.trades.filter(strategy_id=name)
            closed = mine.filter(pl.col("status").is_in(CLOSED))
            rows.append(
                {
                    "strategy_id": name,
                    "way": f"taker_{latency:g}s_{scenario}",
                    "entry": "taker",
                    "latency_s": latency,
                    "scenario": scenario,
                    "judged": scenario == "as_is",
                    "n_intents": mine.height,
                    "n_trades": closed.height,
                    "n_not_filled": 0,
                    "n_forced": 0,
                    "n_skipped": mine.height - closed.height,
                    "fill_rate": 1.0,
                    "active_days": len(days),
                    **{f"{p}_bps": closed[f"{p}_bps"].mean() for p in PARTS},
                    "se_bps": 1.0,
                    "shortfall_bps": closed["gross_bps"].mean() - closed["net_bps"].mean(),
                    "delay_bps": closed["latency_bps"].mean(),
                    "opportunity_bps": 0.0,
                    **{f"markout_{s}s_bps": closed[f"markout_{s}s_bps"].mean() for s in (1, 5, 60)},
                    "turnover_per_day": 2.0 * closed.height / len(days),
                    "measured_share": closed["measured"].cast(pl.Float64).mean(),
                    "assumed_mark_share": None,
                    "records_head": chain_head(records_of(run, name, INSTRUMENTS, costs)),
                }
            )
    schema = {c.name: c.dtype for c in BRIDGE_EXECUTIONS.columns}
    return BRIDGE_EXECUTIONS.validate(BRIDGE_EXECUTIONS.conform(pl.DataFrame(rows, schema=schema)))


def trades_table(trades: pl.DataFrame, study: Study) -> pl.DataFrame:
    """`backtest_trades` of the engine's own trades."""
    tick, lot = float(BTC.tick_size), float(BTC.lot_size)
    held = day_of("ts") >= study.holdout_from
    frame = trades.with_columns(
        pl.int_range(pl.len()).over("strategy_id").alias("trade"),
        pl.when(held).then(pl.lit("holdout")).otherwise(pl.lit("in_sample")).alias("segment"),
        pl.col("decide_us").cast(TS).alias("decided_at"),
        pl.col("leave_us").cast(TS).alias("left_at"),
        pl.col("entry_us").cast(TS).alias("entry_at"),
        pl.col("exit_us").cast(TS).alias("exit_at"),
        (pl.col("entry_ticks") * tick).alias("entry_price"),
        (pl.col("exit_ticks") * tick).alias("exit_price"),
        (pl.col("lots") * lot).alias("quantity_base"),
    )
    return BACKTEST_TRADES.validate(BACKTEST_TRADES.conform(frame))


def risk_table(returns: pl.DataFrame, trades: pl.DataFrame) -> pl.DataFrame:
    """`backtest_risk`; its resampled figures are null in the holdout, and say why."""
    rows = []
    for name in returns["strategy_id"].unique(maintain_order=True):
        for segment in ("in_sample", "holdout", "both"):
            inside = pl.lit(True) if segment == "both" else pl.col("segment") == segment
            days = returns.filter(inside, strategy_id=name)["net_bps"].to_numpy()
            net = trades.filter(inside, strategy_id=name)["net_bps"].drop_nulls().to_numpy()
            few = segment == "holdout"
            ranked = np.sort(days)
            measured = {
                "sharpe": metrics.sharpe(days),
                "sortino": metrics.sortino(days),
                "max_drawdown_bps": metrics.max_drawdown(days),
                "win_rate": metrics.win_rate(net),
                "profit_factor": metrics.profit_factor(net),
            }
            reasons = {k: m.reason for k, m in measured.items() if m.value is None}
            resampled = ("sharpe_p5", "max_drawdown_p95_bps", "profit_factor_p5")
            rows.append(
                {
                    "strategy_id": name,
                    "segment": segment,
                    "n_days": days.size,
                    "n_trades": net.size,
                    "net_bps_per_day": days.mean(),
                    **{k: m.value for k, m in measured.items()},
                    "time_to_recovery_days": None,
                    "day_p5_bps": float(np.percentile(days, 5)),
                    "day_worst_1pct_bps": float(ranked[: max(1, days.size // 100)].mean()),
                    "mc_paths": 0 if few else 1000,
                    "sharpe_p5": None if few else 0.5 * (measured["sharpe"].value or 0.0),
                    "max_drawdown_p95_bps": None
                    if few
                    else 2.0 * measured["max_drawdown_bps"].value,
                    "profit_factor_p5": None if few else 1.1,
                    "reasons": json.dumps(
                        reasons
                        | {"time_to_recovery_days": "NOT_RECOVERED"}
                        | (dict.fromkeys(resampled, "FEWER_THAN_2_BLOCKS") if few else {})
                    ),
                }
            )
    frame = pl.DataFrame(rows, schema={c.name: c.dtype for c in BACKTEST_RISK.columns})
    return BACKTEST_RISK.validate(BACKTEST_RISK.conform(frame))


def assumptions_table(study: Study, entries: pl.DataFrame, plans: list) -> pl.DataFrame:
    """`assumption_ledger` of three assumptions and of all."""
    base = RunSettings(5.0, "conservative")
    fees, late = CostScale(fee=1.25), 60.0
    ways = {
        "fees": (base, replace(base, scale=fees), "4 bps a side", "5 bps a side"),
        "delay": (base, replace(base, delay_s=late), "acted on at once", "a minute later"),
        "funding_received": (
            base,
            replace(base, scale=CostScale(funding_received=0.0)),
            "received in full",
            "never received",
        ),
        "all": (
            base,
            replace(base, scale=replace(fees, funding_received=0.0), delay_s=late),
            "",
            "",
        ),
    }
    runs = simulate_blueprints(plans, entries, study, [base, *(w[1] for w in ways.values())])
    first = runs[0].trades.filter(pl.col("status").is_in(CLOSED))
    rows = []
    for name in first["strategy_id"].unique(maintain_order=True):
        mine = first.filter(strategy_id=name)
        for (assumption, way), run in zip(ways.items(), runs[1:], strict=True):
            other = run.trades.filter(pl.col("status").is_in(CLOSED), strategy_id=name)
            rows.append(
                {
                    "strategy_id": name,
                    "assumption": assumption,
                    "base": way[2],
                    "conservative": way[3],
                    "n_trades": other.height,
                    "net_bps_base": mine["net_bps"].mean(),
                    "net_bps_conservative": other["net_bps"].mean(),
                    "worth_bps": mine["net_bps"].mean() - other["net_bps"].mean(),
                    "worth_usd": mine["net_usd"].sum() - other["net_usd"].sum(),
                }
            )
    frame = pl.DataFrame(rows, schema={c.name: c.dtype for c in ASSUMPTION_LEDGER.columns})
    return ASSUMPTION_LEDGER.validate(ASSUMPTION_LEDGER.conform(frame))


def facts_of(
    study: Study, *, synthetic: bool = False, waived: tuple[str, ...] = ()
) -> StrategyFacts:
    """The facts of a study, its tables named by fingerprints."""
    return StrategyFacts(
        "study_x",
        "market_y",
        synthetic,
        ("BTC",),
        (study.days[0], study.days[-1]),
        study.holdout_from,
        (1, study.costs.spec_hash()),
        waived,
        (("bridge_results", "sha256:one"), ("backtest_returns", "sha256:two")),
    )


def prices_of(study: Study):
    """A source of the study's own closes."""

    def found(symbol: str) -> Prices:
        bars = study.tables.bars.filter(symbol=symbol).sort("ts")
        return Prices(symbol, bars["ts"].dt.epoch("us").to_list(), bars["close"].to_list())

    return found
