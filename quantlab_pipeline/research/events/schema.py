"""The columns of `events` and `event_quality`."""

from __future__ import annotations

import polars as pl

from quantlab_pipeline.core.columns import AVAILABLE_AT, SYMBOL, TS_COLUMN, Column, TableSchema

REGIMES = ("low", "mid", "high", "unknown")

EVENTS = TableSchema(
    "events",
    (
        SYMBOL,
        TS_COLUMN,
        AVAILABLE_AT,
        Column("event_id", pl.String, "", "Deterministic id of this occurrence."),
        Column("event_type", pl.String, "", "Name in the event registry."),
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
        Column("event_type", pl.String, "", "Name in the event registry."),
        Column("n_events", pl.Int64, "rows", "Events in the study.", ge=0),
        Column("per_symbol_day", pl.Float64, "1/day", "Events per symbol and day.", ge=0),
        Column("active_days", pl.Int64, "days", "Days with at least one event.", ge=0),
        Column("trigger_share", pl.Float64, "1", "Share of evaluable minutes that trigger.", True),
        Column("duplicate_share", pl.Float64, "1", "Share inside another's cooldown.", True),
        Column("join_share", pl.Float64, "1", "Share that joins its features and label row.", True),
        Column("max_jaccard", pl.Float64, "1", "Largest overlap with a senior type.", True),
        Column("overlaps_with", pl.String, "", "That senior type.", True),
        Column("missing_dataset", pl.String, "", "Datasets it needs and lacks, by comma.", True),
    ),
    key=("event_type",),
)
