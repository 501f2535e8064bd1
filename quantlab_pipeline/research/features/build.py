"""From market data to `features_pt`: each minute sees what was known at its close, and no more.

Belongs here: placing every table on one minute grid by the as-of join on knowledge time, and
calling the verbs in the order of the specs. A late row never reaches a minute that had closed
before it came: a feature is what a decision at that minute would have read. Values depend on their
own lookback alone, never on how a range of days was cut into runs.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from functools import partial
from typing import NamedTuple, Protocol, TypeVar

import numpy as np
import numpy.typing as npt
import polars as pl

from quantlab_pipeline.core.clocks import (
    DAY_MINUTES,
    MINUTE,
    MINUTE_US,
    TS,
    day_start,
    to_us,
)
from quantlab_pipeline.core.errors import SpecError
from quantlab_pipeline.core.point_in_time import asof_rows
from quantlab_pipeline.research.features.inputs import FeatureInputs
from quantlab_pipeline.research.features.reach import Reach, reach_of
from quantlab_pipeline.research.features.schema import features_schema
from quantlab_pipeline.research.features.spec import OWN, FeatureSpecs
from quantlab_pipeline.research.features.verbs import CUSTOM

Floats = npt.NDArray[np.float64]
CustomVerb = Callable[[FeatureInputs, pl.DataFrame], Sequence[float | None] | pl.Series | Floats]
"""A column of the caller's own: (all inputs, keys `symbol` and `ts` of the grid) -> one value a
row. The grid begins the spec's `lookback_min` before the first wanted minute.
"""


MANY_MINUTES = 5 * DAY_MINUTES
Item = TypeVar("Item")
Done = TypeVar("Done")


class Build(Protocol):
    """What PIT-1 attacks: it makes `features_pt`, or of its columns those that are asked for."""

    def __call__(
        self,
        inputs: FeatureInputs,
        specs: FeatureSpecs,
        days: list[date],
        symbols: list[str],
        *,
        only: Collection[str] | None = None,
    ) -> pl.DataFrame:
        """As `build_features`."""
        ...


class Window(NamedTuple):
    """The wanted minutes of consecutive days, of every symbol: first minute since 1970, count."""

    symbols: list[str]
    first: int
    n: int

    def grid(self, before: int) -> pl.DataFrame:
        """Keys (symbol, ts) of the window and of `before` minutes before it, symbol by symbol."""
        minutes_us = MINUTE_US * np.arange(self.first - before, self.first + self.n)
        minutes = pl.Series("ts", minutes_us).cast(TS)
        names = pl.Series("symbol", self.symbols, pl.String)
        return pl.DataFrame({"symbol": names}).join(pl.DataFrame({"ts": minutes}), how="cross")


def build_features(
    inputs: FeatureInputs,
    specs: FeatureSpecs,
    days: list[date],
    symbols: list[str],
    extra: Mapping[str, CustomVerb] | None = None,
    *,
    only: Collection[str] | None = None,
) -> pl.DataFrame:
    """One row per symbol and minute of `days`; null where an input is missing or still warming up.

    `inputs` should reach `specs.lookback_days` before each day; what is not there is missing, and
    of what is there each column reads just its declared lookback. `extra` has the function of every
    spec with the verb `custom`. `only`: these columns and what they are made of. Sorted by symbol
    and ts; `available_at` is `ts`. SpecError if a column has no spec, or a custom spec no function.
    """
    extra = extra or {}
    _require_specs(specs, extra)
    if only is not None:
        specs = specs.only(only)
        extra = {name: verb for name, verb in extra.items() if name in specs.features}
    if not days or not symbols:
        return features_schema(specs).empty()
    reach, known = reach_of(specs), sorted(set(symbols))
    parts = [
        _build_window(inputs, specs, reach, Window(known, first, n), extra)
        for first, n in _consecutive(days)
    ]
    return parts[0] if len(parts) == 1 else pl.concat(parts).sort("symbol", "ts")


def _consecutive(days: list[date]) -> Iterator[tuple[int, int]]:
    """First minute and number of minutes of each run of days without a hole."""
    ordered = sorted(set(days))
    breaks = [i for i in range(1, len(ordered)) if (ordered[i] - ordered[i - 1]).days > 1]
    for a, b in zip([0, *breaks], [*breaks, len(ordered)], strict=True):
        yield to_us(day_start(ordered[a]) + MINUTE) // MINUTE_US, (b - a) * DAY_MINUTES


def _require_specs(specs: FeatureSpecs, extra: Mapping[str, CustomVerb]) -> None:
    custom = {name for name, spec in specs.features.items() if spec.verb == CUSTOM}
    for name in sorted(set(extra) - custom):
        raise SpecError(
            f"Column {name} is built, but no spec defines it.",
            f"State it in the feature specs with the verb `{CUSTOM}`, or do not pass it.",
            feature=name,
        )
    for name in sorted(custom - set(extra)):
        raise SpecError(
            f"Feature {name} has the verb `{CUSTOM}`, but no function was passed for it.",
            f"Pass extra={{'{name}': function}}, or name a verb of the registry.",
            feature=name,
        )


def _build_window(
    inputs: FeatureInputs,
    specs: FeatureSpecs,
    reach: Reach,
    window: Window,
    extra: Mapping[str, CustomVerb],
) -> pl.DataFrame:
    raw = _place_tables(inputs, specs, reach, window)
    for name, verb in extra.items():
        grid = window.grid(reach.features[name] + reach.own[name])
        values = _as_floats(verb(inputs, grid))
        if values.size != grid.height:
            raise ValueError(f"{name} has {values.size} rows, its grid {grid.height}")
        raw[f"{OWN}.{name}"] = values.reshape(len(window.symbols), -1)
    columns = {name: np.empty((len(window.symbols), window.n)) for name in specs.names}
    fill = partial(_fill_symbol, raw=raw, specs=specs, reach=reach, window=window, columns=columns)
    _at_once(fill, range(len(window.symbols)), window.n)
    made = [pl.Series(n, values.ravel(), nan_to_null=True) for n, values in columns.items()]
    return window.grid(0).with_columns(pl.col("ts").alias("available_at"), *made)


def _place_tables(
    inputs: FeatureInputs, specs: FeatureSpecs, reach: Reach, window: Window
) -> dict[str, Floats]:
    """Every raw column that a spec reads, as of each grid row, by `table.column`: [symbols, rows].

    A table's rows begin where the farthest reader needs them, and end with the window.
    """
    wanted = {
        leaf
        for spec in specs.features.values()
        for leaf in spec.sources
        if leaf[0] != OWN and spec.verb != CUSTOM
    }
    by_table = {t: sorted(c for name, c in wanted if name == t) for t in reach.tables}

    def place(table: str) -> dict[str, Floats]:
        facts = _of_perp(inputs.tables()[table], by_table[table])
        age, before = timedelta(minutes=specs.tables[table].max_age_min), reach.tables[table]
        first, n = window.first - before, window.n + before
        rows = asof_rows(window.symbols, first, n, facts, age)
        return {f"{table}.{c}": _taken(_as_floats(facts[c]), rows) for c in by_table[table]}

    placed = _at_once(place, list(by_table), window.n)
    return {name: values for columns in placed for name, values in columns.items()}


def _at_once(work: Callable[[Item], Done], items: Sequence[Item], n_minutes: int) -> list[Done]:
    """`work` on every item, side by side where there are many minutes: long arrays and kernels let
    go of the interpreter, short ones would only wait for it. No item touches another's rows.
    """
    n_threads = min(len(items), os.cpu_count() or 1)
    if n_minutes < MANY_MINUTES or n_threads < 2:
        return [work(item) for item in items]
    with ThreadPoolExecutor(n_threads) as pool:
        return list(pool.map(work, items))


def _of_perp(frame: pl.DataFrame, columns: list[str]) -> pl.DataFrame:
    """`columns` with the keys of the as-of join; of a book, the perpetual's."""
    names = list(dict.fromkeys(["symbol", "ts", "available_at", *columns]))
    if "leg" not in frame.columns:
        return frame[names]
    return frame.lazy().filter(pl.col("leg") == "perp").select(names).collect()


def _taken(values: Floats, rows: npt.NDArray[np.int64]) -> Floats:
    """`values` at `rows`; NaN where a row is -1."""
    return np.append(values, np.nan)[rows]


def _as_floats(values: Sequence[float | None] | pl.Series | Floats) -> Floats:
    """Float64 array with NaN for null and infinities; instants become minutes since 1970."""
    series = values if isinstance(values, pl.Series) else pl.Series(values, dtype=pl.Float64)
    if series.dtype == TS:
        series = series.dt.epoch("us") / MINUTE_US
    array = np.array(series.cast(pl.Float64).to_numpy(), dtype=np.float64)
    array[~np.isfinite(array)] = np.nan
    return array


def _fill_symbol(
    i: int,
    raw: Mapping[str, Floats],
    specs: FeatureSpecs,
    reach: Reach,
    window: Window,
    columns: Mapping[str, Floats],
) -> None:
    """Every column of symbol `i`, each on its own stretch of minutes; the wanted ones are kept."""
    from quantlab_pipeline.research.features.computations import COMPUTATIONS
    from quantlab_pipeline.research.features.windows import Grid

    done: dict[str, Floats] = {}
    for name, spec in specs.features.items():
        kept = window.n + reach.features[name]
        if spec.verb == CUSTOM:
            done[name] = raw[f"{OWN}.{name}"][i][-kept:]
        else:
            read = kept + reach.own[name]
            sources = [done[c] if t == OWN else raw[f"{t}.{c}"][i] for t, c in spec.sources]
            grid = Grid(window.first + window.n - read, spec.min_valid)
            made = COMPUTATIONS[spec.verb]([s[-read:] for s in sources], spec.arguments, grid)
            done[name] = made[-kept:]
        columns[name][i] = done[name][-window.n :]
