"""What may be asked of the labels: delay, horizons, and how much of a path may be missing.

The document is `specs/label_specs.yaml`. The columns themselves are in `schema`.
"""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from quantlab_pipeline.core.spec import Spec
from quantlab_pipeline.research.labels.schema import HORIZONS_MIN

FORMULAS = {
    "fwd_ret": "ln(P(t0 + delay + H) / P(t0 + delay))",
    "mfe": "max(0, max over u in (0, H] of ln(P(t0 + delay + u) / P(t0 + delay)))",
    "mae": "min(0, min over u in (0, H] of ln(P(t0 + delay + u) / P(t0 + delay)))",
}


class Horizon(Spec):
    """One horizon: its name in the columns, and its length."""

    name: str
    length_min: int = Field(gt=0)


class LabelFormula(Spec):
    """One kind of label. `formula` is the definition that `build` implements, word for word."""

    name: Literal["fwd_ret", "mfe", "mae"]
    formula: str
    unit: Literal["1"] = "1"

    @model_validator(mode="after")
    def _is_the_one_implemented(self) -> Self:
        if self.formula != FORMULAS[self.name]:
            raise ValueError(f"{self.name} is built as '{FORMULAS[self.name]}', not otherwise")
        return self


class LabelSpecs(Spec):
    """How `labels_fwd` is made. P is the reference price; t0 is the row's `ts`.

    `entry_delay_min`: a decision at t0 enters no earlier (at least one bar: no fill in the bar that
    decided). `max_missing_frac`: largest share of the path's minutes without a price.
    `max_entry_gap_min`, `max_exit_gap_min`: an end of the path may lie in a gap of at most so many
    minutes, and then has the price carried into it; 0 asks for a price at that very minute.
    """

    price: Literal["reference_price"]
    sampling: Literal["every_minute_with_a_price"]
    entry_delay_min: int = Field(ge=1, le=60)
    max_missing_frac: float = Field(ge=0, lt=1)
    max_entry_gap_min: int = Field(ge=0, le=60)
    max_exit_gap_min: int = Field(ge=0, le=60)
    labels: tuple[LabelFormula, ...]
    horizons: tuple[Horizon, ...]

    @model_validator(mode="after")
    def _agrees_with_the_columns(self) -> Self:
        if {h.name: h.length_min for h in self.horizons} != HORIZONS_MIN:
            known = ", ".join(f"{name}={length}" for name, length in HORIZONS_MIN.items())
            raise ValueError(f"horizons must be those of the columns: {known}")
        if [label.name for label in self.labels] != list(FORMULAS):
            raise ValueError(f"labels must be {', '.join(FORMULAS)}, in this order")
        return self

    @property
    def longest_min(self) -> int:
        """Minutes from the entry to the end of the longest horizon."""
        return max(h.length_min for h in self.horizons)
