"""What PIT-1 does to the inputs: cut or poison whatever must not matter.

Belongs here: pure changes of `FeatureInputs`. Attacks on the future go by `available_at`; cutting
by `ts` would miss a bar joined on its open stamp. Judging what they change is `siege`'s work.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import cached_property
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from quantlab_pipeline.core.clocks import MINUTE_US, TS, day_end, day_start, to_us
from quantlab_pipeline.core.seeds import generator
from quantlab_pipeline.research.features.inputs import FeatureInputs
from quantlab_pipeline.research.features.leaks import Attack
from quantlab_pipeline.research.features.spec import Pit1Thresholds

KEYS = ("symbol", "leg", "ts", "available_at")
"""Columns that say which fact a row is. An attack deletes, doubles and revises rows; of a row that
stays it moves everything else."""

Order = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Strike:
    """One attack: on what arrived after `tau` (`lookback`: on what is stamped before it).

    Narrowed to one `table`, and there to one `column` whose values change while every row stays
    (`revised`: which alone is new in the revisions that come later); or to the facts `beyond` an
    instant: those that arrived at it or later (`lookback`: that are stamped at it or earlier). What
    a narrowed strike does to a row the whole one does as well.
    """

    attack: Attack
    tau: datetime
    table: str | None = None
    column: str | None = None
    revised: bool = False
    beyond: datetime | None = None


def around(inputs: FeatureInputs, day: date, lookback_days: int) -> FeatureInputs:
    """Rows from `lookback_days` before `day`, and a day for old facts, to the day after `day`."""
    first = day_start(day - timedelta(days=lookback_days + 1))
    last = day_end(day + timedelta(days=1))
    inside = (pl.col("ts") > first) & (pl.col("ts") <= last)
    return inputs.with_tables({t: f.filter(inside) for t, f in inputs.tables().items()})


class Arsenal:
    """The inputs around a day, each table poisoned once; a strike takes the rows that it is for.

    Same inputs, thresholds and seed, same harm.
    """

    def __init__(self, inputs: FeatureInputs, thresholds: Pit1Thresholds, seed: int) -> None:
        self._inputs, self._thresholds, self._seed = inputs, thresholds, seed
        self._prepared: dict[str, _Prepared] = {}

    def struck(self, strike: Strike, tables: Collection[str]) -> FeatureInputs:
        """The inputs after `strike` on `tables`: those that anyone in question reads."""
        frames = {
            table: self._table(table, frame).struck(strike)
            for table, frame in self._inputs.tables().items()
            if table in tables and strike.table in (None, table)
        }
        return self._inputs.with_tables(frames)

    def _table(self, table: str, frame: pl.DataFrame) -> _Prepared:
        if table not in self._prepared:
            self._prepared[table] = _Prepared(frame, self._thresholds, generator(self._seed, table))
        return self._prepared[table]


class _Sorted(NamedTuple):
    """A table in the order of one clock: that clock in microseconds, the rows' numbers in the
    table, the rows, and the same rows with every value moved.
    """

    clock_us: Order
    order: Order
    rows: pl.DataFrame
    moved: pl.DataFrame

    def before(self, instant: datetime, *, itself: bool) -> int:
        """How many rows lie before an instant, or at it."""
        side: Literal["left", "right"] = "right" if itself else "left"
        return int(np.searchsorted(self.clock_us, to_us(instant), side=side))


class _Prepared:
    """One table and its harm: which rows vanish, stand twice, or get a revised twin, and when."""

    def __init__(
        self, frame: pl.DataFrame, thresholds: Pit1Thresholds, rng: np.random.Generator
    ) -> None:
        lot = rng.random(frame.height)
        self._gone = lot < thresholds.deleted_share
        self._twice = lot >= 1.0 - thresholds.doubled_share
        self._revised = rng.random(frame.height) < thresholds.revised_share
        self._delay_us = MINUTE_US * rng.integers(1, 60, frame.height)
        self._frame, self._moved = frame, _moved(frame, thresholds.changed_share, rng)
        self._n_symbols = frame["symbol"].n_unique()

    @cached_property
    def _by_arrival(self) -> _Sorted:
        return self._sorted("available_at", "ts")

    @cached_property
    def _by_stamp(self) -> _Sorted:
        return self._sorted("ts", "available_at")

    def _sorted(self, clock: str, then: str) -> _Sorted:
        keys = self._frame.select(pl.col(clock, then).dt.epoch("us"))
        clock_us, then_us = (keys[name].to_numpy() for name in (clock, then))
        order = np.lexsort((then_us, clock_us))
        return _Sorted(clock_us[order], order, self._frame[order], self._moved[order])

    def struck(self, strike: Strike) -> pl.DataFrame:
        """The table after the strike; its rows come in no order that anyone may rely on."""
        past = strike.attack == "lookback"
        facts = self._by_stamp if past else self._by_arrival
        edge = facts.before(strike.tau, itself=not past)
        low, high = (0, edge) if past else (edge, facts.order.size)
        if strike.beyond is not None and past:
            high = min(high, facts.before(strike.beyond, itself=True))
        elif strike.beyond is not None:
            low = max(low, facts.before(strike.beyond, itself=False))
        kept = [facts.rows[:low], facts.rows[high:]]
        if strike.column is not None:
            column = facts.moved[low:high][strike.column]
            alone = [*kept, facts.rows[low:high].with_columns(column)]
            revisions = [self._revisions(facts, edge, strike)] if strike.revised else []
            return pl.concat([*alone, *revisions])
        if strike.attack == "prefix":
            return pl.concat(kept)
        harmed = [*kept, *self._harmed(facts, low, high)]
        return pl.concat(harmed if past else [*harmed, self._revisions(facts, edge, strike)])

    def _harmed(self, facts: _Sorted, low: int, high: int) -> list[pl.DataFrame]:
        """Rows with their values moved, some of them gone, and of some the old ones beside them."""
        numbers = facts.order[low:high]
        left = facts.moved[low:high].filter(pl.Series(~self._gone[numbers]))
        return [left, facts.rows[low:high].filter(pl.Series(self._twice[numbers]))]

    def _revisions(self, facts: _Sorted, edge: int, strike: Strike) -> pl.DataFrame:
        """Other values of some rows that were known, the newest among them, within the hour."""
        chosen = self._revised[facts.order[:edge]]
        chosen[max(edge - self._n_symbols, 0) :] = True
        at = np.flatnonzero(chosen)
        arrival_us = to_us(strike.tau) + self._delay_us[facts.order[at]]
        arrived = pl.Series("available_at", arrival_us).cast(TS)
        revised = facts.moved[at].with_columns(arrived)
        if strike.column is not None:
            revised = facts.rows[at].with_columns(revised[strike.column], arrived)
        if strike.beyond is None:
            return revised
        return revised.filter(pl.col("available_at") >= strike.beyond)


def _moved(frame: pl.DataFrame, share: float, rng: np.random.Generator) -> pl.DataFrame:
    """Every value but the keys moved, each by itself: signs stay, a zero is one no more."""
    moved: list[pl.Expr] = []
    for name, dtype in frame.schema.items():
        if name in KEYS:
            continue
        draw = rng.random(frame.height, dtype=np.float32)
        if dtype == pl.Float64:
            value = pl.col(name)
            by = pl.Series((1.0 + share * (2.0 * draw - 1.0)).astype(np.float64))
            moved.append(pl.when(value == 0).then(by).otherwise(value * by).alias(name))
        elif dtype == pl.Int64:
            moved.append(pl.col(name) + pl.Series((1 + 9 * draw).astype(np.int64)))
        elif dtype == TS:
            later = pl.Series((1 + 600 * draw).astype(np.int64) * MINUTE_US)
            moved.append(pl.col(name) + later.cast(pl.Duration("us")))
        elif dtype == pl.String:
            moved.append(pl.lit("poisoned").alias(name))
    return frame.with_columns(moved)
