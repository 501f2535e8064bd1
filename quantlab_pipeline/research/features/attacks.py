"""What PIT-1 does to the inputs: cut or poison whatever was not known at an instant, and choose it.

Belongs here: pure changes of `FeatureInputs`. Both attacks go by `available_at`; cutting by `ts`
would miss a bar joined on its open stamp. Judging what they change is `gate`'s work.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Literal

import numpy as np
import polars as pl

from quantlab_pipeline.core.clocks import (
    MINUTE,
    MINUTE_US,
    TS,
    day_end,
    day_start,
    from_us,
    minute_grid,
    to_us,
)
from quantlab_pipeline.core.seeds import generator
from quantlab_pipeline.research.features.inputs import FeatureInputs
from quantlab_pipeline.research.features.spec import Pit1Thresholds

Attack = Literal["prefix", "poison"]
ATTACKS: tuple[Attack, ...] = ("prefix", "poison")


def around(inputs: FeatureInputs, day: date, lookback_days: int) -> FeatureInputs:
    """Rows from `lookback_days` before `day`, and a day for old facts, to the day after `day`."""
    first = day_start(day - timedelta(days=lookback_days + 1))
    last = day_end(day + timedelta(days=1))
    inside = (pl.col("ts") > first) & (pl.col("ts") <= last)
    return inputs.with_tables({t: f.filter(inside) for t, f in inputs.tables().items()})


def attacked(
    inputs: FeatureInputs,
    attack: Attack,
    tau: datetime,
    thresholds: Pit1Thresholds,
    seed: int,
    only: str | None = None,
) -> FeatureInputs:
    """`inputs` after `attack` at `tau`, on every table or on the table `only`."""
    frames = {
        table: _cut(frame, tau)
        if attack == "prefix"
        else _poison(frame, tau, thresholds, generator(seed, table, to_us(tau)))
        for table, frame in inputs.tables().items()
        if only in (None, table) and not frame.is_empty()
    }
    return inputs.with_tables(frames)


def _cut(frame: pl.DataFrame, tau: datetime) -> pl.DataFrame:
    return frame.filter(pl.col("available_at") <= tau)


def _poison(
    frame: pl.DataFrame, tau: datetime, thresholds: Pit1Thresholds, rng: np.random.Generator
) -> pl.DataFrame:
    """Known rows untouched; others changed or gone; revisions of known ones arrive later.

    The newest known row always has a revision.
    """
    known = frame.filter(pl.col("available_at") <= tau)
    later = frame.filter(pl.col("available_at") > tau)
    later = later.filter(pl.Series(rng.random(later.height) >= thresholds.deleted_share))
    chosen = rng.random(known.height) < thresholds.revised_share
    chosen[known["ts"].arg_sort()[-1:].to_numpy()] = True
    revised = known.filter(pl.Series(chosen))
    delay = pl.Series(rng.integers(1, 60, revised.height) * MINUTE_US).cast(pl.Duration("us"))
    revised = revised.with_columns((pl.lit(tau).cast(TS) + delay).alias("available_at"))
    changed = [_changed(part, thresholds.changed_log_sd, rng) for part in (later, revised)]
    return pl.concat([known, *changed])


def _changed(frame: pl.DataFrame, log_sd: float, rng: np.random.Generator) -> pl.DataFrame:
    """Every Float64 times a log-normal factor of its own: signs and positivity stay."""
    floats = [c for c, dtype in frame.schema.items() if dtype == pl.Float64]
    factors = {c: pl.Series(np.exp(rng.normal(0.0, log_sd, frame.height))) for c in floats}
    return frame.with_columns(pl.col(c) * factor for c, factor in factors.items())


def instants(inputs: FeatureInputs, days: Sequence[date], count: int, seed: int) -> list[datetime]:
    """`count` minutes of `days` to attack, sorted and seeded: one of each kind, then any minute.

    The kinds: a funding settlement, at the last minute before its raw stamp was out if it jittered;
    inside an open-interest bucket, and so inside every longer bar; the last minute of a hole in a
    table, where a value filled from behind shows. A kind that the data lacks is any minute.
    """
    rng = generator(seed, "instants")
    minutes = pl.concat([minute_grid([day]) for day in sorted(days)])
    settled = _within(inputs.funding, pl.col("available_at").dt.truncate("1m"), minutes)
    buckets = _within(inputs.open_interest, pl.col("bucket_start") + 2 * MINUTE, minutes)
    if buckets.is_empty():
        buckets = minutes.filter(minutes.dt.minute() % 5 == 2)
    kinds = [settled, buckets, _holes(inputs, minutes), *[minutes] * count][:count]
    drawn = []
    for kind in kinds:
        choice = minutes if kind.is_empty() else kind
        drawn.append(from_us(int(choice.dt.epoch("us")[int(rng.integers(choice.len()))])))
    return sorted(drawn)


def _within(frame: pl.DataFrame, instant: pl.Expr, minutes: pl.Series) -> pl.Series:
    at = frame.select(instant.alias("at"))["at"].unique().sort()
    return at.filter(at.is_in(minutes.to_list()))


def _holes(inputs: FeatureInputs, minutes: pl.Series) -> pl.Series:
    """Last missing minute of each hole of less than half a day in the tables kept by the minute."""
    ends = []
    gap = (pl.col("ts") - pl.col("ts").shift(1)).over("symbol")
    short = (gap > MINUTE) & (gap < timedelta(hours=12))
    near = pl.col("ts").is_between(minutes.min(), minutes.max())
    for frame in (inputs.bars_perp, inputs.mark_index, inputs.basis_state, inputs.tob_1m_agg):
        one_leg = frame.filter(pl.col("leg") == "perp") if "leg" in frame.columns else frame
        after = one_leg.filter(near).sort("symbol", "ts").filter(short)
        ends.append(_within(after, pl.col("ts") - MINUTE, minutes))
    return pl.concat(ends)
