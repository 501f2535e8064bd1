"""What a round trip costs, in bps of its notional: spread, fees, impact, stress.

Belongs here: the cost model's document and pure arithmetic on arrays. Not here: a venue's schedule
(`fees`), the square-root law (`impact`) and what follows from it (`capacity`), how an order finds
its price (`fills`, `latency`, `degradation`), funding, or where spreads and volumes are measured
(`liquidity`). Costs are positive numbers; a cost that is unknown is NaN, never zero.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import polars as pl
from pydantic import Field, field_validator, model_validator

from quantlab_pipeline.core.spec import Spec
from quantlab_pipeline.simulation.degradation import Degradation
from quantlab_pipeline.simulation.fees import FeeAssumption, FeeRates, FeeSchedule
from quantlab_pipeline.simulation.fills import FillModel
from quantlab_pipeline.simulation.impact import impact_bps
from quantlab_pipeline.simulation.latency import LatencyModel
from quantlab_pipeline.simulation.slippage import SlippageModel

ProfileName = Literal["base", "conservative"]
OrderStyle = Literal["taker", "passive"]
FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]


class SpreadTier(Spec):
    """Half-spread to assume from a trailing daily traded value on, where there is no book."""

    volume_from_usd: float = Field(ge=0)
    half_spread_bps: float = Field(ge=0)


class CostProfile(Spec):
    """One set of assumptions: the trader whose fees are paid, and the market that is met.

    `impact_y` is Y of the square-root law, per side. `slippage` is for fills on bars alone that
    model neither delay nor impact.
    """

    fees: FeeAssumption = FeeAssumption()
    slippage: SlippageModel = SlippageModel()
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
    """How a simulated order meets the venue: cost profile, latencies to try, fills, stress.

    `order` is how a strategy enters: as a taker, or passively, and then it is judged under every
    passive rule. `cost_multiples` of fee, spread and impact are swept beside 1.
    """

    profile: ProfileName = "conservative"
    order: OrderStyle = "taker"
    latency: LatencyModel = LatencyModel()
    fill: FillModel = FillModel()
    degradation: Degradation = Degradation()
    cost_multiples: tuple[float, ...] = (0.0, 0.5, 1.5, 2.0, 3.0, 5.0)

    @field_validator("cost_multiples")
    @classmethod
    def _rising_without_one(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        if list(value) != sorted(set(value)) or 1.0 in value or (value and value[0] < 0):
            raise ValueError("cost_multiples must rise strictly from 0 on; 1 is always run")
        return value


class CostModel(Spec):
    """The document `specs/cost_model.yaml`.

    `notional_usd` is the size of one trade, for validation's impact term and for the bridge alike.
    `fees` are schedules by venue; `venue` is the one that applies, also to a market whose own venue
    has none (`at`). `stress` maps feature columns to the value from which the market counts as
    stressed.
    """

    version: int = Field(default=1, ge=1)
    notional_usd: float = Field(default=10_000.0, gt=0)
    venue: str
    fees: Mapping[str, FeeSchedule]
    profiles: Mapping[ProfileName, CostProfile]
    stress: Mapping[str, float] = Field(default_factory=dict)
    execution: ExecutionModel = ExecutionModel()

    @model_validator(mode="after")
    def _conservative_costs_more(self) -> CostModel:
        if set(self.profiles) != {"base", "conservative"}:
            raise ValueError("profiles must be exactly base and conservative")
        if self.venue not in self.fees:
            raise ValueError(f"venue `{self.venue}` has no schedule under fees")
        base, careful = self.profiles["base"], self.profiles["conservative"]
        for schedule in self.fees.values():
            cheap, dear = schedule.rates(base.fees), schedule.rates(careful.fees)
            if dear.taker_bps < cheap.taker_bps or dear.maker_bps < cheap.maker_bps:
                raise ValueError("the conservative profile must not pay lower fees than base")
        if careful.impact_y < base.impact_y:
            raise ValueError("the conservative profile must not be cheaper than base")
        return self

    def at(self, venue: str) -> CostModel:
        """The model of a market at `venue`: its own schedule, `self` where it has none."""
        if venue == self.venue or venue not in self.fees:
            return self
        return self.model_copy(update={"venue": venue})

    def fee_rates(self, profile: ProfileName, symbol: str = "") -> FeeRates:
        """What a trade of `symbol` pays under `profile`: the only place that says so.

        An empty symbol stands for any that has no rates of its own.
        """
        return self.fees[self.venue].rates(self.profiles[profile].fees, symbol)

    def taker_bps(self, profile: ProfileName, symbols: Sequence[str]) -> FloatArray:
        """The taker's fee of each of `symbols`, bps, shape [len(symbols)]."""
        return np.array([self.fee_rates(profile, s).taker_bps for s in symbols], dtype=np.float64)

    def own_fees(self, profile: ProfileName, symbols: Sequence[str]) -> dict[str, FeeRates]:
        """The rates of those of `symbols` that pay others than the venue's common ones."""
        rates = {s: self.fee_rates(profile, s) for s in sorted(symbols)}
        return {s: own for s, own in rates.items() if own != self.fee_rates(profile)}

    def terms(self, profile: ProfileName) -> dict[str, Any]:
        """What a round trip costs, as a rule is named by it: the common fees as they resolve.

        How the schedule is written, and what only an execution reads, is no part of it.
        """
        common, read = self.fee_rates(profile), self.profiles[profile]
        return {
            "fee_taker_bps": common.taker_bps,
            "fee_maker_bps": common.maker_bps,
            "impact_y": read.impact_y,
            "stress_spread_multiplier": read.stress_spread_multiplier,
            "spread_tiers": read.spread_tiers,
        }


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


def stressed_spread(profile: CostProfile, scale: CostScale) -> float:
    """Multiple of a spread under stress. A scale below 1 cannot make a discount of it."""
    return max(1.0, profile.stress_spread_multiplier * scale.stress)


def event_cost_bps(
    model: CostModel,
    profile: ProfileName,
    taker_bps: FloatArray,
    half_spread_entry_bps: FloatArray,
    half_spread_exit_bps: FloatArray,
    sigma_d_bps: FloatArray,
    participation: FloatArray,
    stress: BoolArray,
    scale: CostScale = AS_IS,
) -> FloatArray:
    """Round-trip cost of each event as a taker, bps of notional, shape [n].

    Half-spread of each side (times the stress multiplier where `stress`), a taker fee
    (`taker_bps`, of each event's symbol) and the scale's slippage on each side, and
    2 Y sigma_d sqrt(Q / V_d): impact is paid on entry and on exit. `participation` is Q / V_d.
    NaN in any float input gives NaN; a negative one raises ValueError.
    """
    unsigned = (taker_bps, half_spread_entry_bps, half_spread_exit_bps, sigma_d_bps, participation)
    if any(np.any(np.asarray(values) < 0) for values in unsigned):
        raise ValueError("fees, spreads, volatility and participation cannot be negative")
    terms = model.profiles[profile]
    stressed = np.where(stress, stressed_spread(terms, scale), 1.0)
    spread = (half_spread_entry_bps + half_spread_exit_bps) * stressed
    fees = 2.0 * (taker_bps * scale.fee + scale.slippage_bps)
    impact = 2.0 * impact_bps(terms.impact_y, sigma_d_bps, participation) * scale.impact
    return np.asarray(spread * scale.spread + fees + impact, dtype=np.float64)


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
    taker_bps: FloatArray,
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
            taker_bps,
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
