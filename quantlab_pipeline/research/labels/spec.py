"""What may be asked of the labels: delay, horizons, and how much of a path may be missing.

The document is `specs/label_specs.yaml`. The columns themselves are in `schema`.
"""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from quantlab_pipeline.core.spec import Spec
from quantlab_pipeline.research.labels.schema import HORIZONS_MIN

PRICE_RULE = (
    "P(t) is the mid of the perpetual book's last valid quote of the minute that ends at t "
    "(price_source mid), else the close of the minute's bar (price_source close: assumed); "
    "M(t) is the mark price at t"
)

FORMULAS = {
    "fwd_ret_{H}": "ln(P(t0 + delay + H) / P(t0 + delay))",
    "fwd_ret_{H}_exec": "ln(P(T) / P(t0 + delay)), T the end of the horizon; where the symbol's "
    "last bar lies inside it, T the symbol's last price up to there",
    "mfe_{H}": "max(0, max over u in (0, H] of ln(P(t0 + delay + u) / P(t0 + delay)))",
    "mae_{H}": "min(0, min over u in (0, H] of ln(P(t0 + delay + u) / P(t0 + delay)))",
    "mfe_{H}_mark": "max(0, max over u in (0, H] of ln(M(t0 + delay + u) / M(t0 + delay)))",
    "mae_{H}_mark": "min(0, min over u in (0, H] of ln(M(t0 + delay + u) / M(t0 + delay)))",
}
"""By the names of the columns, {H} being a horizon's."""


class Horizon(Spec):
    """One horizon: its name in the columns, and its length."""

    name: str
    length_min: int = Field(gt=0)


class LabelFormula(Spec):
    """One kind of label. `formula` is the definition that `build` implements, word for word."""

    name: str
    formula: str
    unit: Literal["1"] = "1"

    @model_validator(mode="after")
    def _is_the_one_implemented(self) -> Self:
        if self.name not in FORMULAS:
            raise ValueError(f"there is no label {self.name}; labels are {', '.join(FORMULAS)}")
        if self.formula != FORMULAS[self.name]:
            raise ValueError(f"{self.name} is built as '{FORMULAS[self.name]}', not otherwise")
        return self


class LabelSpecs(Spec):
    """How `labels_fwd` is made. P is the reference price; t0 is the row's `ts`.

    `price_rule` says in words what P and M are. `entry_delay_min`: a decision at t0 enters no
    earlier (at least one bar: no fill in the bar that decided). `max_missing_frac`: largest share
    of the path's minutes without a price.
    `max_entry_gap_min`, `max_exit_gap_min`: an end of the path may lie in a gap of at most so many
    minutes, and then has the price carried into it; 0 asks for a price at that very minute.
    """

    price: Literal["reference_price"]
    price_rule: str
    sampling: Literal["every_minute_of_a_traded_day"]
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
        if self.price_rule != PRICE_RULE:
            raise ValueError(f"the price is '{PRICE_RULE}', not otherwise")
        if [label.name for label in self.labels] != list(FORMULAS):
            raise ValueError(f"labels must be {', '.join(FORMULAS)}, in this order")
        return self

    @property
    def longest_min(self) -> int:
        """Minutes from the entry to the end of the longest horizon."""
        return max(h.length_min for h in self.horizons)
