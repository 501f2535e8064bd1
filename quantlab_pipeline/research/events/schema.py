"""The columns of `events` and `event_quality`."""

from __future__ import annotations

import polars as pl

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

REGIMES = ("low", "mid", "high", "unknown")

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
        figure("trigger_share", "1", "Share of evaluable minutes that trigger."),
        figure("duplicate_share", "1", "Share inside another's cooldown."),
        figure("join_share", "1", "Share that joins its features and label row."),
        figure("max_jaccard", "1", "Largest overlap with a senior type."),
        text("overlaps_with", "That senior type.", True),
        text("missing_dataset", "Datasets it needs and lacks, by comma.", True),
    ),
    key=("event_type",),
)
