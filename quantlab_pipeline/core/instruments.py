"""An instrument's arithmetic: ticks, lots, multiplier. Prices and quantities become integers.

Belongs here: one instrument, and the listing of `specs/instruments.yaml`. Fees are costs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Self

from pydantic import Field, model_validator

from quantlab_pipeline.core.errors import SpecError
from quantlab_pipeline.core.spec import Spec


class Instrument(Spec):
    """A linear perpetual or spot pair. `tick_size` in quote, `lot_size` in base units.

    `assumed` says that nobody published these numbers: a rule made them from a price.
    """

    symbol: str
    tick_size: Decimal = Field(gt=0)
    lot_size: Decimal = Field(gt=0)
    multiplier: Decimal = Field(default=Decimal(1), gt=0)
    min_notional_usd: Decimal = Field(default=Decimal(5), ge=0)
    assumed: bool = False

    def ticks_against(self, price: float, side: int) -> int:
        """`price` in whole ticks, rounded against a trader: `side` +1 buys up, -1 sells down."""
        ticks = price / float(self.tick_size)
        nearest = round(ticks)
        if math.isclose(ticks, nearest, rel_tol=0.0, abs_tol=1e-6):
            return nearest
        return math.ceil(ticks) if side > 0 else math.floor(ticks)

    def lots_within(self, quantity_base: float) -> int:
        """Whole lots that fit into `quantity_base` (never more)."""
        lots = quantity_base / float(self.lot_size)
        nearest = round(lots)
        return nearest if math.isclose(lots, nearest, rel_tol=0, abs_tol=1e-9) else math.floor(lots)

    def price(self, ticks: int) -> float:
        """Price in quote units of `ticks`."""
        return float(ticks * self.tick_size)

    def quantity_base(self, lots: int) -> float:
        """Base quantity of `lots`, multiplier included."""
        return float(lots * self.lot_size * self.multiplier)


class AssumedInstrument(Spec):
    """The rule for a symbol that nobody listed: powers of ten that fit its price.

    For generated worlds and markets made on the fly alone; what it gives is marked `assumed`.
    Without a price tick and lot are `unpriced_step`, so fine that rounding costs nothing.
    """

    max_tick_bps: float = Field(gt=0)
    max_lot_usd: float = Field(gt=0)
    unpriced_step: Decimal = Field(gt=0)
    min_notional_usd: Decimal = Field(ge=0)

    def instrument(self, symbol: str, price: float | None = None) -> Instrument:
        """An instrument whose tick and lot are the largest powers of ten within the limits.

        `price` in quote units, finite and above 0 (else ValueError), or None where none is known.
        """
        tick = lot = self.unpriced_step
        if price is not None:
            if not (math.isfinite(price) and price > 0):
                raise ValueError(f"{symbol} has no price to assume a tick from: {price}")
            tick = _power_of_ten_within(price * self.max_tick_bps * 1e-4)
            lot = _power_of_ten_within(self.max_lot_usd / price)
        return Instrument(
            symbol=symbol,
            tick_size=tick,
            lot_size=lot,
            min_notional_usd=self.min_notional_usd,
            assumed=True,
        )


class Instruments(Spec):
    """`specs/instruments.yaml`: the listed instruments, and the rule for unlisted ones."""

    instruments: tuple[Instrument, ...]
    assumed: AssumedInstrument

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        symbols = [i.symbol for i in self.instruments]
        twice = sorted({s for s in symbols if symbols.count(s) > 1})
        if twice:
            raise ValueError(f"listed twice: {', '.join(f'`{s}`' for s in twice)}")
        return self

    def by_symbol(
        self,
        symbols: Sequence[str],
        assume: bool = False,
        prices: Mapping[str, float] | None = None,
    ) -> dict[str, Instrument]:
        """The instrument of each of `symbols`, in their order.

        With `assume` an unlisted one is made by the rule from its price (quote units) in `prices`;
        without, it is a SpecError.
        """
        listed = {i.symbol: i for i in self.instruments}
        unlisted = [s for s in symbols if s not in listed]
        if unlisted and not assume:
            raise SpecError(
                f"Not in specs/instruments.yaml: {', '.join(unlisted)}.",
                "Add its tick_size and lot_size there, as its venue publishes them.",
                symbols=unlisted,
            )
        known = prices or {}
        made = {s: self.assumed.instrument(s, known.get(s)) for s in unlisted}
        return {s: listed.get(s) or made[s] for s in symbols}


def _power_of_ten_within(limit: float) -> Decimal:
    return Decimal(10) ** math.floor(math.log10(limit) + 1e-9)
