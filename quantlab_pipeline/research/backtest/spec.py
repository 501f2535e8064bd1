"""What may be asked of a backtest: the rule for overlapping signals, and the stresses."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from quantlab_pipeline.core.spec import Spec

Overlap = Literal["skip", "extend"]
"""While a position is open, a further signal is skipped, or one of the same side moves its exit."""


class StressSpec(Spec):
    """What a strategy is put through.

    `cost_multiples` scale fee, spread and impact; `spread_multiple` the spread alone; `delay_min`
    delays every decision; `drop_share` of all minutes is lost (events, quotes and bars), drawn from
    `seed`; `overlay_bps` is charged on every round trip on top; `hold_multiples` change the holding
    time and are run on bars.
    """

    seed: int = Field(default=20251121, ge=0)
    cost_multiples: tuple[float, ...] = (1.5, 2.0)
    spread_multiple: float = Field(default=3.0, ge=1)
    delay_min: int = Field(default=1, ge=1)
    drop_share: float = Field(default=0.05, gt=0, lt=1)
    overlay_bps: tuple[float, ...] = (25.0, 50.0, 75.0, 100.0)
    hold_multiples: tuple[float, ...] = (0.5, 0.75, 1.25, 1.5)


class BacktestSpec(Spec):
    """The document `specs/backtest.yaml`. A backtest runs at the cost model's slowest latency."""

    overlap: Overlap = "skip"
    stress: StressSpec = StressSpec()
