"""Figures beside V1's own: what other rules would say of the same family, and how alike it is.

Belongs here: the order of that work on a measured family. Resampling lives in `bootstrap`, the
family-wise tests in `step_down`, likeness in `likeness`. No verdict reads any of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from quantlab_pipeline.core.clocks import DAY_MINUTES
from quantlab_pipeline.core.seeds import generator
from quantlab_pipeline.core.verdicts import Outcome
from quantlab_pipeline.research.validation.bootstrap import (
    common_block,
    day_weights,
    has_variance,
    mean_intervals,
    resampled_sums,
)
from quantlab_pipeline.research.validation.cells import BPS, choose
from quantlab_pipeline.research.validation.family import Candidate
from quantlab_pipeline.research.validation.inputs import EventArrays
from quantlab_pipeline.research.validation.likeness import likest_better, penalised
from quantlab_pipeline.research.validation.multiplicity import hierarchical
from quantlab_pipeline.research.validation.spec import (
    CandidateFamily,
    CompanionSpec,
    horizon_minutes,
)
from quantlab_pipeline.research.validation.step_down import family_wise
from quantlab_pipeline.simulation import metrics

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Columns = dict[str, list[Any]]


@dataclass(frozen=True, slots=True)
class Measured:
    """A measured family of K candidates: `rows` in their order, `daily_net` float64[K, D].

    A row of `daily_net` is the candidate's net P&L of each day in units of one event's notional:
    the return of the day's minutes less the costs of the day's decisions; NaN where untested.
    """

    rows: list[dict[str, Any]]
    daily_net: FloatArray


@dataclass(frozen=True, slots=True)
class Traded:
    """What C tested candidates trade: `events` and `costs` [C, D] of the days of decision.

    `likeness` [C] is the largest Jaccard index of signed events with a better candidate of the same
    type, `likest` int64[C] which one that is, -1 for none.
    """

    events: FloatArray
    costs: FloatArray
    likeness: FloatArray
    likest: IntArray


def with_companions(
    measured: Measured,
    candidates: Sequence[Candidate],
    arrays: EventArrays,
    family: CandidateFamily,
    n_trials: int,
    spec: CompanionSpec,
    seed: int,
) -> Measured:
    """`measured` with the companion columns added to the rows of tested candidates.

    `n_trials` is how many the deflated Sharpe ratio counts: the ledger's.
    """
    tested = [k for k, row in enumerate(measured.rows) if row.get("p") is not None]
    if not tested:
        return measured
    rows = [measured.rows[k] for k in tested]
    net = np.ascontiguousarray(measured.daily_net[tested])
    z = np.array([min(row["z_raw"], row["z_contrast"]) for row in rows])
    traded = what_is_traded([candidates[k] for k in tested], arrays, family, z, net.shape[1])
    longest_days = max(horizon_minutes(h) for h in family.horizons) / DAY_MINUTES
    at_least = max(spec.min_block_days, longest_days)
    columns = {
        **resampled(net, traded.events, spec.draws, at_least, seed),
        "q_hier": _by_type(measured.rows)[tested].tolist(),
        "deflated_sharpe": deflated_sharpes(net, net + traded.costs, max(n_trials, 1)).tolist(),
        **_alike(rows, z, traded, spec),
    }
    out = list(measured.rows)
    for at, k in enumerate(tested):
        out[k] = {**out[k], **{name: _known(values[at]) for name, values in columns.items()}}
    return Measured(out, measured.daily_net)


def what_is_traded(
    tested: Sequence[Candidate],
    arrays: EventArrays,
    family: CandidateFamily,
    z: FloatArray,
    n_days: int,
) -> Traded:
    """Each candidate's events by day, their costs, and its likeness to better ones by `z` [C]."""
    shape = (len(tested), n_days)
    events, costs = np.zeros(shape), np.zeros(shape)
    likeness, likest = np.zeros(len(tested)), np.full(len(tested), -1)
    by_type: dict[str, list[int]] = {}
    for c, candidate in enumerate(tested):
        by_type.setdefault(candidate.event_type, []).append(c)
    for event_type, listed in by_type.items():
        mine = np.array(listed)
        place = _distinct_events(arrays, arrays.where[event_type])
        signed = np.zeros((mine.size, int(place.max()) + 1), dtype=np.int8)
        for row, c in enumerate(listed):
            candidate = tested[c]
            h, template = family.horizons.index(candidate.horizon), candidate.template.name
            chosen, _ = choose(arrays, event_type, candidate.bucket.name, h, template)
            day = arrays.day[chosen]
            events[c] = np.bincount(day, minlength=n_days)
            costs[c] = np.bincount(day, arrays.costs.total[h, chosen] / BPS, n_days)
            at = place[chosen - arrays.where[event_type].start]
            signed[row, at] = candidate.side * arrays.signs[template][chosen]
        names = [tested[c].candidate_id for c in listed]
        order = np.array(sorted(range(mine.size), key=lambda r: (-z[listed[r]], names[r])))
        likeness[mine], row_of = likest_better(signed, order)
        likest[mine] = np.where(row_of >= 0, mine[row_of], -1)
    return Traded(events, costs, likeness, likest)


def _distinct_events(arrays: EventArrays, where: slice) -> IntArray:
    """Number of each event of a type's slice among its distinct (symbol, entry), from 0."""
    symbol, entry = arrays.symbol[where], arrays.entry[where]
    new = (np.diff(symbol) != 0) | (np.diff(entry) != 0)
    return np.concatenate([[0], np.cumsum(new)])


def resampled(
    net: FloatArray, events: FloatArray, draws: int, block_at_least: float, seed: int
) -> Columns:
    """The columns that the stationary bootstrap of days fills, from C daily series [C, D].

    All from one set of draws, whose blocks have the family's median optimal length.
    """
    n_days, live = net.shape[1], has_variance(net)
    block = common_block(net, block_at_least)
    weights = day_weights(draws, n_days, block, generator(seed, "validation", "bootstrap"))
    kept = net[live]
    sums = resampled_sums(kept, weights)
    found = family_wise(kept.sum(axis=1), sums, n_days)
    se, low, high = mean_intervals(kept, events[live], sums, weights)
    columns: Columns = {"spa_p": [found.spa_p] * live.size}
    for name, values in (
        ("boot_se_bps", BPS * se),
        ("boot_low_bps", BPS * low),
        ("boot_high_bps", BPS * high),
        ("stepm_p", found.step_down_p),
    ):
        whole = np.full(live.size, np.nan)
        whole[live] = values
        columns[name] = whole.tolist()
    return columns


def _by_type(rows: Sequence[Mapping[str, Any]]) -> FloatArray:
    """`hierarchical` over the whole family, the untested included; [K]."""
    p = np.array([np.nan if row.get("p") is None else row["p"] for row in rows])
    _, group = np.unique([row["event_type"] for row in rows], return_inverse=True)
    return hierarchical(p, group)


def deflated_sharpes(net: FloatArray, gross: FloatArray, n_trials: int) -> FloatArray:
    """Deflated Sharpe ratio of each row of daily net P&L [C, D], [C]; NaN where it has none.

    The luck that it must beat is the dispersion of the trials' daily Sharpe ratios before costs
    (`gross` [C, D]), by the median absolute deviation: net of costs, trials differ by how dear they
    are.
    """
    live = has_variance(gross)
    before_costs = gross[live].mean(axis=1) / gross[live].std(axis=1, ddof=1)
    variance = metrics.robust_variance(before_costs)
    return metrics.probabilistic_sharpes(net, metrics.expected_max_sharpe(variance, n_trials))


def _alike(
    rows: Sequence[Mapping[str, Any]], z: FloatArray, traded: Traded, spec: CompanionSpec
) -> Columns:
    similar = traded.likeness >= spec.similar_jaccard
    score = penalised(z, traded.likeness, spec.similar_jaccard, spec.similarity_penalty)
    return {
        "similar_to": [
            rows[other]["candidate_id"] if alike else None
            for other, alike in zip(traded.likest.tolist(), similar.tolist(), strict=True)
        ],
        "similarity": traded.likeness.tolist(),
        "score": score.tolist(),
    }


def _known(value: float | str | None) -> float | str | None:
    """None for a figure that does not exist."""
    return None if isinstance(value, float) and not np.isfinite(value) else value


def ranks(judged: Sequence[Mapping[str, Any]]) -> list[int]:
    """Place of each judged row, 1 the best: by verdict, then score, then name."""
    order = list(Outcome)

    def key(k: int) -> tuple[int, float, str]:
        row = judged[k]
        score = row.get("score")
        worst = -np.inf if score is None else float(score)
        return order.index(Outcome(row["status"])), -worst, row["candidate_id"]

    places = [0] * len(judged)
    for place, k in enumerate(sorted(range(len(judged)), key=key)):
        places[k] = place + 1
    return places
