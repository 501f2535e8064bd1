"""What the feature page says, as values: coverage, distribution and drift of every feature.

Pure: from the days of `features_pt`, one at a time, to a `FeatureSummary`, and with specs and gate
PIT-1's verdicts to a `FeaturePage`. Memory holds one day, a sample of bounded size and a few
numbers a day. Drawing the page is `feature_page`'s work, correlations are `correlations`'.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
import numpy.typing as npt
import polars as pl

from quantlab_pipeline.core.clocks import DAY_MINUTES, minute_index
from quantlab_pipeline.core.verdicts import ItemVerdict
from quantlab_pipeline.reports.correlations import Correlations, correlations
from quantlab_pipeline.reports.distribution import (
    Histogram,
    histogram,
    ks_distance,
    percentiles,
)
from quantlab_pipeline.research.features.spec import FeatureSpec, FeatureSpecs

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

SAMPLE_ROWS = 100_000
"""Most rows from which percentiles, histograms and distances are taken."""
WEEK_DAYS = 7
LEAST_SHARE = 0.5
"""Least share of known values in a week that is compared with another."""
DAILY_PERCENTILES = (5, 50, 95)


@dataclass(frozen=True, slots=True)
class FeatureSummary:
    """F features of S symbols over D days, in numbers.

    `coverage` float[F, S, D]: share of a symbol's rows that have a value, NaN on a day without
    rows. `daily` float[F, 4, D]: 5th, 50th and 95th percentile and mean of all symbols' values, NaN
    on a day without any. `known`, `lowest`, `highest`, `zeros` [F] count and bound all values.
    `sample` float[F, n] has every `stride`-th minute with `sample_day` int[n], NaN where unknown.
    """

    names: tuple[str, ...]
    symbols: tuple[str, ...]
    days: tuple[date, ...]
    n_rows: int
    coverage: FloatArray
    daily: FloatArray
    known: IntArray
    lowest: FloatArray
    highest: FloatArray
    zeros: IntArray
    stride: int
    sample: FloatArray
    sample_day: IntArray


@dataclass(frozen=True, slots=True)
class Week:
    """Days of one week, and how far its values lie from those of the first; None: too few."""

    first_day: date
    last_day: date
    distance: float | None


@dataclass(frozen=True, slots=True)
class FeatureStory:
    """One feature. `share` is that of known values over all rows, `zero_share` that over known.

    `levels` are its percentiles 1, 5, 50, 95, 99. `weeks` is empty where no week has values enough
    to compare with; `reference` is the first day of the week that has.
    """

    name: str
    spec: FeatureSpec
    verdict: ItemVerdict | None
    share: float
    zero_share: float
    lowest: float
    highest: float
    levels: tuple[float, ...]
    histogram: Histogram | None
    coverage: FloatArray
    daily: FloatArray
    reference: date | None
    weeks: tuple[Week, ...]

    @property
    def largest_distance(self) -> float | None:
        """The largest of its weeks' distances."""
        return max((w.distance for w in self.weeks if w.distance is not None), default=None)


@dataclass(frozen=True, slots=True)
class FeatureFacts:
    """Whose features are shown, and where the unseen days begin."""

    study: str
    market: str
    synthetic: bool
    holdout_from: date


@dataclass(frozen=True, slots=True)
class FeaturePage:
    """Everything on the page. `valued` have values, `empty` have none at all."""

    facts: FeatureFacts
    summary: FeatureSummary
    valued: tuple[FeatureStory, ...]
    empty: tuple[FeatureStory, ...]
    correlations: Correlations


def feature_page(
    facts: FeatureFacts,
    specs: FeatureSpecs,
    summary: FeatureSummary,
    verdicts: Mapping[str, ItemVerdict],
) -> FeaturePage:
    """The page's content. `verdicts` are PIT-1's by feature."""
    stories = [
        _story(summary, f, specs.features[name], verdicts.get(name))
        for f, name in enumerate(summary.names)
    ]
    return FeaturePage(
        facts,
        summary,
        tuple(s for s in stories if s.histogram is not None),
        tuple(s for s in stories if s.histogram is None),
        correlations(summary.names, summary.sample),
    )


def summarise_features(
    frames: Iterable[tuple[date, pl.DataFrame]],
    names: Sequence[str],
    symbols: Sequence[str],
    days: Sequence[date],
    sample_rows: int = SAMPLE_ROWS,
) -> FeatureSummary:
    """One pass over the days' rows of `features_pt`; each frame may be forgotten after it was read.

    `frames` are (day, rows) of `days`, each day at most once; rows of other symbols are left out,
    infinities count as unknown. A feature that is not a column of a frame is unknown there.
    """
    tally = _Tally(names, symbols, days, sample_rows)
    for day, frame in frames:
        tally.add(day, frame)
    return tally.summary()


def stride_for(n_rows: int, most: int) -> int:
    """Every so many minutes to take, so that at most `most` of `n_rows` rows are taken.

    It shares no factor with the day, so that every minute of the day is met.
    """
    stride = max(1, -(-n_rows // most))
    while math.gcd(stride, DAY_MINUTES) > 1:
        stride += 1
    return stride


class _Tally:
    """The sums so far; arrays are those of `FeatureSummary`."""

    def __init__(
        self, names: Sequence[str], symbols: Sequence[str], days: Sequence[date], sample_rows: int
    ) -> None:
        self._names, self._symbols, self._days = tuple(names), tuple(symbols), tuple(days)
        n, n_symbols, n_days = len(names), len(symbols), len(days)
        most = n_symbols * n_days * DAY_MINUTES
        self._stride = stride_for(most, sample_rows)
        self._coverage = np.full((n, n_symbols, n_days), np.nan)
        self._daily = np.full((n, len(DAILY_PERCENTILES) + 1, n_days), np.nan)
        self._known, self._zeros = np.zeros(n, np.int64), np.zeros(n, np.int64)
        self._lowest, self._highest = np.full(n, np.inf), np.full(n, -np.inf)
        self._sample = np.empty((n, most // self._stride + n_symbols * n_days))
        self._sample_day = np.empty(self._sample.shape[1], np.int64)
        self._n_rows, self._n_sampled = 0, 0

    def add(self, day: date, frame: pl.DataFrame) -> None:
        """Count one day's rows."""
        d = self._days.index(day)
        rows = frame.filter(pl.col("symbol").is_in(self._symbols)).sort("symbol", "ts")
        if rows.is_empty():
            return
        values = _matrix(rows, self._names)
        known = np.isfinite(values)
        symbols = rows["symbol"]
        first_rows = np.flatnonzero(
            np.append(True, symbols.to_numpy()[1:] != symbols.to_numpy()[:-1])
        )
        per_symbol = np.add.reduceat(known, first_rows, axis=1, dtype=np.int64)
        lengths = np.diff(np.append(first_rows, rows.height))
        at = [self._symbols.index(symbols[int(i)]) for i in first_rows]
        self._coverage[:, at, d] = per_symbol / lengths
        self._n_rows += rows.height
        self._zeros += np.count_nonzero(values == 0.0, axis=1)
        self._count_day(d, np.sort(values, axis=1), per_symbol.sum(axis=1))
        self._keep(
            d, values, (rows.select(minute_index()).to_series() % self._stride).to_numpy() == 0
        )

    def _count_day(self, d: int, ordered: FloatArray, n_known: IntArray) -> None:
        """`ordered` has each feature's known values first."""
        self._known += n_known
        for f in np.flatnonzero(n_known):
            mine = ordered[f, : n_known[f]]
            self._daily[f, :, d] = (*percentiles(mine, DAILY_PERCENTILES), mine.mean())
            self._lowest[f] = min(self._lowest[f], mine[0])
            self._highest[f] = max(self._highest[f], mine[-1])

    def _keep(self, d: int, values: FloatArray, chosen: npt.NDArray[np.bool_]) -> None:
        end = self._n_sampled + int(np.count_nonzero(chosen))
        self._sample[:, self._n_sampled : end] = values[:, chosen]
        self._sample_day[self._n_sampled : end] = d
        self._n_sampled = end

    def summary(self) -> FeatureSummary:
        """What was counted."""
        return FeatureSummary(
            self._names,
            self._symbols,
            self._days,
            self._n_rows,
            self._coverage,
            self._daily,
            self._known,
            self._lowest,
            self._highest,
            self._zeros,
            self._stride,
            self._sample[:, : self._n_sampled],
            self._sample_day[: self._n_sampled],
        )


def _matrix(rows: pl.DataFrame, names: Sequence[str]) -> FloatArray:
    """float64[F, n], NaN where a value is unknown."""
    out = np.full((len(names), rows.height), np.nan)
    for f, name in enumerate(names):
        if name in rows.columns:
            out[f] = rows[name].to_numpy()
    out[~np.isfinite(out)] = np.nan
    return out


def _story(
    summary: FeatureSummary, f: int, spec: FeatureSpec, verdict: ItemVerdict | None
) -> FeatureStory:
    known = int(summary.known[f])
    ordered = _ordered(summary.sample[f])
    reference, weeks = _weeks(summary, f)
    return FeatureStory(
        name=summary.names[f],
        spec=spec,
        verdict=verdict,
        share=known / summary.n_rows if summary.n_rows else 0.0,
        zero_share=int(summary.zeros[f]) / known if known else math.nan,
        lowest=float(summary.lowest[f]),
        highest=float(summary.highest[f]),
        levels=percentiles(ordered),
        histogram=histogram(ordered),
        coverage=summary.coverage[f],
        daily=summary.daily[f],
        reference=reference,
        weeks=weeks,
    )


def _weeks(summary: FeatureSummary, f: int) -> tuple[date | None, tuple[Week, ...]]:
    """Each week's distance from the first that has values enough, and that week's first day."""
    reference: FloatArray | None = None
    began: date | None = None
    weeks = []
    for first, last, where in _blocks(summary):
        values = summary.sample[f, where]
        mine = _ordered(values)
        enough = mine.size > 0 and mine.size >= LEAST_SHARE * values.size
        days = (summary.days[first], summary.days[last])
        if not enough:
            weeks.append(Week(*days, None))
        elif reference is None:
            reference, began = mine, days[0]
            weeks.append(Week(*days, 0.0))
        else:
            weeks.append(Week(*days, ks_distance(reference, mine)))
    return (began, tuple(weeks)) if began is not None else (None, ())


def _blocks(summary: FeatureSummary) -> Iterator[tuple[int, int, slice]]:
    """(first day, last day, rows of the sample) of every seven days; the last may be shorter."""
    for first in range(0, len(summary.days), WEEK_DAYS):
        last = min(first + WEEK_DAYS, len(summary.days)) - 1
        ends = np.searchsorted(summary.sample_day, [first, last + 1])
        yield first, last, slice(int(ends[0]), int(ends[1]))


def _ordered(values: FloatArray) -> FloatArray:
    return np.sort(values[np.isfinite(values)])
