"""The closed list of verbs that a feature may name: their inputs, parameters and reach in time.

Belongs here: what may be asked of a verb. How a verb computes is in `windows`, `micro`,
`derivatives` and `volatility`, which load the kernels; this module loads nothing heavy.

How to add a verb: one pure function (inputs, params, grid) -> array in the module of its family;
one line in VERBS below and one in `computations.COMPUTATIONS`; a class of parameters here, if none
fits, that says how far the verb reaches and, for a recursion, where it begins; and a feature in
`specs/feature_specs.yaml` that uses it, whose value the tests' oracle (`oracles.features`) works
out from raw rows. The tests fail while any of these is missing. A verb's value at t may depend on
the rows from t - `reach()` to t and on nothing else, not even on where its arrays began: PIT-1
attacks that.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Self

from pydantic import Field, model_validator

from quantlab_pipeline.core.clocks import DAY_MINUTES
from quantlab_pipeline.core.spec import Spec

WEEK_MIN = 7 * DAY_MINUTES
FORGOTTEN = 1e-8
"""What may be left of a recursion's first row: a start a hundred times off moves a value by 1e-6 of
itself, which is what PIT-1 allows when it doubles the warm-up."""


class Params(Spec):
    """A verb's parameters. `reach` is how many minutes before t it looks, `wait` how many minutes
    of gapless input pass before its first value.
    """

    def reach(self) -> int:
        """Minutes before t of the oldest row that the value at t may depend on."""
        return 0

    def wait(self, min_valid: int) -> int:
        """Rows of gapless input before the first value, if `min_valid` valid ones are asked for."""
        return min_valid - 1

    def least_valid(self) -> int:
        """Least `min_valid` that a spec may state: after so many rows a recursion has forgotten its
        first one.
        """
        return 1

    def with_twice_the_warmup(self) -> Self | None:
        """The same with its recursion begun twice as far back; None for a verb without one."""
        return None


class LevelParams(Params):
    """`scale` changes the unit, such as 1e4 from a rate to basis points."""

    scale: float = 1.0


class WindowParams(Params):
    """A trailing window of `window_min` rows that ends at t, t included."""

    window_min: int = Field(ge=2, le=WEEK_MIN)

    def reach(self) -> int:
        """The window's oldest row."""
        return self.window_min - 1


class RankParams(WindowParams):
    """`magnitude`: rank |x| instead of x."""

    magnitude: bool = False


class QuantileParams(WindowParams):
    """`q`: share of the window's rows that lie below."""

    q: float = Field(gt=0, lt=1)


class ChangeParams(Params):
    """From the row `window_min` minutes ago to the row at t."""

    window_min: int = Field(ge=1, le=WEEK_MIN)

    def reach(self) -> int:
        """The row that is compared with."""
        return self.window_min

    def wait(self, min_valid: int) -> int:
        """The row that is compared with must be there."""
        return self.window_min + min_valid - 1


class FlagParams(Params):
    """1 where x >= `at_least`, or where x <= `at_most`; exactly one of them is set."""

    at_least: float | None = None
    at_most: float | None = None

    @model_validator(mode="after")
    def _one_bound(self) -> Self:
        if (self.at_least is None) == (self.at_most is None):
            raise ValueError("set exactly one of `at_least` and `at_most`")
        return self


class StressParams(Params):
    """Weights of the liquidity-stress composite; they sum to 1."""

    weight_spread: float = Field(ge=0, le=1)
    weight_depth: float = Field(ge=0, le=1)
    weight_imbalance: float = Field(ge=0, le=1)

    @model_validator(mode="after")
    def _sum_to_one(self) -> Self:
        total = self.weight_spread + self.weight_depth + self.weight_imbalance
        if abs(total - 1.0) > 1e-12:
            raise ValueError(f"the weights sum to {total:g}; make them sum to 1")
        return self


class RunParams(Params):
    """Runs are counted among the facts of the last `window_min` minutes, up to `cap_facts`."""

    window_min: int = Field(ge=1, le=WEEK_MIN)
    cap_facts: int = Field(ge=1, le=1000)

    def reach(self) -> int:
        """The window's oldest fact."""
        return self.window_min


class HalfLifeParams(WindowParams):
    """Pairs (x[u-1], x[u]) with u in a window of `window_min` rows."""

    def reach(self) -> int:
        """The oldest pair's first end."""
        return self.window_min

    def wait(self, min_valid: int) -> int:
        """A pair needs two rows."""
        return min_valid


class JumpParams(WindowParams):
    """A change over one minute of at least `floor_bps` and `deviations` times the deviation of the
    changes in the `window_min` minutes before it.
    """

    deviations: float = Field(gt=0)
    floor_bps: float = Field(ge=0)

    def reach(self) -> int:
        """The oldest change's first end."""
        return self.window_min + 1

    def wait(self, min_valid: int) -> int:
        """`min_valid` changes, then one more to be judged by them."""
        return min_valid + 1


class AverageRangeParams(Params):
    """Wilder's smoothing with weight 1 / `window_min`, begun `restart_before_day_min` before each
    UTC day.
    """

    window_min: int = Field(ge=2, le=DAY_MINUTES)
    restart_before_day_min: int = Field(ge=DAY_MINUTES // 2, le=2 * WEEK_MIN)

    def reach(self) -> int:
        """The restart before the day of t, and the close before it."""
        return DAY_MINUTES - 1 + self.restart_before_day_min + 1

    def wait(self, min_valid: int) -> int:
        """The first true range needs the close before it."""
        return min_valid

    def least_valid(self) -> int:
        """Rows that leave at most FORGOTTEN of the first true range."""
        return math.ceil(math.log(FORGOTTEN) / math.log1p(-1.0 / self.window_min))

    def with_twice_the_warmup(self) -> Self:
        """Begun twice as far before each day."""
        return self.model_copy(update={"restart_before_day_min": 2 * self.restart_before_day_min})

    @model_validator(mode="after")
    def _forgets_its_start(self) -> Self:
        if self.restart_before_day_min < self.least_valid():
            raise ValueError(
                f"`restart_before_day_min` {self.restart_before_day_min} lets the first row "
                f"show; it takes {self.least_valid()} rows to forget it"
            )
        return self


@dataclass(frozen=True, slots=True)
class Verb:
    """How many inputs a verb takes (None: any number) and which parameters."""

    n_inputs: int | None
    params: type[Params]


CUSTOM = "custom"
"""The verb of a column whose function the caller passes to `build_features` as `extra`."""

VERBS: dict[str, Verb] = {
    "level": Verb(1, LevelParams),
    "difference": Verb(1, ChangeParams),
    "log_change": Verb(1, ChangeParams),
    "log_ratio": Verb(2, Params),
    "quotient": Verb(2, Params),
    "gap": Verb(2, LevelParams),
    "flag": Verb(1, FlagParams),
    "rolling_mean": Verb(1, WindowParams),
    "rolling_deviation": Verb(1, WindowParams),
    "rolling_z": Verb(1, WindowParams),
    "rolling_rank": Verb(1, RankParams),
    "rolling_quantile": Verb(1, QuantileParams),
    "ratio_to_mean": Verb(1, WindowParams),
    "liquidity_stress": Verb(3, StressParams),
    "minutes_until": Verb(1, Params),
    "sign_run": Verb(2, RunParams),
    "half_life": Verb(1, HalfLifeParams),
    "jump_flag": Verb(1, JumpParams),
    "average_range": Verb(3, AverageRangeParams),
    "wick": Verb(4, Params),
    "range_position": Verb(3, WindowParams),
    "amihud": Verb(4, WindowParams),
    CUSTOM: Verb(None, Params),
}
