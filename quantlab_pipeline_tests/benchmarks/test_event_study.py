"""An event study of 5,000 candidates with 1,000 draws: everything that a family is judged by.

The floor is what no common-index bootstrap can do without: the same day sums, the draws, and two
plain matrix products. Ours adds exact sums, block lengths, intervals, SPA and StepM, false
discovery rates at a budget and in a hierarchy, and the deflated Sharpe ratio.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest

from quantlab_pipeline.core.clocks import DAY_MINUTES
from quantlab_pipeline.core.seeds import generator
from quantlab_pipeline.research.validation import companions, multiplicity
from quantlab_pipeline.research.validation.bootstrap import day_weights
from quantlab_pipeline_tests.benchmarks.measure import compare

pytestmark = pytest.mark.benchmark
TYPES, CONTEXTS, DAYS = 50, 10, 365
HORIZONS_MIN, RULES = (5, 15, 60, 240, 1440), 2
CANDIDATES, DRAWS, BUDGET = TYPES * CONTEXTS * len(HORIZONS_MIN) * RULES, 1_000, 10_000
BAR_US = 50.0


class Study(NamedTuple):
    """A year of minutes: events of each (type, context), and every minute's outcome per rule."""

    cells: list[np.ndarray]
    outcome: np.ndarray


def study() -> Study:
    """The shared benchmark's workload: each type fires in a hundredth of all minutes."""
    rng, n = np.random.default_rng(3), DAYS * DAY_MINUTES
    price = 100.0 * np.exp(np.cumsum(rng.normal(0, 7e-4, n)))
    outcome = np.full((n, len(HORIZONS_MIN) * RULES), np.nan)
    for k, h in enumerate(HORIZONS_MIN):
        change = price[h:] / price[:-h] - 1.0
        outcome[:-h, 2 * k], outcome[:-h, 2 * k + 1] = change, np.clip(change, -0.01, 0.02)
    context = rng.integers(0, CONTEXTS, n)
    fired = [np.flatnonzero(rng.random(n - max(HORIZONS_MIN)) < 0.01) for _ in range(TYPES)]
    return Study([at[context[at] == c] for at in fired for c in range(CONTEXTS)], outcome)


def day_sums(made: Study) -> tuple[np.ndarray, np.ndarray]:
    """P&L and events of each candidate by day, both [C, D]; a NaN outcome is no event."""
    (n, rules), days = made.outcome.shape, made.outcome.shape[0] // DAY_MINUTES
    sums = np.empty((len(made.cells), rules, days))
    events = np.empty_like(sums)
    for c, at in enumerate(made.cells):
        day, values = at // DAY_MINUTES, made.outcome[at]
        flat = (days * np.arange(rules) + day[:, None]).ravel()
        events[c] = np.bincount(day, minlength=days)
        if at.size and at[-1] >= n - max(HORIZONS_MIN):
            known = np.isfinite(values)
            events[c] = np.bincount(flat, known.ravel(), rules * days).reshape(rules, days)
            values = np.where(known, values, 0.0)
        sums[c] = np.bincount(flat, values.ravel(), rules * days).reshape(rules, days)
    return sums.reshape(-1, days), events.reshape(-1, days)


def judged(net: np.ndarray, events: np.ndarray, draws: int) -> companions.Columns:
    """All columns that the day series [C, D] of a family give."""
    from scipy.special import ndtr

    columns = companions.resampled(net, events, draws, 1.0, seed=1)
    mean = 1e4 * net.sum(axis=1) / events.sum(axis=1)
    p = ndtr(-mean / np.array(columns["boot_se_bps"]))
    columns["q_bh"] = multiplicity.benjamini_hochberg(p, BUDGET).tolist()
    columns["q_by"] = multiplicity.benjamini_yekutieli(p, BUDGET).tolist()
    columns["q_hier"] = multiplicity.hierarchical(p, np.arange(p.size) // 100).tolist()
    columns["deflated_sharpe"] = companions.deflated_sharpes(net, net, BUDGET).tolist()
    return columns


def floor(made: Study) -> np.ndarray:
    """Day sums, draws, and the resampled mean of each candidate: sums over events."""
    net, events = day_sums(made)
    weights = day_weights(DRAWS, DAYS, 1.0, generator(1, "floor"))
    return (net @ weights.T) / (events @ weights.T)


def test_five_thousand_candidates_take_at_most_fifty_microseconds_each() -> None:
    made = study()
    ratio = compare(
        f"event study of {CANDIDATES} candidates with {DRAWS} draws, per candidate",
        CANDIDATES,
        lambda: judged(*day_sums(made), DRAWS),
        lambda: floor(made),
        rounds=7,
    )
    assert 1e6 * ratio.ours_s / CANDIDATES < BAR_US
    assert ratio.value < 2.0


def test_one_candidate_of_arch_takes_the_time_of_a_hundred() -> None:
    from arch.bootstrap import StationaryBootstrap

    net, events = day_sums(study())
    peers = [StationaryBootstrap(5, row, seed=1) for row in net[:20]]
    ratio = compare(
        "resampling and family-wise tests against arch's bootstrap of a mean, 20 candidates",
        20,
        lambda: companions.resampled(net, events, DRAWS, 1.0, seed=1),
        lambda: [peer.apply(lambda x: x.mean(), DRAWS) for peer in peers],
        rounds=3,
    )
    assert ratio.value * 20 / CANDIDATES < 0.01
