"""One side of each trade: an order's way down the tape that has a price for it.

Belongs here: choosing the book or the bars for each order, and calling the kernel that fills it.
Not here: the rules (`fills` names them, `kernels.execution` computes them), sizing and money.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from quantlab_pipeline.simulation.fills import FillModel
from quantlab_pipeline.simulation.tape import Tape

I64 = npt.NDArray[np.int64]
F64 = npt.NDArray[np.float64]
I8 = npt.NDArray[np.int8]
B1 = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Legs:
    """Fills of one side of each trade; arrays of shape [n], NaN or 0 where unfilled."""

    state: I8
    at_us: I64
    mid: F64
    touch: F64
    price: F64
    measured: B1


def fill_orders(
    tape: Tape,
    arrive: I64,
    side: I8,
    quantity: F64,
    impact: F64,
    half: F64,
    model: FillModel,
    spread_scale: float,
    must: bool,
) -> Legs:
    """Each order on the book where its hour has one, else on the bars."""
    from quantlab_pipeline.kernels import execution as kernel

    n = arrive.size
    legs = Legs(
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
