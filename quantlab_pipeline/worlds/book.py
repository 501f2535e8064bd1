"""The top-of-book quotes of the window that the scenario sets, written on change.

The quote in force at a minute's close is the closing quote that the bars trade at.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import numpy as np
import polars as pl

from quantlab_pipeline.core.clocks import DAY_MINUTES, MINUTE_US, TS
from quantlab_pipeline.core.seeds import generator
from quantlab_pipeline.kernels.world_book import QuoteDraws, QuoteMinutes, quote_stream
from quantlab_pipeline.worlds.bars import extremes, on_grid
from quantlab_pipeline.worlds.effects import Effects
from quantlab_pipeline.worlds.paths import Leg, Paths
from quantlab_pipeline.worlds.spec import BookSpec, Scenario
from quantlab_pipeline.worlds.timing import origin_us

SIZE_LOG_SIGMA = 0.4

BOOK_COLUMNS: dict[str, Any] = {
    "symbol": pl.String,
    "leg": pl.String,
    "ts": TS,
    "bid_px": pl.Float64,
    "bid_qty": pl.Float64,
    "ask_px": pl.Float64,
    "ask_qty": pl.Float64,
}


def write_quotes(scenario: Scenario, seed: int, paths: Paths, effects: Effects) -> pl.DataFrame:
    """All quotes, sorted by symbol, leg and ts; no rows without a book in the scenario."""
    book = scenario.book
    if book is None:
        return pl.DataFrame(schema=BOOK_COLUMNS)
    legs = {"perp": paths.perp, "spot": paths.spot}
    reach = {k: extremes(paths, legs[k], seed, effects.wick) for k in book.legs}
    frames = []
    quoted = {s.symbol for s in paths.symbols} if book.symbols is None else set(book.symbols)
    for row, symbol in enumerate(paths.symbols):
        if symbol.symbol not in quoted:
            continue
        for kind in sorted(book.legs):
            low, high = reach[kind]
            minutes = _minutes(
                legs[kind], row, _window(scenario, book), low[row], high[row], paths, effects
            )
            draw = generator(seed, "book", kind, symbol.symbol)
            frame = _stream(scenario, book, minutes, draw, float(symbol.tick_size), symbol.lot_size)
            frames.append(
                frame.select(
                    pl.lit(symbol.symbol).alias("symbol"), pl.lit(kind).alias("leg"), pl.all()
                )
            )
    return pl.concat(frames)


def _window(scenario: Scenario, book: BookSpec) -> slice:
    """The window's minutes, as a slice of the world's."""
    first = (book.first_day or scenario.first_day) - scenario.first_day
    last = (book.last_day or scenario.last_day) - scenario.first_day + timedelta(days=1)
    return slice(first.days * DAY_MINUTES, min(last.days * DAY_MINUTES, scenario.duration_min))


def _minutes(
    leg: Leg,
    row: int,
    window: slice,
    low: np.ndarray,
    high: np.ndarray,
    paths: Paths,
    effects: Effects,
) -> QuoteMinutes:
    return QuoteMinutes(
        x_open=leg.x[row, :-1][window],
        x_close=leg.x[row, 1:][window],
        x_low=low[window],
        x_high=high[window],
        sigma=paths.sigma[row, window],
        is_wick=np.sign(effects.wick[row, window]).astype(np.int64),
        spread=leg.spread[row, 1:][window],
        bid_close=leg.bid[row, 1:][window],
        depth=leg.depth[row, window],
    )


def _stream(
    scenario: Scenario,
    book: BookSpec,
    minutes: QuoteMinutes,
    draw: np.random.Generator,
    tick: float,
    lot: object,
) -> pl.DataFrame:
    shape = (minutes.sigma.size, book.quotes_per_minute)
    place = draw.random(shape)
    # The window opens with a quote, so that its first seconds are not blind.
    place[0, 0] = 0.0
    draws = QuoteDraws(
        place, draw.standard_normal(shape), draw.standard_normal(shape), draw.standard_normal(shape)
    )
    at_ms, bid, bid_lots, ask, ask_lots = quote_stream(minutes, draws, SIZE_LOG_SIGMA)
    opened = origin_us(scenario) + _window(scenario, book).start * MINUTE_US
    return pl.DataFrame(
        {
            "ts": opened + 1000 * at_ms,
            "bid_px": on_grid(bid, tick),
            "bid_qty": on_grid(bid_lots, float(str(lot))),
            "ask_px": on_grid(ask, tick),
            "ask_qty": on_grid(ask_lots, float(str(lot))),
        }
    ).with_columns(pl.col("ts").cast(TS))
