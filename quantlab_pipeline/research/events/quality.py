"""Measure each event type over a study: how often, how distinct, how whole. Gate E-1 reads it.

Of the labels it takes keys alone, symbol and ts: no value of the future is seen here.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from quantlab_pipeline.core.clocks import day_of, minute_index
from quantlab_pipeline.core.errors import SchemaError
from quantlab_pipeline.research.events.detect import evaluable, trigger_of
from quantlab_pipeline.research.events.schema import EVENT_QUALITY
from quantlab_pipeline.research.events.spec import EventRegistry, EventType

Occurrences = dict[str, npt.NDArray[np.int64]]
"""Sorted minutes since 1970 of one type's occurrences, by symbol."""

KEY = ["symbol", "ts"]


def measure_events(
    events: pl.DataFrame,
    features: pl.DataFrame,
    label_keys: pl.DataFrame,
    registry: EventRegistry,
    n_days: int,
    symbols: Sequence[str],
    absent: Collection[str] = (),
) -> pl.DataFrame:
    """One row per type of `registry`, of schema `event_quality`.

    `events` and `features` are the study's (features: the keys and the columns that the registry's
    types read, as far as they exist), `label_keys` has symbol and ts. `absent` names the datasets
    that the market lacks. Shares are null where there is nothing to take a share of. Overlap is
    measured against the types listed before: a type is the alias of its senior. SchemaError if a
    type has events, but `features` lacks its columns.
    """
    own = events.filter(pl.col("symbol").is_in(list(symbols)))
    by_type = {t.name: own.filter(pl.col("event_type") == t.name) for t in registry.event_types}
    at = {name: occurrences(frame) for name, frame in by_type.items()}
    whole = _with_both_rows(own, features, label_keys)
    rows = []
    for i, event_type in enumerate(registry.event_types):
        found = by_type[event_type.name]
        missing = [d for d in event_type.requires if d in absent]
        rivals = [t.name for t in registry.event_types[:i]]
        rows.append(
            {
                "event_type": event_type.name,
                "n_events": found.height,
                "per_symbol_day": found.height / (n_days * len(symbols)),
                "active_days": found.select(day_of()).n_unique() if found.height else 0,
                "trigger_share": _trigger_share(event_type, features, found.height),
                "duplicate_share": _duplicate_share(at[event_type.name], event_type.cooldown_min),
                "join_share": _share(whole, event_type.name, found.height),
                **_largest_overlap(at, event_type.name, rivals, registry.overlap_window_min),
                "missing_dataset": ",".join(missing) or None,
            }
        )
    return EVENT_QUALITY.conform(pl.DataFrame(rows, schema=EVENT_QUALITY.empty().schema))


def occurrences(events: pl.DataFrame) -> Occurrences:
    """When one type occurred, symbol by symbol."""
    ordered = events.select("symbol", minute_index().alias("minute")).sort("symbol", "minute")
    parts = ordered.partition_by("symbol", maintain_order=True)
    return {part["symbol"][0]: part["minute"].to_numpy() for part in parts}


def jaccard(one: Occurrences, other: Occurrences, window_min: int) -> float:
    """Overlap of two types, 0 to 1: shared occurrences over all of them.

    An occurrence is shared if the other type has one of the same symbol at most `window_min` away;
    of the two counts of shared ones the smaller is taken. 0 where either is empty.
    """
    empty = np.empty(0, np.int64)
    shared = [0, 0]
    for symbol in one.keys() | other.keys():
        mine, theirs = one.get(symbol, empty), other.get(symbol, empty)
        shared[0] += _count_near(mine, theirs, window_min)
        shared[1] += _count_near(theirs, mine, window_min)
    total = sum(len(a) for a in one.values()) + sum(len(a) for a in other.values())
    return min(shared) / (total - min(shared)) if total else 0.0


def _count_near(mine: npt.NDArray[np.int64], theirs: npt.NDArray[np.int64], window_min: int) -> int:
    first = np.searchsorted(theirs, mine - window_min, side="left")
    after = np.searchsorted(theirs, mine + window_min, side="right")
    return int(np.count_nonzero(after > first))


def _largest_overlap(
    at: dict[str, Occurrences], name: str, rivals: list[str], window_min: int
) -> dict[str, Any]:
    if not at[name] or not rivals:
        return {"max_jaccard": None, "overlaps_with": None}
    overlaps = [jaccard(at[name], at[rival], window_min) for rival in rivals]
    top = int(np.argmax(overlaps))
    return {
        "max_jaccard": overlaps[top],
        "overlaps_with": rivals[top] if overlaps[top] > 0 else None,
    }


def _duplicate_share(at: Occurrences, cooldown_min: int) -> float | None:
    n_events = sum(len(minutes) for minutes in at.values())
    if not n_events:
        return None
    repeats = sum(int(np.count_nonzero(np.diff(m) <= cooldown_min)) for m in at.values())
    return repeats / n_events


def _with_both_rows(
    events: pl.DataFrame, features: pl.DataFrame, label_keys: pl.DataFrame
) -> pl.DataFrame:
    """The events whose symbol and ts exist among the features and among the labels."""
    return events.join(features.select(KEY), on=KEY, how="semi").join(
        label_keys.select(KEY), on=KEY, how="semi"
    )


def _share(part: pl.DataFrame, name: str, n_events: int) -> float | None:
    if not n_events:
        return None
    return part.filter(pl.col("event_type") == name).height / n_events


def _trigger_share(event_type: EventType, features: pl.DataFrame, n_events: int) -> float | None:
    """Share of the evaluable minutes that trigger; null where no minute is evaluable."""
    lacking = [f for f in event_type.required_fields if f not in features.columns]
    if lacking and n_events:
        raise SchemaError(
            f"{event_type.name} has events, but the features given lack {', '.join(lacking)}.",
            "Give the study's features with the columns of registry.fields.",
            columns=lacking,
        )
    if lacking:
        return None
    counts = features.select(
        evaluable(event_type).sum().alias("known"), trigger_of(event_type).sum().alias("true")
    )
    known, true = counts.row(0)
    return true / known if known else None
