"""Funding: the premium index that a venue publishes, and the rates that follow from it.

The rate that settles is the time-weighted mean premium of its interval pulled towards the interest
rate within a clamp. Every settled rate is the formula's on the premium as published: a planted
extreme is a premium held away through its whole interval.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import polars as pl
from numpy.typing import NDArray

from quantlab_pipeline.core.clocks import MINUTE_US, TS, to_us
from quantlab_pipeline.worlds.effects import Effects
from quantlab_pipeline.worlds.paths import Paths
from quantlab_pipeline.worlds.spec import FundingSpec, Scenario
from quantlab_pipeline.worlds.timing import (
    origin_us,
    settlement_jitter_us,
    settlements,
    symbols_of,
)

Floats = NDArray[np.float64]

RATE_DECIMALS = 8
REFERENCE_H = 8
DIVISOR_FROM_US = to_us(datetime(2025, 9, 18, 8, 1, tzinfo=UTC))
"""The venue scales a rate to its interval from here on; before, it was that of eight hours."""


@dataclass(frozen=True, slots=True)
class Premiums:
    """`index` [I, T] is published each minute; `settled` the rate of each settlement, by symbol."""

    index: Floats
    settled: tuple[Floats, ...]


def settle(scenario: Scenario, paths: Paths, effects: Effects) -> Premiums:
    """The premium index, which is the latent basis but for planted extremes, and what it settles.

    A planted extreme moves the rate that its interval would have had, within the cap.
    """
    index = np.round(paths.basis[:, 1:], RATE_DECIMALS)
    settled = []
    for row, symbol in enumerate(symbols_of(scenario)):
        due = settlements(scenario, symbol)
        rates = np.empty(due.minutes.size)
        for i, (end, hours) in enumerate(zip(due.minutes, due.interval_h, strict=True)):
            inside = index[row, end - 60 * hours : end]
            share = _share(scenario, int(end), int(hours))
            extra = effects.funding[row, end - 1]
            if extra:
                mean = weighted_mean(inside)
                wanted = rate(mean, share, scenario.funding) + extra
                moved = premium_for(wanted, share, scenario.funding) - mean
                inside[:] = np.round(inside + moved, RATE_DECIMALS)
            rates[i] = rate(weighted_mean(inside), share, scenario.funding)
        settled.append(np.round(rates, RATE_DECIMALS))
    return Premiums(index, tuple(settled))


def _share(scenario: Scenario, minute: int, hours: int) -> float:
    """What part of the reference interval's rate an interval of `hours` pays."""
    scaled = origin_us(scenario) + minute * MINUTE_US >= DIVISOR_FROM_US
    return hours / REFERENCE_H if scaled else 1.0


def weighted_mean(premium: Floats) -> float:
    """Mean of the minutes [n] of an interval with the weights 1, 2, ... n."""
    weights = np.arange(1, premium.size + 1)
    return float(np.dot(weights, premium) / weights.sum())


def rate(mean_premium: float, share: float, spec: FundingSpec) -> float:
    """(P + clamp(I - P)) times `share`, within the cap."""
    interest, clamp, cap = (1e-4 * v for v in (spec.interest_bps, spec.clamp_bps, spec.cap_bps))
    pulled = mean_premium + min(max(interest - mean_premium, -clamp), clamp)
    return min(max(share * pulled, -cap), cap)


def premium_for(wanted: float, share: float, spec: FundingSpec) -> float:
    """The mean premium whose rate is `wanted`; nearest to the interest where there are several."""
    pulled, interest, clamp = wanted / share, 1e-4 * spec.interest_bps, 1e-4 * spec.clamp_bps
    return pulled + clamp * float(np.sign(pulled - interest))


def funding_table(scenario: Scenario, seed: int, premiums: Premiums, mark: Floats) -> pl.DataFrame:
    """The `funding` table: one row per symbol and settlement, known at its jittered stamp.

    `next_funding_ts` is one interval on, as if the interval never changed: nothing announces it.
    """
    jitter = settlement_jitter_us(scenario, seed)
    frames = []
    for i, symbol in enumerate(symbols_of(scenario)):
        due = settlements(scenario, symbol)
        stamps = origin_us(scenario) + MINUTE_US * due.minutes
        frames.append(
            pl.DataFrame(
                {
                    "symbol": symbol,
                    "ts": stamps,
                    "available_at": stamps + jitter[i],
                    "raw_ts": stamps + jitter[i],
                    "settled_rate": premiums.settled[i],
                    "interval_h": due.interval_h,
                    "next_funding_ts": stamps + 60 * due.interval_h * MINUTE_US,
                    "mark_price": mark[i, due.minutes - 1],
                }
            )
        )
    instants = pl.col("ts", "available_at", "raw_ts", "next_funding_ts")
    return pl.concat(frames).with_columns(instants.cast(TS))
