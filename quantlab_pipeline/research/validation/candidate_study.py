"""From a study's tables and its candidates to `candidate_studies`: each followed one in full.

Belongs here: which candidates are followed and the order of the work. The path around events, days
and slices stand in `event_study`, other costs and sizes in `sweeps`. It explains verdicts: nothing
may be made from it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import date
from typing import Any

import numpy as np
import polars as pl

from quantlab_pipeline.research.validation.cells import kernel_events
from quantlab_pipeline.research.validation.evaluate import followed, question_of
from quantlab_pipeline.research.validation.event_study import (
    Traded,
    candidate_curve,
    day_rows,
    slice_rows,
    traded,
)
from quantlab_pipeline.research.validation.family import Candidate, expand_family
from quantlab_pipeline.research.validation.inputs import EventArrays, ValidationInputs, prepare
from quantlab_pipeline.research.validation.spec import CandidateFamily
from quantlab_pipeline.research.validation.study_schema import CANDIDATE_STUDIES
from quantlab_pipeline.research.validation.sweeps import (
    SizeLaw,
    Totals,
    Trades,
    break_evens,
    cap_usd,
    capacity_rows,
    cost_rows,
    size_law,
    surface_rows,
)
from quantlab_pipeline.simulation.costs import CostModel


def candidate_studies(
    inputs: ValidationInputs,
    family: CandidateFamily,
    costs: CostModel,
    slice_min_days: int,
    candidates: pl.DataFrame,
) -> pl.DataFrame:
    """One row per candidate that `evaluate.followed` names among `candidates`, by name.

    `candidates` is `phase2_candidates` made from the same inputs, family and costs. Without a
    tested candidate there are no rows.
    """
    judged = list(candidates.iter_rows(named=True))
    wanted = {str(judged[k]["candidate_id"]) for k in followed(judged)}
    if not wanted:
        return CANDIDATE_STUDIES.empty()
    arrays = prepare(inputs, family, costs)
    rows = [
        study_of(arrays, family, costs, slice_min_days, inputs.days, candidate)
        for candidate in expand_family(family, question_of(inputs), costs)
        if candidate.candidate_id in wanted
    ]
    schema = {column.name: column.dtype for column in CANDIDATE_STUDIES.columns}
    return CANDIDATE_STUDIES.conform(pl.DataFrame(rows, schema=schema, orient="row"))


def study_of(
    arrays: EventArrays,
    family: CandidateFamily,
    costs: CostModel,
    slice_min_days: int,
    days: Sequence[date],
    candidate: Candidate,
) -> dict[str, Any]:
    """The candidate's row. It has at least one event."""
    from quantlab_pipeline.kernels.calendar_time import calendar_sums

    events = traded(arrays, family, candidate)
    y, contrast = (np.empty(arrays.paths.world.prices.shape[1]) for _ in range(2))
    held = kernel_events(arrays, events.chosen, events.sign)
    sums = calendar_sums(held, events.horizon_min, arrays.paths.world, y, contrast)
    errors = math.sqrt(sums.variance), math.sqrt(sums.contrast_variance)
    totals = Totals(sums.total, errors[0], sums.contrast_total, errors[1])
    trades = trades_of(arrays, events)
    by_cost = cost_rows(trades, totals, costs, family.cost_profile)
    slices = slice_rows(arrays, family, candidate, slice_min_days)
    earning = slices.filter(pl.col("net_bps") > 0.0).height
    gross = float(trades.gross.mean()) * 1e4
    return {
        "candidate_id": candidate.candidate_id,
        "n_days": len(days),
        "stability": earning / slices.height if slices.height else None,
        "break_even_cost_bps": gross if gross >= 0.0 else None,
        **_best_size(size_law(trades, costs, family.cost_profile), trades.gross.size / len(days)),
        "cap_usd": cap_usd(trades),
        "curve": [point._asdict() for point in candidate_curve(arrays, family, events)],
        "days": day_rows(arrays, events, y, days).to_dicts(),
        "slices": slices.to_dicts(),
        "cost_sweep": by_cost,
        "break_evens": break_evens(by_cost),
        "capacity_sweep": capacity_rows(trades, costs, family.cost_profile, len(days)),
        "surface": surface_rows(trades, costs, family.cost_profile),
    }


def trades_of(arrays: EventArrays, events: Traded) -> Trades:
    """The events as sweeps take them."""
    costs, chosen = arrays.costs, events.chosen
    return Trades(
        gross=events.sign * arrays.paths.long_return[events.h, chosen],
        taker_bps=costs.taker_bps[chosen],
        spread_bps=costs.spread[events.h, chosen],
        sigma_d_bps=costs.sigma_d_bps[chosen],
        volume_usd=costs.volume_usd[chosen],
        stress=costs.stress[chosen],
    )


def _best_size(law: SizeLaw, events_per_day: float) -> dict[str, float | None]:
    """Break-even and best size of a trade; null where impact never ends the profit."""
    limit, best = law.break_even_usd, law.best_usd
    if not math.isfinite(limit):
        return dict.fromkeys(("break_even_usd", "best_usd", "best_pnl_usd_per_day"))
    earned = best * law.net_bps(best) / 1e4 * events_per_day
    return {"break_even_usd": limit, "best_usd": best, "best_pnl_usd_per_day": max(earned, 0.0)}
