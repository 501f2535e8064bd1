"""Funding by hand: the formula for one interval, and a loop over every minute."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import polars as pl


def rate_of(mean_premium: float, interval_h: int, settled_at: datetime) -> float:
    """F = P + clamp(I - P, 0.05 %), over 8 / N since the venue scales it."""
    pulled = mean_premium + max(-0.0005, min(0.0005, 0.0001 - mean_premium))
    scaled = settled_at >= datetime(2025, 9, 18, 8, 1, tzinfo=UTC)
    return pulled / (8 / interval_h) if scaled else pulled


def predicted_rates(funding: pl.DataFrame, mark_index: pl.DataFrame) -> list[float | None]:
    """The estimate at each minute of one symbol, from what had been published by then."""
    known = funding.sort("available_at").rows(named=True)
    minutes = mark_index.sort("ts").rows(named=True)
    out: list[float | None] = []
    for row in minutes:
        past = [f for f in known if f["available_at"] <= row["ts"]]
        last = past[-1] if past else None
        if last is None or row["ts"] > last["next_funding_ts"]:
            out.append(None)
            continue
        since = last["ts"]
        seen = [m for m in minutes if since < m["ts"] <= row["ts"]]
        weights = [(m["ts"] - since) // timedelta(minutes=1) for m in seen]
        total = sum(w * m["premium_index"] for w, m in zip(weights, seen, strict=True))
        out.append(rate_of(total / sum(weights), last["interval_h"], last["next_funding_ts"]))
    return out
