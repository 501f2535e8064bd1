"""Which instants of a day PIT-1 attacks: those at which leaks are made, and any others.

Belongs here: the choice, seeded by the day alone, so that a day's verdict does not depend on the
range that it was judged in. What is done at an instant is `attacks`' work.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import chain, zip_longest

import numpy as np
import polars as pl

from quantlab_pipeline.core.clocks import MINUTE, day_end, day_start, from_us, minute_grid
from quantlab_pipeline.core.seeds import generator
from quantlab_pipeline.research.features.inputs import FeatureInputs
from quantlab_pipeline.research.features.leaks import KINDS, Kind

SHORT_GAP = timedelta(hours=12)
"""A hole in a minute table that is longer is an outage, which no one fills by accident."""


@dataclass(frozen=True, slots=True)
class Instant:
    """An instant to attack, and why it was chosen."""

    tau: datetime
    kind: Kind


def instants(inputs: FeatureInputs, day: date, count: int, seed: int) -> list[Instant]:
    """At most `count` instants of `day` to attack, sorted; each kind in turn until they are drawn.

    The kinds: the day's first minute, and its last where `inputs` goes on after it; the last minute
    before a funding settlement was out; inside an open-interest bucket, and so inside every longer
    bar; the last minute of a hole, where a value that is filled from behind shows; any minute. Of a
    kind that the day lacks the place goes to the others. The first of all rotates with the day, so
    that a few instants a day see every kind within a week.
    """
    rng = generator(seed, "instants", day.isoformat())
    minutes = minute_grid([day])
    queues = {kind: _shuffled(at, rng) for kind, at in _offered(inputs, day, minutes).items()}
    turn = day.toordinal() % len(KINDS)
    order = [*KINDS[turn:], *KINDS[:turn]]
    rounds = zip_longest(*([Instant(tau, kind) for tau in queues[kind]] for kind in order))
    drawn: dict[datetime, Instant] = {}
    for instant in chain.from_iterable(rounds):
        if instant is not None and len(drawn) < count:
            drawn.setdefault(instant.tau, instant)
    return [drawn[tau] for tau in sorted(drawn)]


def lookback_begins(inputs: FeatureInputs, day: date, seed: int) -> list[Instant]:
    """The minutes of `day` from which on rows are held to what they declare of their past, sorted.

    Any minute; and on a day with a hole the last minute of one, where a value shows that was filled
    from further back than it says.
    """
    rng = generator(seed, "lookback", day.isoformat())
    minutes = minute_grid([day])
    offered: dict[Kind, pl.Series] = {
        "any_minute": minutes,
        "gap_end": _gap_ends(inputs, minutes),
    }
    drawn = [
        Instant(from_us(int(at.dt.epoch("us")[int(rng.integers(at.len()))])), kind)
        for kind, at in offered.items()
        if not at.is_empty()
    ]
    return sorted(drawn, key=lambda instant: instant.tau)


def _offered(inputs: FeatureInputs, day: date, minutes: pl.Series) -> Mapping[Kind, pl.Series]:
    arrived = pl.col("available_at").dt.truncate("1m")
    inside = minutes.filter(minutes.dt.minute() % 5 == 2)
    buckets = _within(inputs.open_interest, pl.col("bucket_start") + 2 * MINUTE, minutes)
    goes_on = any(
        not frame.is_empty() and frame["ts"].max() > day_end(day)  # type: ignore[operator]
        for frame in inputs.tables().values()
    )
    edges = [day_start(day) + MINUTE, *([day_end(day)] if goes_on else [])]
    return {
        "day_start": pl.Series("ts", edges, minutes.dtype),
        "settlement": _within(inputs.funding, arrived, minutes),
        "oi_bucket": inside if buckets.is_empty() else buckets,
        "gap_end": _gap_ends(inputs, minutes),
        "any_minute": minutes,
    }


def _shuffled(at: pl.Series, rng: np.random.Generator) -> Sequence[datetime]:
    microseconds = at.dt.epoch("us").to_numpy()
    return [from_us(int(us)) for us in rng.permutation(microseconds)]


def _within(frame: pl.DataFrame, instant: pl.Expr, minutes: pl.Series) -> pl.Series:
    at = frame.select(instant.alias("at"))["at"]
    first, last = minutes[0], minutes[-1]
    return at.filter((at >= first) & (at <= last)).unique().sort()


def _gap_ends(inputs: FeatureInputs, minutes: pl.Series) -> pl.Series:
    """Last missing minute of each short hole in the tables that are kept by the minute."""
    ends = []
    gap = (pl.col("ts") - pl.col("ts").shift(1)).over("symbol")
    near = pl.col("ts").is_between(minutes[0] - SHORT_GAP, minutes[-1] + MINUTE)
    for frame in (inputs.bars_perp, inputs.mark_index, inputs.basis_state, inputs.tob_1m_agg):
        one_leg = frame.filter(pl.col("leg") == "perp") if "leg" in frame.columns else frame
        after = one_leg.filter(near).sort("symbol", "ts").filter((gap > MINUTE) & (gap < SHORT_GAP))
        ends.append(_within(after, pl.col("ts") - MINUTE, minutes))
    return pl.concat(ends).unique().sort()
