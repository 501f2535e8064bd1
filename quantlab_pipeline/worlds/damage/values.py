"""Damage to values of rows that stay where they are: none, impossible, in another unit, shifted."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from quantlab_pipeline.core.clocks import MINUTE_US
from quantlab_pipeline.core.errors import SpecError
from quantlab_pipeline.worlds.damage.pick import (
    DECIMALS,
    EDGE_ROWS,
    FILED_ON,
    Outcome,
    Rows,
    a_run,
    replace,
    scaled,
    some,
    stamps_us,
)

KEYS = ("symbol", "ts", "available_at", "open_ts", FILED_ON)
OHLC = ("open", "high", "low", "close")
PRICES = (*OHLC, "mark_price", "index_price")
HOUR_MIN = 60

_VALUE = {"open_interest": "oi_base", "funding": "settled_rate"}


def missing_value(frame: pl.DataFrame, rows: Rows, item: Any, draw: np.random.Generator) -> Outcome:
    """An empty close, open interest or rate."""
    chosen = some(rows, item.n_rows, draw, item)
    column = _VALUE.get(item.dataset, "close")
    return Outcome(replace(frame, chosen, {column: None}), stamps_us(frame, chosen))


def index_gap(frame: pl.DataFrame, rows: Rows, item: Any, draw: np.random.Generator) -> Outcome:
    """A run of minutes without an index."""
    run = a_run(rows, item.length_min, draw, item)
    return Outcome(replace(frame, run, {"index_price": None}), stamps_us(frame, run))


def broken_extremes(
    frame: pl.DataFrame, rows: Rows, item: Any, draw: np.random.Generator
) -> Outcome:
    """A high one part in a thousand below the low."""
    chosen = some(rows, item.n_rows, draw, item)
    below = (0.999 * frame["low"].gather(chosen)).round(DECIMALS)
    return Outcome(replace(frame, chosen, {"high": below}), stamps_us(frame, chosen))


def negative_volume(
    frame: pl.DataFrame, rows: Rows, item: Any, draw: np.random.Generator
) -> Outcome:
    """The base volume's sign is wrong."""
    chosen = some(rows, item.n_rows, draw, item)
    return Outcome(scaled(frame, chosen, ["volume_base"], -1.0), stamps_us(frame, chosen))


def unit_error(frame: pl.DataFrame, rows: Rows, item: Any, _draw: np.random.Generator) -> Outcome:
    """Every price of the day in another unit."""
    prices = [c for c in PRICES if c in frame.columns]
    return Outcome(scaled(frame, rows, prices, item.factor), stamps_us(frame, rows))


def volume_unit(frame: pl.DataFrame, rows: Rows, item: Any, draw: np.random.Generator) -> Outcome:
    """The places are the minutes of one hour of the clock."""
    hours = (stamps_us(frame, rows) - 1) // (HOUR_MIN * MINUTE_US)
    hour = rows[hours == draw.choice(np.unique(hours))]
    return Outcome(scaled(frame, hour, ["volume_base"], item.factor), stamps_us(frame, hour))


def oi_unit(frame: pl.DataFrame, rows: Rows, item: Any, draw: np.random.Generator) -> Outcome:
    """A run of buckets in another unit; their value in USD stays."""
    run = a_run(rows, item.length_buckets, draw, item)
    return Outcome(scaled(frame, run, ["oi_base"], item.factor), stamps_us(frame, run))


def time_shift(frame: pl.DataFrame, rows: Rows, item: Any, _draw: np.random.Generator) -> Outcome:
    """Values of some minutes before under the day's own stamps."""
    source = rows - item.shift_min
    stamps = stamps_us(frame, rows)
    whole = (
        source[0] >= 0
        and frame["symbol"][int(source[0])] == item.symbol
        and bool((stamps - stamps_us(frame, source) == item.shift_min * MINUTE_US).all())
    )
    if not whole:
        raise SpecError(
            f"Damage {item.kind} on {item.day} needs {item.shift_min} whole minutes before.",
            "Name a later day, after one whose end is whole.",
            kind=item.kind,
        )
    values = [c for c in frame.columns if c not in KEYS]
    earlier = {c: frame[c].gather(source) for c in values}
    return Outcome(replace(frame, rows, earlier), stamps)


def price_outlier(frame: pl.DataFrame, rows: Rows, item: Any, draw: np.random.Generator) -> Outcome:
    """Lone bars whose high and close are off, at least ten minutes apart."""
    lone = some(rows[EDGE_ROWS:-EDGE_ROWS:EDGE_ROWS], item.n_rows, draw, item)
    damaged = scaled(frame, lone, ["high", "close"], item.factor)
    return Outcome(damaged, stamps_us(frame, lone))


def zero_volume_run(
    frame: pl.DataFrame, rows: Rows, item: Any, draw: np.random.Generator
) -> Outcome:
    """A run at the price before it, without a trade."""
    still = a_run(rows, item.length_min, draw, item)
    nothing: dict[str, Any] = dict.fromkeys(
        ("volume_base", "volume_quote", "n_trades", "taker_buy_base"), 0
    )
    damaged = replace(frame, still, {**_carried(frame, still, OHLC), **nothing})
    return Outcome(damaged, stamps_us(frame, still))


def frozen_price(frame: pl.DataFrame, rows: Rows, item: Any, draw: np.random.Generator) -> Outcome:
    """A run at the price before it, with the volumes that it had."""
    still = a_run(rows, item.length_min, draw, item)
    columns = ("mark_price",) if item.dataset == "mark_index" else OHLC
    return Outcome(replace(frame, still, _carried(frame, still, columns)), stamps_us(frame, still))


def _carried(frame: pl.DataFrame, run: Rows, columns: tuple[str, ...]) -> dict[str, Any]:
    last = "close" if "close" in columns else columns[0]
    return dict.fromkeys(columns, frame[last][int(run[0]) - 1])


def price_apart(frame: pl.DataFrame, rows: Rows, item: Any, draw: np.random.Generator) -> Outcome:
    """A run of one series above its peers."""
    run = a_run(rows, item.length_min, draw, item)
    columns = {"mark_apart": ["mark_price"], "index_apart": ["index_price"]}
    damaged = scaled(frame, run, columns.get(item.kind, list(OHLC)), item.factor)
    return Outcome(damaged, stamps_us(frame, run))


def wrong_rate(frame: pl.DataFrame, rows: Rows, item: Any, _draw: np.random.Generator) -> Outcome:
    """The largest rates of the day, larger still: a small one would hide among honest ones."""
    if item.n_rows > rows.size:
        raise SpecError(
            f"Damage {item.kind} wants {item.n_rows} of {rows.size} rows.",
            "Ask for fewer.",
            kind=item.kind,
        )
    size = np.abs(frame["settled_rate"].to_numpy()[rows])
    largest = np.sort(rows[np.argsort(-size, kind="stable")[: item.n_rows]])
    damaged = scaled(frame, largest, ["settled_rate"], item.factor)
    return Outcome(damaged, stamps_us(frame, largest))


def wrong_interval(
    frame: pl.DataFrame, rows: Rows, item: Any, draw: np.random.Generator
) -> Outcome:
    """An interval that is published and not kept."""
    chosen = some(rows, item.n_rows, draw, item)
    if (frame["interval_h"].to_numpy()[chosen] == item.interval_h).any():
        raise SpecError(
            f"Damage {item.kind} on {item.day} would say {item.interval_h} h, which is true.",
            "Name another interval_h, or a day with another interval.",
            kind=item.kind,
        )
    return Outcome(
        replace(frame, chosen, {"interval_h": item.interval_h}), stamps_us(frame, chosen)
    )
