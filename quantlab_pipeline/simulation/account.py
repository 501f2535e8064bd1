"""What an account may do: its kind, its cash, its leverage, and when it is liquidated.

Belongs here: the account's document and its terms as whole rates. Not here: fees of ordinary trades
(`costs`), and how the terms are applied (`kernels.venue`).
"""

from __future__ import annotations

from decimal import ROUND_CEILING, Decimal
from typing import Literal, Self

from pydantic import Field, model_validator

from quantlab_pipeline.core.errors import QuantlabError
from quantlab_pipeline.core.records import CASH_UNIT
from quantlab_pipeline.core.spec import Spec

AccountKind = Literal["perp_margin", "spot_cash"]
_E8 = Decimal(10**8)


class RateError(QuantlabError):
    """A rate that is finer than the 1e-4 bps in which rates are reckoned, or beyond 100 %."""


def rate_e8(bps: Decimal | float, what: str) -> int:
    """`bps` in units of 1e-8, exact. Raises RateError where it is not whole or exceeds 100 %."""
    rate = Decimal(str(bps)) * 10_000
    if rate != rate.to_integral_value() or abs(rate) > _E8:
        raise RateError(
            f"{what} of {bps} bps cannot be reckoned exactly.",
            "State it in bps with at most four decimals, within 10,000.",
            what=what,
            bps=str(bps),
        )
    return int(rate)


class AccountSpec(Spec):
    """One account in one currency for one symbol.

    - `perp_margin`: a linear perpetual, long or short. Buying pays the full value from a balance
      that may be negative, so that cash + position value is equity. An order that could enlarge the
      position, with all live orders of its side, needs equity >= value / `leverage`, both at the
      mark; nothing is taken before the first mark. Where equity falls below `maintenance_bps` of
      the position's value at a mark, live orders are cancelled, the position is closed as a taker
      at the next price there is, for the taker's fee and `liquidation_fee_bps`, and no order is
      accepted any more. Conditions: one rate for every size (no tiers), isolated from other
      positions, no insurance fund and no deleveraging: what is lost beyond the cash stays a debt.
    - `spot_cash`: no short, no debt, no funding. Sales need the lots, and purchases the cash with
      the taker's fee, at acceptance (at the order's own price) and again at each fill; an order
      that cannot pay is cancelled as a whole. Live orders reserve nothing.
    """

    kind: AccountKind
    cash_usd: Decimal = Field(ge=0)
    leverage: Decimal = Field(default=Decimal(1), ge=1, le=200)
    maintenance_bps: Decimal = Field(default=Decimal(0), ge=0)
    liquidation_fee_bps: Decimal = Field(default=Decimal(0), ge=0)

    @model_validator(mode="after")
    def _terms_fit_the_kind(self) -> Self:
        spot = self.kind == "spot_cash"
        if spot and (self.leverage != 1 or self.maintenance_bps or self.liquidation_fee_bps):
            raise ValueError("a spot_cash account has no leverage, maintenance or liquidation fee")
        if not spot and rate_e8(self.maintenance_bps, "maintenance_bps") >= self.initial_e8:
            raise ValueError("maintenance_bps must be below the initial margin, 10,000 / leverage")
        return self

    @property
    def initial_e8(self) -> int:
        """Initial margin as a share of value, in 1e-8, rounded up."""
        return int((_E8 / self.leverage).to_integral_value(rounding=ROUND_CEILING))

    @property
    def cash_units(self) -> int:
        """Opening cash in whole units, rounded down."""
        return int(self.cash_usd / Decimal(str(CASH_UNIT)))
