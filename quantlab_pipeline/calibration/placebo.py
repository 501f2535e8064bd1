"""PT-27: V1 on a user's own data with every event moved to days where it means nothing.

Belongs here: moving a study's events, and holding the real count of passes against those of the
moved ones. One rotation moves all events of all symbols by the same whole number of days around the
study's window, so that their clustering, their hours and what they share stay as they are; only
what followed them is another day's. An event carries its sign, context and cost with it. A method
that was tuned to generated markets, or that takes dependence for evidence, passes as much here.

Rotations of one data set are not independent (a correlation of 0.58 was measured at 24 hours), so
that no binomial band holds: the real count is told by its rank. Nothing here is a trial: no ledger
hears of it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from quantlab_pipeline.core.clocks import DAY_MINUTES
from quantlab_pipeline.core.errors import SpecError
from quantlab_pipeline.core.verdicts import Outcome
from quantlab_pipeline.research.validation.evaluate import (
    judge_family,
    measure_family,
    question_of,
    reasons_of,
)
from quantlab_pipeline.research.validation.family import expand_family
from quantlab_pipeline.research.validation.inputs import (
    EventArrays,
    EventCosts,
    ValidationInputs,
    prepare,
)
from quantlab_pipeline.research.validation.paths import long_returns
from quantlab_pipeline.research.validation.schema import NAIVE_Z
from quantlab_pipeline.research.validation.spec import (
    CandidateFamily,
    V1Thresholds,
    horizon_minutes,
)
from quantlab_pipeline.simulation.costs import CostModel

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Progress = Callable[[str, int, int], None]

MOST_ROTATIONS = 100
NOMINAL = 0.05

COUNTS = ("n_tested", "n_naive", "n_nominal", "n_significant", "n_passed")
SCHEMA = {"shift_days": pl.Int64, **dict.fromkeys(COUNTS, pl.Int64), "best_z": pl.Float64}


@dataclass(frozen=True, slots=True)
class Placebo:
    """`counts`: one row per rotation, the first (0 days) being the study itself; `SCHEMA`.

    `n_naive` is how many a plain t-test calls significant at 5 %, `n_nominal` how many V1's own p
    does, `n_significant` how many BH takes at the budget, `n_passed` V1's passes, `best_z` the
    largest binding z. `apart_days`: the least distance of an event from where it was.
    """

    counts: pl.DataFrame
    apart_days: int

    @property
    def n_rotations(self) -> int:
        """How many placebos there are."""
        return self.counts.height - 1

    def rank(self, column: str) -> float:
        """Share of all rows, the study's own among them, whose `column` reaches the study's.

        1 / (rotations + 1) at best; 1 where no placebo shows less.
        """
        values = self.counts[column].fill_null(-np.inf)
        return float((values >= values[0]).mean())

    def typical(self, column: str) -> float:
        """Mean of `column` over the placebos, NaN without any."""
        mean = self.counts[column][1:].mean()
        return float(mean) if isinstance(mean, int | float) else float("nan")


def admissible_shifts(
    n_days: int, lookback_days: int, horizon_min: int, at_most: int = MOST_ROTATIONS
) -> tuple[int, ...]:
    """Whole-day rotations of a window of `n_days` that part events from all they knew and did.

    The distance, forwards and around the window's end, exceeds the lookback and the longest
    horizon. More than `at_most` are thinned evenly.
    """
    apart = apart_days(lookback_days, horizon_min)
    shifts = np.arange(apart, n_days - apart + 1)
    if shifts.size > at_most:
        shifts = shifts[np.round(np.linspace(0, shifts.size - 1, at_most)).astype(np.int64)]
    return tuple(int(k) for k in shifts)


def apart_days(lookback_days: int, horizon_min: int) -> int:
    """The least whole number of days that is more than lookback and horizon together."""
    return lookback_days + horizon_min // DAY_MINUTES + 1


def run_placebo(
    inputs: ValidationInputs,
    family: CandidateFamily,
    costs: CostModel,
    thresholds: V1Thresholds,
    budget: int,
    lookback_days: int,
    progress: Progress = lambda *_: None,
    at_most: int = MOST_ROTATIONS,
) -> Placebo:
    """The study and all its rotations through V1's measuring and judging.

    SpecError where the window has no admissible rotation.
    """
    longest = max(horizon_minutes(h) for h in family.horizons)
    shifts = admissible_shifts(len(inputs.days), lookback_days, longest, at_most)
    apart = apart_days(lookback_days, longest)
    if not shifts:
        raise SpecError(
            f"A window of {len(inputs.days)} days has no rotation that moves events by more than "
            f"their lookback and horizon.",
            f"Give the study at least {2 * apart} days before its holdout.",
            n_days=len(inputs.days),
            needed_days=2 * apart,
        )
    arrays = prepare(inputs, family, costs)
    candidates = expand_family(family, question_of(inputs), costs)
    reasons = reasons_of(inputs, family)
    rows = []
    for done, shift in enumerate((0, *shifts)):
        moved = arrays if shift == 0 else rotated(arrays, family, shift)
        measured = measure_family(moved, candidates, reasons, family, costs, thresholds, budget)
        rows.append({"shift_days": shift, **_counted(judge_family(
            measured, thresholds, budget, clean=False), thresholds.q)})  # fmt: skip
        progress(f"{shift} days" if shift else "the study itself", done + 1, len(shifts) + 1)
    return Placebo(pl.DataFrame(rows, schema=SCHEMA), apart)


def _counted(candidates: pl.DataFrame, q: float) -> dict[str, Any]:
    tested = candidates.filter(pl.col("p").is_not_null())
    return {
        "n_tested": tested.height,
        "n_naive": tested.filter(pl.col("z_naive") > NAIVE_Z).height,
        "n_nominal": tested.filter(pl.col("p") < NOMINAL).height,
        "n_significant": tested.filter(pl.col("q_bh") <= q).height,
        "n_passed": tested.filter(pl.col("status") == Outcome.PASS.value).height,
        "best_z": tested.select(pl.min_horizontal("z_raw", "z_contrast").max()).item(),
    }


def rotated(arrays: EventArrays, family: CandidateFamily, shift_days: int) -> EventArrays:
    """`arrays` with every event `shift_days` later, around the end of the window.

    Sign, context and cost stay the event's own; what follows it is what the market did there.
    """
    n_minutes = arrays.paths.world.prices.shape[1]
    entry = (arrays.entry + shift_days * DAY_MINUTES) % n_minutes
    order = np.lexsort((entry, arrays.symbol, _type_of(arrays)))
    symbol, entry = arrays.symbol[order], entry[order]
    long_return, valid = long_returns(arrays.paths.observed, symbol, entry, family)
    paths = replace(arrays.paths, long_return=long_return, valid=valid)
    own = arrays.costs
    costs = EventCosts(
        own.total[:, order],
        own.fixed[:, order],
        own.sigma_d_bps[order],
        own.volume_usd[order],
        own.assumed[:, order],
        own.spread[:, order],
        own.stress[order],
        own.taker_bps[order],
    )
    return replace(
        arrays,
        symbol=symbol,
        entry=entry,
        day=(arrays.day[order] + shift_days) % (n_minutes // DAY_MINUTES),
        regimes={name: values[order] for name, values in arrays.regimes.items()},
        buckets={name: member[order] for name, member in arrays.buckets.items()},
        signs={name: sign[order] for name, sign in arrays.signs.items()},
        paths=paths,
        costs=costs,
        usable=paths.valid & np.isfinite(costs.total),
    )


def _type_of(arrays: EventArrays) -> IntArray:
    """The number of each event's type, in the order of their blocks."""
    out = np.zeros(arrays.symbol.size, dtype=np.int64)
    for place, block in enumerate(sorted(arrays.where.values(), key=lambda b: b.start)):
        out[block] = place
    return out
