"""Small registries, features and events for the event tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

import polars as pl
import yaml

from quantlab_pipeline.core.clocks import MINUTE, TS
from quantlab_pipeline.research.events.spec import E1Thresholds, EventRegistry, EventType
from quantlab_pipeline.research.features.spec import FeatureSpecs

SPECS_DIR = Path(__file__).resolve().parents[3] / "specs"


def document(name: str) -> dict[str, Any]:
    """A YAML document of the project."""
    return yaml.safe_load((SPECS_DIR / f"{name}.yaml").read_text())


@cache
def project_registry() -> EventRegistry:
    """The project's own registry."""
    return EventRegistry.model_validate(document("event_registry"))


def feature_specs(**changes: Mapping[str, Any]) -> FeatureSpecs:
    """The project's own feature specs, with `changes` to some columns and new columns after."""
    body = document("feature_specs")
    for name, change in changes.items():
        body["features"][name] = body["features"].get(name, {}) | dict(change)
    return FeatureSpecs.model_validate(body)


def e1_thresholds() -> E1Thresholds:
    """The project's own section of gates.yaml."""
    return E1Thresholds.model_validate(document("gates")["e1"])


def event_type(name: str = "jump", **changes: Any) -> EventType:
    """A type that triggers where x >= 1."""
    fields: dict[str, Any] = {
        "name": name,
        "family": "shock_proxy",
        "version": 1,
        "meaning": "x is large",
        "trigger": "x >= 1",
        "severity": "x",
        "cooldown_min": 30,
        "required_fields": ["x"],
        "requires": ["bars_1m_perp"],
    }
    return EventType.model_validate(fields | changes)


def registry(*types: EventType) -> EventRegistry:
    """A registry of `types`, or of the one default type, with the project's regimes."""
    return EventRegistry(
        version=1,
        overlap_window_min=5,
        echo_window_min=60,
        regimes=project_registry().regimes,
        event_types=types or (event_type(),),
    )


def features(
    symbol: str, start: datetime, columns: Mapping[str, Sequence[float | None]]
) -> pl.DataFrame:
    """One row a minute from the minute after `start` on."""
    n = len(next(iter(columns.values())))
    return pl.DataFrame(
        {"symbol": [symbol] * n, "ts": [start + (i + 1) * MINUTE for i in range(n)], **columns},
        schema={"symbol": pl.String, "ts": TS, **dict.fromkeys(columns, pl.Float64)},
    )


def minutes_of(events: pl.DataFrame, start: datetime) -> list[int]:
    """Minutes after `start` of each event, in the frame's order."""
    return [(ts - start) // MINUTE for ts in events["ts"]]
