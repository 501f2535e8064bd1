"""Backtest: blueprints over the whole study, one position per symbol, P&L per day.

Belongs here: running blueprints and marking their positions at each day's close. Not here: stresses
(`stress`) and what a good result is (gate S).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
import numpy.typing as npt
import polars as pl

from quantlab_pipeline.core.clocks import DAY_US, TS, day_end, day_of
from quantlab_pipeline.core.errors import SpecError
from quantlab_pipeline.core.instruments import Instrument
from quantlab_pipeline.core.point_in_time import asof_join
from quantlab_pipeline.core.records import Record
from quantlab_pipeline.research.backtest.blueprint import Blueprint, intents_of
from quantlab_pipeline.research.backtest.schema import BACKTEST_RETURNS
from quantlab_pipeline.simulation.accounting import records_of
from quantlab_pipeline.simulation.costs import CostModel
from quantlab_pipeline.simulation.engine import RunSettings, Simulation, simulate
from quantlab_pipeline.simulation.tape import MarketTables, tapes
from quantlab_pipeline.simulation.trades import CLOSED

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]
EPOCH = date(1970, 1, 1)


@dataclass(frozen=True, slots=True)
class Study:
    """What a backtest runs on: every day of the study (rising), and where its holdout begins."""

    tables: MarketTables
    instruments: Mapping[str, Instrument]
    costs: CostModel
    days: list[date]
    holdout_from: date

    def window(self) -> MarketTables:
        """The tables up to the study's last instant; earlier days serve trailing liquidity."""
        return self.tables.until(day_end(self.days[-1]))

    def segment(self, day: date) -> str:
        """`in_sample` or `holdout`."""
        return "in_sample" if day < self.holdout_from else "holdout"


@dataclass(frozen=True, slots=True)
class BacktestRun:
    """`returns` is `backtest_returns`; trades and records by strategy as the engine wrote them."""

    returns: pl.DataFrame
    trades: pl.DataFrame
    records: Mapping[str, tuple[Record, ...]]


def run_backtest(
    blueprints: Sequence[Blueprint], entries: pl.DataFrame, study: Study
) -> BacktestRun:
    """Run every blueprint over the study; `entries` are signed entries of its days.

    A blueprint made under another cost document raises SpecError.
    """
    returns, trades, records = [BACKTEST_RETURNS.empty()], [], {}
    for way, group in by_way(blueprints, study.costs):
        run = simulate_blueprints(group, entries, study, [way])[0]
        returns.append(daily_returns(run, group, study))
        trades.append(run.trades)
        for plan in group:
            records[plan.strategy_id] = records_of(
                run, plan.strategy_id, study.instruments, study.costs
            )
    return BacktestRun(
        BACKTEST_RETURNS.conform(pl.concat(returns)),
        pl.concat(trades) if trades else pl.DataFrame(),
        records,
    )


def by_way(
    blueprints: Sequence[Blueprint], costs: CostModel
) -> list[tuple[RunSettings, list[Blueprint]]]:
    """Blueprints by the latency and profile that they name, in a fixed order."""
    ways: dict[tuple[float, str], list[Blueprint]] = {}
    for plan in sorted(blueprints, key=lambda b: b.strategy_id):
        if plan.cost_model_hash != costs.spec_hash():
            raise SpecError(
                f"Blueprint {plan.strategy_id} was made under another cost model.",
                "Make the blueprints again, or give the cost model that they name.",
                strategy_id=plan.strategy_id,
            )
        ways.setdefault((plan.latency_s, plan.profile), []).append(plan)
    return [(RunSettings(g[0].latency_s, g[0].profile), g) for _, g in sorted(ways.items())]


def simulate_blueprints(
    blueprints: Sequence[Blueprint],
    entries: pl.DataFrame,
    study: Study,
    ways: Sequence[RunSettings],
) -> list[Simulation]:
    """The engine over the intents of `blueprints`, one result per way."""
    intents = pl.concat([intents_of(plan, entries) for plan in blueprints])
    symbols = sorted({s for plan in blueprints for s in plan.symbols})
    feed = tapes(study.window(), symbols)
    return simulate(intents, feed, study.instruments, study.costs, ways)


def daily_returns(run: Simulation, blueprints: Sequence[Blueprint], study: Study) -> pl.DataFrame:
    """`backtest_returns` of one simulation: a row per blueprint and day of the study.

    Open positions are marked at the last close of the day; a day without a position is 0, which it
    earned. Sums are taken trade by trade in the trades' order.
    """
    ids = [plan.strategy_id for plan in blueprints]
    first = (study.days[0] - EPOCH).days
    shape = (len(ids), len(study.days))
    trades = run.trades.filter(pl.col("status").is_in(CLOSED))
    at = {
        name: np.array([ids.index(s) for s in frame["strategy_id"]], dtype=np.int64)
        for name, frame in (("trade", trades), ("paid", run.payments))
    }
    entry = _day(trades["entry_us"].to_numpy()) - first
    exit_ = _day(trades["exit_us"].to_numpy()) - first
    paid_on = _day(run.payments["stamp_us"].to_numpy()) - first
    paid, got, quantity = _fills(trades, study.instruments)
    fee_in = trades["fee_usd"].to_numpy() * paid / np.maximum(paid + got, 1e-300)
    fee_out = trades["fee_usd"].to_numpy() - fee_in
    cells = _held_days(trades, entry, exit_, paid, got, first, study.tables.bars)
    row, day, move = cells
    ones = np.ones(trades.height)
    funding = _sum(shape, at["paid"], paid_on, run.payments["funding_usd"].to_numpy())
    fees = _sum(shape, at["trade"], entry, fee_in) + _sum(shape, at["trade"], exit_, fee_out)
    turnover = _sum(shape, at["trade"], entry, quantity * paid)
    turnover += _sum(shape, at["trade"], exit_, quantity * got)
    signed = trades["side"].to_numpy() * quantity
    net = _sum(shape, at["trade"][row], day, signed[row] * move) - fees + funding
    capital = np.array([plan.capital_usd for plan in blueprints])[:, None]
    n_days = len(study.days)
    return pl.DataFrame(
        {
            "strategy_id": np.repeat(np.array(ids, dtype=object), n_days).tolist(),
            "day": pl.Series(study.days * len(ids), dtype=pl.Date),
            "segment": [study.segment(d) for d in study.days] * len(ids),
            "n_entries": _sum(shape, at["trade"], entry, ones).ravel().astype(np.int64),
            "n_exits": _sum(shape, at["trade"], exit_, ones).ravel().astype(np.int64),
            "turnover_usd": turnover.ravel(),
            "fee_usd": fees.ravel(),
            "funding_usd": funding.ravel(),
            "net_usd": net.ravel(),
            "net_bps": (1e4 * net / capital).ravel(),
            "capital_usd": np.repeat(capital.ravel(), n_days),
        },
        schema={c.name: c.dtype for c in BACKTEST_RETURNS.columns},
    )


def _day(at_us: npt.NDArray[np.generic]) -> I64:
    """Number of the day that owns each instant, from 1970."""
    return (at_us.astype(np.int64) - 1) // DAY_US


def _fills(trades: pl.DataFrame, instruments: Mapping[str, Instrument]) -> tuple[F64, F64, F64]:
    """(entry price, exit price, quantity in base units) of closed trades."""
    tick = np.array([float(instruments[s].tick_size) for s in trades["symbol"]])
    lot = np.array(
        [float(instruments[s].lot_size * instruments[s].multiplier) for s in trades["symbol"]]
    )
    return (
        trades["entry_ticks"].to_numpy() * tick,
        trades["exit_ticks"].to_numpy() * tick,
        trades["lots"].to_numpy() * lot,
    )


def _held_days(
    trades: pl.DataFrame,
    entry: I64,
    exit_: I64,
    paid: F64,
    got: F64,
    first: int,
    bars: pl.DataFrame,
) -> tuple[I64, I64, F64]:
    """(trade, day, price move) of each day on which each trade was held."""
    count = exit_ - entry + 1
    row = np.repeat(np.arange(trades.height), count)
    day = entry[row] + np.arange(row.size) - np.repeat(np.cumsum(count) - count, count)
    marks = _marks(trades["symbol"].gather(row), day + first + 1, bars)
    before = np.roll(marks, 1)
    start = np.where(day == entry[row], paid[row], before)
    end = np.where(day == exit_[row], got[row], marks)
    return row, day, end - start


def _marks(symbols: pl.Series, midnight: I64, bars: pl.DataFrame) -> F64:
    """Last close at or before each midnight (days since 1970)."""
    wanted = pl.DataFrame({"symbol": symbols, "midnight": pl.Series(midnight * DAY_US).cast(TS)})
    ordered = bars.sort("symbol", "ts")
    by_day = ordered.group_by("symbol", day_of().alias("day"), maintain_order=True)
    # Books are kept by what the close was, a correction that came late included.
    closes = by_day.agg(pl.col("ts", "close").last()).with_columns(available_at="ts")
    joined = asof_join(wanted, closes, ["close"], decided_at="midnight")
    return joined["close"].fill_null(float("nan")).to_numpy()


def _sum(shape: tuple[int, int], strategy: I64, day: I64, values: npt.NDArray[np.generic]) -> F64:
    out = np.zeros(shape)
    np.add.at(out, (strategy, day), values)
    return out
