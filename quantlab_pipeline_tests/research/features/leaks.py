"""A zoo of leaks, each written as one would by accident, and the honest twin of each.

Every entry is a custom column: (inputs, keys of the grid) -> one value a row.
"""

from __future__ import annotations

from datetime import timedelta

import polars as pl

from quantlab_pipeline.core.point_in_time import asof_join
from quantlab_pipeline.research.features.build import CustomVerb
from quantlab_pipeline.research.features.inputs import FeatureInputs

BARS = "bars_1m_perp"


def _known_bars(inputs: FeatureInputs, grid: pl.DataFrame) -> pl.DataFrame:
    bars = inputs.bars_perp
    return asof_join(grid, bars, ["close", "volume_base"], timedelta(0))


def _by_symbol(expression: pl.Expr, frame: pl.DataFrame) -> pl.Series:
    return frame.select(expression.over("symbol")).to_series()


def shift_minus_one(inputs: FeatureInputs, grid: pl.DataFrame) -> pl.Series:
    """The next minute's return."""
    close = pl.col("close")
    return _by_symbol((close.shift(-1) / close).log(), _known_bars(inputs, grid))


def honest_shift(inputs: FeatureInputs, grid: pl.DataFrame) -> pl.Series:
    """The last minute's return."""
    close = pl.col("close")
    return _by_symbol((close / close.shift(1)).log(), _known_bars(inputs, grid))


def centred_window(inputs: FeatureInputs, grid: pl.DataFrame) -> pl.Series:
    """A maximum over a window with its middle at t."""
    return _by_symbol(
        pl.col("close").rolling_max(15, min_samples=1, center=True), _known_bars(inputs, grid)
    )


def honest_window(inputs: FeatureInputs, grid: pl.DataFrame) -> pl.Series:
    """The same window, ending at t."""
    return _by_symbol(pl.col("close").rolling_max(15, min_samples=1), _known_bars(inputs, grid))


def full_sample_z(inputs: FeatureInputs, grid: pl.DataFrame) -> pl.Series:
    """A z-score by the mean and deviation of everything loaded."""
    close = pl.col("close")
    return _by_symbol((close - close.mean()) / close.std(), _known_bars(inputs, grid))


def full_sample_rank(inputs: FeatureInputs, grid: pl.DataFrame) -> pl.Series:
    """A percentile among everything loaded."""
    volume = pl.col("volume_base")
    return _by_symbol(volume.rank() / volume.count(), _known_bars(inputs, grid))


def back_fill(inputs: FeatureInputs, grid: pl.DataFrame) -> pl.Series:
    """Missing bars filled from the next one."""
    return _by_symbol(pl.col("close").backward_fill(), _known_bars(inputs, grid))


def honest_fill(inputs: FeatureInputs, grid: pl.DataFrame) -> pl.Series:
    """Missing bars filled from the last one, for a few minutes."""
    return _by_symbol(pl.col("close").forward_fill(limit=5), _known_bars(inputs, grid))


def _hours(inputs: FeatureInputs) -> pl.DataFrame:
    opened = pl.col("open_ts").dt.truncate("1h").alias("opened")
    hours = inputs.bars_perp.group_by("symbol", opened).agg(pl.col("close").last())
    closed = pl.col("opened") + timedelta(hours=1)
    return hours.with_columns(closed.alias("ts"), closed.alias("available_at"))


def hour_on_open_stamp(inputs: FeatureInputs, grid: pl.DataFrame) -> pl.Series:
    """The hourly bar joined on the stamp of its opening."""
    hours = _hours(inputs).with_columns(ts="opened", available_at="opened")
    return asof_join(grid, hours, ["close"])["close"]


def honest_hour(inputs: FeatureInputs, grid: pl.DataFrame) -> pl.Series:
    """The last complete hourly bar."""
    full = inputs.bars_perp.filter(pl.col("ts").dt.minute() == 0)
    return asof_join(grid, full, ["close"], timedelta(minutes=59))["close"]


def next_funding(inputs: FeatureInputs, grid: pl.DataFrame) -> pl.Series:
    """The rate of the settlement to come."""
    facts = inputs.funding.select("symbol", "settled_rate", at="ts").sort("at")
    joined = grid.with_row_index("row").sort("ts").join_asof(
        facts, left_on="ts", right_on="at", by="symbol", strategy="forward",
        check_sortedness=False,
    )  # fmt: skip
    return joined.sort("row")["settled_rate"]


def snapped_funding(inputs: FeatureInputs, grid: pl.DataFrame) -> pl.Series:
    """The settled rate from its snapped stamp on, some milliseconds before it was out."""
    early = inputs.funding.with_columns(available_at="ts")
    return asof_join(grid, early, ["settled_rate"], timedelta(hours=9))["settled_rate"]


def honest_funding(inputs: FeatureInputs, grid: pl.DataFrame) -> pl.Series:
    """The settled rate from its raw stamp on."""
    return asof_join(grid, inputs.funding, ["settled_rate"], timedelta(hours=9))["settled_rate"]


def oi_on_bucket_start(inputs: FeatureInputs, grid: pl.DataFrame) -> pl.Series:
    """Open interest joined on the venue's stamp, the start of its bucket."""
    early = inputs.open_interest.with_columns(ts="bucket_start", available_at="bucket_start")
    return asof_join(grid, early, ["oi_base"])["oi_base"]


def honest_oi(inputs: FeatureInputs, grid: pl.DataFrame) -> pl.Series:
    """Open interest from its publication on."""
    return asof_join(grid, inputs.open_interest, ["oi_base"], timedelta(minutes=7))["oi_base"]


def length_epsilon(inputs: FeatureInputs, grid: pl.DataFrame) -> pl.Series:
    """A value that moves in its last bits with the number of rows loaded."""
    tiny = 1e-12 * (inputs.bars_perp.height % 1000 + 1)
    return _known_bars(inputs, grid)["close"] * (1.0 + tiny)


def regime_edges_on_all(inputs: FeatureInputs, grid: pl.DataFrame) -> pl.Series:
    """A regime whose edges are quantiles of everything loaded."""
    volume = pl.col("volume_base")
    low, high = volume.quantile(1 / 3), volume.quantile(2 / 3)
    regime = pl.when(volume < low).then(0.0).when(volume < high).then(1.0).otherwise(2.0)
    return _by_symbol(regime, _known_bars(inputs, grid))


def honest_regime(inputs: FeatureInputs, grid: pl.DataFrame) -> pl.Series:
    """A regime whose edges are declared."""
    return (_known_bars(inputs, grid)["volume_base"] > 50.0).cast(pl.Float64)


def revised_row(inputs: FeatureInputs, grid: pl.DataFrame) -> pl.Series:
    """The latest revision of each bar, whenever it came."""
    newest = inputs.bars_perp.sort("available_at").unique(
        ["symbol", "ts"], keep="last", maintain_order=True
    )
    return grid.join(newest, on=["symbol", "ts"], how="left", maintain_order="left")["close"]


def honest_revision(inputs: FeatureInputs, grid: pl.DataFrame) -> pl.Series:
    """Each bar as it was known at its close."""
    return _known_bars(inputs, grid)["close"]


def future_label(inputs: FeatureInputs, grid: pl.DataFrame) -> pl.Series:
    """The hour's forward return, kept as a feature."""
    close = pl.col("close")
    return _by_symbol((close.shift(-60) / close).log(), _known_bars(inputs, grid))


def final_volume(inputs: FeatureInputs, grid: pl.DataFrame) -> pl.Series:
    """Whether the symbol is the most traded of all that was loaded."""
    totals = inputs.bars_perp.group_by("symbol").agg(total=pl.col("volume_base").sum())
    joined = grid.join(totals, on="symbol", how="left", maintain_order="left")
    return joined["total"] / (totals["total"].sum() or 1.0)


def interpolated(inputs: FeatureInputs, grid: pl.DataFrame) -> pl.Series:
    """Open interest drawn as straight lines between its buckets."""
    facts = inputs.open_interest.select("symbol", "oi_base", ts="available_at")
    facts = facts.unique(["symbol", "ts"], keep="first", maintain_order=True)
    level = grid.join(facts, on=["symbol", "ts"], how="left", maintain_order="left")
    return _by_symbol(pl.col("oi_base").interpolate(), level)


LEAKS: dict[str, tuple[CustomVerb, str]] = {
    "shift_minus_one": (shift_minus_one, BARS),
    "centred_window": (centred_window, BARS),
    "full_sample_z": (full_sample_z, BARS),
    "full_sample_rank": (full_sample_rank, BARS),
    "back_fill": (back_fill, BARS),
    "hour_on_open_stamp": (hour_on_open_stamp, BARS),
    "next_funding": (next_funding, "funding"),
    "snapped_funding": (snapped_funding, "funding"),
    "oi_on_bucket_start": (oi_on_bucket_start, "open_interest"),
    "length_epsilon": (length_epsilon, BARS),
    "regime_edges_on_all": (regime_edges_on_all, BARS),
    "revised_row": (revised_row, BARS),
    "future_label": (future_label, BARS),
    "final_volume": (final_volume, BARS),
    "interpolated": (interpolated, "open_interest"),
}
"""Each leak, and the table through which it sees."""

TWINS: dict[str, tuple[CustomVerb, str]] = {
    "honest_shift": (honest_shift, BARS),
    "honest_window": (honest_window, BARS),
    "honest_fill": (honest_fill, BARS),
    "honest_hour": (honest_hour, BARS),
    "honest_funding": (honest_funding, "funding"),
    "honest_oi": (honest_oi, "open_interest"),
    "honest_regime": (honest_regime, BARS),
    "honest_revision": (honest_revision, BARS),
}
"""The honest way to the same ends."""
