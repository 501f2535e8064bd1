"""Overlap, containment and echo: against loops, on shifted copies, on parts, and by chance."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quantlab_pipeline.research.events.overlap import (
    Occurrences,
    containment,
    echo,
    jaccard,
    occurrences,
)
from quantlab_pipeline_tests.oracles.event_onsets import lagged_jaccard, shared

START = datetime(2025, 3, 1, tzinfo=UTC)
MINUTES = st.lists(st.integers(0, 200), max_size=15)


def at(minutes: list[int]) -> Occurrences:
    return {"A": np.array(sorted(minutes), np.int64)} if minutes else {}


def drawn(n: int, seed: int, n_days: int = 30, symbols: str = "ABCD") -> Occurrences:
    rng = np.random.default_rng(seed)
    return {s: np.sort(rng.choice(n_days * 1440, n, replace=False)) for s in symbols}


def moved(one: Occurrences, by: int) -> Occurrences:
    return {symbol: minutes + by for symbol, minutes in one.items()}


@given(MINUTES, MINUTES, st.integers(0, 10))
@settings(max_examples=80, deadline=None)
def test_jaccard_equals_the_loop(one: list[int], other: list[int], window: int) -> None:
    both = min(shared(one, other, window), shared(other, one, window))
    total = len(one) + len(other) - both
    made = jaccard(at(one), at(other), window)
    assert made == (both / total if total else 0.0)
    assert made == jaccard(at(other), at(one), window)
    assert 0 <= made <= 1


@given(MINUTES, MINUTES, st.integers(0, 10))
@settings(max_examples=80, deadline=None)
def test_containment_equals_the_loop(one: list[int], other: list[int], window: int) -> None:
    made = containment(at(one), at(other), window)
    assert made == (shared(one, other, window) / len(one) if one else 0.0)
    assert containment(at(one), at(one), window) == float(bool(one))


@given(MINUTES, MINUTES, st.integers(0, 6), st.integers(0, 40))
@settings(max_examples=120, deadline=None)
def test_an_echo_is_measured_at_the_lag_where_most_pairs_fall_together(
    one: list[int], other: list[int], window: int, reach: int
) -> None:
    def bounds(lag: int) -> tuple[int, int]:
        low, high = lag - window, lag + window
        return (max(low, window + 1), high) if lag > 0 else (low, min(high, -window - 1))

    def together(lag: int) -> int:
        apart = [a - b for a in one for b in other if abs(a - b) > window]
        return sum(max(0, window + 1 - abs(d - lag)) for d in apart)

    lags = [s * lag for lag in range(window + 1, reach + 1) for s in (1, -1)]
    best = max(lags, key=together, default=None)
    made = echo(at(one), at(other), window, reach)
    if best is None or not together(best):
        assert made == (0.0, None)
    else:
        assert made.lag_min == best
        assert made.overlap == lagged_jaccard(one, other, *bounds(best))


@pytest.mark.parametrize("lag", [6, 17, 60, -6, -41, -60])
def test_a_copy_that_comes_later_or_sooner_is_an_echo_at_its_lag(lag: int) -> None:
    one = drawn(40, 1)
    assert echo(moved(one, lag), one, 5, 60) == (1.0, lag)
    assert jaccard(moved(one, lag), one, 5) < 0.1


@pytest.mark.parametrize("lag", [0, 1, 5, -5])
def test_a_copy_within_the_window_overlaps_and_is_no_echo(lag: int) -> None:
    one = drawn(40, 2)
    assert jaccard(moved(one, lag), one, 5) == 1.0
    assert echo(moved(one, lag), one, 5, 60).overlap < 0.1


def test_a_shaken_echo_is_found_by_its_mean_lag() -> None:
    one, rng = drawn(40, 3), np.random.default_rng(4)
    later = {s: np.sort(m + 25 + rng.integers(-3, 4, m.size)) for s, m in one.items()}
    made = echo(later, one, 5, 60)
    assert made.overlap == 1.0
    assert made.lag_min is not None
    assert abs(made.lag_min - 25) <= 3


def test_beyond_the_reach_nothing_echoes() -> None:
    one = drawn(40, 5)
    assert echo(moved(one, 66), one, 5, 60).overlap < 0.1


@pytest.mark.parametrize(("n", "bound"), [(10, 0.35), (30, 0.15), (300, 0.25), (720, 0.35)])
def test_types_that_know_nothing_of_each_other_stay_far_below_half(n: int, bound: float) -> None:
    """From as few as the gate allows in 30 days of one symbol to 24 a day, the best lag chosen."""
    worst = 0.0
    for seed in range(40):
        one, other = (drawn(n, 100 * seed + k, symbols="A") for k in (1, 2))
        worst = max(worst, echo(one, other, 5, 60).overlap, jaccard(one, other, 5))
    assert worst < bound


def test_a_part_is_contained_in_the_whole_and_not_the_other_way_round() -> None:
    whole = drawn(100, 6)
    part = {s: m[::10] for s, m in whole.items()}
    assert containment(part, whole, 5) == 1.0
    assert containment(whole, part, 5) < 0.2
    assert jaccard(part, whole, 5) < 0.2


def test_symbols_do_not_meet_each_other() -> None:
    frame = pl.DataFrame({"symbol": ["A", "B"], "ts": [START, START]}).with_columns(
        pl.col("ts").dt.cast_time_unit("us")
    )
    apart = [occurrences(frame.filter(pl.col("symbol") == s)) for s in "AB"]
    assert jaccard(apart[0], apart[1], 5) == containment(apart[0], apart[1], 5) == 0.0
    assert jaccard(apart[0], apart[0], 5) == 1.0
    assert echo(moved(apart[0], 20), apart[1], 5, 60) == (0.0, None)
