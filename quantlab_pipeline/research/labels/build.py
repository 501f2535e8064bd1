"""Make `labels_fwd`: what a long, entered one delay after each minute, earned and went through.

The only verb that looks forward. It knows prices and label specs, neither features nor events. The
arithmetic of one symbol's path is in `paths`.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import NamedTuple

import numpy as np
import polars as pl

from quantlab_pipeline.core.clocks import (
    DAY_MINUTES,
    MINUTE,
    MINUTE_US,
    TS,
    day_start,
    to_us,
)
from quantlab_pipeline.research.labels.paths import (
    BoolArray,
    FloatArray,
    path_extremes,
    path_labels,
    settled_returns,
)
from quantlab_pipeline.research.labels.schema import LABELS_FWD
from quantlab_pipeline.research.labels.spec import LabelSpecs
from quantlab_pipeline.simulation.prices import minute_matrix, reference_minutes


class _Span(NamedTuple):
    """The minutes of a run: M from `first` on, of which `made` [M] are rows, and some ahead."""

    first: datetime
    made: BoolArray
    n_minutes: int


class _Minutes(NamedTuple):
    """One symbol's minutes [T]: prices (NaN where none), whose a price is, and its last bars."""

    symbol: str
    prices: FloatArray
    is_mid: BoolArray
    marks: FloatArray
    last_bars: list[int]


def build_labels(
    bars_perp: pl.DataFrame,
    tob_1m_agg: pl.DataFrame,
    specs: LabelSpecs,
    days: Sequence[date],
    symbols: Sequence[str],
    *,
    mark_index: pl.DataFrame | None = None,
    ends: pl.DataFrame | None = None,
) -> pl.DataFrame:
    """One row per symbol and minute of those of `days` on which it has a price: `labels_fwd`.

    A minute in a gap has its row, so that whatever happens at it finds its labels, null or not.
    The price is the mid of the perpetual book's last valid quote of the minute, else the bar's
    close (`price_source` close: assumed, of a market without a book). All frames hold `days` and
    the two days after (less at the sample's end, where the horizons that did not resolve are null);
    of what lies between two minutes nothing is read. A label is null if its entry or exit has no
    price within the spec's tolerance, or if too much of its path is missing; after a delisting no
    exit has a price. `ends` (symbol, ended_at) are the last bars of symbols that ended for good:
    there `fwd_ret_H_exec` goes to the final price. The extremes of `mark_index` are null without
    it. `available_at` is the end of the longest horizon. Units: log returns. A row's values do not
    depend on what other days are in the run. SchemaError for two prices at one minute.
    """
    if not days:
        return LABELS_FWD.empty()
    span = _span(days, specs)
    of_symbol = _minutes(bars_perp, tob_1m_agg, mark_index, ends, sorted(set(symbols)), span)
    parts = [_rows(minutes, specs, span) for minutes in of_symbol]
    return LABELS_FWD.conform(pl.concat([LABELS_FWD.empty(), *parts]))


def _span(days: Sequence[date], specs: LabelSpecs) -> _Span:
    first, wanted = min(days), set(days)
    n_days = (max(days) - first).days + 1
    made = np.repeat([first + timedelta(days=i) in wanted for i in range(n_days)], DAY_MINUTES)
    # Whether the last exit lies in a short gap is known when the gap is over.
    ahead = specs.entry_delay_min + specs.longest_min
    ahead += max(specs.max_entry_gap_min, specs.max_exit_gap_min)
    return _Span(day_start(first) + MINUTE, made, len(made) + ahead)


def _minutes(
    bars_perp: pl.DataFrame,
    tob_1m_agg: pl.DataFrame,
    mark_index: pl.DataFrame | None,
    ends: pl.DataFrame | None,
    symbols: list[str],
    span: _Span,
) -> list[_Minutes]:
    """The minutes of every symbol of `symbols`."""
    first, n = span.first, span.n_minutes
    seen = reference_minutes(bars_perp, tob_1m_agg, symbols, first, n)
    if mark_index is None:
        marks = np.full(seen.prices.shape, np.nan)
    else:
        marks = minute_matrix(mark_index, "mark_price", symbols, first, n)
    last_bars = _last_bars(ends, span)
    return [
        _Minutes(symbol, seen.prices[i], seen.is_mid[i], marks[i], last_bars.get(symbol, []))
        for i, symbol in enumerate(symbols)
    ]


def _last_bars(ends: pl.DataFrame | None, span: _Span) -> dict[str, list[int]]:
    """By symbol, the minutes of its last bars, counted from the first; also outside the run."""
    found: dict[str, list[int]] = {}
    if ends is not None:
        for symbol, ended_at in ends.select("symbol", "ended_at").iter_rows():
            found.setdefault(symbol, []).append((ended_at - span.first) // MINUTE)
    return found


def _rows(minutes: _Minutes, specs: LabelSpecs, span: _Span) -> pl.DataFrame:
    """One symbol's part of the table."""
    n = len(span.made)
    traded = (~np.isnan(minutes.prices[:n])).reshape(-1, DAY_MINUTES).any(axis=1)
    kept = span.made & np.repeat(traded, DAY_MINUTES)
    if not kept.any():
        return LABELS_FWD.empty()
    known_after_us = (specs.entry_delay_min + specs.longest_min) * MINUTE_US
    at_us = to_us(span.first) + MINUTE_US * np.arange(n)
    head = [
        pl.repeat(minutes.symbol, n, eager=True).alias("symbol"),
        pl.Series("ts", at_us).cast(TS),
        pl.Series("available_at", at_us + known_after_us).cast(TS),
        _price_source(minutes, specs.entry_delay_min, n),
    ]
    frame = pl.DataFrame([*head, *_labels(minutes, specs, n)])
    return (frame if kept.all() else frame.filter(pl.Series(kept))).select(LABELS_FWD.names)


def _price_source(minutes: _Minutes, delay: int, n: int) -> pl.Series:
    """Whose price the entry's is; where the entry has none, the decision's; null without either."""
    priced = ~np.isnan(minutes.prices)
    entry_has_one = priced[delay : n + delay]
    is_mid = np.where(entry_has_one, minutes.is_mid[delay : n + delay], minutes.is_mid[:n])
    named = (
        pl.when(pl.Series(~(entry_has_one | priced[:n])))
        .then(None)
        .when(pl.Series(is_mid))
        .then(pl.lit("mid"))
        .otherwise(pl.lit("close"))
    )
    return pl.select(named.alias("price_source")).to_series()


def _labels(minutes: _Minutes, specs: LabelSpecs, n: int) -> list[pl.Series]:
    """Every label column of the first `n` minutes; NaN is null."""
    paths = path_labels(minutes.prices, specs, n)
    returns = paths[:, 0]
    settled = settled_returns(minutes.prices, returns, minutes.last_bars, specs)
    marks = path_extremes(minutes.marks, specs, n)
    by_label = (returns, settled, paths[:, 1], paths[:, 2], marks[:, 0], marks[:, 1])
    return [
        pl.Series(label.name.format(H=horizon.name), values, nan_to_null=True)
        for k, horizon in enumerate(specs.horizons)
        for label, values in zip(specs.labels, (of_label[k] for of_label in by_label), strict=True)
    ]
