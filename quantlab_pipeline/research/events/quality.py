"""Measure each event type over a study: how often, how distinct, how whole. Gate E-1 reads it.

Of the labels it takes keys alone, symbol and ts: no value of the future is seen here.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from quantlab_pipeline.core.clocks import day_of
from quantlab_pipeline.core.errors import SchemaError
from quantlab_pipeline.research.events.detect import evaluable, trigger_of
from quantlab_pipeline.research.events.overlap import (
    Occurrences,
    containment,
    echo,
    jaccard,
    n_occurrences,
    occurrences,
)
from quantlab_pipeline.research.events.schema import EVENT_QUALITY
from quantlab_pipeline.research.events.spec import EventRegistry, EventType

KEY = ["symbol", "ts"]
FEATURES, LABELS = "features", "labels"


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
    that the market lacks. Shares are null where there is nothing to take a share of. Overlap and
    echo are measured against the types listed before: a type is the alias of its senior.
    Containment is measured against the types with more events, or as many and listed before: the
    rarer is the special case. A labels row with nulls, of a horizon that has not resolved, joins.
    SchemaError if a type has events, but `features` lacks its columns.
    """
    own = events.filter(pl.col("symbol").is_in(list(symbols)))
    unjoined = _unjoined(own, features, label_keys)
    by_type = {t.name: own.filter(pl.col("event_type") == t.name) for t in registry.event_types}
    at = {name: occurrences(frame) for name, frame in by_type.items()}
    rows = []
    for event_type in registry.event_types:
        name = event_type.name
        found = by_type[name]
        missing = [d for d in event_type.requires if d in absent]
        rows.append(
            {
                "event_type": name,
                **_prevalence(found, n_days, len(symbols)),
                **_trigger_shares(event_type, features, found.height),
                "duplicate_share": _duplicate_share(at[name], event_type.cooldown_min),
                **_join(unjoined.filter(pl.col("event_type") == name), found.height),
                **_distinctness(at, name, registry),
                "missing_dataset": ",".join(missing) or None,
            }
        )
    return EVENT_QUALITY.conform(pl.DataFrame(rows, schema=EVENT_QUALITY.empty().schema))


def _prevalence(found: pl.DataFrame, n_days: int, n_symbols: int) -> dict[str, Any]:
    """How often and where one type occurred, and how strongly."""
    days = found.select(day_of().alias("day")).to_series()
    return {
        "n_events": found.height,
        "per_symbol_day": found.height / (n_days * n_symbols),
        "active_days": days.n_unique(),
        "n_symbols": found["symbol"].n_unique(),
        "first_ts": found["ts"].min(),
        "last_ts": found["ts"].max(),
        "busiest_day_share": _largest_share(days),
        "top_symbol_share": _largest_share(found["symbol"]),
        "median_severity": found["severity"].median(),
        "p95_severity": found["severity"].quantile(0.95, "linear"),
    }


def _largest_share(values: pl.Series) -> float | None:
    """Share of the most frequent value; null without values."""
    counts: int | None = values.value_counts()["count"].max()  # type: ignore[assignment]
    return counts / len(values) if counts else None


def _trigger_shares(
    event_type: EventType, features: pl.DataFrame, n_events: int
) -> dict[str, float | None]:
    """Share of minutes with every field, and of these the share that triggers.

    Null where a column is not there; the second also where no minute is evaluable.
    """
    lacking = [f for f in event_type.required_fields if f not in features.columns]
    if lacking and n_events:
        raise SchemaError(
            f"{event_type.name} has events, but the features given lack {', '.join(lacking)}.",
            "Give the study's features with the columns of registry.fields.",
            columns=lacking,
        )
    if lacking or features.is_empty():
        return {"evaluable_share": None, "trigger_share": None}
    known, true = features.select(
        evaluable(event_type).sum().alias("known"), trigger_of(event_type).sum().alias("true")
    ).row(0)
    return {
        "evaluable_share": known / features.height,
        "trigger_share": true / known if known else None,
    }


def _duplicate_share(at: Occurrences, cooldown_min: int) -> float | None:
    n_events = n_occurrences(at)
    if not n_events:
        return None
    repeats = sum(int(np.count_nonzero(np.diff(m) <= cooldown_min)) for m in at.values())
    return repeats / n_events


def _unjoined(
    events: pl.DataFrame, features: pl.DataFrame, label_keys: pl.DataFrame
) -> pl.DataFrame:
    """The events without a features row or without a labels row; a column for each says which."""
    marked = events.select("event_type", *KEY)
    for name, table in ((FEATURES, features), (LABELS, label_keys)):
        keys = table.select(KEY).unique().with_columns(pl.lit(value=True).alias(name))
        marked = marked.join(keys, on=KEY, how="left", maintain_order="left")
    return marked.filter(pl.col(FEATURES).is_null() | pl.col(LABELS).is_null())


def _join(unjoined: pl.DataFrame, n_events: int) -> dict[str, Any]:
    """What of one type does not join, and the first event that does not."""
    without = {name: unjoined[name].null_count() for name in (FEATURES, LABELS)}
    first = None
    if unjoined.height:
        row = unjoined.sort("ts", "symbol").row(0, named=True)
        gone = " and ".join(name for name in (FEATURES, LABELS) if row[name] is None)
        first = f"{row['symbol']} {row['ts']:%Y-%m-%dT%H:%M}Z: no row in {gone}"
    return {
        "join_share": 1.0 - unjoined.height / n_events if n_events else None,
        "n_without_features": without[FEATURES],
        "n_without_labels": without[LABELS],
        "first_unjoined": first,
    }


def _distinctness(
    at: Mapping[str, Occurrences], name: str, registry: EventRegistry
) -> dict[str, Any]:
    """The seniors that this type overlaps and echoes most, and the type that contains it most."""
    own, window = at[name], registry.overlap_window_min
    place = registry.names.index(name)
    seniors = registry.names[:place]
    size = {other: n_occurrences(at[other]) for other in registry.names}
    larger = [
        o for i, o in enumerate(registry.names) if (size[o], place) > (size[name], i) and o != name
    ]
    overlaps = {s: jaccard(own, at[s], window) for s in seniors}
    echoes = {s: echo(own, at[s], window, registry.echo_window_min) for s in seniors}
    contained = {o: containment(own, at[o], window) for o in larger}
    max_jaccard, overlaps_with = _largest(overlaps, own)
    max_echo, echo_of = _largest({s: e.overlap for s, e in echoes.items()}, own)
    max_containment, contained_in = _largest(contained, own)
    return {
        "max_jaccard": max_jaccard,
        "overlaps_with": overlaps_with,
        "max_echo": max_echo,
        "echo_of": echo_of,
        "echo_lag_min": echoes[echo_of].lag_min if echo_of else None,
        "max_containment": max_containment,
        "contained_in": contained_in,
    }


def _largest(shares: Mapping[str, float], own: Occurrences) -> tuple[float | None, str | None]:
    """The largest share and whose it is; nobody's where it is 0, null where none was measured."""
    if not own or not shares:
        return None, None
    top = max(shares, key=lambda name: shares[name])
    return shares[top], top if shares[top] > 0 else None
