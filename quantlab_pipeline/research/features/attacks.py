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
    """Known rows untouched; others changed or gone; revisions of known ones arrive later."""
    known = frame.filter(pl.col("available_at") <= tau)
    later = frame.filter(pl.col("available_at") > tau)
    later = later.filter(pl.Series(rng.random(later.height) >= thresholds.deleted_share))
    revised = known.filter(pl.Series(rng.random(known.height) < thresholds.revised_share))
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
    """`count` minutes of `days` to attack, sorted: the first two kinds always, then any minute.

    One at a funding settlement, at the last minute before its raw stamp was out if it jittered; one
    inside an open-interest bucket, which is also inside every longer bar. Seeded.
    """
    rng = generator(seed, "instants")
    minutes = pl.concat([minute_grid([day]) for day in sorted(days)])
    settled = _within(inputs.funding, pl.col("available_at").dt.truncate("1m"), minutes)
    buckets = _within(inputs.open_interest, pl.col("bucket_start") + 2 * MINUTE, minutes)
    if buckets.is_empty():
        buckets = minutes.filter(minutes.dt.minute() % 5 == 2)
    kinds = [settled if not settled.is_empty() else minutes, buckets]
    kinds += [minutes] * (count - len(kinds))
    drawn = [from_us(int(kind.dt.epoch("us")[int(rng.integers(kind.len()))])) for kind in kinds]
    return sorted(drawn)


def _within(frame: pl.DataFrame, instant: pl.Expr, minutes: pl.Series) -> pl.Series:
    at = frame.select(instant.alias("at"))["at"].unique().sort()
    return at.filter(at.is_in(minutes.to_list()))
