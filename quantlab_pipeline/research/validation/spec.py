"""What may be asked of V1: the family of candidates, and the thresholds of its verdict.

Belongs here: the documents `specs/candidate_family.yaml` and sections `v1`, `v1_flags` and
`v1_companions` of `specs/gates.yaml`, and what a rule template and a bucket mean on arrays and
columns (the bridge executes the same).
Not here: expanding a family into trials (`family`) or judging one (`gate`).
"""

from __future__ import annotations

from typing import Literal, Self

import numpy as np
import numpy.typing as npt
import polars as pl
from pydantic import Field, model_validator

from quantlab_pipeline.core.spec import Spec
from quantlab_pipeline.research.labels.schema import HORIZONS_MIN

FloatArray = npt.NDArray[np.float64]
HorizonName = Literal["5m", "15m", "1h", "4h", "24h"]
RegimeColumn = Literal["vol_regime", "liq_regime"]

STATISTIC = "calendar_time_net_z: max(HC0, Bartlett-5), max p of raw and contrast"
"""Name of the test, part of a trial's identity."""


class Bucket(Spec):
    """A context at t0: the events whose `column` reads `value`; all of them without a column."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    column: RegimeColumn | None = None
    value: Literal["low", "mid", "high"] | None = None

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if (self.column is None) != (self.value is None):
            raise ValueError(f"bucket `{self.name}` needs both `column` and `value`, or neither")
        return self

    def admits(self) -> pl.Expr:
        """Expression that is true for the events of this bucket."""
        return pl.lit(True) if self.column is None else pl.col(self.column) == self.value


class Template(Spec):
    """A rule that gives a position's sign at t0 from one feature known then.

    `constant`: always +1. `against`: minus the feature's sign. `outside`: +1 at or above `high`, -1
    at or below `low`, no trade between. A null or NaN feature gives no trade, nor does a 0 under
    `against`. `dataset` is the table without which the feature does not exist.
    """

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    rule: Literal["constant", "against", "outside"]
    feature: str | None = None
    dataset: str | None = None
    low: float | None = None
    high: float | None = None

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if (self.feature is None) != (self.rule == "constant"):
            raise ValueError(
                f"template `{self.name}`: a rule needs a `feature`, a constant has none"
            )
        bounded = self.low is not None and self.high is not None and self.low < self.high
        if (self.rule == "outside") != bounded:
            raise ValueError(f"template `{self.name}`: `outside` and only it needs `low` < `high`")
        return self

    def signs(self, values: FloatArray) -> FloatArray:
        """+1, -1 or 0 (no trade) for each value of the feature, shape [n]; NaN gives 0."""
        if self.rule == "constant":
            return np.ones(len(values))
        if self.rule == "against":
            return np.nan_to_num(-np.sign(values)) + 0.0
        assert self.high is not None
        assert self.low is not None
        above, below = values >= self.high, values <= self.low
        return above.astype(np.float64) - below.astype(np.float64)


class CandidateFamily(Spec):
    """The document `specs/candidate_family.yaml`: buckets x horizons x templates x sides per event.

    `delta_min` is the wait from decision to entry. `max_missing_frac` and `max_exit_gap_min` say
    when a path has too few prices to count: the rule of the labels, so that both keep the same
    events.
    """

    family_id: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    version: int = Field(ge=1)
    buckets: tuple[Bucket, ...] = Field(min_length=1)
    horizons: tuple[HorizonName, ...] = Field(min_length=1)
    templates: tuple[Template, ...] = Field(min_length=1)
    sides: tuple[Literal[1, -1], ...] = (1, -1)
    delta_min: int = Field(default=1, ge=1)
    max_missing_frac: float = Field(default=0.05, ge=0, lt=1)
    max_exit_gap_min: int = Field(default=3, ge=0)
    q: float = Field(default=0.1, gt=0, lt=1)
    procedure: Literal["benjamini_hochberg"] = "benjamini_hochberg"
    cost_profile: Literal["base", "conservative"] = "conservative"

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        for field in ("buckets", "templates"):
            names = [item.name for item in getattr(self, field)]
            if len(set(names)) < len(names):
                raise ValueError(f"`{field}` names one item twice")
        if len(set(self.horizons)) < len(self.horizons) or len(set(self.sides)) < len(self.sides):
            raise ValueError("`horizons` and `sides` may not repeat")
        return self

    def size(self, n_event_types: int) -> int:
        """Number of candidates, all counted."""
        cells = len(self.buckets) * len(self.horizons) * len(self.templates) * len(self.sides)
        return n_event_types * cells

    def features(self) -> list[str]:
        """Columns of `features_pt` that the templates read, sorted."""
        return sorted({t.feature for t in self.templates if t.feature is not None})


class V1Thresholds(Spec):
    """Section `v1` of `specs/gates.yaml`.

    A pass needs a BH q of at most `q`, a positive net mean, `min_active_days`, `min_n_eff`,
    `capacity_floor_usd`, and no slice of at least `slice_min_days` whose Holm-adjusted p for a
    negative effect is below `holm_p`. A miss counts as underpowered where the smallest detectable
    effect exceeds both `mde_cost_multiple` costs and `mde_sigma_fraction` of one event's deviation.
    `waiver_top_n` is how many a waiver admits.
    """

    q: float = Field(default=0.1, gt=0, lt=1)
    min_active_days: int = Field(default=20, ge=1)
    min_n_eff: float = Field(default=30, gt=0)
    holm_p: float = Field(default=0.01, gt=0, lt=1)
    slice_min_days: int = Field(default=8, ge=2)
    capacity_floor_usd: float = Field(default=10_000, ge=0)
    mde_cost_multiple: float = Field(default=3.0, gt=0)
    mde_sigma_fraction: float = Field(default=0.25, gt=0)
    waiver_top_n: int = Field(default=3, ge=1)


class FlagThresholds(Spec):
    """Section `v1_flags` of `specs/gates.yaml`: when a candidate is flagged. No verdict reads it.

    `HETEROGENEOUS` where `heterogeneity_p` is below the first. `SUSPECT_SAME_BAR` where one bar's
    delay loses `min_lost_share` of the effect or more, and more, at `same_bar_z` (one-sided), than
    a smooth decay does whose half-life is `half_life_min` or longer.
    """

    heterogeneity_p: float = Field(default=0.01, gt=0, lt=1)
    same_bar_z: float = Field(default=3.09, gt=0)
    half_life_min: float = Field(default=2.0, gt=0)
    min_lost_share: float = Field(default=0.1, ge=0, le=1)


class CompanionSpec(Spec):
    """Section `v1_companions` of `specs/gates.yaml`: figures beside V1's. No verdict reads them.

    `draws` of the stationary bootstrap, `min_block_days` the least mean length of its blocks. A
    candidate is called similar to a better one where the Jaccard index of their signed events is
    `similar_jaccard` or more; its score then loses `similarity_penalty` times that index of itself.
    """

    draws: int = Field(default=1000, ge=100)
    min_block_days: float = Field(default=1.0, ge=1)
    similar_jaccard: float = Field(default=0.6, gt=0, le=1)
    similarity_penalty: float = Field(default=0.5, ge=0, le=1)


def horizon_minutes(name: str) -> int:
    """Length of a horizon in minutes; KeyError for an unknown name."""
    return HORIZONS_MIN[name]
