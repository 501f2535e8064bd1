"""Backtest: blueprints over the whole study, one position per symbol: trades, and P&L per day.

Belongs here: running blueprints, and the rows of their days and trades. Not here: marking positions
(`marking`), figures of risk (`risk`), stresses (`stress`), and what a good result is (gate S).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
import numpy.typing as npt
import polars as pl

from quantlab_pipeline.core.clocks import DAY_MINUTES, MINUTE_US, TS, day_end, day_of
from quantlab_pipeline.core.errors import SpecError
from quantlab_pipeline.core.instruments import Instrument
from quantlab_pipeline.core.records import Record
from quantlab_pipeline.research.backtest.blueprint import Blueprint, intents_of
from quantlab_pipeline.research.backtest.marking import Periods, PnL, pnl_by_period
from quantlab_pipeline.research.backtest.schema import (
    BACKTEST_RETURNS,
    BACKTEST_TRADES,
    SEGMENTS,
)
from quantlab_pipeline.simulation.accounting import records_of
from quantlab_pipeline.simulation.costs import CostModel
from quantlab_pipeline.simulation.engine import RunSettings, Simulation
from quantlab_pipeline.simulation.serving import Feed, Shelf, simulate_served
from quantlab_pipeline.simulation.tape import MarketTables, Tape, tapes
from quantlab_pipeline.simulation.trades import CLOSED

F64 = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Damage:
    """What a run's tapes suffer before they are traded on; `name` holds all that it follows from.

    Two damages of one name do the same to the same intents.
    """

    name: str
    apply: Callable[[Tape], Tape]


WHOLE = Damage("none", lambda tape: tape)
_DAMAGES = "quantlab_pipeline.research.backtest"
"""Where the code of all others stands."""


@dataclass(frozen=True, slots=True)
class Study:
    """What a backtest runs on: every day of the study (rising), and where its holdout begins.

    With a `shelf`, what was simulated before is served from it.
    """

    tables: MarketTables
    instruments: Mapping[str, Instrument]
    costs: CostModel
    days: list[date]
    holdout_from: date
    shelf: Shelf | None = None

    def window(self) -> MarketTables:
        """The tables up to the study's last instant; earlier days serve trailing liquidity."""
        return self.tables.until(day_end(self.days[-1]))

    def segment(self, day: date) -> str:
        """`in_sample` or `holdout`."""
        return "in_sample" if day < self.holdout_from else "holdout"

    def simulate(
        self,
        intents: pl.DataFrame,
        ways: Sequence[RunSettings],
        costs: CostModel | None = None,
        damage: Damage = WHOLE,
    ) -> list[Simulation]:
        """The engine over `intents`, one result per way: every run of this stage comes by here."""

        def damaged(symbols: Sequence[str]) -> Iterator[Tape]:
            return (damage.apply(tape) for tape in tapes(self.window(), symbols))

        modules = () if damage is WHOLE else (_DAMAGES,)
        feed = Feed(f"until {self.days[-1]}; {damage.name}", damaged, modules)
        terms = costs or self.costs
        return simulate_served(intents, feed, self.instruments, terms, ways, self.shelf)

    def pnl(self, run: Simulation, ids: Sequence[str], period_min: int) -> PnL:
        """P&L of `ids` in `run` by periods of so many minutes, which divide a day."""
        n = len(self.days) * (DAY_MINUTES // period_min)
        periods = Periods(self.days[0], n, period_min * MINUTE_US)
        return pnl_by_period(run, ids, periods, self.tables.bars, self.instruments)


@dataclass(frozen=True, slots=True)
class BacktestRun:
    """`returns` is `backtest_returns`, `trades` is `backtest_trades`.

    By strategy: `bars`, P&L by bar of some minutes in bps of its capital, and the records that the
    engine's trades are in money.
    """

    returns: pl.DataFrame
    trades: pl.DataFrame
    bars: Mapping[str, F64]
    records: Mapping[str, tuple[Record, ...]]


def run_backtest(
    blueprints: Sequence[Blueprint], entries: pl.DataFrame, study: Study, bar_min: int = 60
) -> BacktestRun:
    """Run every blueprint over the study; `entries` are signed entries of its days.

    A blueprint made under another cost document raises SpecError.
    """
    returns, trades = [BACKTEST_RETURNS.empty()], [BACKTEST_TRADES.empty()]
    bars: dict[str, F64] = {}
    records: dict[str, tuple[Record, ...]] = {}
    for way, group in by_way(blueprints, study.costs):
        run = simulate_blueprints(group, entries, study, [way])[0]
        returns.append(daily_returns(run, group, study))
        trades.append(trade_rows(run, study))
        net = study.pnl(run, [plan.strategy_id for plan in group], bar_min).net
        for plan, row in zip(group, net, strict=True):
            bars[plan.strategy_id] = 1e4 * row / plan.capital_usd
            records[plan.strategy_id] = records_of(
                run, plan.strategy_id, study.instruments, study.costs
            )
    return BacktestRun(
        BACKTEST_RETURNS.conform(pl.concat(returns)),
        BACKTEST_TRADES.conform(pl.concat(trades)),
        bars,
        records,
    )


def by_way(
    blueprints: Sequence[Blueprint], costs: CostModel
) -> list[tuple[RunSettings, list[Blueprint]]]:
    """Blueprints by the latency, profile and rule of entry that they name, in a fixed order."""
    ways: dict[tuple[float, str, str], list[Blueprint]] = {}
    for plan in sorted(blueprints, key=lambda b: b.strategy_id):
        if plan.cost_model_hash != costs.spec_hash():
            raise SpecError(
                f"Blueprint {plan.strategy_id} was made under another cost model.",
                "Make the blueprints again, or give the cost model that they name.",
                strategy_id=plan.strategy_id,
            )
        ways.setdefault((plan.latency_s, plan.profile, plan.entry), []).append(plan)
    return [
        (RunSettings(g[0].latency_s, g[0].profile, entry=g[0].entry), g)
        for _, g in sorted(ways.items())
    ]


def simulate_blueprints(
    blueprints: Sequence[Blueprint],
    entries: pl.DataFrame,
    study: Study,
    ways: Sequence[RunSettings],
    costs: CostModel | None = None,
    damage: Damage = WHOLE,
) -> list[Simulation]:
    """The engine over the intents of `blueprints`, one result per way."""
    intents = pl.concat([intents_of(plan, entries) for plan in blueprints])
    return study.simulate(intents, ways, costs, damage)


def daily_returns(run: Simulation, blueprints: Sequence[Blueprint], study: Study) -> pl.DataFrame:
    """`backtest_returns` of one simulation: a row per blueprint and day of the study.

    Open positions are marked at the last close of the day; a day without a position is 0, which it
    earned.
    """
    ids = [plan.strategy_id for plan in blueprints]
    pnl = study.pnl(run, ids, DAY_MINUTES)
    capital = np.array([plan.capital_usd for plan in blueprints])[:, None]
    n_days = len(study.days)
    return pl.DataFrame(
        {
            "strategy_id": np.repeat(np.array(ids, dtype=object), n_days).tolist(),
            "day": pl.Series(study.days * len(ids), dtype=pl.Date),
            "segment": [study.segment(d) for d in study.days] * len(ids),
            "n_entries": pnl.entries.ravel().astype(np.int64),
            "n_exits": pnl.exits.ravel().astype(np.int64),
            "turnover_usd": pnl.turnover.ravel(),
            "fee_usd": pnl.fees.ravel(),
            "funding_usd": pnl.funding.ravel(),
            "net_usd": pnl.net.ravel(),
            "net_bps": (1e4 * pnl.net / capital).ravel(),
            "capital_usd": np.repeat(capital.ravel(), n_days),
        },
        schema={c.name: c.dtype for c in BACKTEST_RETURNS.columns},
    )


def trade_rows(run: Simulation, study: Study) -> pl.DataFrame:
    """`backtest_trades` of one simulation: a row per intent, in order of decision by strategy."""
    ordered = run.trades.sort("strategy_id", "decide_us", "symbol", "event_id")
    size = {s: float(i.lot_size * i.multiplier) for s, i in study.instruments.items()}
    tick = {s: float(i.tick_size) for s, i in study.instruments.items()}

    def of_symbol(values: dict[str, float]) -> pl.Expr:
        return pl.col("symbol").replace_strict(values, return_dtype=pl.Float64)

    held_out = day_of("decided_at") >= study.holdout_from
    return (
        ordered.with_columns(
            pl.int_range(pl.len()).over("strategy_id").alias("trade"),
            pl.col("decide_us").cast(TS).alias("decided_at"),
            pl.col("leave_us").cast(TS).alias("left_at"),
            pl.col("entry_us").cast(TS).alias("entry_at"),
            pl.col("exit_us").cast(TS).alias("exit_at"),
            (pl.col("entry_ticks") * of_symbol(tick)).alias("entry_price"),
            (pl.col("exit_ticks") * of_symbol(tick)).alias("exit_price"),
            (pl.col("lots") * of_symbol(size)).alias("quantity_base"),
            pl.when(pl.col("status").is_in(CLOSED)).then("measured").alias("measured"),
        )
        .with_columns(
            pl.when(held_out)
            .then(pl.lit(SEGMENTS[1]))
            .otherwise(pl.lit(SEGMENTS[0]))
            .alias("segment")
        )
        .select(pl.col(c.name).cast(c.dtype) for c in BACKTEST_TRADES.columns)
    )
