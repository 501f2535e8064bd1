"""PT-04: what a copy of the whole universe may change, and that is nothing.

Belongs here: three ways to copy (every symbol on the arrays, one symbol and its copy, every day
repeated as a second venue through the tables) and the comparison. A copied market holds no new
information: z, q and verdict stay, while a t-test on the events grows by the square root of two.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from quantlab_pipeline.calibration.certificate.bench import Bench, market_of
from quantlab_pipeline.calibration.certificate.judging import Answer, Blind, shown
from quantlab_pipeline.research.validation.inputs import EventArrays
from quantlab_pipeline.research.validation.paths import Paths

Ints = npt.NDArray[np.int64]
SECOND_VENUE = "V2"


@dataclass(frozen=True, slots=True)
class Changed:
    """What a copy changed, over all candidates: the largest |dz| of raw and contrast, the largest
    |dq|, how many verdicts differ, and the largest deviation of the naive t's ratio from what
    twice the events make of it (relative). `n` candidates were compared.
    """

    n: int
    dz: float
    dq: float
    verdicts: int
    naive: float


def copied(arrays: EventArrays) -> EventArrays:
    """The same market with every symbol and its events a second time."""
    n, count = len(arrays.symbols), arrays.symbol.size
    order = np.concatenate(
        [
            np.concatenate([np.arange(w.start, w.stop), np.arange(w.start, w.stop) + count])
            for w in arrays.where.values()
        ]
    ).astype(np.int64)
    twice = _rows(arrays, order % count if count else order)
    symbol = np.concatenate([arrays.symbol, arrays.symbol + n])[order]
    where = {name: slice(2 * w.start, 2 * w.stop) for name, w in arrays.where.items()}
    doubled = np.concatenate([np.arange(n), np.arange(n)])
    names = (*arrays.symbols, *(f"{SECOND_VENUE}{s}" for s in arrays.symbols))
    return replace(twice, symbols=names, symbol=symbol, where=where, paths=_symbols(twice, doubled))


def only_symbol(arrays: EventArrays, i: int) -> EventArrays:
    """The market of one of its symbols."""
    kept = np.flatnonzero(arrays.symbol == i)
    one = _rows(arrays, kept)
    where = {
        name: slice(*(int(v) for v in np.searchsorted(kept, (w.start, w.stop))))
        for name, w in arrays.where.items()
    }
    paths = _symbols(one, np.array([i]))
    symbol = np.zeros(kept.size, np.int64)
    return replace(one, symbols=(arrays.symbols[i],), symbol=symbol, where=where, paths=paths)


def _rows(arrays: EventArrays, rows: Ints) -> EventArrays:
    """The events `rows` of `arrays`, on the same prices; `where` and `symbol` are the caller's."""

    def taken(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: v[..., rows] for name, v in value.items()}
        return np.ascontiguousarray(value[..., rows])

    def of(values: Any, *beside: str) -> dict[str, Any]:
        names = [f.name for f in fields(values) if f.name not in beside]
        return {name: taken(getattr(values, name)) for name in names}

    costs = replace(arrays.costs, **of(arrays.costs))
    paths = replace(arrays.paths, **of(arrays.paths, "world", "observed"))
    rest = of(arrays, "symbols", "where", "paths", "costs")
    return replace(arrays, costs=costs, paths=paths, **rest)


def _symbols(arrays: EventArrays, which: Ints) -> Paths:
    """The paths of `arrays` on the prices of the symbols `which`; the bench has no funding."""
    from quantlab_pipeline.kernels.calendar_time import market

    paths = arrays.paths
    prices, seen = paths.world.prices[which], paths.observed._asdict()
    return replace(
        paths,
        world=market(prices, np.zeros_like(prices)),
        observed=paths.observed._replace(**{name: part[which] for name, part in seen.items()}),
    )


def second_venue(bench: Bench, bars: pl.DataFrame) -> Blind:
    """The market of `bars` with every bar repeated under another name, made by the stages anew.

    Free of costs.
    """
    names = [f"{SECOND_VENUE}{s}" for s in bench.symbols]
    again = bars.with_columns(
        pl.col("symbol").replace_strict(dict(zip(bench.symbols, names, strict=True)))
    )
    twice = market_of(bench, pl.concat([bars, again]), (*bench.symbols, *names))
    return shown(bench, twice.arrays, twice.candidates, free=True)


def compare(once: Answer, twice: Answer) -> Changed:
    """What the copy's answer `twice` changed against `once`."""
    figures, other = once.figures, twice.figures
    tested = np.isfinite(once.z)
    if not np.array_equal(tested, np.isfinite(twice.z)):
        return Changed(int(tested.sum()), np.inf, np.inf, tested.size, np.inf)
    dz = [np.abs(figures[name] - other[name])[tested] for name in ("z_raw", "z_contrast")]
    several = tested & (figures["n_events"] > 2)
    n = figures["n_events"][several]
    measured = other["z_naive"][several] / figures["z_naive"][several]
    # Bessel's correction makes it a little more than the root of two.
    naive = np.abs(measured / np.sqrt((2.0 * n - 1.0) / (n - 1.0)) - 1.0)
    differ = sum(a != b for a, b in zip(once.status, twice.status, strict=True))
    return Changed(
        int(tested.sum()),
        _most(dz),
        _most([np.abs(once.q - twice.q)[tested]]),
        differ,
        _most([naive]),
    )


def _most(parts: Sequence[npt.NDArray[np.float64]]) -> float:
    return float(max((np.nanmax(p) for p in parts if p.size), default=0.0))
