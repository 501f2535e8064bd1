"""Candidates against the sealed truth: what each was really worth, and whether it is truly null.

Belongs here: the true effect of a candidate's own events. A candidate is truly null if and only if
its true net drift, raw or contrast, is not above 0; its cost is the mean cost of these events.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from quantlab_pipeline.core.clocks import MINUTE_US, day_end, day_start, minute_grid, to_us
from quantlab_pipeline.core.errors import SchemaError
from quantlab_pipeline.research.validation.cells import choose
from quantlab_pipeline.research.validation.inputs import EventArrays, ValidationInputs, prepare
from quantlab_pipeline.research.validation.spec import CandidateFamily, horizon_minutes
from quantlab_pipeline.simulation.costs import CostModel
from quantlab_pipeline.worlds.truth import Truth, true_contrast_drift, true_net_drift

Ints = npt.NDArray[np.int64]
GRADES = {
    "true_gross_bps": pl.Float64,
    "true_net_bps": pl.Float64,
    "true_contrast_net_bps": pl.Float64,
    "truly_null": pl.Boolean,
}
"""Columns that a grade adds, null for a candidate without events: the mean injected drift of its
events, that net of their cost, the same against each symbol's own drift, and the verdict."""


def grade_candidates(
    candidates: pl.DataFrame,
    inputs: ValidationInputs,
    family: CandidateFamily,
    costs: CostModel,
    truth: Truth,
) -> pl.DataFrame:
    """`candidates` (rows of `phase2_candidates`, any selection) with the columns `GRADES`.

    `inputs`, `family` and `costs` are those that made the candidates. SchemaError if another number
    of events comes out of them.
    """
    arrays = prepare(inputs, family, costs)
    at_us = to_us(minute_grid(inputs.days)[0]) + MINUTE_US * arrays.entry
    window = to_us(day_start(inputs.days[0])), to_us(day_end(inputs.days[-1]))
    grades = [
        _grade(row, arrays, at_us, family, truth, window)
        for row in candidates.iter_rows(named=True)
    ]
    return candidates.hstack(pl.DataFrame(grades, schema=GRADES, orient="row"))


def _grade(
    row: dict[str, Any],
    arrays: EventArrays,
    at_us: Ints,
    family: CandidateFamily,
    truth: Truth,
    window_us: tuple[int, int],
) -> tuple[float | None, float | None, float | None, bool | None]:
    if not row["n_events"]:
        return None, None, None, None
    h = family.horizons.index(row["horizon"])
    chosen, _ = choose(arrays, row["event_type"], row["bucket"], h, row["template"])
    if chosen.size != row["n_events"]:
        raise SchemaError(
            f"{row['candidate_id']} has {row['n_events']} events, the tables give {chosen.size}.",
            "Grade candidates with the tables and documents that they were made from.",
            candidate_id=row["candidate_id"],
        )
    signs = (row["side"] * arrays.signs[row["template"]][chosen]).astype(np.int64)
    minutes = horizon_minutes(row["horizon"])
    entries, sides, gross = {}, {}, 0.0
    for i, symbol in enumerate(arrays.symbols):
        own = arrays.symbol[chosen] == i
        entries[symbol], sides[symbol] = at_us[chosen[own]], signs[own]
        # Entries are at the fill already: nothing is left to wait for.
        drift = true_net_drift(truth, symbol, entries[symbol], minutes, sides[symbol], delay_min=0)
        gross += float(drift.sum())
    gross /= chosen.size
    net = gross - row["cost_bps"]
    contrast = true_contrast_drift(
        truth, entries, minutes, sides, window_us, row["cost_bps"], delay_min=0
    )
    return gross, net, contrast, min(net, contrast) <= 0.0
