"""What gate B demands of an executed strategy.

How orders are executed is asked in the cost model's document (`execution`), not here.
"""

from __future__ import annotations

from pydantic import Field

from quantlab_pipeline.core.spec import Spec


class BThresholds(Spec):
    """Section `b` of `specs/gates.yaml`; all at the worst judged way.

    Fewer than `min_trades` trades in any judged way: underpowered. `max_unknown_funding_share`: of
    closed trades, how many may have met a settlement that is missing. `min_stressed_net_bps` and
    `min_break_even_cost_multiple` judge the scenarios of stress and of dearer costs; null: not
    judged. `waiver_top_n` is how many a waiver admits.
    """

    min_net_bps: float = 0.0
    min_trades: int = Field(default=30, ge=2)
    min_fill_rate: float = Field(default=0.9, gt=0, le=1)
    max_turnover_per_day: float = Field(default=48.0, gt=0)
    min_capacity_usd: float = Field(default=10_000.0, ge=0)
    max_unknown_funding_share: float = Field(default=0.05, ge=0, le=1)
    min_stressed_net_bps: float | None = None
    min_break_even_cost_multiple: float | None = Field(default=None, ge=0)
    waiver_top_n: int = Field(default=3, ge=1)
