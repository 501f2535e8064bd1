"""What a walk-forward may be asked: folds, embargo, parameters refitted, gate S's thresholds."""

from __future__ import annotations

from pydantic import Field

from quantlab_pipeline.core.spec import Spec


class WalkForwardSpec(Spec):
    """The document `specs/walk_forward.yaml`.

    The holdout is cut into `n_folds` test segments. In each, the parameters are chosen on all days
    before it, purged of label spans that reach into it and of `embargo_min` after any test segment.
    `hold_scales` multiply the candidate's horizon (ascending, with 1); `severity_quantiles` are
    floors on the event's severity, as quantiles of the train events.
    """

    n_folds: int = Field(ge=2)
    embargo_min: int = Field(ge=0)
    hold_scales: tuple[float, ...] = Field(min_length=3)
    severity_quantiles: tuple[float, ...] = Field(min_length=1)
    min_train_trades: int = Field(ge=2)
    pbo_blocks: int = Field(ge=4, multiple_of=2)


class SThresholds(Spec):
    """Section `s` of `specs/gates.yaml`."""

    min_oos_trades: int = Field(ge=2)
    min_oos_net_bps: float
    max_oos_p: float = Field(gt=0, lt=1)
    min_deflated_sharpe: float = Field(ge=0, le=1)
    min_neighbour_ratio: float = Field(ge=0, le=1)
    min_stress_net_bps: float
    max_drawdown_bps: float = Field(gt=0)
    max_pbo_upper: float = Field(gt=0, le=1)
    waiver_top_n: int = Field(default=3, ge=1)
