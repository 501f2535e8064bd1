"""Top of book: quotes to grid samples, samples to minutes.

Belongs here: `snapshot_book` (the last quote at each grid second, its age, the messages between)
and `aggregate_book` (one minute of samples). Quotes are never sorted and never mended: what is not
valid is counted beside what is. The loops are `kernels.book`'s.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from datetime import date, timedelta
from typing import Any

import numpy as np
import polars as pl

from quantlab_pipeline.core.clocks import (
    DAY_MINUTES,
    MINUTE,
    MINUTE_US,
    TS,
    day_start,
    from_us,
    to_us,
)
from quantlab_pipeline.core.findings import Finding
from quantlab_pipeline.research.market_data.parsed import ParsedTable
from quantlab_pipeline.research.market_data.schema import TOB_1M_AGG, TOB_SNAPSHOTS

QUOTE_COLUMNS = ("symbol", "leg", "ts", "bid_px", "bid_qty", "ask_px", "ask_qty")
DATASET_OF_LEG = {"perp": "tob_perp", "spot": "tob_spot"}
MAX_AGE_GRIDS = 3

_BOOK_KEY = ("symbol", "leg")
_PRICES = ("bid_px", "bid_qty", "ask_px", "ask_qty")
_SECOND_US = 1_000_000


def snapshot_book(
    quotes: pl.DataFrame | Iterable[pl.DataFrame], days: Sequence[date], grid_s: int = 1
) -> ParsedTable:
    """Grid samples (schema TOB_SNAPSHOTS) of `days` from quotes with QUOTE_COLUMNS.

    `quotes` come in pieces, each book's in the order of arrival; `ts` is when a quote could be
    known. A sample is the last quote at or before the grid instant, sent on the sample's own day or
    the day before (so that a day's value does not depend on which days are sampled with it); grid
    instants before the first such quote have no row. A quote stamped exactly at midnight opens the
    new day. Quotes that go back in time are skipped and counted as `non_monotone`; crossed, locked
    and invalid messages are sampled as sent, and counted as `crossed_quotes` and so on.
    """
    pieces = [quotes] if isinstance(quotes, pl.DataFrame) else quotes
    wanted = set(days)
    samplers: dict[tuple[str, str], _Sampler] = {}
    for piece in pieces:
        dated = piece.with_columns(pl.col("ts").dt.date().alias("_day"))
        for (symbol, leg, day), part in _runs(dated):
            sampler = samplers.setdefault((symbol, leg), _Sampler(symbol, leg, wanted, grid_s))
            sampler.take(day, part)
    frames, findings = [TOB_SNAPSHOTS.empty()], []
    for key in sorted(samplers):
        samplers[key].close()
        frames += samplers[key].frames
        findings += samplers[key].findings
    return ParsedTable(TOB_SNAPSHOTS.conform(pl.concat(frames)), tuple(findings))


def _runs(piece: pl.DataFrame) -> Iterator[tuple[tuple[Any, ...], pl.DataFrame]]:
    """The pieces of one (symbol, leg, day), in order of the book and then of the day."""
    parts = piece.partition_by("symbol", "leg", "_day", as_dict=True, maintain_order=True)
    for key in sorted(parts, key=lambda k: k[2]):
        yield key, parts[key]


class _Sampler:
    """One book's stream: carries the last quote from piece to piece and from day to day."""

    def __init__(self, symbol: str, leg: str, wanted: set[date], grid_s: int) -> None:
        self.symbol, self.leg = symbol, leg
        self.frames: list[pl.DataFrame] = []
        self.findings: list[Finding] = []
        self._wanted, self._grid_s = wanted, grid_s
        self._day: date | None = None
        self._state_f = np.full(4, np.nan)
        self._state_i = np.array([-1, 0, 0], np.int64)
        self._faults = self._no_faults(0)

    def take(self, day: date, part: pl.DataFrame) -> None:
        """Sample one day's piece; a new day closes the one before it."""
        from quantlab_pipeline.kernels.book import LATE, Quotes, sample_quotes

        if self._day is None or day > self._day:
            self._open(day)
        if day != self._day:
            # Of a day that is closed already: they are late where the open day begins.
            self._faults.by_minute[LATE, 0] += part.height
            return
        columns = [part[c].cast(pl.Float64).fill_null(np.nan).to_numpy() for c in _PRICES]
        quotes = Quotes(part["ts"].dt.epoch("us").to_numpy(), *columns)
        sample_quotes(
            quotes,
            self._grid,
            self._state_f,
            self._state_i,
            self._faults,
            self._out_f,
            self._out_i,
        )

    def _open(self, day: date) -> None:
        before = self._day
        self.close()
        if before is None or day - before > timedelta(days=1):
            self._state_i[0] = -1
        self._state_i[1:] = 0
        start = to_us(day_start(day))
        self._day, self._faults = day, self._no_faults(start)
        step = self._grid_s * _SECOND_US
        self._grid = np.arange(start + step, start + 1440 * MINUTE_US + 1, step, dtype=np.int64)
        self._out_f = np.full((self._grid.size, 4), np.nan)
        self._out_i = np.zeros((self._grid.size, 2), np.int64)

    @staticmethod
    def _no_faults(from_us: int) -> Any:
        from quantlab_pipeline.kernels.book import N_COUNTS, Faults

        minutes = np.zeros((N_COUNTS, DAY_MINUTES), np.int64)
        return Faults(np.zeros(N_COUNTS, np.int64), minutes, from_us)

    def close(self) -> None:
        """Finish the open day: its rest is the last quote, older and older."""
        from quantlab_pipeline.kernels.book import finish_day

        if self._day is None:
            return
        finish_day(self._grid, self._state_f, self._state_i, self._out_f, self._out_i)
        if self._day in self._wanted:
            self.frames.append(self._frame())
            self.findings += self._count_messages(self._day)

    def _count_messages(self, day: date) -> list[Finding]:
        from quantlab_pipeline.kernels import book as kernel

        dataset = DATASET_OF_LEG[self.leg]
        checks = (
            ("non_monotone", kernel.LATE, "messages that go back in time, skipped"),
            ("crossed_quotes", kernel.CROSSED, "messages with bid > ask"),
            ("locked_quotes", kernel.LOCKED, "messages with bid = ask"),
            ("invalid_quotes", kernel.INVALID, "messages with a missing or non-positive value"),
        )
        findings = []
        for check, row, detail in checks:
            by_minute, first = self._faults.by_minute[row], int(self._faults.first_us[row])
            minutes = np.flatnonzero(by_minute).tolist()
            places = tuple(day_start(day) + MINUTE * (m + 1) for m in minutes)
            if places:
                stamp = from_us(first) if first else places[0]
                count = int(by_minute.sum())
                findings.append(
                    Finding(dataset, check, self.symbol, day, count, stamp, detail, places)
                )
        return findings

    def _frame(self) -> pl.DataFrame:
        known = self._out_i[:, 0] >= 0
        stamps = pl.Series(self._grid[known]).cast(TS)
        age_s = (self._grid[known] - self._out_i[known, 0]) / _SECOND_US
        prices = self._out_f[known]
        frame = pl.DataFrame(
            {
                "ts": stamps,
                "available_at": stamps,
                **{name: prices[:, i] for i, name in enumerate(_PRICES)},
                "quote_age_s": age_s,
                "n_updates": self._out_i[known, 1],
            }
        )
        return frame.with_columns(
            pl.lit(self.symbol).alias("symbol"),
            pl.lit(self.leg).alias("leg"),
            *(pl.col(c).fill_nan(None) for c in _PRICES),
        ).select(TOB_SNAPSHOTS.names)


def valid_sample(max_age_s: float) -> pl.Expr:
    """True for a sample whose book can be traded on: finite, positive, bid < ask, not stale.

    The same rule as `kernels.book.quote_class`.
    """
    sane = [pl.col(c).is_finite() & (pl.col(c) > 0) for c in _PRICES]
    rule = pl.all_horizontal(
        *sane, pl.col("bid_px") < pl.col("ask_px"), pl.col("quote_age_s") <= max_age_s
    )
    return rule.fill_null(value=False)


def aggregate_book(
    tob_snapshots: pl.DataFrame, max_age_s: float | None = None, grid_s: int = 1
) -> pl.DataFrame:
    """One row (schema TOB_1M_AGG) per (symbol, leg, minute) that has at least one sample.

    Means give every valid grid second one weight, which is time-weighting on the grid. Locked,
    crossed, stale (older than `max_age_s`; three grid steps where not given) and invalid seconds
    are counted apart, one count a second, and are in no mean; a second without a sample is invalid.
    Statistics of a minute without a valid second are null.
    """
    limit = MAX_AGE_GRIDS * grid_s if max_age_s is None else max_age_s
    parts = [_minutes_of(rows, limit, grid_s) for rows in _books(tob_snapshots)]
    return TOB_1M_AGG.conform(pl.concat([TOB_1M_AGG.empty(), *parts]))


def _books(snapshots: pl.DataFrame) -> list[pl.DataFrame]:
    """The samples of each (symbol, leg), in order of time; slices, where they lie so already."""
    new = pl.any_horizontal(pl.col(c).ne_missing(pl.col(c).shift()) for c in _BOOK_KEY)
    back = (pl.col("ts") < pl.col("ts").shift()) & ~new
    first, disorder = snapshots.select(
        new.arg_true().implode().alias("first"), back.any().alias("disorder")
    ).row(0)
    runs = [snapshots[a:b] for a, b in itertools.pairwise([*first, snapshots.height])]
    if disorder or len({run.row(0)[:2] for run in runs}) < len(runs):
        return _books(snapshots.sort(*TOB_SNAPSHOTS.key))
    return runs


def _minutes_of(rows: pl.DataFrame, max_age_s: float, grid_s: int) -> pl.DataFrame:
    """The minutes of one book."""
    from quantlab_pipeline.kernels import book as kernel

    prices = rows.select(pl.col(_PRICES).fill_null(np.nan))
    samples = kernel.Samples(
        rows["ts"].to_physical().to_numpy(),
        prices["bid_px"].to_numpy(),
        prices["bid_qty"].to_numpy(),
        prices["ask_px"].to_numpy(),
        prices["ask_qty"].to_numpy(),
        rows["quote_age_s"].to_numpy(),
        rows["n_updates"].to_numpy(),
    )
    closes, floats, counts = kernel.aggregate_minutes(samples, max_age_s, 60 // grid_s)
    columns = {name: floats[at] for name, at in _float_columns(kernel)}
    columns |= {name: counts[at] for name, at in _count_columns(kernel)}
    symbol, leg = rows.row(0)[:2]
    return pl.DataFrame({"ts": closes, **columns}).select(
        pl.lit(symbol).alias("symbol"),
        pl.lit(leg).alias("leg"),
        pl.col("ts").cast(TS),
        pl.col("ts").cast(TS).alias("available_at"),
        pl.col(list(columns)).fill_nan(None),
    )[TOB_1M_AGG.names]


def _float_columns(kernel: Any) -> list[tuple[str, int]]:
    return [
        ("spread_bps_mean", kernel.SPREAD_MEAN),
        ("spread_bps_median", kernel.SPREAD_MEDIAN),
        ("spread_bps_max", kernel.SPREAD_MAX),
        ("depth_usd_mean", kernel.DEPTH_MEAN),
        ("depth_usd_min", kernel.DEPTH_MIN),
        ("imbalance_mean", kernel.IMBALANCE_MEAN),
        ("imbalance_std", kernel.IMBALANCE_STD),
        ("bid_last", kernel.BID_LAST),
        ("ask_last", kernel.ASK_LAST),
        ("mid_last", kernel.MID_LAST),
        ("valid_frac", kernel.VALID_FRAC),
        ("staleness_s", kernel.STALENESS),
    ]


def _count_columns(kernel: Any) -> list[tuple[str, int]]:
    return [
        ("n_updates", kernel.UPDATES),
        ("n_locked", kernel.LOCKED),
        ("n_crossed", kernel.CROSSED),
        ("n_stale", kernel.STALE),
        ("n_invalid", kernel.INVALID),
    ]
