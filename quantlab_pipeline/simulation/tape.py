"""A symbol's tape: quotes, bars, settlements and trailing liquidity as arrays on one clock.

Belongs here: turning tables into the arrays that fills and funding read, and what is known of them
at a decision. Not here: any model. A tape is read one symbol at a time, so that a year of
one-second quotes of many symbols never stands in memory at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from quantlab_pipeline.core.clocks import MINUTE_US
from quantlab_pipeline.simulation.funding import FUNDING_READ, settlements, unsettled
from quantlab_pipeline.simulation.liquidity import trailing_liquidity

I64 = npt.NDArray[np.int64]
F64 = npt.NDArray[np.float64]
B1 = npt.NDArray[np.bool_]
HOUR_US = 60 * MINUTE_US


@dataclass(frozen=True, slots=True)
class MarketTables:
    """The tables that a simulation reads; quotes, funding and mark may be absent (None) or empty.

    `quotes` is `tob_snapshots` (its perp leg is used); it may be lazy and is collected per symbol.
    """

    bars: pl.DataFrame
    quotes: pl.DataFrame | pl.LazyFrame | None = None
    funding: pl.DataFrame | None = None
    mark_index: pl.DataFrame | None = None

    def until(self, end: datetime) -> MarketTables:
        """The tables without anything later than `end`: what a window's last instant could see."""

        def cut(frame: Any) -> Any:
            has_rows = isinstance(frame, pl.LazyFrame) or (frame is not None and frame.height)
            return frame.filter(pl.col("ts") <= end) if has_rows else None

        return MarketTables(
            self.bars.filter(pl.col("ts") <= end),
            cut(self.quotes),
            cut(self.funding),
            cut(self.mark_index),
        )


@dataclass(frozen=True, slots=True)
class Tape:
    """One symbol. Quotes may be empty; instants are microseconds; unknown values are NaN.

    `known_us`, `sigma_d_bps` and `volume_usd` are trailing liquidity by the instant from which it
    was known; `stamp_us`, `rate` and `mark` the settlements, `unsettled_us` those that the
    intervals call for and of which there is no rate: who is held across one pays an unknown sum.
    """

    symbol: str
    quote_us: I64
    bid: F64
    bid_qty: F64
    ask: F64
    ask_qty: F64
    age_us: I64
    open_us: I64
    close_us: I64
    open: F64
    low: F64
    high: F64
    close: F64
    traded: B1
    known_us: I64
    sigma_d_bps: F64
    volume_usd: F64
    stamp_us: I64
    rate: F64
    mark: F64
    unsettled_us: I64 = field(default_factory=lambda: np.zeros(0, dtype=np.int64))

    @property
    def end_us(self) -> int:
        """Close of the last bar: nothing is known to trade after it."""
        return int(self.close_us[-1]) if self.close_us.size else 0

    def has_book(self, at_us: I64) -> B1:
        """Whether the clock hour of each instant has a quote with both prices."""
        hours, back = np.unique(at_us // HOUR_US, return_inverse=True)
        first = np.searchsorted(self.quote_us, hours * HOUR_US, side="left")
        last = np.searchsorted(self.quote_us, (hours + 1) * HOUR_US, side="left")
        quoted = np.flatnonzero(first < last)
        found = np.zeros(hours.size, dtype=np.bool_)
        found[quoted] = np.isfinite(self.bid[first[quoted]] + self.ask[first[quoted]])
        # The first quote of an hour nearly always has both prices: few hours are read further.
        for i in quoted[~found[quoted]]:
            whole = slice(first[i], last[i])
            found[i] = np.isfinite(self.bid[whole] + self.ask[whole]).any()
        return found[back]

    def close_at(self, at_us: I64) -> F64:
        """Last close at or before each instant (NaN before the first bar)."""
        return _as_of(self.close_us, self.close, at_us)

    def mid_at(self, at_us: I64, max_age_us: int) -> F64:
        """Mid of the quote standing at each instant; NaN where it is unusable or older."""
        if not self.quote_us.size:
            return np.full(at_us.size, np.nan)
        i = np.searchsorted(self.quote_us, at_us, side="right") - 1
        k = np.maximum(i, 0)
        age = self.age_us[k] + at_us - self.quote_us[k]
        bid, ask = self.bid[k], self.ask[k]
        good = (bid > 0) & (bid < ask) & (self.bid_qty[k] > 0) & (self.ask_qty[k] > 0)
        return np.where((i >= 0) & good & (age <= max_age_us), 0.5 * (bid + ask), np.nan)

    def lacks_settlement(self, entry_us: I64, exit_us: I64) -> B1:
        """Whether a missing settlement lies in entry < stamp <= exit of each position."""
        first = np.searchsorted(self.unsettled_us, entry_us, side="right")
        return np.searchsorted(self.unsettled_us, exit_us, side="right") > first

    def liquidity_at(self, at_us: I64) -> tuple[F64, F64]:
        """(sigma_d_bps, volume_usd) as known at each instant."""
        return (
            _as_of(self.known_us, self.sigma_d_bps, at_us),
            _as_of(self.known_us, self.volume_usd, at_us),
        )

    def without(self, dropped_minutes: I64) -> Tape:
        """The tape with the quotes and bars of some minutes (since 1970, rising) lost."""
        quotes = ~np.isin((self.quote_us - 1) // MINUTE_US, dropped_minutes)
        bars = ~np.isin(self.open_us // MINUTE_US, dropped_minutes)
        return replace(
            self,
            **{n: getattr(self, n)[quotes] for n in _QUOTE_FIELDS},
            **{n: getattr(self, n)[bars] for n in _BAR_FIELDS},
        )


_QUOTE_FIELDS = ("quote_us", "bid", "bid_qty", "ask", "ask_qty", "age_us")
_BAR_FIELDS = ("open_us", "close_us", "open", "low", "high", "close", "traded")


def tapes(tables: MarketTables, symbols: Sequence[str]) -> Iterator[Tape]:
    """The tapes of `symbols` that have bars, in the order given, made one at a time."""
    for symbol in symbols:
        bars = tables.bars.filter(pl.col("symbol") == symbol).sort("ts")
        if bars.height:
            yield _tape(symbol, bars, tables)


def _tape(symbol: str, bars: pl.DataFrame, tables: MarketTables) -> Tape:
    liquid = trailing_liquidity(bars).sort("available_at", "ts")
    quotes = _quotes(symbol, tables.quotes)
    funding = _funding(symbol, tables)
    paid = _settlements(symbol, funding, tables)
    opened, closed = _us(bars, "open_ts"), _us(bars, "ts")
    return Tape(
        symbol=symbol,
        quote_us=_us(quotes, "ts"),
        bid=_floats(quotes, "bid_px"),
        bid_qty=_floats(quotes, "bid_qty"),
        ask=_floats(quotes, "ask_px"),
        ask_qty=_floats(quotes, "ask_qty"),
        age_us=_age_us(quotes),
        open_us=opened,
        close_us=closed,
        open=_floats(bars, "open"),
        low=_floats(bars, "low"),
        high=_floats(bars, "high"),
        close=_floats(bars, "close"),
        traded=(bars["volume_base"] > 0).fill_null(False).to_numpy(),
        known_us=_us(liquid, "available_at"),
        sigma_d_bps=_floats(liquid, "sigma_d_bps"),
        volume_usd=_floats(liquid, "volume_usd"),
        stamp_us=paid["stamp_us"].to_numpy(),
        rate=_floats(paid, "rate"),
        mark=_floats(paid, "mark_price"),
        unsettled_us=unsettled(funding, int(opened[0]), int(closed[-1])),
    )


def _quotes(symbol: str, quotes: pl.DataFrame | pl.LazyFrame | None) -> pl.DataFrame:
    if isinstance(quotes, pl.DataFrame) and not quotes.height:
        quotes = None
    columns = ["ts", "bid_px", "bid_qty", "ask_px", "ask_qty", "quote_age_s"]
    if quotes is None:
        return pl.DataFrame(
            schema={"ts": pl.Datetime("us", "UTC"), **dict.fromkeys(columns[1:], pl.Float64)}
        )
    mine = (pl.col("symbol") == symbol) & (pl.col("leg") == "perp")
    return quotes.lazy().filter(mine).select(columns).sort("ts").collect()


def _funding(symbol: str, tables: MarketTables) -> pl.DataFrame:
    if tables.funding is None or not tables.funding.height:
        return pl.DataFrame(schema=FUNDING_READ)
    return tables.funding.filter(pl.col("symbol") == symbol).select(list(FUNDING_READ))


def _settlements(symbol: str, funding: pl.DataFrame, tables: MarketTables) -> pl.DataFrame:
    marks = tables.mark_index
    if marks is not None:
        marks = marks.filter(pl.col("symbol") == symbol) if marks.height else None
    return settlements(funding, marks)


def _us(frame: pl.DataFrame, column: str) -> I64:
    return frame[column].dt.epoch("us").to_numpy()


def _floats(frame: pl.DataFrame, column: str) -> F64:
    return np.ascontiguousarray(frame[column].fill_null(float("nan")).to_numpy(), np.float64)


def _age_us(quotes: pl.DataFrame) -> I64:
    # A quote of unknown age counts as a day old, which no limit admits.
    age = quotes["quote_age_s"].fill_null(86_400.0)
    return np.rint(age.to_numpy() * 1e6).astype(np.int64)


def _as_of(known_us: I64, values: F64, at_us: I64) -> F64:
    if not known_us.size:
        return np.full(at_us.size, np.nan)
    index = np.searchsorted(known_us, at_us, side="right") - 1
    return np.where(index >= 0, values[np.maximum(index, 0)], np.nan)
