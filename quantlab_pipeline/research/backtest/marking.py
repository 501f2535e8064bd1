"""A simulation's P&L by period: open positions marked at each period's last close.

Belongs here: laying trades, fees and payments on days or on shorter bars. Not here: what a series
is worth (`simulation.metrics`), and which trades there are. Sums are taken trade by trade in the
trades' order, so that the same trades give the same bits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
import numpy.typing as npt
import polars as pl

from quantlab_pipeline.core.clocks import DAY_US, TS
from quantlab_pipeline.core.instruments import Instrument
from quantlab_pipeline.core.point_in_time import asof_join
from quantlab_pipeline.simulation.engine import Simulation
from quantlab_pipeline.simulation.trades import CLOSED

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]
EPOCH = date(1970, 1, 1)


@dataclass(frozen=True, slots=True)
class Periods:
    """`count` periods of `length_us` (a divisor of a day) from the begin of the day `first` on."""

    first: date
    count: int
    length_us: int

    @property
    def offset(self) -> int:
        """Number of the first period, counted from 1970."""
        return (self.first - EPOCH).days * (DAY_US // self.length_us)

    def holding(self, at_us: npt.NDArray[np.generic]) -> I64:
        """The period that owns each instant: a period holds its end, not its begin."""
        return (at_us.astype(np.int64) - 1) // self.length_us - self.offset


@dataclass(frozen=True, slots=True)
class PnL:
    """By strategy and period, shape [ids, periods]: USD, and positions opened and closed."""

    net: F64
    fees: F64
    funding: F64
    turnover: F64
    entries: F64
    exits: F64


def pnl_by_period(
    run: Simulation,
    ids: Sequence[str],
    periods: Periods,
    bars: pl.DataFrame,
    instruments: Mapping[str, Instrument],
) -> PnL:
    """P&L of the closed trades of the strategies `ids` in each of `periods`.

    A period without a position earned 0. All trades lie within the periods.
    """
    shape = (len(ids), periods.count)
    place = {strategy_id: i for i, strategy_id in enumerate(ids)}
    trades = run.trades.filter(pl.col("status").is_in(CLOSED))
    owner = np.array([place[s] for s in trades["strategy_id"]], dtype=np.int64)
    payee = np.array([place[s] for s in run.payments["strategy_id"]], dtype=np.int64)
    entry = periods.holding(trades["entry_us"].to_numpy())
    exit_ = periods.holding(trades["exit_us"].to_numpy())
    paid_in = periods.holding(run.payments["stamp_us"].to_numpy())
    paid, got, quantity = _fills(trades, instruments)
    fee_in = trades["fee_usd"].to_numpy() * paid / np.maximum(paid + got, 1e-300)
    fee_out = trades["fee_usd"].to_numpy() - fee_in
    row, period, move = _held(trades, entry, exit_, paid, got, periods, bars)
    ones = np.ones(trades.height)
    funding = _sum(shape, payee, paid_in, run.payments["funding_usd"].to_numpy())
    fees = _sum(shape, owner, entry, fee_in) + _sum(shape, owner, exit_, fee_out)
    turnover = _sum(shape, owner, entry, quantity * paid)
    turnover += _sum(shape, owner, exit_, quantity * got)
    signed = trades["side"].to_numpy() * quantity
    return PnL(
        net=_sum(shape, owner[row], period, signed[row] * move) - fees + funding,
        fees=fees,
        funding=funding,
        turnover=turnover,
        entries=_sum(shape, owner, entry, ones),
        exits=_sum(shape, owner, exit_, ones),
    )


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


def _held(
    trades: pl.DataFrame,
    entry: I64,
    exit_: I64,
    paid: F64,
    got: F64,
    periods: Periods,
    bars: pl.DataFrame,
) -> tuple[I64, I64, F64]:
    """(trade, period, price move) of each period in which each trade was held."""
    count = exit_ - entry + 1
    row = np.repeat(np.arange(trades.height), count)
    period = entry[row] + np.arange(row.size) - np.repeat(np.cumsum(count) - count, count)
    marks = _marks(trades["symbol"].gather(row), period, periods, bars)
    before = np.roll(marks, 1)
    start = np.where(period == entry[row], paid[row], before)
    end = np.where(period == exit_[row], got[row], marks)
    return row, period, end - start


def _marks(symbols: pl.Series, period: I64, periods: Periods, bars: pl.DataFrame) -> F64:
    """Last close at or before each period's end."""
    ends = (period + periods.offset + 1) * periods.length_us
    wanted = pl.DataFrame({"symbol": symbols, "end": pl.Series(ends).cast(TS)})
    ordered = bars.sort("symbol", "ts")
    number = ((pl.col("ts").dt.epoch("us") - 1) // periods.length_us).alias("period")
    by_period = ordered.group_by("symbol", number, maintain_order=True)
    # Books are kept by what the close was, a correction that came late included.
    closes = by_period.agg(pl.col("ts", "close").last()).with_columns(available_at="ts")
    joined = asof_join(wanted, closes, ["close"], decided_at="end")
    return joined["close"].fill_null(float("nan")).to_numpy()


def _sum(
    shape: tuple[int, int], strategy: I64, period: I64, values: npt.NDArray[np.generic]
) -> F64:
    out = np.zeros(shape)
    np.add.at(out, (strategy, period), values)
    return out
