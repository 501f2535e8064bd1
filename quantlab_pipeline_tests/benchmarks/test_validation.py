"""The validation stage at the size of the issue: 10 symbols, a year, 25 types, 5,000 candidates.

The bar is 60 s on two cores for all of it. Beside it, per cell: the estimator minute by minute,
which the sums of held minutes replace; the same series and slices laid by numpy for statsmodels'
variance; and the floor, the bare loop that lays the minutes held, once per partition.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

import numpy as np
import pytest

from quantlab_pipeline.kernels import calendar_time as ct
from quantlab_pipeline.kernels.calendar_moments import blocks_of
from quantlab_pipeline.research.validation.cells import (
    Workspace,
    choose,
    kernel_events,
    measure_cell,
)
from quantlab_pipeline.research.validation.evaluate import (
    evaluate_family,
    measure_family,
    question_of,
    reasons_of,
)
from quantlab_pipeline.research.validation.family import expand_family
from quantlab_pipeline.research.validation.inputs import EventArrays, ValidationInputs, prepare
from quantlab_pipeline.research.validation.slices import parts_of
from quantlab_pipeline.research.validation.spec import V1Thresholds, horizon_minutes
from quantlab_pipeline_tests.benchmarks.measure import compare
from quantlab_pipeline_tests.research.validation import builders

pytestmark = pytest.mark.benchmark
N_SYMBOLS, N_DAYS, N_TYPES = 10, 365, 25
BAR_S = 60.0
BUDGET, LIMITS = 10_000, V1Thresholds()
FAMILY, COSTS = builders.shipped_family(), builders.cost_model()
Made = TypeVar("Made")


@pytest.fixture(scope="module")
def year() -> ValidationInputs:
    """A year with 25 types of some 5,600 events each, in clusters that most symbols share."""
    made = builders.world(1, n_symbols=N_SYMBOLS, n_days=N_DAYS)
    types = {f"t{k:02d}": builders.clustered(k, N_SYMBOLS, N_DAYS, 1.0) for k in range(N_TYPES)}
    return builders.inputs_of(replace(made, events=types))


def _timed(name: str, work: Callable[[], Made]) -> tuple[float, Made]:
    """Seconds and result; processor time is told too, for a machine that others share."""
    start, used = time.perf_counter(), time.process_time()
    out = work()
    seconds, used = time.perf_counter() - start, time.process_time() - used
    print(f"{name}: {seconds:.1f} s, {used:.1f} s of processor time")
    return seconds, out


def test_the_stage_of_a_year_is_told_in_seconds(year: ValidationInputs) -> None:
    """What is asserted holds on any machine; the seconds are for the reader and for the bar."""
    small = replace(year, days=year.days[:10])
    evaluate_family(small, FAMILY, COSTS, LIMITS, BUDGET)
    print()
    _, arrays = _timed("prepare", lambda: prepare(year, FAMILY, COSTS))
    candidates = expand_family(FAMILY, question_of(year), COSTS)
    work = arrays, candidates, reasons_of(year, FAMILY), FAMILY, COSTS, LIMITS, BUDGET
    one, alone = _timed("measure, one thread", lambda: measure_family(*work, n_threads=1))
    two, paired = _timed("measure, two threads", lambda: measure_family(*work, n_threads=2))
    assert alone.rows == paired.rows
    whole, frame = _timed("whole", lambda: evaluate_family(year, FAMILY, COSTS, LIMITS, BUDGET))
    assert frame.height == len(candidates) == 5_000
    each = 1e6 / len(candidates)
    print(
        f"{each * one:.0f} us per candidate measured by one thread, {each * two:.0f} by two; "
        f"the whole stage {whole:.1f} s, {each * whole:.0f} us per candidate (bar: {BAR_S:.0f} s)"
    )


# --- one type, every horizon ------------------------------------------------------------------


@pytest.fixture(scope="module")
def arrays(year: ValidationInputs) -> EventArrays:
    few = {name: year.event_specs[name] for name in ("t00",)}
    return prepare(replace(year, event_specs=few, admitted=("t00",)), FAMILY, COSTS)


def _cells(arrays: EventArrays):
    """Horizon's place, its minutes, and the cell's events: the widest cell of each horizon."""
    for h, horizon in enumerate(FAMILY.horizons):
        yield h, horizon_minutes(horizon), choose(arrays, "t00", "all", h, "directional")[0]


def test_held_minutes_take_a_fraction_of_all_minutes(arrays: EventArrays) -> None:
    world, n = arrays.paths.world, arrays.paths.world.prices.shape[1]
    y, contrast, touched = np.zeros(n), np.empty(n), blocks_of(np.zeros(n))
    cells = [
        (kernel_events(arrays, chosen, np.ones(chosen.size)), minutes)
        for _, minutes, chosen in _cells(arrays)
    ]

    def ours() -> None:
        for events, minutes in cells:
            ct.held_sums(events, minutes, world, y, touched)

    def every_minute() -> None:
        touched[:] = True
        for events, minutes in cells:
            ct.calendar_sums(events, minutes, world, y, contrast)

    units = len(cells) * n
    ratio = compare("sums of a cell, per cell and minute of the year", units, ours, every_minute)
    assert ratio.value < 0.7


def _measured(arrays: EventArrays, space: Workspace) -> None:
    for h, minutes, chosen in _cells(arrays):
        measure_cell(arrays, chosen, 0, h, minutes, "directional", LIMITS.slice_min_days, space)


def test_a_cell_with_its_slices_beats_numpy_and_statsmodels(arrays: EventArrays) -> None:
    """The peer lays each series event by event and gives it to `S_hac_simple`: no contrast, no z.

    Without the laying statsmodels is faster: six dot products of a series that is given.
    """
    from statsmodels.stats.sandwich_covariance import S_hac_simple

    world, n = arrays.paths.world, arrays.paths.world.prices.shape[1]
    space, series = Workspace(n), np.empty((n, 1))
    parts = [
        (minutes, [chosen, *(chosen[m] for *_, m in parts_of(arrays, chosen, 8))])
        for _, minutes, chosen in _cells(arrays)
    ]

    def peer() -> None:
        for minutes, members in parts:
            for rows in members:
                series[:] = 0.0
                for i, k in zip(arrays.symbol[rows], arrays.entry[rows], strict=True):
                    held = slice(k + 1, k + minutes + 1)
                    series[held, 0] += world.gains[i, held] / world.prices[i, k]
                S_hac_simple(series, nlags=5)

    units = n * sum(len(members) for _, members in parts)
    name = "a cell and its slices, per series and minute of the year"
    assert compare(name, units, lambda: _measured(arrays, space), peer, rounds=3).value < 0.5


def test_a_cell_with_its_slices_stays_near_the_floor(arrays: EventArrays) -> None:
    """Halves, quarters, two regimes, symbols and the whole: six times the minutes held."""
    n = arrays.paths.world.prices.shape[1]
    space, y, touched = Workspace(n), np.zeros(n), blocks_of(np.zeros(n))
    held = []
    for _, minutes, chosen in _cells(arrays):
        events = kernel_events(arrays, chosen, np.ones(chosen.size))
        units = ct.units_of(events, arrays.paths.world)
        held.append(ct.positions(events.symbol, events.entry, units, minutes))

    def floor() -> None:
        for at in held:
            for _ in range(6):
                ct.lay(at, arrays.paths.world, y, touched)

    units = sum(int((at.stop - at.start).sum()) for at in held)
    name = "a cell and its slices, per minute held"
    ratio = compare(name, units, lambda: _measured(arrays, space), floor)
    assert ratio.value < 8.0
