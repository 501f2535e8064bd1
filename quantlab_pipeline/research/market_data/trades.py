"""Minute bars made from trades: what a bar must add up to, and bars where a source has trades only.

Belongs here: `minute_bars` alone. Which trades a source's file holds is the source's matter; what
is no bar is `bars`'s. The loop is `kernels.trade_bars`'s.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from quantlab_pipeline.core.clocks import MINUTE_US, TS
from quantlab_pipeline.research.market_data.bars import RAW_BARS

TRADE_COLUMNS: dict[str, Any] = {
    "ts": TS,
    "price": pl.Float64,
    "qty": pl.Float64,
    "n_trades": pl.Int64,
    "is_buyer_maker": pl.Boolean,
}
"""What a source gives, in the order of its file. `n_trades` is 1 but for trades in aggregate."""

_FRESH = 1024


def minute_bars(trades: pl.DataFrame | Iterable[pl.DataFrame]) -> pl.DataFrame:
    """One row (columns RAW_BARS) per minute with a trade, sorted, from rows of TRADE_COLUMNS.

    `trades` come in pieces of one symbol, in the order of the file; how they are cut changes no
    bit, for sums run in that order. A trade on the minute's boundary opens the new minute. Open and
    close are the first and the last of the file, also where stamps go back. A minute without a
    trade has no row. `taker_buy_base` is null where `is_buyer_maker` is null for any trade of the
    minute. A price or quantity that is missing, infinite or not positive makes all of its minute's
    prices and amounts null, so that `build_bars` sets the minute aside and counts it: what is no
    trade (a futures stream's insurance entries of price 0) must not be handed over.
    """
    pieces = [trades] if isinstance(trades, pl.DataFrame) else trades
    tape = _Tape()
    for piece in pieces:
        if piece.height:
            tape.take(piece)
    return tape.bars()


class _Tape:
    """Bars so far: carries the sums from piece to piece."""

    def __init__(self) -> None:
        from quantlab_pipeline.kernels.trade_bars import N_COUNTS, N_FLOATS

        self._bar_of: dict[int, int] = {}
        self._floats = np.zeros((0, N_FLOATS))
        self._counts = np.zeros((0, N_COUNTS), np.int64)

    def take(self, piece: pl.DataFrame) -> None:
        from quantlab_pipeline.kernels.trade_bars import Trades, add_trades

        minutes = piece["ts"].dt.epoch("us").to_numpy() // MINUTE_US
        columns = piece.select(
            pl.col("price", "qty").cast(pl.Float64).fill_null(np.nan),
            pl.col("is_buyer_maker").cast(pl.Float64).fill_null(np.nan),
        )
        trades = Trades(
            self._bars_of(minutes),
            columns["price"].to_numpy(),
            columns["qty"].to_numpy(),
            piece["n_trades"].cast(pl.Int64).to_numpy(),
            columns["is_buyer_maker"].to_numpy(),
        )
        add_trades(trades, self._floats, self._counts)

    def _bars_of(self, minutes: NDArray[np.int64]) -> NDArray[np.int64]:
        """The row of each trade's bar; minutes not seen before are given the next rows."""
        starts = np.concatenate([[0], np.flatnonzero(np.diff(minutes)) + 1])
        runs = minutes[starts]
        for minute in runs.tolist():
            self._bar_of.setdefault(minute, len(self._bar_of))
        self._make_room(len(self._bar_of))
        bars = np.array([self._bar_of[m] for m in runs.tolist()], np.int64)
        return np.repeat(bars, np.diff([*starts, minutes.size]))

    def _make_room(self, rows: int) -> None:
        held = self._counts.shape[0]
        if rows > held:
            more = max(rows - held, held, _FRESH)
            self._floats = np.pad(self._floats, ((0, more), (0, 0)))
            self._counts = np.pad(self._counts, ((0, more), (0, 0)))

    def bars(self) -> pl.DataFrame:
        from quantlab_pipeline.kernels import trade_bars as kernel

        minutes = np.fromiter(self._bar_of.keys(), np.int64, len(self._bar_of))
        floats, counts = self._floats[: minutes.size], self._counts[: minutes.size]
        floats[counts[:, kernel.UNUSABLE] > 0] = np.nan
        frame = pl.DataFrame(
            {
                "open_ts": pl.Series(minutes * MINUTE_US).cast(TS),
                **{name: floats[:, at] for name, at in _columns(kernel)},
                "n_trades": counts[:, kernel.TRADES],
            }
        )
        filled = frame.with_columns(pl.col(n).fill_nan(None) for n, _ in _columns(kernel))
        return filled.select(list(RAW_BARS)).sort("open_ts")


def _columns(kernel: Any) -> list[tuple[str, int]]:
    return [
        ("open", kernel.OPEN),
        ("high", kernel.HIGH),
        ("low", kernel.LOW),
        ("close", kernel.CLOSE),
        ("volume_base", kernel.BASE),
        ("volume_quote", kernel.QUOTE),
        ("taker_buy_base", kernel.TAKER_BUY),
    ]
