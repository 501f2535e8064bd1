"""Broken versions of our own estimator, each of which the certificate must refuse.

Belongs here: what each gets wrong in a cell, in judging or in reporting, and the experiments that
are expected to refuse it. `CONTROL` gets nothing wrong: it answers through the mutants' code, must
equal V1's own figures and must be refused by nothing. Making their answers is `mutation`'s work.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from quantlab_pipeline.calibration.certificate.bench import Bench
from quantlab_pipeline.calibration.certificate.cell_view import CellView, Sums
from quantlab_pipeline.calibration.certificate.judging import Rows
from quantlab_pipeline.core.clocks import DAY_MINUTES
from quantlab_pipeline.research.validation.cells import POWER_Z
from quantlab_pipeline.research.validation.evaluate import judge_rows

LOOKS_SIGNIFICANT = 0.05
TRAINING_DAYS = 7
LOOK_AHEAD_MIN = 2

Wrong = Callable[[CellView], Sums]
Judging = Callable[[Rows, Bench, int], Rows]
Reporting = Callable[[dict[str, Any], float], dict[str, Any]]


# --- what each gets wrong ----------------------------------------------------------------------


def nothing(view: CellView) -> Sums:
    """Right: the estimator's own sums."""
    return view.sums


def iid_t(view: CellView) -> Sums:
    """The variance of events that are independent of each other."""
    return _with_variance(view, view.gross.size * float(np.var(view.gross, ddof=1)))


def symbol_clusters(view: CellView) -> Sums:
    """Each symbol in calendar time by itself, as if symbols were independent of each other."""
    symbol = view.arrays.symbol[view.rows]
    raw, contrast = 0.0, 0.0
    for i in np.unique(symbol):
        own = np.flatnonzero(symbol == i)
        part = view.summed(view.rows[own], view.sign[own])
        raw, contrast = raw + part.variance, contrast + part.contrast_variance
    return replace(view.sums, variance=raw, contrast_variance=contrast)


def newey_west_on_the_list(view: CellView) -> Sums:
    """Newey and West's variance over the list of events: lags of a list as if they were time."""
    order = np.argsort(view.arrays.entry[view.rows], kind="stable")
    e = view.gross[order] - view.gross.mean()
    lags = int(4 * (e.size / 100) ** (2 / 9))
    v = float(e @ e)
    for lag in range(1, min(lags, e.size - 1) + 1):
        v += 2.0 * (1.0 - lag / (lags + 1)) * float(e[lag:] @ e[:-lag])
    return _with_variance(view, v)


def independent_events(view: CellView) -> Sums:
    """The squares of the events' own returns: each window a day of its own."""
    return _with_variance(view, float(view.gross @ view.gross))


def log_returns(view: CellView) -> Sums:
    """Log returns instead of simple ones: half the variance is given to shorts."""
    simple = view.sign * view.gross
    gift = float(view.sign @ (np.log1p(simple) - simple))
    return _moved(view.sums, gift)


def cost_twice(view: CellView) -> Sums:
    """The cost charged on entry and again, whole, on exit."""
    return replace(view.sums, cost=2.0 * view.sums.cost)


def cost_never(view: CellView) -> Sums:
    """No cost."""
    return replace(view.sums, cost=0.0)


def next_window(view: CellView) -> Sums:
    """The horizon begins where it should end."""
    return view.summed(view.rows, view.sign, view.minutes)


def entered_before(view: CellView) -> Sums:
    """The entry lies before the bar that triggered the event was known."""
    return view.summed(view.rows, view.sign, -LOOK_AHEAD_MIN)


def sign_flipped(view: CellView) -> Sums:
    """Longs are counted as shorts."""
    sums = view.sums
    return replace(sums, total=-sums.total, contrast_total=-sums.contrast_total)


def contrast_missing(view: CellView) -> Sums:
    """The raw statistic alone."""
    sums = view.sums
    return replace(sums, contrast_total=sums.total, contrast_variance=sums.variance, kept=1.0)


def training_mean(view: CellView) -> Sums:
    """In the contrast's place: each symbol's mean return of the first week is subtracted, as if it
    were known without error.
    """
    return _less_a_mean(view, TRAINING_DAYS * DAY_MINUTES)


def in_sample_mean(view: CellView) -> Sums:
    """In the contrast's place: each symbol's mean return of the whole window is subtracted, as if
    the events had no part in it.
    """
    return _less_a_mean(view, view.arrays.paths.world.returns.shape[1])


def _less_a_mean(view: CellView, minutes: int) -> Sums:
    """The raw sum less what each symbol's mean return over the first `minutes` would earn."""
    learned = view.arrays.paths.world.returns[:, :minutes].mean(axis=1)
    symbol, held = view.arrays.symbol[view.rows], view.sign * view.minutes
    by_symbol = np.bincount(symbol, weights=held, minlength=learned.size)
    sums = view.sums
    left = sums.total - float(by_symbol @ learned)
    return replace(sums, contrast_total=left, contrast_variance=sums.variance, kept=1.0)


def _with_variance(view: CellView, variance: float) -> Sums:
    return replace(view.sums, variance=variance, contrast_variance=variance)


def _moved(sums: Sums, by: float) -> Sums:
    return replace(sums, total=sums.total + by, contrast_total=sums.contrast_total + by)


def counted_whole(rows: Rows, bench: Bench, n_tests: int) -> Rows:
    """V1's own judging."""
    return judge_rows(rows, bench.thresholds, n_tests, clean=False)


def counted_after_filtering(rows: Rows, bench: Bench, n_tests: int) -> Rows:
    """Only candidates that look significant are counted as tests."""
    del n_tests
    looks = [row.get("p") is not None and row["p"] < LOOKS_SIGNIFICANT for row in rows]
    counted = [row for row, shown in zip(rows, looks, strict=True) if shown]
    judged = iter(judge_rows(counted, bench.thresholds, max(1, len(counted)), clean=False))
    # What was not counted has no q, as if it had never been asked.
    left = iter(judge_rows(_without_p(rows, looks), bench.thresholds, len(rows), clean=False))
    return [next(judged if shown else left) for shown in looks]


def _without_p(rows: Rows, looks: Sequence[bool]) -> Rows:
    return [{**row, "p": None} for row, shown in zip(rows, looks, strict=True) if not shown]


def naive_mde(row: dict[str, Any], z_first: float) -> dict[str, Any]:
    """The detectable effect from the number of events as if it were the effective one."""
    if row["sigma_h_bps"] is None or not row["n_events"]:
        return row
    se = row["sigma_h_bps"] / math.sqrt(row["n_events"])
    return {**row, "mde80_bps": (z_first + POWER_Z) * se, "n_eff": float(row["n_events"])}


@dataclass(frozen=True, slots=True)
class Mutant:
    """A broken rule: what it gets `wrong` in a cell, how it `judges`, and what it does to a row.

    `meant_for` are the experiments that are expected to refuse it.
    """

    name: str
    told: str
    meant_for: tuple[str, ...]
    wrong: Wrong = nothing
    judges: Judging = counted_whole
    misreports: Reporting | None = None


CONTROL = Mutant("control", "Nothing is wrong: our own rule through the mutants' code.", ())
MUTANTS: tuple[Mutant, ...] = (
    Mutant("iid_t", "Events as if independent.", ("PT-01", "PT-04"), iid_t),
    Mutant(
        "symbol_clusters", "Each symbol clustered by itself.", ("PT-01", "PT-04"), symbol_clusters
    ),
    Mutant(
        "newey_west_on_the_list",
        "Lags of the event list.",
        ("PT-01", "PT-04"),
        newey_west_on_the_list,
    ),
    Mutant(
        "independent_events",
        "Each event's window by itself.",
        ("PT-01", "PT-04"),
        independent_events,
    ),
    Mutant(
        "counted_after_filtering",
        "m counts what looks significant.",
        ("PT-01",),
        judges=counted_after_filtering,
    ),
    Mutant("log_returns", "Log instead of simple returns.", ("PT-01",), log_returns),
    Mutant("cost_twice", "The cost charged twice.", ("PT-02",), cost_twice),
    Mutant("cost_never", "The cost never charged.", ("PT-02",), cost_never),
    Mutant("next_window", "The horizon after the next.", ("PT-02", "PT-03"), next_window),
    Mutant("entered_before", "Entry before the trigger was known.", ("PT-01",), entered_before),
    Mutant("sign_flipped", "Longs counted as shorts.", ("PT-02", "PT-03"), sign_flipped),
    Mutant("naive_mde", "n_eff is n.", ("PT-03",), misreports=naive_mde),
    Mutant("contrast_missing", "The raw statistic alone.", ("PT-05",), contrast_missing),
    Mutant("training_mean", "A training mean in the contrast's place.", ("PT-03",), training_mean),
    Mutant("in_sample_mean", "A mean of the sample in its place.", ("PT-03",), in_sample_mean),
)
