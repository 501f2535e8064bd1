"""What may be asked of a portfolio: caps, costs of change, risk aversion, gate P's thresholds."""

from __future__ import annotations

from pydantic import Field

from quantlab_pipeline.core.spec import Spec


class PortfolioSpec(Spec):
    """Caps are shares of the book's capital; costs are paid on the share that changes hands."""

    capital_usd: float = Field(gt=0)
    weight_cap: float = Field(gt=0)
    cluster_cap: float = Field(gt=0)
    gross_cap: float = Field(gt=0)
    risk_aversion: float = Field(gt=0)
    turnover_cost_bps: float = Field(ge=0)
    impact_cost_bps: float = Field(ge=0)
    rebalance_days: int = Field(ge=1)
    min_history_days: int = Field(ge=5)
    mean_shrinkage: float = Field(ge=0, le=1)
    cluster_correlation: float = Field(gt=0, lt=1)
    stress_correlation: float = Field(gt=0, lt=1)


class PThresholds(Spec):
    """Gate P: what the book must show on days that no fit has seen."""

    min_net_bps_per_day: float
    min_stress_sharpe: float
    max_drawdown_bps: float = Field(gt=0)
    max_turnover_per_day: float = Field(gt=0)
    min_capacity_usd: float = Field(ge=0)
    min_days: int = Field(ge=1)
