"""The basis: the perpetual against its spot pair, from prices that stood at the same time.

Belongs here: which two prices belong together. Derived series of the basis are features.
"""

from __future__ import annotations

import polars as pl

from quantlab_pipeline.research.market_data.book import MAX_AGE_GRIDS, valid_sample
from quantlab_pipeline.research.market_data.schema import BASIS_STATE

_MINUTE_KEY = ("symbol", "ts")


def basis_state(
    tob_snapshots: pl.DataFrame,
    bars_perp: pl.DataFrame,
    bars_spot: pl.DataFrame,
    grid_s: int = 1,
    max_skew_s: float = 1.0,
) -> pl.DataFrame:
    """One row (schema BASIS_STATE) per (symbol, minute) with two prices that belong together.

    Each leg's price is the mid of its last valid sample in the minute; the two count as
    simultaneous if the samples lie at most `max_skew_s` apart. Where they do not, or a leg has no
    book, both prices are the bars' closes, source `close`, provided that both legs traded in that
    minute (a carried close is an older price); their skew is unknown and null. Otherwise no row.
    """
    mids = _simultaneous_mids(tob_snapshots, grid_s, max_skew_s)
    closes = _traded_closes(bars_perp, bars_spot).join(mids, on=_MINUTE_KEY, how="anti")
    both = pl.concat([mids, closes.select(mids.columns)])
    log_ratio = (pl.col("perp_mid") / pl.col("spot_mid")).log()
    return BASIS_STATE.conform(
        both.with_columns(pl.col("ts").alias("available_at"), (1e4 * log_ratio).alias("basis_bps"))
    )


def _simultaneous_mids(snapshots: pl.DataFrame, grid_s: int, max_skew_s: float) -> pl.DataFrame:
    valid = snapshots.filter(valid_sample(MAX_AGE_GRIDS * grid_s)).select(
        "symbol",
        "leg",
        pl.col("ts").alias("at"),
        ((pl.col("bid_px") + pl.col("ask_px")) / 2.0).alias("mid"),
        pl.col("ts").dt.offset_by("-1us").dt.truncate("1m").dt.offset_by("1m").alias("ts"),
    )
    last = valid.sort("symbol", "leg", "at").unique(
        ["symbol", "leg", "ts"], keep="last", maintain_order=True
    )
    perp = last.filter(pl.col("leg") == "perp").drop("leg")
    spot = last.filter(pl.col("leg") == "spot").drop("leg")
    skew = (pl.col("at") - pl.col("at_spot")).abs().dt.total_microseconds() / 1e6
    return (
        perp.join(spot, on=_MINUTE_KEY, suffix="_spot")
        .with_columns(skew.alias("skew_s"))
        .filter(pl.col("skew_s") <= max_skew_s)
        .select(
            *_MINUTE_KEY,
            pl.col("mid").alias("perp_mid"),
            pl.col("mid_spot").alias("spot_mid"),
            pl.lit("mid").alias("basis_source"),
            "skew_s",
        )
    )


def _traded_closes(bars_perp: pl.DataFrame, bars_spot: pl.DataFrame) -> pl.DataFrame:
    perp, spot = (
        bars.filter(pl.col("volume_base") > 0).select(*_MINUTE_KEY, pl.col("close").alias(name))
        for bars, name in ((bars_perp, "perp_mid"), (bars_spot, "spot_mid"))
    )
    return perp.join(spot, on=_MINUTE_KEY).with_columns(
        pl.lit("close").alias("basis_source"), pl.lit(None, pl.Float64).alias("skew_s")
    )
