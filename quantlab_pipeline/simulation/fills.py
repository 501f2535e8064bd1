"""Fills: which price and how much an order gets once it has reached the venue.

Named models:
- `taker_quote`: a market order takes the bid or ask standing at t + latency. A quote that is
  invalid (missing, not positive, locked or crossed) or stale is no price: the order waits for the
  next usable one, at most `max_wait_s`, then it is cancelled unfilled. Size beyond `depth_share` of
  the size shown walks a book that is as deep per `beyond_depth_bps` as the touch itself, and never
  pays less than the cost model's square-root impact. Conditions: the size shown is really there,
  and the book is whole again when the exit comes.
- `next_bar`: where there is no book, the open of the first bar that opens at or after t + latency,
  plus or minus an assumed half-spread; a bar without trades is skipped, at most `max_wait_bars`.
  Everything made with it is marked `assumed`.
An exit is never cancelled: it waits for the next usable price, and where the tape ends first it is
settled at the last one and counted as forced.

Passive fills (touch, queue, penetration) do not belong here yet: every order is a taker.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from quantlab_pipeline.core.spec import Spec

FillRule = Literal["taker", "touch", "queue", "penetration"]
"""How an order fills: at once against the book, or resting at the near touch, by one of three."""


class FillModel(Spec):
    """Limits of the two taker models."""

    max_wait_s: float = Field(default=60.0, ge=0)
    max_wait_bars: int = Field(default=5, ge=1)
    max_quote_age_s: float = Field(default=15.0, gt=0)
    depth_share: float = Field(default=1.0, gt=0, le=1)
    beyond_depth_bps: float = Field(default=2.0, ge=0)
