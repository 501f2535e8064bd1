"""From tables to arrays: events laid on the minute grid, with their signs, returns and costs.

Belongs here: what validation receives, and everything per event that no candidate changes. Not
here: any statistic. An event's decision is the first minute at which it was known; its entry comes
`delta_min` later; features are joined as known at the decision; spreads are those of the entry and
exit minutes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from quantlab_pipeline.core.clocks import DAY_MINUTES, MINUTE, MINUTE_US, day_of, minute_grid
from quantlab_pipeline.core.point_in_time import asof_join, decision_minute
from quantlab_pipeline.research.validation.paths import Paths, follow, settled_cash
from quantlab_pipeline.research.validation.spec import CandidateFamily, horizon_minutes
from quantlab_pipeline.simulation.costs import (
    CostModel,
    assumed_half_spread_bps,
    event_cost_bps,
    stress_flag,
)
from quantlab_pipeline.simulation.funding import settlements
from quantlab_pipeline.simulation.liquidity import liquidity_at
from quantlab_pipeline.simulation.prices import price_matrix, reference_price

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]
REGIMES = ("vol_regime", "liq_regime")
KNOWN_REGIMES = ("low", "mid", "high")


@dataclass(frozen=True, slots=True)
class ValidationInputs:
    """The tables of one study, cut before its holdout, and what the gates upstream said.

    `event_specs` maps every event type of the study to its canonical document, `definitions` every
    column that the family names to its own (`family.definitions`). `admitted` are the
    types that E-1 admits; `missing` maps a type to the dataset it lacks; `absent_datasets` are the
    tables that the market does not have. `bars_perp` may reach back before `days`, for trailing
    liquidity. `tob_1m_agg`, `funding` and `mark_index` may be empty. `waived` says that something
    upstream was admitted by a waiver.
    """

    events: pl.DataFrame
    features: pl.DataFrame
    bars_perp: pl.DataFrame
    tob_1m_agg: pl.DataFrame
    funding: pl.DataFrame
    days: list[date]
    symbols: tuple[str, ...]
    event_specs: Mapping[str, Any]
    admitted: tuple[str, ...]
    synthetic: bool
    mark_index: pl.DataFrame | None = None
    missing: Mapping[str, str] = field(default_factory=dict)
    absent_datasets: tuple[str, ...] = ()
    waived: bool = False
    definitions: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class EventCosts:
    """Costs of each event, float64: `total` and `fixed` (without impact) are [H, n] in bps.

    `spread` [H, n] is both half-spreads in bps as they are in calm, `taker_bps` [n] the fee of each
    event's symbol per side, `stress` bool[n] says whether the market was stressed at the decision.
    `sigma_d_bps` and `volume_usd` [n] are a day's, as known at the decision. `assumed` [H, n] is
    the share (0, 0.5 or 1) of the two spreads that no book measured. Unknown is NaN.
    """

    total: FloatArray
    fixed: FloatArray
    sigma_d_bps: FloatArray
    volume_usd: FloatArray
    assumed: FloatArray
    spread: FloatArray
    stress: BoolArray
    taker_bps: FloatArray


@dataclass(frozen=True, slots=True)
class EventArrays:
    """All events of a study, sorted by (type, symbol, entry); arrays have length n.

    `where` gives each type's slice. `day` counts from the window's first day by decision. `signs`
    maps a template to +1, -1, 0 (no trade). `regimes` maps a column to the place of its value in
    `KNOWN_REGIMES`, -1 for any other. `usable` [H, n]: path and costs are known.
    """

    symbols: tuple[str, ...]
    where: Mapping[str, slice]
    symbol: IntArray
    entry: IntArray
    day: IntArray
    regimes: Mapping[str, IntArray]
    buckets: Mapping[str, BoolArray]
    signs: Mapping[str, FloatArray]
    paths: Paths
    costs: EventCosts
    usable: BoolArray


def prepare(inputs: ValidationInputs, family: CandidateFamily, costs: CostModel) -> EventArrays:
    """Everything about the study's events that does not depend on a candidate."""
    grid = minute_grid(inputs.days)
    rows = _decisions(inputs, family, costs)
    symbol = _index(rows["symbol"], inputs.symbols)
    decided = _minute_of(rows["decided_at"], grid)
    entry = decided + family.delta_min
    prices = price_matrix(
        reference_price(inputs.bars_perp, inputs.tob_1m_agg), inputs.symbols, grid
    )
    cash = settled_cash(
        settlements(inputs.funding, inputs.mark_index), prices.prices, inputs.symbols, grid
    )
    paths = follow(prices, cash, symbol, entry, family)
    event_costs = _costs(inputs, rows, symbol, entry, family, costs)
    return EventArrays(
        symbols=inputs.symbols,
        where=_slices(rows["event_type"]),
        symbol=symbol,
        entry=entry,
        day=decided // DAY_MINUTES,
        regimes={column: _regime(rows[column]) for column in REGIMES},
        buckets=_members(rows, family),
        signs=_signs(rows, family),
        paths=paths,
        costs=event_costs,
        usable=paths.valid & np.isfinite(event_costs.total),
    )


def _decisions(inputs: ValidationInputs, family: CandidateFamily, costs: CostModel) -> pl.DataFrame:
    """The study's events with `decided_at`, the features known then and trailing liquidity."""
    wanted = [c for c in family.features() if c in inputs.features.columns]
    wanted += [c for c in sorted(costs.stress) if c in inputs.features.columns and c not in wanted]
    rows = (
        inputs.events.filter(
            pl.col("event_type").is_in(list(inputs.event_specs)),
            pl.col("symbol").is_in(list(inputs.symbols)),
            day_of("ts").is_between(inputs.days[0], inputs.days[-1]),
        )
        .with_columns(decided_at=decision_minute())
        .sort(
            "event_type",
            pl.col("symbol").replace_strict(_order(inputs.symbols)),
            "decided_at",
            "ts",
        )
    )
    # Minute rows: one that is older than the minute of the decision is a gap, not a fact.
    seen = _seen_by(rows, inputs)
    rows = asof_join(rows, seen, wanted, max_age=MINUTE, decided_at="decided_at")
    liquidity = liquidity_at(
        rows.select("symbol", pl.col("decided_at").alias("ts")), inputs.bars_perp
    )
    return rows.with_columns(liquidity["sigma_d_bps"], liquidity["volume_usd"])


def _seen_by(rows: pl.DataFrame, inputs: ValidationInputs) -> pl.DataFrame:
    """The features within a minute before any of the decisions: no other row can be joined.

    A year has a hundred times as many. A row's own minute is rounded up, as a decision's is.
    """
    grid = minute_grid(inputs.days)
    symbol, decided = _index(rows["symbol"], inputs.symbols), _minute_of(rows["decided_at"], grid)
    # Column m is minute m - 1: the row before the window's first decision has a place too.
    shape = len(inputs.symbols), int(decided.max(initial=0)) + 2
    wanted = np.zeros(shape, dtype=np.bool_)
    wanted[symbol, decided + 1] = wanted[symbol, decided] = True
    features = inputs.features.filter(pl.col("symbol").is_in(list(inputs.symbols)))
    first = int(grid.dt.epoch("us")[0])
    column = 1 - (first - features["ts"].dt.epoch("us").to_numpy()) // MINUTE_US
    inside = (column >= 0) & (column < shape[1])
    code = _index(features["symbol"], inputs.symbols)
    return features.filter(pl.Series(inside & wanted[code, np.where(inside, column, 0)]))


def _members(rows: pl.DataFrame, family: CandidateFamily) -> dict[str, BoolArray]:
    return {
        bucket.name: rows.with_columns(bucket.admits().alias("_in"))["_in"].to_numpy()
        for bucket in family.buckets
    }


def _signs(rows: pl.DataFrame, family: CandidateFamily) -> dict[str, FloatArray]:
    out = {}
    for template in family.templates:
        if template.feature is None or template.feature not in rows.columns:
            values = np.full(rows.height, np.nan)
        else:
            values = _floats(rows[template.feature])
        out[template.name] = template.signs(values)
    return out


def _costs(
    inputs: ValidationInputs,
    rows: pl.DataFrame,
    symbol: IntArray,
    entry: IntArray,
    family: CandidateFamily,
    costs: CostModel,
) -> EventCosts:
    sigma, volume = _floats(rows["sigma_d_bps"]), _floats(rows["volume_usd"])
    # No trade in a whole day: participation is unbounded, so the cost is unknown.
    participation = costs.notional_usd / np.where(volume > 0, volume, np.nan)
    assumed_half = assumed_half_spread_bps(costs.profiles[family.cost_profile], volume)
    stress = stress_flag(costs, rows)
    taker = costs.taker_bps(family.cost_profile, inputs.symbols)[symbol]
    book = _half_spreads(inputs)
    shape = (len(family.horizons), rows.height)
    total, fixed, assumed, spread = (np.empty(shape) for _ in range(4))
    at_entry = _look_up(book, symbol, entry)
    for h, name in enumerate(family.horizons):
        at_exit = _look_up(book, symbol, entry + horizon_minutes(name))
        spreads = [np.where(np.isfinite(s), s, assumed_half) for s in (at_entry, at_exit)]
        spread[h] = spreads[0] + spreads[1]
        assumed[h] = (np.isnan(at_entry) * 0.5) + (np.isnan(at_exit) * 0.5)
        for out, share in ((total, participation), (fixed, np.zeros(rows.height))):
            out[h] = event_cost_bps(
                costs, family.cost_profile, taker, spreads[0], spreads[1], sigma, share, stress
            )
    return EventCosts(total, fixed, sigma, volume, assumed, spread, stress, taker)


def _half_spreads(inputs: ValidationInputs) -> FloatArray:
    """Half the mean measured spread of each minute, bps, float64[I, T]; NaN without a book."""
    grid = minute_grid(inputs.days)
    out = np.full((len(inputs.symbols), len(grid)), np.nan)
    if inputs.tob_1m_agg.is_empty():
        return out
    rows = inputs.tob_1m_agg.filter(
        pl.col("leg") == "perp",
        pl.col("symbol").is_in(list(inputs.symbols)),
        pl.col("ts").is_between(grid[0], grid[-1]),
        pl.col("spread_bps_mean") >= 0,
    )
    at = _index(rows["symbol"], inputs.symbols), _minute_of(rows["ts"], grid)
    out[at] = 0.5 * rows["spread_bps_mean"].to_numpy()
    return out


def _look_up(matrix: FloatArray, symbol: IntArray, minute: IntArray) -> FloatArray:
    """matrix[symbol, minute], NaN beyond its end."""
    inside = minute < matrix.shape[1]
    return np.where(inside, matrix[symbol, np.where(inside, minute, 0)], np.nan)


def _slices(types: pl.Series) -> dict[str, slice]:
    """Where each type's block of the sorted `types` lies."""
    values = types.to_numpy()
    return {
        name: slice(
            int(np.searchsorted(values, name)), int(np.searchsorted(values, name, side="right"))
        )
        for name in types.unique().sort()
    }


def _regime(values: pl.Series) -> IntArray:
    places = {name: place for place, name in enumerate(KNOWN_REGIMES)}
    codes = values.replace_strict(places, default=-1, return_dtype=pl.Int64)
    return np.ascontiguousarray(codes.fill_null(-1).to_numpy())


def _order(symbols: tuple[str, ...]) -> dict[str, int]:
    return {symbol: i for i, symbol in enumerate(symbols)}


def _index(symbols: pl.Series, order: tuple[str, ...]) -> IntArray:
    index = symbols.replace_strict(_order(order), return_dtype=pl.Int64).to_numpy()
    return np.ascontiguousarray(index)


def _minute_of(instants: pl.Series, grid: pl.Series) -> IntArray:
    first = int(grid.dt.epoch("us")[0])
    return np.ascontiguousarray((instants.dt.epoch("us").to_numpy() - first) // MINUTE_US)


def _floats(column: pl.Series) -> FloatArray:
    return np.ascontiguousarray(column.cast(pl.Float64).fill_null(np.nan).to_numpy())
