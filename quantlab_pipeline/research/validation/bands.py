"""The bands that gate V1 itself is held to: section `calibration` of `specs/gates.yaml`.

Belongs here: how many worlds, what is planted in them, and what may come out. The experiments are
`calibration.certificate`'s; no stage of the pipeline reads a band.
"""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from quantlab_pipeline.core.spec import Spec


class ShareBand(Spec):
    """A share of cases must lie in [`low`, `high`] where there are `cases` of them or more.

    With fewer the band is as wide as the binomial of `expected` makes it at the false alarm.
    """

    low: float = Field(ge=0, le=1)
    high: float = Field(ge=0, le=1)
    cases: int = Field(ge=1)
    expected: float = Field(ge=0, le=1)

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if not self.low <= self.expected <= self.high:
            raise ValueError("a band needs low <= expected <= high")
        return self


class CalibrationBands(Spec):
    """Everything that `quantlab calibrate` plants and demands.

    `worlds` are judged whole; `size_worlds` more are null and measure the tail alone;
    `mutant_worlds` of the first are shown to the mutants, `copied_worlds` are copied (PT-04). Each
    band refuses what is right at most with probability `false_alarm`. Size is measured at
    `size_levels`: at `mean_levels` of them by the mean over worlds, in the deeper tail by how many
    worlds have any rejection; where nothing is planted it must not fall below
    `size_least_share` of 5 % either. `shift_se` is how far an edge is planted from zero, in
    standard errors that the binding statistic has with it, net of cost; `max_occupancy` the share
    of minutes in which its positions may be held. `power`, `coverage`, `mde_power`, `told`: see
    `ShareBand`. `copy_max_dz` is what a copied universe may change; `drift_bps_day` the drift of
    PT-05, which must move the raw z of a day's horizon by `drift_min_shift`.
    """

    worlds: int = Field(default=200, ge=1)
    size_worlds: int = Field(default=800, ge=0)
    mutant_worlds: int = Field(default=24, ge=1)
    copied_worlds: int = Field(default=4, ge=1)
    m_budget: int = Field(default=10_000, ge=1)
    false_alarm: float = Field(default=1e-3, gt=0, lt=1)
    size_levels: tuple[float, ...] = Field(default=(0.05, 0.01, 1e-3, 2.2e-4, 1e-4, 1e-5))
    mean_levels: tuple[float, ...] = Field(default=(0.05, 0.01))
    size_least_share: float = Field(default=0.5, ge=0, le=1)
    shift_se: float = Field(default=6.0, gt=0)
    max_occupancy: float = Field(default=0.25, gt=0, le=1)
    power: ShareBand = ShareBand(low=0.9, high=1.0, cases=100, expected=0.95)
    coverage: ShareBand = ShareBand(low=0.93, high=0.985, cases=400, expected=0.95)
    mde_power: ShareBand = ShareBand(low=0.7, high=0.9, cases=200, expected=0.8)
    told: ShareBand = ShareBand(low=0.9, high=1.0, cases=100, expected=0.95)
    copy_max_dz: float = Field(default=1e-9, gt=0)
    drift_bps_day: float = Field(default=200.0, gt=0)
    drift_min_shift: float = Field(default=5.0, gt=0)

    @model_validator(mode="after")
    def _levels_are_measured(self) -> Self:
        if not set(self.mean_levels) <= set(self.size_levels):
            raise ValueError("`mean_levels` must be among `size_levels`")
        return self
