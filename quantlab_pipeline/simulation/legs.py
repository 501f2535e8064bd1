"""One side of each trade: an order's way down the tape that has a price for it.

Belongs here: choosing the book or the bars for each order, and calling the kernel that fills it.
Not here: the rules (`fills` names them, `kernels.execution` and `kernels.passive_fills` compute
them), sizing and money.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from quantlab_pipeline.core.clocks import MINUTE_US
from quantlab_pipeline.core.instruments import Instrument
from quantlab_pipeline.simulation.fills import FillModel, FillRule
from quantlab_pipeline.simulation.tape import Tape

I64 = npt.NDArray[np.int64]
F64 = npt.NDArray[np.float64]
I8 = npt.NDArray[np.int8]
B1 = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Sent:
    """Orders at the venue's door; arrays of shape [n].

    `quantity` in base units; `impact_bps` NaN where an order is not sent at all. `depth_share` and
    `queue_multiple` are the fill model's where they are None. A passive order is cancelled at
    `until_us` at the latest.
    """

    arrive_us: I64
    side: I8
    quantity: F64
    impact_bps: F64
    half_spread_bps: F64
    until_us: I64 | None = None
    depth_share: F64 | None = None
    queue_multiple: F64 | None = None

    def at(self, rows: npt.NDArray[np.intp]) -> Sent:
        """The orders of some rows."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        some: dict[str, Any] = {n: v if v is None else v[rows] for n, v in values.items()}
        return Sent(**some)


@dataclass(frozen=True, slots=True)
class Legs:
    """Fills of one side of each trade; arrays of shape [n], NaN or 0 where unfilled.

    `quantity` is what was filled, in whole lots, `touch` the price that crossing or resting at the
    touch alone would have had, `maker` whether the order was filled at rest, `measured` whether its
    hour had a book.
    """

    state: I8
    at_us: I64
    mid: F64
    touch: F64
    price: F64
    quantity: F64
    maker: B1
    measured: B1

    def put(self, rows: npt.NDArray[np.intp], part: Legs) -> None:
        """Write `part` into some rows."""
        for field in fields(self):
            getattr(self, field.name)[rows] = getattr(part, field.name)


def fill_orders(
    tape: Tape,
    sent: Sent,
    instrument: Instrument,
    model: FillModel,
    spread_scale: float,
    rule: FillRule = "taker",
    must: bool = False,
) -> Legs:
    """Each order by `rule`, on the book where its hour has one, else on the bars.

    An order that `must` be filled is a taker and is never cancelled.
    """
    measured = tape.has_book(sent.arrive_us)
    legs = _unfilled(sent.arrive_us.size, measured)
    for on_book in (True, False):
        rows = np.flatnonzero(measured == on_book)
        if not rows.size:
            continue
        orders = sent.at(rows)
        if rule == "taker":
            part = _take(tape, orders, model, spread_scale, on_book, must)
        else:
            part = _rest(tape, orders, instrument, model, rule, on_book)
            if model.passive.then == "cross":
                _cross(part, tape, orders, model, spread_scale, on_book)
        legs.put(rows, part)
    return legs


def _unfilled(n: int, measured: B1) -> Legs:
    nan, no = np.full(n, np.nan), np.zeros(n, np.bool_)
    return Legs(
        state=np.zeros(n, np.int8),
        at_us=np.zeros(n, np.int64),
        mid=nan,
        touch=nan.copy(),
        price=nan.copy(),
        quantity=np.zeros(n),
        maker=no,
        measured=measured,
    )


def _take(
    tape: Tape, sent: Sent, model: FillModel, spread_scale: float, on_book: bool, must: bool
) -> Legs:
    from quantlab_pipeline.kernels import execution as kernel

    n = sent.arrive_us.size
    wait_s = model.max_wait_s if on_book else model.max_wait_bars * 60.0
    orders = kernel.Orders(
        sent.arrive_us,
        sent.side,
        sent.quantity,
        sent.impact_bps,
        sent.half_spread_bps,
        np.full(n, -1 if must else int(wait_s * 1e6), dtype=np.int64),
        _or_all(sent.depth_share, model.depth_share, n),
    )
    if on_book:
        limits = kernel.Limits(
            int(model.max_quote_age_s * 1e6),
            model.beyond_depth_bps,
            spread_scale,
            model.max_walk_bps,
        )
        fills = kernel.fill_on_quotes(_book(tape), orders, limits)
    else:
        bars = kernel.Bars(tape.open_us, tape.open, tape.traded)
        fills = kernel.fill_on_bars(bars, orders, spread_scale)
    filled = np.where(fills.state > 0, sent.quantity, 0.0)
    never = np.zeros(n, np.bool_)
    return Legs(*fills, quantity=filled, maker=never, measured=np.full(n, on_book))


def _rest(
    tape: Tape,
    sent: Sent,
    instrument: Instrument,
    model: FillModel,
    rule: FillRule,
    on_book: bool,
) -> Legs:
    from quantlab_pipeline.kernels import passive_fills as kernel

    n = sent.arrive_us.size
    orders = kernel.Resting(
        sent.arrive_us,
        _until_us(sent, model, on_book),
        sent.side,
        np.where(sent.impact_bps >= 0.0, sent.quantity, np.nan),
        np.full(n, np.nan),
        _or_all(sent.queue_multiple, model.passive.queue_multiple, n),
        _or_all(sent.depth_share, model.depth_share, n),
        sent.half_spread_bps,
    )
    number = {"touch": kernel.TOUCH, "queue": kernel.QUEUE, "penetration": kernel.PENETRATION}[rule]
    if on_book:
        age = int(model.max_quote_age_s * 1e6)
        out = kernel.rest_on_quotes(_book(tape), orders, number, age, model.passive.traded_share)
    else:
        bars = kernel.Candles(
            tape.open_us, tape.close_us, tape.open, tape.low, tape.high, tape.traded
        )
        out = kernel.rest_on_bars(bars, orders, number, float(instrument.tick_size))
    lot = float(instrument.lot_size * instrument.multiplier)
    whole = np.where(
        out.filled >= sent.quantity, sent.quantity, np.floor(out.filled / lot + 1e-9) * lot
    )
    got = whole > 0.0
    price = np.where(got, out.price, np.nan)
    return Legs(
        state=np.where(got, out.state, 0).astype(np.int8),
        at_us=np.where(got, out.at_us, 0),
        mid=np.where(got, out.mid, np.nan),
        touch=price,
        price=price.copy(),
        quantity=np.where(got, whole, 0.0),
        maker=got,
        measured=np.full(n, on_book),
    )


def _cross(
    legs: Legs, tape: Tape, sent: Sent, model: FillModel, spread_scale: float, on_book: bool
) -> None:
    """Let the orders that got nothing take when their wait has ended."""
    rows = np.flatnonzero(legs.state == 0)
    late = replace(sent.at(rows), arrive_us=_until_us(sent, model, on_book)[rows])
    legs.put(rows, _take(tape, late, model, spread_scale, on_book, must=False))


def _until_us(sent: Sent, model: FillModel, on_book: bool) -> I64:
    wait = int(model.passive.max_wait_s * 1e6) if on_book else model.max_wait_bars * MINUTE_US
    until = sent.arrive_us + wait
    return until if sent.until_us is None else np.minimum(until, sent.until_us)


def _or_all(values: F64 | None, otherwise: float, n: int) -> F64:
    return np.full(n, otherwise) if values is None else np.ascontiguousarray(values, np.float64)


def _book(tape: Tape) -> Any:
    from quantlab_pipeline.kernels.execution import Book

    return Book(tape.quote_us, tape.bid, tape.bid_qty, tape.ask, tape.ask_qty, tape.age_us)
