"""A symbol's market as the venue meets it: tables in, whole numbers out.

Belongs here: rounding prices to ticks, sizes to lots, marks and settlements to cash units, and
refusing what cannot be reckoned exactly. Not here: what trades (`kernels.venue`).

Prices on the tick grid (within 1e-6 of a tick) are exact. Off it a quote is widened to its ticks,
never narrowed, and a bar's prices go to the nearest. A price that is null, NaN, infinite or not
positive is unknown, and nothing trades on it.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal, localcontext
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import polars as pl

from quantlab_pipeline.core.errors import QuantlabError
from quantlab_pipeline.core.instruments import Instrument
from quantlab_pipeline.core.records import CASH_UNIT

if TYPE_CHECKING:
    from quantlab_pipeline.kernels.venue_words import Tape

I64 = npt.NDArray[np.int64]
F64 = npt.NDArray[np.float64]

NEVER = 1 << 62
_UNIT = Decimal(str(CASH_UNIT))
_GRID = 1e-6
SETTLEMENTS = {"stamp_us": pl.Int64, "rate": pl.Float64, "mark_price": pl.Float64}


class MarketError(QuantlabError):
    """A market that the venue cannot reckon with: too fine a lot, no order of time, a gap."""


@dataclass(frozen=True, slots=True)
class Market:
    """One symbol's tape in whole numbers, and the settlements that it was made from.

    `unit`: cash units of one lot at one tick. The extremes bound what an order can be worth.
    """

    instrument: Instrument
    unit: int
    tape: Tape
    settlements: pl.DataFrame
    highest_ticks: int
    highest_mark_units: int


def units_per_lot_tick(instrument: Instrument) -> int:
    """Cash units of one lot at one tick. Raises MarketError where that is no whole number."""
    units = instrument.tick_size * instrument.lot_size * instrument.multiplier / _UNIT
    if units != units.to_integral_value():
        raise MarketError(
            f"One lot of {instrument.symbol} at one tick is {units} cash units, no whole number.",
            "Use an instrument whose tick x lot is a multiple of 1e-8 USD.",
            symbol=instrument.symbol,
        )
    return int(units)


def bar_market(
    instrument: Instrument,
    bars: pl.DataFrame,
    marks: pl.DataFrame | None = None,
    settlements: pl.DataFrame | None = None,
    concession_bps: F64 | None = None,
) -> Market:
    """Tier T0, or with `concession_bps` T1.

    `bars`: open_ts, ts (close), open, high, low, close, and perhaps volume_base: where that is not
    above 0 nothing traded, and there is only the close. `concession_bps` [bars] is what a taker
    pays beyond the price in each bar (half-spread, slippage), as known at its open; it is rounded
    up to whole ticks of the open. `marks`: ts, mark_price. `settlements`: as
    `funding.settlements` gives them, each with rate and mark.
    """
    names = ("open", "high", "low", "close")
    ticks = {n: _nearest(_floats(bars, n), instrument) for n in names}
    if "volume_base" in bars.columns:
        idle = ~(_floats(bars, "volume_base") > 0)
        for name in ("open", "high", "low"):
            ticks[name][idle] = 0
    away = np.zeros(bars.height, dtype=np.int64)
    if concession_bps is not None:
        if concession_bps.shape != away.shape or not np.all(concession_bps >= 0):
            raise MarketError(
                "A bar has no concession, or a negative one.",
                "Give one number of bps, 0 or more, for each bar.",
            )
        away = _up(ticks["open"] * concession_bps * 1e-4)
    opens, closes = _instants(bars, "open_ts"), _instants(bars, "ts")
    if np.any(closes <= opens) or np.any(opens[1:] < closes[:-1]):
        raise MarketError("Bars overlap or go back in time.", "Sort them, one row per bar.")
    table = np.column_stack([opens, closes, *(ticks[n] for n in names), away])
    highest = int((np.maximum(ticks["open"], ticks["high"]) + away).max(initial=0))
    return _market(instrument, np.zeros((0, 6), np.int64), table, highest, marks, settlements)


def quote_market(
    instrument: Instrument,
    quotes: pl.DataFrame,
    marks: pl.DataFrame | None = None,
    settlements: pl.DataFrame | None = None,
) -> Market:
    """Tier BRIDGE: `quotes` has ts, bid_px, bid_qty, ask_px, ask_qty, quote_age_s, sorted by ts.

    Sizes are cut to whole lots. A quote of unknown age counts as a day old. Else as `bar_market`.
    """
    lot = float(instrument.lot_size * instrument.multiplier)
    bid, ask = (_floats(quotes, n) / float(instrument.tick_size) for n in ("bid_px", "ask_px"))
    sizes = [_known(np.floor(_floats(quotes, n) / lot + _GRID)) for n in ("bid_qty", "ask_qty")]
    age = quotes["quote_age_s"].fill_null(86_400.0).to_numpy()
    columns = [_instants(quotes, "ts"), _known(np.floor(bid + _GRID)), sizes[0]]
    columns += [_up(ask), sizes[1], np.rint(age * 1e6).astype(np.int64)]
    table = np.column_stack(columns)
    if np.any(np.diff(table[:, 0]) < 0):
        raise MarketError("Quotes go back in time.", "Sort them by ts.")
    highest = int(table[:, 3].max(initial=0))
    return _market(instrument, table, np.zeros((0, 7), np.int64), highest, marks, settlements)


def _market(
    instrument: Instrument,
    quotes: I64,
    bars: I64,
    highest: int,
    marks: pl.DataFrame | None,
    settlements: pl.DataFrame | None,
) -> Market:
    from quantlab_pipeline.kernels.venue_words import Tape

    met = pl.DataFrame(schema=SETTLEMENTS) if settlements is None else settlements
    met = met.select(list(SETTLEMENTS))
    marked = _marks(instrument, marks)
    return Market(
        instrument=instrument,
        unit=units_per_lot_tick(instrument),
        tape=Tape(quotes, bars, marked, _settled(instrument, met)),
        settlements=met,
        highest_ticks=highest,
        highest_mark_units=int(marked[:, 1].max(initial=0)),
    )


def _marks(instrument: Instrument, marks: pl.DataFrame | None) -> I64:
    if marks is None:
        return np.zeros((0, 2), dtype=np.int64)
    per_lot = float(instrument.lot_size * instrument.multiplier / _UNIT)
    table = np.column_stack(
        [_instants(marks, "ts"), _known(np.rint(_floats(marks, "mark_price") * per_lot))]
    )
    if np.any(np.diff(table[:, 0]) < 0):
        raise MarketError("Marks go back in time.", "Sort them by ts.")
    return table


def _settled(instrument: Instrument, settlements: pl.DataFrame) -> I64:
    """What one lot pays at each settlement, exact to 1e-18 of a unit."""
    lot, rows = instrument.lot_size * instrument.multiplier / _UNIT, []
    for stamp, rate, mark in settlements.iter_rows():
        if rate is None or mark is None or not np.isfinite(rate * mark):
            raise MarketError(
                f"The settlement at {stamp} has no rate or no mark.",
                "Fill the gap from the venue's own record; nothing is assumed.",
                stamp_us=stamp,
            )
        with localcontext() as context:
            context.prec = 80
            pays = (lot * Decimal(repr(mark)) * Decimal(repr(rate))).scaleb(18)
            whole, rest = divmod(int(pays.to_integral_value(rounding=ROUND_HALF_EVEN)), 10**18)
        rows.append((stamp, whole, *divmod(rest, 10**9)))
    table = np.array(rows, dtype=np.int64).reshape(len(rows), 4)
    if np.any(np.diff(table[:, 0]) < 0):
        raise MarketError("Settlements go back in time.", "Sort them by stamp_us.")
    return table


def _floats(frame: pl.DataFrame, column: str) -> F64:
    return frame[column].cast(pl.Float64).fill_null(float("nan")).to_numpy()


def _instants(frame: pl.DataFrame, column: str) -> I64:
    return frame[column].dt.epoch("us").to_numpy()


def _known(values: F64) -> I64:
    """Whole numbers; what is not finite and positive is 0."""
    good = np.isfinite(values) & (values > 0) & (values < 2.0**62)
    return np.where(good, values, 0.0).astype(np.int64)


def _nearest(price: F64, instrument: Instrument) -> I64:
    return _known(np.rint(price / float(instrument.tick_size)))


def _up(ticks: F64) -> I64:
    return _known(np.ceil(ticks - _GRID))
