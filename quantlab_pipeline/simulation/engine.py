"""The engine: intents in, trades with every cost apart out. The same one for bridge and backtest.

Belongs here: sizing, sending each order down the tape that has a price for it, and taking the
result apart into gross, spread, slippage, fees and funding. Not here: the models (`costs`, `fills`,
`latency`, `funding`), integer money (`accounting`), and which events become intents. Every intent
is a trade of its own; one-position rules are made by whoever writes the intents.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from quantlab_pipeline.core.instruments import Instrument
from quantlab_pipeline.simulation.costs import (
    AS_IS,
    CostModel,
    CostScale,
    ProfileName,
    assumed_half_spread_bps,
    stressed_spread,
)
from quantlab_pipeline.simulation.degradation import Conditions, conditions
from quantlab_pipeline.simulation.fills import FillRule
from quantlab_pipeline.simulation.impact import impact_bps
from quantlab_pipeline.simulation.legs import Sent, fill_orders
from quantlab_pipeline.simulation.tape import Tape
from quantlab_pipeline.simulation.trades import (
    CLOSED,
    UNKNOWN_FUNDING,
    markouts,
    mids,
    money,
    no_payments,
    no_trades,
    payments_met,
    with_totals,
)

I64 = npt.NDArray[np.int64]
F64 = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class RunSettings:
    """One way to run.

    `delay_s` delays every decision. `entry` is the rule by which entry orders fill; exits are
    always takers. `stressed` takes every moment for a stressed one.
    """

    latency_s: float
    profile: ProfileName
    scale: CostScale = AS_IS
    delay_s: float = 0.0
    entry: FillRule = "taker"
    stressed: bool = False


@dataclass(frozen=True, slots=True)
class Simulation:
    """Result. `trades`: one row per intent; `payments`: one per trade and settlement met."""

    trades: pl.DataFrame
    payments: pl.DataFrame
    settings: RunSettings


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
    fee, funding (positive: received) and net = gross - spread - slippage - fee + funding; `latency`
    is what gross lost against the mids at the two decisions, a part of gross. A trade without both
    fills has null money, and so has one that was held across a settlement that the tape lacks: what
    it paid is not known. Each tape is visited once.
    """
    parts: list[list[tuple[pl.DataFrame, pl.DataFrame]]] = [
        [(no_trades(), no_payments())] for _ in ways
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
    stress = intents["stress"].to_numpy() | settings.stressed
    met = _conditions(stress, costs, settings)
    decide = intents["ts"].dt.epoch("us").to_numpy() + delay
    leave = intents["exit_ts"].dt.epoch("us").to_numpy() + delay
    side = intents["side"].to_numpy().astype(np.int8)
    lots, quantity = _size(tape.close_at(decide), instrument, costs.notional_usd)
    sigma, volume = tape.liquidity_at(decide)
    profile = costs.profiles[settings.profile]
    impact = impact_bps(profile.impact_y, sigma, costs.notional_usd / volume)
    impact = impact * settings.scale.impact
    half = assumed_half_spread_bps(profile, volume) * met.spread_multiple
    status = np.full(side.size, "filled", dtype=object)
    status[lots == 0] = "too_small"
    status[~np.isfinite(impact)] = "unknown_liquidity"
    status[leave + met.latency_us > tape.end_us] = "truncated"
    open_ = np.where(status == "filled", impact, np.nan)
    fill = costs.execution.fill
    spread = settings.scale.spread
    arrive, depart = decide + met.latency_us, leave + met.latency_us
    book = (fill.depth_share * met.depth_share, fill.passive.queue_multiple * met.queue_multiple)
    sent = Sent(arrive, side, quantity, open_, half, depart, *book)
    entry = fill_orders(tape, sent, instrument, fill, spread, settings.entry)
    status[(status == "filled") & (entry.state == 0)] = "not_filled"
    held = np.where(status == "filled", impact, np.nan)
    at_exit = np.maximum(depart, entry.at_us)
    back = Sent(at_exit, (-side).astype(np.int8), entry.quantity, held, half, None, *book)
    exit_ = fill_orders(tape, back, instrument, fill, spread, must=True)
    status[(status == "filled") & (exit_.state == 2)] = "forced"
    # No usable price on the whole tape after an entry cannot happen: the entry's own was one.
    unpaid = np.isin(status, CLOSED) & tape.lacks_settlement(entry.at_us, exit_.at_us)
    status[unpaid] = UNKNOWN_FUNDING
    closed = np.isin(status, CLOSED)
    rates = costs.fee_rates(settings.profile, tape.symbol).scaled(settings.scale.fee)
    payments = payments_met(
        tape, intents, entry, exit_, closed, side * entry.quantity, settings.scale
    )
    frame = intents.with_columns(
        pl.Series("status", status.tolist(), dtype=pl.String),
        pl.Series("decide_us", decide),
        pl.Series("leave_us", leave),
        pl.Series("arrive_us", arrive),
        pl.Series("ordered_lots", lots),
        pl.Series("lots", np.where(entry.state > 0, _lots(entry.quantity, instrument), lots)),
        pl.Series("sigma_d_bps", sigma).fill_nan(None),
        pl.Series("volume_usd", volume).fill_nan(None),
        pl.Series("entry_maker", (settings.entry != "taker") & (entry.maker | (entry.state == 0))),
        *money(side, entry, exit_, closed, instrument, rates),
        *mids(tape, decide, leave, int(fill.max_quote_age_s * 1e6)),
        *markouts(tape, side, entry, instrument, int(fill.max_quote_age_s * 1e6)),
    ).with_columns(pl.Series("stress", stress))
    return with_totals(frame, payments), payments


def _conditions(
    stress: npt.NDArray[np.bool_], costs: CostModel, settings: RunSettings
) -> Conditions:
    return conditions(
        stress,
        settings.latency_s,
        costs.execution.latency.stress_multiplier,
        stressed_spread(costs.profiles[settings.profile], settings.scale),
        costs.execution.degradation,
    )


def _size(price: F64, instrument: Instrument, notional_usd: float) -> tuple[I64, F64]:
    """Whole lots worth at most `notional_usd` at `price`; 0 where unknown or under the minimum.

    `Instrument.lots_within` for arrays.
    """
    known = np.where(price > 0, price, np.inf)
    within = notional_usd / (known * float(instrument.multiplier)) / float(instrument.lot_size)
    nearest = np.rint(within)
    lots = np.where(np.abs(within - nearest) <= 1e-9, nearest, np.floor(within)).astype(np.int64)
    quantity = lots * float(instrument.lot_size * instrument.multiplier)
    too_small = quantity * np.nan_to_num(price) < float(instrument.min_notional_usd)
    lots[too_small] = 0
    return lots, np.where(too_small, 0.0, quantity)


def _lots(quantity: F64, instrument: Instrument) -> I64:
    unit = float(instrument.lot_size * instrument.multiplier)
    return np.rint(quantity / unit).astype(np.int64)
