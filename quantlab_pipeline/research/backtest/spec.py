"""What may be asked of a backtest: overlapping signals, stresses, neighbours, resampling.

Belongs here: the document `specs/backtest.yaml`. Not here: what must be passed
(`specs/gates.yaml`).
"""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from quantlab_pipeline.core.clocks import DAY_MINUTES
from quantlab_pipeline.core.spec import Spec

Overlap = Literal["skip", "extend"]
"""While a position is open, a further signal is skipped, or one of the same side moves its exit."""


class StressSpec(Spec):
    """What a strategy is put through.

    `cost_multiples` scale fee, spread and impact; `spread_multiple` the spread alone;
    `depth_multiple` the sizes shown in the book, `volume_multiple` the traded value that impact and
    spread tiers go by; `delay_min` delays every decision; `drop_share` of all minutes is lost
    (events, quotes and bars), drawn from `seed`. These must be survived (gate S).

    The others are told: `outage_min` minutes of quotes and bars are lost after every decision to
    enter, or to leave, the worst moments to be blind; funding costs `funding_paid` times what it
    does and pays `funding_received` times; `overlay_bps` is charged on every round trip on top.
    """

    seed: int = Field(default=20251121, ge=0)
    cost_multiples: tuple[float, ...] = (1.5, 2.0)
    spread_multiple: float = Field(default=3.0, ge=1)
    depth_multiple: float = Field(default=0.5, gt=0, le=1)
    volume_multiple: float = Field(default=0.5, gt=0, le=1)
    delay_min: int = Field(default=1, ge=1)
    drop_share: float = Field(default=0.05, gt=0, lt=1)
    outage_min: int = Field(default=3, ge=1)
    funding_paid: float = Field(default=2.0, ge=1)
    funding_received: float = Field(default=0.0, ge=0, le=1)
    overlay_bps: tuple[float, ...] = (25.0, 50.0, 75.0, 100.0)


class NeighbourSpec(Spec):
    """How far each parameter of a rule is moved, one at a time; neighbours are run on bars.

    `hold_multiples` scale the holding time, `threshold_multiples` each number of the event type's
    trigger and its cooldown, `delays_min` delay every decision.
    """

    hold_multiples: tuple[float, ...] = (0.5, 0.75, 1.25, 1.5)
    threshold_multiples: tuple[float, ...] = (0.75, 0.9, 1.1, 1.25)
    delays_min: tuple[int, ...] = (1, 2)

    @field_validator("hold_multiples", "threshold_multiples")
    @classmethod
    def _move_something(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        if any(scale <= 0 or scale == 1 for scale in value) or len(set(value)) < len(value):
            raise ValueError("multiples must be positive, distinct, and none of them 1")
        return value


class MonteCarloSpec(Spec):
    """How a strategy's P&L is resampled: blocks of bars of `bar_min` minutes, with their order.

    A block is `block_min_bars` to `block_max_bars` long. With hours a block holds whole trades.
    Over a million paths seeds move drawdown and profit factor by 0.1 % and less, and Sharpe by
    0.2 % of its sampling error; a year takes a thread some 4 seconds.
    """

    paths: int = Field(default=1_000_000, ge=100)
    bar_min: int = Field(default=60, ge=1)
    block_min_bars: int = Field(default=20, ge=1)
    block_max_bars: int = Field(default=60, ge=1)
    seed: int = Field(default=20251121, ge=0)

    @model_validator(mode="after")
    def _fits_a_day(self) -> Self:
        if DAY_MINUTES % self.bar_min:
            raise ValueError("`bar_min` must divide a day, whose bars make up a day's P&L")
        if self.block_max_bars < self.block_min_bars:
            raise ValueError("`block_max_bars` is below `block_min_bars`")
        return self

    @property
    def bars_per_day(self) -> int:
        """Bars that make up a day."""
        return DAY_MINUTES // self.bar_min


class AssumptionSpec(Spec):
    """What is conservative where the cost model's two profiles do not say.

    `measured_spread_multiple` widens a measured book, `depth_multiple` is the share of the sizes
    shown that is really there, `assumed_mark_bps` how much worse than assumed a mark may be that
    nobody published.
    """

    measured_spread_multiple: float = Field(default=1.5, ge=1)
    depth_multiple: float = Field(default=0.5, gt=0, le=1)
    assumed_mark_bps: float = Field(default=50.0, ge=0)


class BacktestSpec(Spec):
    """The document `specs/backtest.yaml`. A backtest runs at the cost model's slowest latency."""

    overlap: Overlap = "skip"
    stress: StressSpec = StressSpec()
    neighbours: NeighbourSpec = NeighbourSpec()
    monte_carlo: MonteCarloSpec = MonteCarloSpec()
    assumptions: AssumptionSpec = AssumptionSpec()
