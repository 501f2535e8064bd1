"""An instrument's arithmetic: ticks, lots, multiplier. Prices and quantities become integers here.

The listing of instruments is `specs/instruments.yaml`.
"""

from __future__ import annotations

import math
from decimal import Decimal

from pydantic import Field

from quantlab_pipeline.core.spec import Spec


class Instrument(Spec):
    """A linear perpetual or spot pair. `tick_size` in quote, `lot_size` in base units."""

    symbol: str
    tick_size: Decimal = Field(gt=0)
    lot_size: Decimal = Field(gt=0)
    multiplier: Decimal = Field(default=Decimal(1), gt=0)
    min_notional_usd: Decimal = Field(default=Decimal(5), ge=0)

    def ticks_against(self, price: float, side: int) -> int:
        """`price` in whole ticks, rounded against a trader on `side` (+1 buys up, -1 sells down)."""
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
