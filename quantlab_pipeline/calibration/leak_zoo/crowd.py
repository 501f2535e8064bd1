"""Leaks across symbols: a universe, a leader, a market factor that knew who would do what."""

from __future__ import annotations

import numpy as np
import polars as pl

from quantlab_pipeline.calibration.leak_zoo.pair import (
    Floats,
    Pair,
    by_day,
    closes,
    day_before,
    from_days,
    known,
    of_yesterday,
    share_of,
)
from quantlab_pipeline.core.clocks import DAY_MINUTES, MINUTE
from quantlab_pipeline.research.features.inputs import FeatureInputs

CLOSE = pl.col("close")


def _returns(inputs: FeatureInputs, grid: pl.DataFrame) -> Floats:
    """Last minute's return [symbol, day, minute]; 0 where it is not known."""
    returns = closes(inputs, grid).select(
        (CLOSE / CLOSE.shift(1)).log().over("symbol").fill_null(0.0)
    )
    return by_day(returns.to_series(), grid)


def universe_by_final_volume(inputs: FeatureInputs, grid: pl.DataFrame) -> pl.Series:
    """A symbol's weight in the universe, by its volume over the whole sample."""
    bars = inputs.bars_perp.sort("symbol", "ts", "available_at")
    totals = bars.group_by("symbol").agg(pl.col("volume_quote").sum())
    weights = totals.with_columns(pl.col("volume_quote") / pl.col("volume_quote").sum())
    return grid.join(weights, on="symbol", how="left", maintain_order="left")["volume_quote"]


def universe_by_yesterdays_volume(inputs: FeatureInputs, grid: pl.DataFrame) -> pl.Series:
    """A symbol's weight in the universe, by its volume on the day before."""
    days = by_day(known(inputs.bars_perp, grid, "volume_quote")["volume_quote"], grid)
    totals = np.where(np.isnan(days), 0.0, days).sum(axis=-1)
    return of_yesterday(share_of(totals, totals.sum(axis=0)), grid)


def rank_among_survivors(inputs: FeatureInputs, grid: pl.DataFrame) -> pl.Series:
    """A symbol's rank by price among those that still trade at the end of the sample.

    The others went with `dropna(axis=1)`.
    """
    last = inputs.bars_perp.group_by("symbol").agg(pl.col("ts").max())
    alive = last.filter(pl.col("ts") > pl.col("ts").max().dt.offset_by("-30m"))["symbol"]
    rows = closes(inputs, grid)
    rank = CLOSE.rank().over("ts") / CLOSE.count().over("ts")
    kept = rows.filter(pl.col("symbol").is_in(alive.to_list())).select("symbol", "ts", rank)
    return grid.join(kept, on=["symbol", "ts"], how="left", maintain_order="left")["close"]


def rank_among_the_trading(inputs: FeatureInputs, grid: pl.DataFrame) -> pl.Series:
    """A symbol's rank by price among those that trade at the row."""
    rows = closes(inputs, grid)
    return rows.select(CLOSE.rank().over("ts") / CLOSE.count().over("ts")).to_series()


def leaders_next_bar(inputs: FeatureInputs, grid: pl.DataFrame) -> pl.Series:
    """What the first symbol does next, beside every other: its bars were joined on `open_ts`."""
    leader = inputs.bars_perp.filter(pl.col("symbol") == grid["symbol"].min())
    rows = leader.sort("available_at").unique("ts", keep="first", maintain_order=True)
    opened = rows.sort("ts").select(pl.col("ts") - MINUTE, move=(CLOSE / CLOSE.shift(1)).log())
    return grid.join(opened, on="ts", how="left", maintain_order="left")["move"]


def leaders_last_bar(inputs: FeatureInputs, grid: pl.DataFrame) -> pl.Series:
    """What the first symbol did in the last minute, beside every other."""
    returns = _returns(inputs, grid)
    return from_days(np.broadcast_to(returns[:1], returns.shape), grid)


def _market(returns: Floats) -> Floats:
    """Loadings [..., symbol] of the first component of returns [symbol, ..., minute]."""
    moved = np.moveaxis(returns, 0, -1)
    squares = (moved[..., :, None] * moved[..., None, :]).sum(axis=-3)
    first = np.linalg.eigh(squares)[1][..., -1]
    loadings: Floats = first * np.sign(first.sum(axis=-1, keepdims=True))
    return loadings


def market_component_of_all(inputs: FeatureInputs, grid: pl.DataFrame) -> pl.Series:
    """The market factor: a PCA of all symbols' returns, fitted on the whole sample."""
    returns = _returns(inputs, grid)
    loadings = _market(returns.reshape(returns.shape[0], -1))
    factor = (returns * loadings[:, None, None]).sum(axis=0)
    return from_days(np.broadcast_to(factor, returns.shape), grid)


def market_component_of_yesterday(inputs: FeatureInputs, grid: pl.DataFrame) -> pl.Series:
    """The market factor: a PCA of all symbols' returns, fitted on the day before."""
    returns = _returns(inputs, grid)
    loadings = day_before(_market(returns).T)
    factor = (returns * loadings[..., None]).sum(axis=0)
    return from_days(np.broadcast_to(factor, returns.shape), grid)


def beta_of_all(inputs: FeatureInputs, grid: pl.DataFrame) -> pl.Series:
    """A symbol's beta to the market's mean return, over the whole sample."""
    returns = _returns(inputs, grid)
    market = np.broadcast_to(returns.mean(axis=0), returns.shape)
    beta = (returns * market).sum(axis=(1, 2)) / (market * market).sum(axis=(1, 2))
    return from_days(np.broadcast_to(beta[:, None, None], returns.shape), grid)


def beta_of_yesterday(inputs: FeatureInputs, grid: pl.DataFrame) -> pl.Series:
    """A symbol's beta to the market's mean return, over the day before."""
    returns = _returns(inputs, grid)
    market = np.broadcast_to(returns.mean(axis=0), returns.shape)
    beta = share_of((returns * market).sum(axis=-1), (market * market).sum(axis=-1))
    return of_yesterday(beta, grid)


PRICE = ("bars_1m_perp.close",)
TRADED = ("bars_1m_perp.volume_quote",)
YESTERDAY = 2 * DAY_MINUTES - 1

PAIRS = (
    Pair(universe_by_final_volume, universe_by_yesterdays_volume, TRADED, YESTERDAY),
    Pair(rank_among_survivors, rank_among_the_trading, PRICE, 0, through="bars_1m_perp"),
    Pair(leaders_next_bar, leaders_last_bar, PRICE, 1),
    Pair(market_component_of_all, market_component_of_yesterday, PRICE, YESTERDAY + 1),
    Pair(beta_of_all, beta_of_yesterday, PRICE, YESTERDAY + 1),
)
"""Every leak of this room."""
