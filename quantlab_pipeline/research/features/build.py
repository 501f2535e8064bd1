"""From market data to `features_pt`: each minute sees what was known at its close, and no more.

Belongs here: placing every table on one minute grid by the as-of join on knowledge time, and
calling the verbs in the order of the specs. A late row never reaches a minute that had closed
before it came: a feature is what a decision at that minute would have read. Values depend on their
own lookback alone, never on how a range of days was cut into runs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import date, timedelta

import numpy as np
import numpy.typing as npt
import polars as pl

from quantlab_pipeline.core.clocks import (
    DAY_MINUTES,
    MINUTE,
    MINUTE_US,
    TS,
    day_start,
    days_between,
    minute_grid,
    to_us,
)
from quantlab_pipeline.core.errors import SpecError
from quantlab_pipeline.core.point_in_time import asof_join
from quantlab_pipeline.research.features.inputs import FeatureInputs
from quantlab_pipeline.research.features.schema import features_schema
from quantlab_pipeline.research.features.spec import OWN, FeatureSpecs
from quantlab_pipeline.research.features.verbs import CUSTOM

Floats = npt.NDArray[np.float64]
CustomVerb = Callable[[FeatureInputs, pl.DataFrame], Sequence[float | None] | pl.Series | Floats]
"""A column of the caller's own: (all inputs, keys `symbol` and `ts` of the grid) -> one value a
row.
"""
Build = Callable[[FeatureInputs, FeatureSpecs, list[date], list[str]], pl.DataFrame]
"""What PIT-1 attacks: (inputs, specs, days, symbols) -> `features_pt`."""


def build_features(
    inputs: FeatureInputs,
    specs: FeatureSpecs,
    days: list[date],
    symbols: list[str],
    extra: Mapping[str, CustomVerb] | None = None,
) -> pl.DataFrame:
    """One row per symbol and minute of `days`; null where an input is missing or still warming up.

    `inputs` should reach `specs.lookback_days` before each day; what is not there is missing.
    `extra` has the function of every spec with the verb `custom`. Sorted by symbol and ts;
    `available_at` is `ts`. SpecError if a column has no spec, or a custom spec no function.
    """
    extra = extra or {}
    _require_specs(specs, extra)
    schema = features_schema(specs)
    if not days or not symbols:
        return schema.empty()
    days, symbols = sorted(set(days)), sorted(set(symbols))
    span = days_between(days[0] - timedelta(days=specs.lookback_days), days[-1])
    minutes = minute_grid(span)
    grid = pl.DataFrame(
        {"symbol": np.repeat(symbols, minutes.len()), "ts": pl.concat([minutes] * len(symbols))},
        schema={"symbol": pl.String, "ts": TS},
    )
    raw = _place_on_grid(inputs, specs, grid)
    raw |= {f"{OWN}.{name}": _as_floats(verb(inputs, grid), grid) for name, verb in extra.items()}
    wanted = np.repeat([day in set(days) for day in span], DAY_MINUTES)
    first_minute = to_us(day_start(span[0]) + MINUTE) // MINUTE_US
    parts = [
        _symbol_columns(raw, specs, slice(k * len(minutes), (k + 1) * len(minutes)), first_minute)
        for k in range(len(symbols))
    ]
    columns = {
        name: pl.Series(name, np.concatenate([p[name][wanted] for p in parts]), nan_to_null=True)
        for name in specs.names
    }
    keys = grid.filter(pl.Series(np.tile(wanted, len(symbols))))
    return keys.with_columns(pl.col("ts").alias("available_at"), *columns.values())


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


def _place_on_grid(
    inputs: FeatureInputs, specs: FeatureSpecs, grid: pl.DataFrame
) -> dict[str, Floats]:
    """Every raw column that a spec reads, as of each grid row, by `table.column`."""
    wanted = {leaf for spec in specs.features.values() for leaf in spec.sources if leaf[0] != OWN}
    placed: dict[str, Floats] = {}
    for table, frame in inputs.tables().items():
        columns = sorted(column for name, column in wanted if name == table)
        if columns:
            age = timedelta(minutes=specs.tables[table].max_age_min)
            placed |= _place_table(table, frame, columns, age, grid)
    return placed


def _place_table(
    table: str, frame: pl.DataFrame, columns: list[str], max_age: timedelta, grid: pl.DataFrame
) -> dict[str, Floats]:
    aliases = {f"{table}.{column}": pl.col(column) for column in columns}
    facts = _relevant(frame, max_age, grid)
    if facts.is_empty():
        return {alias: np.full(grid.height, np.nan) for alias in aliases}
    facts = facts.select("symbol", "ts", "available_at", **aliases)
    joined = asof_join(grid, facts, list(aliases), max_age)
    return {alias: _as_floats(joined[alias], grid) for alias in aliases}


def _relevant(frame: pl.DataFrame, max_age: timedelta, grid: pl.DataFrame) -> pl.DataFrame:
    first, last = grid["ts"][0], grid["ts"][-1]
    here = pl.col("symbol").is_in(grid["symbol"].unique().to_list())
    if "leg" in frame.columns:
        here &= pl.col("leg") == "perp"
    return frame.filter(here & pl.col("ts").is_between(first - max_age, last))


def _as_floats(values: Sequence[float | None] | pl.Series | Floats, grid: pl.DataFrame) -> Floats:
    """Float64 array with NaN for null and infinities; instants become minutes since 1970."""
    series = values if isinstance(values, pl.Series) else pl.Series(values, dtype=pl.Float64)
    if series.len() != grid.height:
        raise ValueError(f"a column has {series.len()} rows, the grid {grid.height}")
    if series.dtype == TS:
        series = series.dt.epoch("us") / MINUTE_US
    array = np.array(series.cast(pl.Float64).to_numpy(), dtype=np.float64)
    array[~np.isfinite(array)] = np.nan
    return array


def _symbol_columns(
    raw: Mapping[str, Floats], specs: FeatureSpecs, rows: slice, first_minute: int
) -> dict[str, Floats]:
    from quantlab_pipeline.research.features.computations import COMPUTATIONS
    from quantlab_pipeline.research.features.windows import Grid

    done: dict[str, Floats] = {}
    for name, spec in specs.features.items():
        if spec.verb == CUSTOM:
            done[name] = raw[f"{OWN}.{name}"][rows]
            continue
        arrays = [done[c] if t == OWN else raw[f"{t}.{c}"][rows] for t, c in spec.sources]
        grid = Grid(first_minute, spec.min_valid)
        done[name] = COMPUTATIONS[spec.verb](arrays, spec.arguments, grid)
    return done
