"""A trade taken apart: gross, spread, slippage, fees and funding, in USD and in bps.

Belongs here: the columns of `engine.Simulation` and the arithmetic on filled legs. Not here: where
a fill comes from (`legs`), and integer money (`accounting`).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from quantlab_pipeline.core.clocks import TS
from quantlab_pipeline.core.instruments import Instrument
from quantlab_pipeline.simulation.costs import CostScale
from quantlab_pipeline.simulation.fees import FeeRates
from quantlab_pipeline.simulation.legs import Legs
from quantlab_pipeline.simulation.tape import Tape

I64 = npt.NDArray[np.int64]
F64 = npt.NDArray[np.float64]
I8 = npt.NDArray[np.int8]
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
"""Statuses whose entry order was sent, and whose result is known.

Others: truncated, too_small and unknown_liquidity were never sent; `UNKNOWN_FUNDING`.
"""

UNKNOWN_FUNDING = "unknown_funding"
"""Status of a trade that was held across a settlement which the data lacks: it has no result."""

CLOSED = ("filled", "forced")
"""Statuses with an entry and an exit."""

PARTS = ("gross", "spread", "slippage", "fee", "funding", "net", "latency")
"""A trade's result taken apart; each exists in `_usd` and `_bps`."""

MARKOUTS_S = (1, 5, 60)
"""Seconds after an entry at which its mark-out is taken."""

TRADES: dict[str, Any] = {
    **INTENTS,
    "status": pl.String,
    **dict.fromkeys(("decide_us", "leave_us", "arrive_us", "ordered_lots", "lots"), pl.Int64),
    **dict.fromkeys(("sigma_d_bps", "volume_usd"), pl.Float64),
    **dict.fromkeys(("entry_us", "exit_us", "entry_ticks", "exit_ticks"), pl.Int64),
    **dict.fromkeys(("entry_maker", "measured"), pl.Boolean),
    **dict.fromkeys(("decision_mid", "entry_mid", "leave_mid", "exit_mid"), pl.Float64),
    "notional_usd": pl.Float64,
    **dict.fromkeys((f"{part}_usd" for part in PARTS), pl.Float64),
    **dict.fromkeys((f"{part}_bps" for part in PARTS), pl.Float64),
    **dict.fromkeys((f"markout_{seconds}s_bps" for seconds in MARKOUTS_S), pl.Float64),
}
"""The columns of `Simulation.trades`.

`lots` are those that were filled, fewer than ordered where a passive entry was filled in part, and
those ordered where nothing was. `entry_maker`: the entry was sent to rest, and did not end as a
taker. `spread_usd` is negative where resting earned more than leaving paid.
"""


def _ticks_against(price: F64, side: I8, instrument: Instrument) -> F64:
    """`Instrument.ticks_against` for arrays; NaN stays NaN."""
    ticks = price / float(instrument.tick_size)
    nearest = np.rint(ticks)
    against = np.where(side > 0, np.ceil(ticks), np.floor(ticks))
    return np.where(np.abs(ticks - nearest) <= 1e-6, nearest, against)


def mids(tape: Tape, decide_us: I64, leave_us: I64, max_age_us: int) -> list[pl.Series]:
    """The mid at each of a trade's two decisions; where no quote is usable, the last close."""
    out = []
    for name, at_us in (("decision_mid", decide_us), ("leave_mid", leave_us)):
        mid = tape.mid_at(at_us, max_age_us)
        mid = np.where(np.isfinite(mid), mid, tape.close_at(at_us))
        out.append(pl.Series(name, mid).fill_nan(None))
    return out


def markouts(
    tape: Tape, side: I8, entry: Legs, instrument: Instrument, max_age_us: int
) -> list[pl.Series]:
    """Side x (mid some seconds after the entry - price paid), bps of the price; null off a book."""
    paid = _ticks_against(entry.price, side, instrument) * float(instrument.tick_size)
    out = []
    for seconds in MARKOUTS_S:
        later = tape.mid_at(entry.at_us + seconds * 1_000_000, max_age_us)
        known = (entry.state > 0) & entry.measured
        gain = np.where(known, 1e4 * side * (later - paid) / paid, np.nan)
        out.append(pl.Series(f"markout_{seconds}s_bps", gain).fill_nan(None))
    return out


def money(
    side: I8,
    entry: Legs,
    exit_: Legs,
    closed: B1,
    instrument: Instrument,
    rates: FeeRates,
) -> list[pl.Series]:
    """The columns of fills, in ticks and USD; money is null unless `closed`.

    Spread is what crossing it cost: below 0 where a resting order was paid it. So gross less spread
    and slippage is side x quantity x (got - paid), whichever side of the book was met. What was
    filled at rest pays the maker's rate of `rates`, everything else the taker's.
    """
    tick, quantity = float(instrument.tick_size), entry.quantity
    fee_in = np.where(entry.maker, rates.maker_bps, rates.taker_bps) * 1e-4
    fee_out = rates.taker_bps * 1e-4
    in_ticks = _ticks_against(entry.price, side, instrument)
    out_ticks = _ticks_against(exit_.price, (-side).astype(np.int8), instrument)
    paid, got = in_ticks * tick, out_ticks * tick
    columns = {
        "entry_mid": entry.mid,
        "exit_mid": exit_.mid,
        "notional_usd": quantity * entry.mid,
        "gross_usd": side * quantity * (exit_.mid - entry.mid),
        "spread_usd": quantity * side * (entry.touch - entry.mid - (exit_.touch - exit_.mid)),
        "slippage_usd": quantity * (side * (paid - entry.touch) - side * (got - exit_.touch)),
        "fee_usd": quantity * (paid * fee_in + got * fee_out),
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


def payments_met(
    tape: Tape,
    intents: pl.DataFrame,
    entry: Legs,
    exit_: Legs,
    closed: B1,
    position: F64,
    scale: CostScale,
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
    received = -position[trade] * mark * tape.rate[stamp]
    received *= np.where(received > 0.0, scale.funding_received, scale.funding_paid)
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
            "funding_usd": received,
            "trade": trade.astype(np.int64),
        }
    )


def with_totals(frame: pl.DataFrame, payments: pl.DataFrame) -> pl.DataFrame:
    """`frame` with funding, latency and net in USD, and every part in bps of the notional."""
    funding = np.zeros(frame.height)
    np.add.at(funding, payments["trade"].to_numpy(), payments["funding_usd"].to_numpy())
    closed = pl.col("status").is_in(CLOSED)
    paper = pl.col("leave_mid") - pl.col("decision_mid")
    paper = pl.col("side") * pl.col("notional_usd") / pl.col("entry_mid") * paper
    net = pl.col("gross_usd") - pl.col("spread_usd") - pl.col("slippage_usd")
    return (
        frame.with_columns(pl.Series("funding_usd", funding))
        .with_columns(pl.when(closed).then("funding_usd"))
        .with_columns(
            (net - pl.col("fee_usd") + pl.col("funding_usd")).alias("net_usd"),
            (paper - pl.col("gross_usd")).alias("latency_usd"),
        )
        .with_columns(
            (1e4 * pl.col(f"{part}_usd") / pl.col("notional_usd")).alias(f"{part}_bps")
            for part in PARTS
        )
        .select(list(TRADES))
    )


def no_trades() -> pl.DataFrame:
    """No trade at all, with the columns of `Simulation.trades`."""
    return pl.DataFrame(schema=TRADES)


def no_payments() -> pl.DataFrame:
    """No payment at all, with the columns of `Simulation.payments`."""
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
