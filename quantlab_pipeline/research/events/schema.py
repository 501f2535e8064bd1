"""The columns of `events` and `event_quality`."""

from __future__ import annotations

import polars as pl

from quantlab_pipeline.core.clocks import TS
from quantlab_pipeline.core.columns import (
    AVAILABLE_AT,
    SYMBOL,
    TS_COLUMN,
    Column,
    TableSchema,
    count,
    figure,
    text,
)

UNKNOWN = "unknown"
REGIMES = ("low", "mid", "high", UNKNOWN)


def _share(name: str, meaning: str) -> Column:
    """A share of 1; null where there is nothing to take a share of."""
    return figure(name, "1", meaning, ge=0, le=1)


EVENTS = TableSchema(
    "events",
    (
        SYMBOL,
        TS_COLUMN,
        AVAILABLE_AT,
        text("event_id", "Deterministic id of this occurrence."),
        text("event_type", "Name in the event registry."),
        Column("version", pl.Int64, "", "Version of the type in the registry.", ge=1),
        Column("severity", pl.Float64, "1", "How far past its trigger; larger is stronger."),
        Column("n_triggers_1d", pl.Int64, "rows", "Triggering minutes in the day up to t0.", ge=1),
        Column("vol_regime", pl.String, "", "Volatility regime at t0.", isin=REGIMES),
        Column("liq_regime", pl.String, "", "Liquidity regime at t0.", isin=REGIMES),
    ),
    key=("symbol", "event_type", "ts"),
)

EVENT_QUALITY = TableSchema(
    "event_quality",
    (
        text("event_type", "Name in the event registry."),
        count("n_events", "rows", "Events in the study."),
        Column("per_symbol_day", pl.Float64, "1/day", "Events per symbol and day.", ge=0),
        count("active_days", "days", "Days with at least one event."),
        count("n_symbols", "symbols", "Symbols with at least one event."),
        Column("first_ts", TS, "UTC", "Instant of the first event.", nullable=True),
        Column("last_ts", TS, "UTC", "Instant of the last event.", nullable=True),
        _share("busiest_day_share", "Share of the events that fall on the day with most of them."),
        _share("top_symbol_share", "Share of the events that the symbol with most of them has."),
        figure("median_severity", "1", "Median severity of the events."),
        figure("p95_severity", "1", "95th percentile of the severity, interpolated."),
        _share("evaluable_share", "Share of the features' minutes on which every field is known."),
        _share("trigger_share", "Share of evaluable minutes that trigger."),
        _share("duplicate_share", "Share inside another's cooldown."),
        _share("join_share", "Share that joins its features and label row."),
        count("n_without_features", "rows", "Events whose minute has no features row."),
        count("n_without_labels", "rows", "Events whose minute has no labels row."),
        text("first_unjoined", "First of these: symbol, instant, which row is not there.", True),
        _share("max_jaccard", "Largest overlap with a senior type."),
        text("overlaps_with", "That senior type.", True),
        _share("max_echo", "Largest overlap with a senior type once moved by some lag."),
        text("echo_of", "That senior type.", True),
        Column("echo_lag_min", pl.Int64, "min", "That lag; > 0: after the senior.", nullable=True),
        _share("max_containment", "Largest share that a more frequent type has too."),
        text("contained_in", "That more frequent type.", True),
        text("missing_dataset", "Datasets it needs and lacks, by comma.", True),
    ),
    key=("event_type",),
)
