"""The engine: intents in, trades with every cost apart out. The same one for bridge and backtest.

Belongs here: sizing, sending each order down the tape that has a price for it, and taking the
result apart into gross, spread, slippage, fees and funding. Not here: the models (`costs`, `fills`,
`latency`, `funding`), integer money (`accounting`), and which events become intents. Every intent
is a trade of its own; one-position rules are made by whoever writes the intents.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from quantlab_pipeline.core.clocks import TS
from quantlab_pipeline.core.instruments import Instrument
from quantlab_pipeline.simulation.costs import (
    AS_IS,
    CostModel,
    CostScale,
    ProfileName,
    assumed_half_spread_bps,
    impact_bps,
)
from quantlab_pipeline.simulation.fills import FillModel
from quantlab_pipeline.simulation.tape import Tape

I64 = npt.NDArray[np.int64]
F64 = npt.NDArray[np.float64]
B1 = npt.NDArray[np.bool_]

INTENTS: dict[str, Any] = {
    "strategy_id": pl.String,
    "symbol": pl.String,
    "ts": TS,
    "exit_ts": TS,
    "side": pl.Int8,
    "event_id": pl.String,
    "stress": pl.Boolean,
}
"""An intent.

Decide at `ts` to hold `side`, decide at `exit_ts` to leave; `stress` as known at `ts`.
"""

ORDERED = ("filled", "forced", "not_filled")
"""Statuses whose entry order was sent. Others: truncated, too_small, unknown_liquidity."""

CLOSED = ("filled", "forced")
"""Statuses with an entry and an exit."""


@dataclass(frozen=True, slots=True)
class RunSettings:
    """One way to run.

    Latency, cost profile, multipliers, extra delay of every decision, seconds.
    """

    latency_s: float
    profile: ProfileName
    scale: CostScale = AS_IS
    delay_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Simulation:
    """Result. `trades`: one row per intent; `payments`: one per trade and settlement met."""

    trades: pl.DataFrame
    payments: pl.DataFrame
    settings: RunSettings


@dataclass(frozen=True, slots=True)
class _Legs:
    """Fills of one side of each trade; arrays of shape [n], NaN or 0 where unfilled."""

    state: npt.NDArray[np.int8]
    at_us: I64
    mid: F64
    touch: F64
    price: F64
    measured: B1


def simulate(
    intents: pl.DataFrame,
    tapes: Iterable[Tape],
    instruments: Mapping[str, Instrument],
    costs: CostModel,
    ways: Sequence[RunSettings],
) -> list[Simulation]:
    """Trade every intent on its symbol's tape, in each of the `ways`; one result per way.

    `intents` has the columns of `INTENTS`. Symbols without a tape give no rows. Trades are sorted
    by (strategy_id, ts, symbol, event_id) and carry `status`, the fills in ticks, and in USD and
    bps of the notional at the entry's mid: gross (mid to mid), spread, slippage (beyond the touch),
    fee, funding (positive: received) and net = gross - spread - slippage - fee + funding. A trade
    without both fills has null money. Each tape is visited once.
    """
    parts: list[list[tuple[pl.DataFrame, pl.DataFrame]]] = [
        [(_no_trades(), _no_payments())] for _ in ways
    ]
    for tape in tapes:
        mine = intents.filter(pl.col("symbol") == tape.symbol).sort("strategy_id", "ts", "event_id")
        if not mine.height:
            continue
        for part, settings in zip(parts, ways, strict=True):
            part.append(_trade(tape, mine, instruments[tape.symbol], costs, settings))
    order = ("strategy_id", "ts", "symbol", "event_id")
    return [
        Simulation(
            trades=pl.concat([t for t, _ in part]).sort(order, maintain_order=True),
            payments=pl.concat([p for _, p in part]).sort(
                "strategy_id", "stamp_us", "symbol", "entry_us", "event_id"
            ),
            settings=settings,
        )
        for part, settings in zip(parts, ways, strict=True)
    ]


def _trade(
    tape: Tape,
    intents: pl.DataFrame,
    instrument: Instrument,
    costs: CostModel,
    settings: RunSettings,
) -> tuple[pl.DataFrame, pl.DataFrame]:
    delay = int(settings.delay_s * 1e6)
    latency = int(settings.latency_s * 1e6)
    decide = intents["ts"].dt.epoch("us").to_numpy() + delay
    leave = intents["exit_ts"].dt.epoch("us").to_numpy() + delay
    side = intents["side"].to_numpy().astype(np.int8)
    lots, quantity = _size(tape.close_at(decide), instrument, costs.notional_usd)
    sigma, volume = tape.liquidity_at(decide)
    profile = costs.profiles[settings.profile]
    impact = impact_bps(profile, sigma, costs.notional_usd / volume) * settings.scale.impact
    half = assumed_half_spread_bps(profile, volume)
    stressed = max(1.0, profile.stress_spread_multiplier * settings.scale.stress)
    half = half * np.where(intents["stress"].to_numpy(), stressed, 1.0)
    status = np.full(side.size, "filled", dtype=object)
    status[lots == 0] = "too_small"
    status[~np.isfinite(impact)] = "unknown_liquidity"
    status[leave + latency > tape.end_us] = "truncated"
    open_ = np.where(status == "filled", impact, np.nan)
    fill = costs.execution.fill
    spread = settings.scale.spread
    entry = _fill(tape, decide + latency, side, quantity, open_, half, fill, spread, False)
    status[(status == "filled") & (entry.state == 0)] = "not_filled"
    held = np.where(status == "filled", impact, np.nan)
    at_exit = np.maximum(leave + latency, entry.at_us)
    back = (-side).astype(np.int8)
    exit_ = _fill(tape, at_exit, back, quantity, held, half, fill, spread, True)
    status[(status == "filled") & (exit_.state == 2)] = "forced"
    # No usable price on the whole tape after an entry cannot happen: the entry's own was one.
    closed = np.isin(status, CLOSED)
    fee_rate = profile.fee_taker_bps * settings.scale.fee * 1e-4
    payments = _payments(tape, intents, entry, exit_, closed, side * quantity)
    frame = intents.with_columns(
        pl.Series("status", status.tolist(), dtype=pl.String),
        pl.Series("decide_us", decide),
        pl.Series("leave_us", leave),
        pl.Series("lots", lots),
        pl.Series("sigma_d_bps", sigma).fill_nan(None),
        pl.Series("volume_usd", volume).fill_nan(None),
        *_money(side, quantity, entry, exit_, closed, instrument, fee_rate),
    )
    return _with_totals(frame, payments), payments


def _size(price: F64, instrument: Instrument, notional_usd: float) -> tuple[I64, F64]:
    """Whole lots worth at most `notional_usd` at `price`; 0 where unknown or under the minimum."""
    lots = np.zeros(price.size, dtype=np.int64)
    unit = float(instrument.multiplier)
    for i, p in enumerate(price):
        if p > 0:
            lots[i] = instrument.lots_within(notional_usd / (p * unit))
    quantity = lots * float(instrument.lot_size * instrument.multiplier)
    too_small = quantity * np.nan_to_num(price) < float(instrument.min_notional_usd)
    lots[too_small] = 0
    return lots, np.where(too_small, 0.0, quantity)


def _fill(
    tape: Tape,
    arrive: I64,
    side: npt.NDArray[np.int8],
    quantity: F64,
    impact: F64,
    half: F64,
    model: FillModel,
    spread_scale: float,
    must: bool,
) -> _Legs:
    """Each order on the book where its hour has one, else on the bars."""
    from quantlab_pipeline.kernels import execution as kernel

    n = arrive.size
    legs = _Legs(
        np.zeros(n, np.int8),
        np.zeros(n, np.int64),
        np.full(n, np.nan),
        np.full(n, np.nan),
        np.full(n, np.nan),
        tape.has_book(arrive),
    )
    for measured in (True, False):
        at = np.flatnonzero(legs.measured == measured)
        if not at.size:
            continue
        wait_s = model.max_wait_s if measured else model.max_wait_bars * 60.0
        wait = np.full(at.size, -1 if must else int(wait_s * 1e6), dtype=np.int64)
        orders = kernel.Orders(arrive[at], side[at], quantity[at], impact[at], half[at], wait)
        if measured:
            book = kernel.Book(
                tape.quote_us, tape.bid, tape.bid_qty, tape.ask, tape.ask_qty, tape.age_us
            )
            age = int(model.max_quote_age_s * 1e6)
            limits = kernel.Limits(age, model.depth_share, model.beyond_depth_bps, spread_scale)
            fills = kernel.fill_on_quotes(book, orders, limits)
        else:
            bars = kernel.Bars(tape.open_us, tape.open, tape.traded)
            fills = kernel.fill_on_bars(bars, orders, spread_scale)
        for name in ("state", "at_us", "mid", "touch", "price"):
            getattr(legs, name)[at] = getattr(fills, name)
    return legs


def _ticks_against(price: F64, side: npt.NDArray[np.int8], instrument: Instrument) -> F64:
    """`Instrument.ticks_against` for arrays; NaN stays NaN."""
    ticks = price / float(instrument.tick_size)
    nearest = np.rint(ticks)
    against = np.where(side > 0, np.ceil(ticks), np.floor(ticks))
    return np.where(np.abs(ticks - nearest) <= 1e-6, nearest, against)


def _money(
    side: npt.NDArray[np.int8],
    quantity: F64,
    entry: _Legs,
    exit_: _Legs,
    closed: B1,
    instrument: Instrument,
    fee_rate: float,
) -> list[pl.Series]:
    tick = float(instrument.tick_size)
    in_ticks = _ticks_against(entry.price, side, instrument)
    out_ticks = _ticks_against(exit_.price, (-side).astype(np.int8), instrument)
    paid, got = in_ticks * tick, out_ticks * tick
    columns = {
        "entry_mid": entry.mid,
        "exit_mid": exit_.mid,
        "notional_usd": quantity * entry.mid,
        "gross_usd": side * quantity * (exit_.mid - entry.mid),
        "spread_usd": quantity * (abs(entry.touch - entry.mid) + abs(exit_.touch - exit_.mid)),
        "slippage_usd": quantity * (side * (paid - entry.touch) - side * (got - exit_.touch)),
        "fee_usd": quantity * (paid + got) * fee_rate,
    }
    filled_in, filled_out = entry.state > 0, exit_.state > 0
    return [
        pl.Series("entry_us", _whole(entry.at_us, filled_in), dtype=pl.Int64),
        pl.Series("exit_us", _whole(exit_.at_us, filled_out), dtype=pl.Int64),
        pl.Series("entry_ticks", _whole(in_ticks, filled_in), dtype=pl.Int64),
        pl.Series("exit_ticks", _whole(out_ticks, filled_out), dtype=pl.Int64),
        pl.Series("measured", entry.measured & exit_.measured),
        *(pl.Series(n, np.where(closed, v, np.nan)).fill_nan(None) for n, v in columns.items()),
    ]


def _whole(values: npt.NDArray[np.generic], known: B1) -> list[int | None]:
    return [int(v) if k else None for v, k in zip(values.tolist(), known.tolist(), strict=True)]


def _payments(
    tape: Tape,
    intents: pl.DataFrame,
    entry: _Legs,
    exit_: _Legs,
    closed: B1,
    position: F64,
) -> pl.DataFrame:
    """One row per closed trade and settlement with entry < stamp <= exit."""
    first = np.searchsorted(tape.stamp_us, entry.at_us, side="right")
    last = np.maximum(first, np.searchsorted(tape.stamp_us, exit_.at_us, side="right"))
    count = np.where(closed, last - first, 0)
    trade = np.repeat(np.arange(count.size), count)
    offset = np.arange(trade.size) - np.repeat(np.cumsum(count) - count, count)
    stamp = first[trade] + offset
    published = tape.mark[stamp]
    assumed = ~np.isfinite(published)
    mark = np.where(assumed, tape.close_at(tape.stamp_us[stamp]), published)
    return pl.DataFrame(
        {
            "strategy_id": intents["strategy_id"].gather(trade),
            "symbol": intents["symbol"].gather(trade),
            "event_id": intents["event_id"].gather(trade),
            "entry_us": entry.at_us[trade],
            "stamp_us": tape.stamp_us[stamp],
            "rate": tape.rate[stamp],
            "mark_price": mark,
            "mark_assumed": assumed,
            "funding_usd": -position[trade] * mark * tape.rate[stamp],
            "trade": trade.astype(np.int64),
        }
    )


def _with_totals(frame: pl.DataFrame, payments: pl.DataFrame) -> pl.DataFrame:
    funding = np.zeros(frame.height)
    np.add.at(funding, payments["trade"].to_numpy(), payments["funding_usd"].to_numpy())
    closed = pl.col("status").is_in(CLOSED)
    net = pl.col("gross_usd") - pl.col("spread_usd") - pl.col("slippage_usd")
    return (
        frame.with_columns(pl.Series("funding_usd", funding))
        .with_columns(pl.when(closed).then("funding_usd"))
        .with_columns((net - pl.col("fee_usd") + pl.col("funding_usd")).alias("net_usd"))
        .with_columns(
            (1e4 * pl.col(f"{part}_usd") / pl.col("notional_usd")).alias(f"{part}_bps")
            for part in PARTS
        )
    )


PARTS = ("gross", "spread", "slippage", "fee", "funding", "net")
"""A trade's result taken apart; each exists in `_usd` and `_bps`."""


def _no_trades() -> pl.DataFrame:
    whole = ("decide_us", "leave_us", "lots")
    fills = ("entry_us", "exit_us", "entry_ticks", "exit_ticks")
    return pl.DataFrame(
        schema={
            **INTENTS,
            "status": pl.String,
            **dict.fromkeys(whole, pl.Int64),
            **dict.fromkeys(("sigma_d_bps", "volume_usd"), pl.Float64),
            **dict.fromkeys(fills, pl.Int64),
            "measured": pl.Boolean,
            **dict.fromkeys(("entry_mid", "exit_mid", "notional_usd"), pl.Float64),
            **dict.fromkeys((f"{p}_usd" for p in PARTS), pl.Float64),
            **dict.fromkeys((f"{p}_bps" for p in PARTS), pl.Float64),
        }
    )


def _no_payments() -> pl.DataFrame:
    return pl.DataFrame(
        schema={
            "strategy_id": pl.String,
            "symbol": pl.String,
            "event_id": pl.String,
            "entry_us": pl.Int64,
            "stamp_us": pl.Int64,
            "rate": pl.Float64,
            "mark_price": pl.Float64,
            "mark_assumed": pl.Boolean,
            "funding_usd": pl.Float64,
            "trade": pl.Int64,
        }
    )
