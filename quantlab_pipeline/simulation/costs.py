"""What a round trip costs, in bps of its notional: spread, fees, impact, stress; and its capacity.

Belongs here: the cost model's document and pure arithmetic on arrays. Not here: how an order finds
its price (`fills`, `latency`), funding (`funding`), or where spreads and volumes are measured
(`liquidity`). Costs are positive numbers; a cost that is unknown is NaN, never zero.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import polars as pl
from pydantic import Field, model_validator

from quantlab_pipeline.core.spec import Spec
from quantlab_pipeline.simulation.fills import FillModel
from quantlab_pipeline.simulation.latency import LatencyModel

ProfileName = Literal["base", "conservative"]
FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]


class SpreadTier(Spec):
    """Half-spread to assume from a trailing daily traded value on, where there is no book."""

    volume_from_usd: float = Field(ge=0)
    half_spread_bps: float = Field(ge=0)


class CostProfile(Spec):
    """One set of assumptions. `impact_y` is Y of the square-root law, per side."""

    fee_taker_bps: float = Field(ge=0)
    fee_maker_bps: float
    impact_y: float = Field(ge=0)
    stress_spread_multiplier: float = Field(ge=1)
    spread_tiers: tuple[SpreadTier, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _tiers_fall_to_zero(self) -> CostProfile:
        volumes = [tier.volume_from_usd for tier in self.spread_tiers]
        spreads = [tier.half_spread_bps for tier in self.spread_tiers]
        if volumes != sorted(volumes, reverse=True) or volumes[-1] != 0:
            raise ValueError("spread_tiers must fall in volume_from_usd and end at 0")
        if spreads != sorted(spreads):
            raise ValueError("spread_tiers: a thinner market cannot have a narrower spread")
        return self


class ExecutionModel(Spec):
    """How a simulated order meets the venue: cost profile, latencies to try, fill rule."""

    profile: ProfileName = "conservative"
    latency: LatencyModel = LatencyModel()
    fill: FillModel = FillModel()


class CostModel(Spec):
    """The document `specs/cost_model.yaml`.

    `notional_usd` is the size of one trade, for validation's impact term and for the bridge alike.
    `stress` maps feature columns to the value from which the market counts as stressed.
    """

    version: int = Field(default=1, ge=1)
    notional_usd: float = Field(default=10_000.0, gt=0)
    profiles: Mapping[ProfileName, CostProfile]
    stress: Mapping[str, float] = Field(default_factory=dict)
    execution: ExecutionModel = ExecutionModel()

    @model_validator(mode="after")
    def _conservative_costs_more(self) -> CostModel:
        if set(self.profiles) != {"base", "conservative"}:
            raise ValueError("profiles must be exactly base and conservative")
        base, careful = self.profiles["base"], self.profiles["conservative"]
        if careful.fee_taker_bps < base.fee_taker_bps or careful.impact_y < base.impact_y:
            raise ValueError("the conservative profile must not be cheaper than base")
        return self


@dataclass(frozen=True, slots=True)
class CostScale:
    """Multipliers of a cost sweep; 1 leaves a part as the profile has it.

    `slippage_bps` is added on each side: the price moves away between quote and fill. It is 0 where
    fills use the delayed quote. `funding_paid` multiplies what a position pays at settlements,
    `funding_received` what it is paid.
    """

    fee: float = 1.0
    spread: float = 1.0
    impact: float = 1.0
    stress: float = 1.0
    slippage_bps: float = 0.0
    funding_paid: float = 1.0
    funding_received: float = 1.0


AS_IS = CostScale()


def event_cost_bps(
    model: CostModel,
    profile: ProfileName,
    half_spread_entry_bps: FloatArray,
    half_spread_exit_bps: FloatArray,
    sigma_d_bps: FloatArray,
    participation: FloatArray,
    stress: BoolArray,
    scale: CostScale = AS_IS,
) -> FloatArray:
    """Round-trip cost of each event as a taker, bps of notional, shape [n].

    Half-spread of each side (times the stress multiplier where `stress`), a taker fee and the
    scale's slippage on each side, and 2 Y sigma_d sqrt(Q / V_d): impact is paid on entry and on
    exit. `participation` is Q / V_d.
    NaN in any float input gives NaN; a negative one raises ValueError.
    Square-root impact: Donier & Bonart (2015), "A million metaorder analysis of market impact on
    the Bitcoin"; Almgren, Thum, Hauptmann & Li (2005), "Direct estimation of equity market impact".
    """
    for values in (half_spread_entry_bps, half_spread_exit_bps, sigma_d_bps, participation):
        if np.any(np.asarray(values) < 0):
            raise ValueError("spreads, volatility and participation cannot be negative")
    terms = model.profiles[profile]
    # A stress scale below 1 cannot turn a stressed spread into a discount.
    stressed = max(1.0, terms.stress_spread_multiplier * scale.stress)
    spread = (half_spread_entry_bps + half_spread_exit_bps) * np.where(stress, stressed, 1.0)
    fees = 2.0 * (terms.fee_taker_bps * scale.fee + scale.slippage_bps)
    impact = 2.0 * impact_bps(terms, sigma_d_bps, participation) * scale.impact
    return np.asarray(spread * scale.spread + fees + impact, dtype=np.float64)


def fee_bps(profile: CostProfile, scale: CostScale, maker: bool) -> float:
    """One side's fee, bps of the value traded; negative for a rebate, which no scale raises."""
    fee = profile.fee_maker_bps if maker else profile.fee_taker_bps
    return fee * (scale.fee if fee > 0 else min(1.0, scale.fee))


def impact_bps(
    profile: CostProfile, sigma_d_bps: FloatArray, participation: FloatArray
) -> FloatArray:
    """One side's average price concession Y sigma_d sqrt(Q / V_d), bps."""
    return np.asarray(profile.impact_y * sigma_d_bps * np.sqrt(participation), dtype=np.float64)


def assumed_half_spread_bps(profile: CostProfile, volume_usd: FloatArray) -> FloatArray:
    """Half-spread by tier of trailing daily traded value, bps; unknown volume: the widest tier."""
    out = np.full(np.shape(volume_usd), profile.spread_tiers[-1].half_spread_bps)
    for tier in reversed(profile.spread_tiers):
        out = np.where(volume_usd >= tier.volume_from_usd, tier.half_spread_bps, out)
    return np.asarray(out, dtype=np.float64)


def stress_flag(model: CostModel, features: pl.DataFrame) -> BoolArray:
    """True where any of the model's stress features has reached its threshold, shape [rows].

    `features` are rows as known at each decision. Columns that are absent or null say nothing.
    """
    flag = np.zeros(features.height, dtype=np.bool_)
    for column in sorted(model.stress):
        if column in features.columns:
            reached = features[column] >= model.stress[column]
            flag |= reached.fill_null(False).to_numpy()
    return flag


def cost_sweep(
    model: CostModel,
    profile: ProfileName,
    half_spread_entry_bps: FloatArray,
    half_spread_exit_bps: FloatArray,
    sigma_d_bps: FloatArray,
    participation: FloatArray,
    stress: BoolArray,
    scales: Sequence[CostScale],
) -> FloatArray:
    """Mean cost of the events with a known cost under each scale, bps, shape [len(scales)].

    NaN where no event has a known cost. Non-decreasing in every multiplier and in slippage.
    """
    out = np.full(len(scales), np.nan)
    for i, scale in enumerate(scales):
        costs = event_cost_bps(
            model,
            profile,
            half_spread_entry_bps,
            half_spread_exit_bps,
            sigma_d_bps,
            participation,
            stress,
            scale,
        )
        known = costs[np.isfinite(costs)]
        if known.size:
            out[i] = known.mean()
    return out


def break_even_participation(
    edge_bps: float, fixed_cost_bps: float, sigma_d_bps: float, impact_y: float
) -> float:
    """Share of a day's volume at which impact eats the whole edge: ((e - c) / (2 Y sigma_d))^2.

    `fixed_cost_bps` is the round trip without impact. 0 where the edge does not cover it; infinite
    where there is no impact.
    """
    surplus = edge_bps - fixed_cost_bps
    if surplus <= 0:
        return 0.0
    slope = 2.0 * impact_y * sigma_d_bps
    return (surplus / slope) ** 2 if slope > 0 else float("inf")


def best_participation(
    edge_bps: float, fixed_cost_bps: float, sigma_d_bps: float, impact_y: float
) -> float:
    """Share of a day's volume that earns most: 4/9 of break-even.

    P&L per day is proportional to q (e - c) - 2 Y sigma_d q^(3/2); its derivative is zero there.
    """
    return 4.0 / 9.0 * break_even_participation(edge_bps, fixed_cost_bps, sigma_d_bps, impact_y)
