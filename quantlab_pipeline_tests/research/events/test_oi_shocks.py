"""Open interest with returns: both conditions, on what was published and traded by then."""

from __future__ import annotations

import math
from bisect import bisect_right
from dataclasses import replace
from datetime import timedelta

import numpy as np
import polars as pl
import pytest

from quantlab_pipeline.core.clocks import MINUTE_US, to_us
from quantlab_pipeline.research.events.detect import detect_events
from quantlab_pipeline.research.features.build import build_features
from quantlab_pipeline_tests.oracles.event_onsets import onsets
from quantlab_pipeline_tests.research.events.builders import feature_specs, project_registry
from quantlab_pipeline_tests.research.events.planted import Seen, seen
from quantlab_pipeline_tests.worlds.builders import scenario

SIGN = {"shorts_build_up": 1, "longs_unwind": -1}
REGISTRY = project_registry()


@pytest.fixture(scope="module")
def market() -> Seen:
    """Jumps of open interest both ways, after which the price falls, and falls without a jump."""
    jump = {"kind": "oi_jump", "per_symbol_day": 3, "size": 300, "duration_min": 5}
    fall = {"bps": 60, "over_min": 60, "sign": "down"}
    return seen(
        scenario(2, 5, episodes=[jump | {"drift": fall}], season_amplitude=0.0, min_spacing_min=95),
        8,
    )


def changes_bps(market: Seen, symbol: str) -> dict[str, np.ndarray]:
    """Changes of published open interest and of the close, minute by minute, by plain lookups."""
    origin, n = market.world.truth.origin_us, market.world.scenario.duration_min
    rows = market.world.frames["open_interest"].filter(pl.col("symbol") == symbol)
    known = [to_us(t) for t in rows["available_at"]]
    values = rows["oi_base"].to_list()
    bars = market.world.frames["bars_1m_perp"].filter(pl.col("symbol") == symbol)
    closes = dict(zip([to_us(t) for t in bars["ts"]], bars["close"], strict=True))

    def published(minute: int) -> float:
        at = bisect_right(known, origin + minute * MINUTE_US)
        return values[at - 1] if at else math.nan

    def close(minute: int) -> float:
        return closes.get(origin + minute * MINUTE_US, math.nan)

    def change(of, back: int) -> np.ndarray:
        return np.array([1e4 * math.log(of(m) / of(m - back)) for m in range(1, n + 1)])

    return {
        "oi_1h": change(published, 60), "oi_5m": change(published, 5), "ret_1h": change(close, 60)
    }  # fmt: skip


@pytest.mark.parametrize("event_type", sorted(SIGN))
def test_it_fires_exactly_where_both_conditions_hold_on_published_data(
    market: Seen, event_type: str
) -> None:
    kind = next(t for t in REGISTRY.event_types if t.name == event_type)
    sign, total, alone = SIGN[event_type], 0, 0
    for symbol in market.symbols:
        made = changes_bps(market, symbol)
        own = market.features.filter(pl.col("symbol") == symbol)
        deviation = own["rv_1d_bps"].fill_null(math.nan).to_numpy()
        built = (sign * made["oi_1h"] >= 100) & (sign * made["oi_5m"] < 100)
        fell = made["ret_1h"] <= -5 * deviation
        both = (built & fell).tolist()
        found = sorted(m for s, m in market.instants(event_type) if s == symbol)
        assert found == onsets(both, range(1, len(both) + 1), kind.cooldown_min)
        total += len(found)
        alone += int((built & ~fell).sum()) + int((fell & ~built).sum())
    assert total >= 5
    assert alone > 100, "each condition is often true by itself"


def test_what_is_published_later_changes_no_earlier_event(market: Seen) -> None:
    instant = market.world.scenario.start + timedelta(days=3, hours=7, minutes=5)
    table = market.inputs.open_interest
    later = pl.col("available_at") > pl.lit(instant).cast(table.schema["available_at"])
    assert table.filter(later & (pl.col("ts") <= pl.lit(instant))).height > 0, "one is on its way"
    poisoned = table.with_columns(
        pl.when(later).then(pl.col("oi_base") * 2).otherwise("oi_base").alias("oi_base")
    )
    inputs = replace(market.inputs, open_interest=poisoned)
    features = build_features(inputs, feature_specs(), market.days, market.symbols)
    again = detect_events(features, REGISTRY, market.days)
    before = pl.col("ts") <= instant
    assert again.filter(before).equals(market.events.filter(before))
    assert not again.filter(~before).equals(market.events.filter(~before))
