"""Fills: which price and how much an order gets once it has reached the venue.

Named models:
- `taker_quote`: a market order takes the bid or ask standing at t + latency. A quote that is
  invalid (missing, not positive, locked or crossed) or stale is no price: the order waits for the
  next usable one, at most `max_wait_s`, then it is cancelled unfilled. Size beyond `depth_share` of
  the size shown walks a book that is as deep per `beyond_depth_bps` as the touch itself, and never
  pays less than the cost model's square-root impact. A quote that shows so little that the order
  would walk more than `max_walk_bps` is no price for it: it waits as for a usable one. Conditions:
  the size shown is really there, and the book is whole again when the exit comes.
- `next_bar`: where there is no book, the open of the first bar that opens at or after t + latency,
  plus or minus an assumed half-spread; a bar without trades is skipped, at most `max_wait_bars`.
  Everything made with it is marked `assumed`.
An exit is never cancelled: it waits for the next usable price, and where the tape ends first it is
settled at the last one and counted as forced.

A passive entry rests at the near touch (the bid for a buy) of the first usable quote at t + latency
or after, for at most `passive.max_wait_s`, and never beyond the trade's own exit. Its price is its
limit, which no multiplier of a cost sweep moves. What it earns is half the spread as it last stood
before the fill; how far the market then jumped through it is gross, not spread. At one instant
quotes come before orders, and what fills an order is always a later quote; one that is no price
says nothing. The rules differ in what they take for evidence that somebody traded with the order:
- `touch`: the whole order, as soon as a quote shows anything that a trade at the price could have
  left behind: less size there than before, the near side come down to the price or gone from it, or
  the opposite side at it. Optimistic: it takes cancels for trades and knows no queue. For
  comparison only; no verdict may rest on it.
- `queue`: the order joins behind the whole size shown at its price, times `queue_multiple`. Of what
  the size shown shrinks by, `traded_share` is taken for trades at the front, the rest for cancels
  behind the order. Never is more ahead of it than the size shown (times the multiple), and nothing
  once the level is gone. What was traded beyond the queue fills it, in part if it is less. A better
  price by others puts nobody before it, and nothing moves until the touch is back at its price. The
  opposite side at the price fills what it shows (times `depth_share`), past the price all the rest.
- `penetration`: that last sentence alone. The quote lies beyond the price: its near side strictly,
  its opposite side at it or past it, so that whoever stands there would have met the order first.
A penetration fill is thus a queue fill, and a queue fill a touch fill, no earlier and no smaller.
Snapshots once a second show neither trades nor who cancelled. A trade whose size was replaced
within the second is missed, and so is a dip between two of them (pessimistic). A shrinking may be a
cancel in front of the order, or behind it; `traded_share` says how much is believed to have traded.
The order itself moves nobody.
What is not filled by the end of the wait is cancelled (`then: cancel`): a part is a smaller trade,
in whole lots, at the instant of its last part. With `then: cross` an order that got nothing takes
as a taker then; one that got a part keeps it.
On bars the order rests half the assumed spread from the open of the first bar after its arrival,
rounded to a whole tick away from it; `touch` is a low at it (high for a sell), `penetration` one at
least a tick beyond. A queue cannot be seen on bars: `queue` is `penetration` there. Such a fill
comes at the bar's close, within `max_wait_bars` minutes, and is marked `assumed`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from quantlab_pipeline.core.spec import Spec

FillRule = Literal["taker", "touch", "queue", "penetration"]
"""How an order fills: at once against the book, or resting at the near touch, by one of three."""


class PassiveModel(Spec):
    """How long a passive entry rests, what comes then, and what its queue is taken to be."""

    max_wait_s: float = Field(default=60.0, ge=0)
    then: Literal["cancel", "cross"] = "cancel"
    queue_multiple: float = Field(default=1.0, ge=0, allow_inf_nan=False)
    traded_share: float = Field(default=0.5, ge=0, le=1)


class FillModel(Spec):
    """Limits of the taker models, and the passive ones'."""

    max_wait_s: float = Field(default=60.0, ge=0)
    max_wait_bars: int = Field(default=5, ge=1)
    max_quote_age_s: float = Field(default=15.0, gt=0)
    depth_share: float = Field(default=1.0, gt=0, le=1)
    beyond_depth_bps: float = Field(default=2.0, ge=0)
    max_walk_bps: float = Field(default=50.0, gt=0, lt=10_000)
    passive: PassiveModel = PassiveModel()


@dataclass(frozen=True, slots=True)
class Bracket:
    """What a figure is under the passive rules: the worst of them, and how far they lie apart.

    `optimistic` are the rules that show a gain where the worst shows none: what they say is the
    rule's, not the market's.
    """

    worst: FillRule
    figure: float
    width: float
    optimistic: tuple[FillRule, ...]


def bracket(figures: Mapping[FillRule, float]) -> Bracket:
    """The bracket of a figure where more is better, such as a mean mark-out or a mean net.

    NaN is unknown: then that rule is the worst, its figure and the width are NaN, and nothing
    passes on it. No figure at all raises ValueError.
    """
    if not figures:
        raise ValueError("a bracket needs a figure of at least one rule")
    unknown = [rule for rule in figures if math.isnan(figures[rule])]
    worst = unknown[0] if unknown else min(figures, key=lambda rule: figures[rule])
    figure = figures[worst]
    gains = (rule for rule in figures if figures[rule] > 0.0 and not figure > 0.0)
    return Bracket(worst, figure, max(figures.values()) - figure, tuple(gains))
