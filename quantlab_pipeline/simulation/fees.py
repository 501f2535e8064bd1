"""Fees: what a venue charges for a fill, by volume, coin and instrument, exact to the unit.

Belongs here: a venue's schedule, the rates that follow from it for one trader, and the change of
coin and cash that a fill brings. Not here: which venue and which trader a study assumes (`costs`).

Two named models of how a fee is taken, as Hummingbot's TradeFeeBase has them:
- `added_to_cost`: the rate on the traded value, in quote currency, paid on top of it on either
  side. Condition: a linear contract, margined in its quote currency.
- `deducted_from_returns`: the rate out of what the fill brings: base coin when buying, quote when
  selling. Condition: a spot pair, and the fee not paid in the venue's own coin.
A maker's rate below 0 is a rebate: a negative fee. A taker's never is.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Literal, NamedTuple, Self

from pydantic import Field, model_validator

from quantlab_pipeline.core.spec import Spec

Charged = Literal["added_to_cost", "deducted_from_returns"]


class FeeRates(Spec):
    """What a maker and a taker pay, in bps of the traded value; a maker's rebate is below 0."""

    maker_bps: float
    taker_bps: float = Field(ge=0)

    def scaled(self, multiple: float) -> FeeRates:
        """Rates times `multiple` (>= 0), but for a rebate, which dearer trading may not raise."""
        rebate = self.maker_bps < 0.0
        return FeeRates(
            maker_bps=self.maker_bps * (min(1.0, multiple) if rebate else multiple),
            taker_bps=self.taker_bps * multiple,
        )


class FeeTier(FeeRates):
    """Rates from a trailing 30-day traded value on."""

    volume_from_usd: float = Field(ge=0)


class FeeAssumption(Spec):
    """The trader that a cost profile assumes: 30-day volume, and whether the coin pays the fees."""

    volume_30d_usd: float = Field(default=0.0, ge=0)
    pays_with_coin: bool = False


class FeeSchedule(Spec):
    """One venue's schedule.

    `coin_discount` is the share off every fee (no rebate) that is paid in the venue's own coin.
    `instruments` holds the rates of symbols that have their own, whatever the volume.
    """

    tiers: tuple[FeeTier, ...] = Field(min_length=1)
    coin_discount: float = Field(default=0.0, ge=0, lt=1)
    charged: Charged = "added_to_cost"
    instruments: Mapping[str, FeeRates] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _nothing_is_given_away(self) -> Self:
        if any(r.maker_bps < -r.taker_bps for r in (*self.tiers, *self.instruments.values())):
            raise ValueError("a rebate above the taker's fee would pay for trading with oneself")
        return self

    @model_validator(mode="after")
    def _tiers_fall_with_volume(self) -> Self:
        volumes = [tier.volume_from_usd for tier in self.tiers]
        if volumes != sorted(set(volumes)) or volumes[0] != 0:
            raise ValueError("tiers must begin at volume_from_usd 0 and rise strictly")
        for name in ("maker_bps", "taker_bps"):
            rates = [getattr(tier, name) for tier in self.tiers]
            if rates != sorted(rates, reverse=True):
                raise ValueError(f"tiers: more volume cannot cost a higher {name}")
        return self

    def rates(self, trader: FeeAssumption, symbol: str = "") -> FeeRates:
        """The rates of `symbol` for `trader`; those of any symbol without its own where empty."""
        reached = [t for t in self.tiers if t.volume_from_usd <= trader.volume_30d_usd][-1]
        found: FeeRates = self.instruments.get(symbol, reached)
        share = Decimal(1)
        if trader.pays_with_coin:
            share -= Decimal(repr(self.coin_discount))
        return FeeRates(
            maker_bps=_less(found.maker_bps, share), taker_bps=_less(found.taker_bps, share)
        )


def _less(bps: float, share: Decimal) -> float:
    return float(Decimal(repr(bps)) * share) if bps > 0.0 else bps


class Settled(NamedTuple):
    """Changes that a fill brings, fee included: base coin and cash, in units of 1e-8."""

    coin_units: int
    cash_units: int


def fee_of(units: int, rate_bps: float) -> int:
    """The fee on `units` (>= 0), whole units, half to even; below 0 for a rebate."""
    fee = Decimal(units) * Decimal(repr(rate_bps)) / 10_000
    return int(fee.to_integral_value(rounding=ROUND_HALF_EVEN))


def settle(
    side: int, coin_units: int, value_units: int, rate_bps: float, charged: Charged
) -> Settled:
    """A fill of `coin_units` worth `value_units`, bought (+1) or sold (-1), and its fee."""
    if charged == "added_to_cost":
        return Settled(side * coin_units, -side * value_units - fee_of(value_units, rate_bps))
    if side > 0:
        return Settled(coin_units - fee_of(coin_units, rate_bps), -value_units)
    return Settled(-coin_units, value_units - fee_of(value_units, rate_bps))
