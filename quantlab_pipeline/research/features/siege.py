"""One day under attack: built again from harmed inputs, and held against what was built unharmed.

Belongs here: which rows an attack changed, the first of them, the input that it saw through and how
far it saw. What follows from it is `gate`'s work.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from functools import cached_property

import numpy as np
import numpy.typing as npt
import polars as pl

from quantlab_pipeline.core.clocks import MINUTE, day_start
from quantlab_pipeline.research.features.attacks import KEYS, Arsenal, Strike, around
from quantlab_pipeline.research.features.build import Build
from quantlab_pipeline.research.features.inputs import FeatureInputs
from quantlab_pipeline.research.features.leaks import Attack, Kind, Leak
from quantlab_pipeline.research.features.plan import Instant
from quantlab_pipeline.research.features.spec import FeatureSpecs, Pit1Thresholds
from quantlab_pipeline.research.features.verbs import CUSTOM

Rows = npt.NDArray[np.bool_]
Source = tuple[str, str | None]
"""The table through which a feature saw, and the column, if it is the values that it saw."""
MEASURED = 8
"""Leaks of one attack and instant whose reach is measured; of more, the row and input are told."""
LAST_OF_ALL = 0.9
"""A reach into the last tenth of what was loaded may go further."""


@dataclass
class Siege:
    """A day of stored rows, the inputs around it, and the same day built from them unharmed.

    `keys` are the stored rows' (symbol, ts); `names` the features that are judged. `rebuilds`
    counts the builds by attack.
    """

    day: date
    inputs: FeatureInputs
    specs: FeatureSpecs
    names: Sequence[str]
    stored: pl.DataFrame
    thresholds: Pit1Thresholds
    seed: int
    build: Build
    rebuilds: Counter[Attack] = field(default_factory=Counter)

    @cached_property
    def keys(self) -> pl.DataFrame:
        """The stored rows' (symbol, ts)."""
        return self.stored.select("symbol", "ts")

    @cached_property
    def near(self) -> FeatureInputs:
        """The rows that can matter to the day."""
        return around(self.inputs, self.day, self.specs.lookback_days)

    @cached_property
    def _arsenal(self) -> Arsenal:
        return Arsenal(self.near, self.thresholds, self.seed)

    @cached_property
    def honest(self) -> pl.DataFrame:
        """The day built from `near`, row by row as stored."""
        return self._built(self.near, self.specs, self.names)

    def unlike_stored(self) -> dict[str, Rows]:
        """Rows of each feature that do not come out as they were stored."""
        return {name: _unequal(self.stored[name], self.honest[name]) for name in self.names}

    def past(self, instant: Instant) -> Rows:
        """The rows whose decision was made at or before the instant."""
        return (self.keys["ts"] <= instant.tau).to_numpy()

    def future_leaks(self, instant: Instant, attack: Attack, names: Collection[str]) -> list[Leak]:
        """A leak for each of `names` of which `attack` at the instant changes a past row."""
        if not names:
            return []
        strike = Strike(attack, instant.tau)
        changed = self._changed(strike, names, self.past(instant))
        return list(self._told(strike, instant.kind, changed))

    def lookback_leaks(self, begin: Instant, names: Collection[str]) -> list[Leak]:
        """A leak for each of `names` that reads more than its declared lookback.

        Everything older than that, seen from the instant, is poisoned; rows from it on must stay.
        """
        found: list[Leak] = []
        later = (self.keys["ts"] >= begin.tau).to_numpy()
        for lookback in sorted({self.specs.features[name].lookback_min for name in names}):
            own = [n for n in names if self.specs.features[n].lookback_min == lookback]
            strike = Strike("lookback", begin.tau - timedelta(minutes=lookback))
            found += self._told(strike, begin.kind, self._changed(strike, own, later))
        return found

    def warmup_leaks(self, names: Collection[str]) -> list[Leak]:
        """A leak for each of `names` whose recursion has not forgotten where it began."""
        twice, concerned = self.specs.with_twice_the_warmup()
        own = [name for name in names if name in concerned]
        if not own:
            return []
        self.rebuilds["warmup"] += 1
        near = around(self.inputs, self.day, twice.lookback_days)
        longer = self._built(near, twice, own)
        begin = Strike("warmup", day_start(self.day) + MINUTE)
        allowed = self.thresholds.max_warmup_change
        changed = {n: _Harm(_apart(self.honest[n], longer[n], allowed), longer[n]) for n in own}
        return [
            self._leak(begin, "day_start", name, harm, None, measured=False)
            for name, harm in changed.items()
            if harm.rows.any()
        ]

    def _changed(self, strike: Strike, names: Collection[str], where: Rows) -> dict[str, _Harm]:
        """Rows among `where` that the strike changes, and the column after it, if there are any."""
        self.rebuilds[strike.attack] += 1
        harmed = self._arsenal.struck(strike, self._suspects(names))
        after = self._built(harmed, self.specs, names)
        rows = {name: _unequal(self.honest[name], after[name]) & where for name in names}
        return {name: _Harm(r, after[name]) for name, r in rows.items() if r.any()}

    def _built(
        self, inputs: FeatureInputs, specs: FeatureSpecs, names: Collection[str]
    ) -> pl.DataFrame:
        symbols = self.keys["symbol"].unique().sort().to_list()
        made = self.build(inputs, specs, [self.day], symbols, only=names)
        if made.select("symbol", "ts").equals(self.keys):
            return made
        return self.keys.join(made, on=["symbol", "ts"], how="left", maintain_order="left")

    def _told(self, strike: Strike, kind: Kind, changed: Mapping[str, _Harm]) -> Iterator[Leak]:
        sources = self._sources(strike, changed) if changed else {}
        for told, (name, harm) in enumerate(changed.items()):
            yield self._leak(strike, kind, name, harm, sources.get(name), told < MEASURED)

    def _leak(
        self,
        strike: Strike,
        kind: Kind,
        name: str,
        harm: _Harm,
        source: Source | None,
        measured: bool,
    ) -> Leak:
        at = self._first(harm.rows)
        symbol, ts = self.keys.row(at)
        seen = self._furthest(strike, name, at, source) if source and measured else None
        reach = None if seen is None else abs((seen[0] - ts).total_seconds())
        return Leak(
            feature=name,
            attack=strike.attack,
            kind=kind,
            tau=strike.tau,
            symbol=symbol,
            ts=ts,
            honest=_value(self.honest[name], at),
            harmed=_value(harm.after, at),
            n_rows=int(harm.rows.sum()),
            source=None if source is None else ".".join(part for part in source if part),
            reach_s=reach,
            open_ended=seen is not None and seen[1],
        )

    def _first(self, rows: Rows) -> int:
        """The earliest of the rows, by symbol at one instant."""
        at = np.flatnonzero(rows)
        return int(at[self.keys[at].with_row_index().sort("ts", "symbol")["index"][0]])

    def _sources(self, strike: Strike, changed: Mapping[str, _Harm]) -> dict[str, Source]:
        """The table, and in it the column, that alone changes the most of each feature's rows."""
        best: dict[str, tuple[str, int]] = {}
        for table in self._suspects(changed):
            for name, rows in self._rows_of(replace(strike, table=table), changed).items():
                if rows.sum() > best.get(name, ("", 0))[1]:
                    best[name] = (table, int(rows.sum()))
        named: dict[str, Source] = {}
        for table in sorted({table for table, _ in best.values()}):
            mine = {n: changed[n] for n, (t, _) in best.items() if t == table}
            values = self._columns(strike, table, mine, revised=False)
            rest = {n: harm for n, harm in mine.items() if n not in values}
            if rest and strike.attack == "poison":
                values |= self._columns(strike, table, rest, revised=True)
            named |= {name: (table, values.get(name)) for name in mine}
        return named

    def _columns(
        self, strike: Strike, table: str, changed: Mapping[str, _Harm], *, revised: bool
    ) -> dict[str, str]:
        """The column of `table` whose values alone change the first row of each feature.

        Of several the one that changes most rows. None where, by revisions, every column of a
        custom feature's table does: then it is not the values that matter but that there is a row.
        """
        attack: Attack = "lookback" if strike.attack == "lookback" else "poison"
        columns = self._columns_of(table, changed)
        able: dict[str, dict[str, int]] = {name: {} for name in changed}
        for column in columns:
            by = Strike(attack, strike.tau, table, column, revised)
            for name, rows in self._rows_of(by, changed).items():
                if rows[self._first(changed[name].rows)]:
                    able[name][column] = int(rows.sum())
        return {
            name: max(found, key=lambda column: found[column])
            for name, found in able.items()
            if found and (not revised or not self._is_custom(name) or len(found) < len(columns))
        }

    def _rows_of(self, narrow: Strike, changed: Mapping[str, _Harm]) -> dict[str, Rows]:
        """Of each feature's changed rows, those that a narrower strike changes as well."""
        where = np.logical_or.reduce([harm.rows for harm in changed.values()])
        found = self._changed(narrow, list(changed), where)
        return {name: harm.rows & changed[name].rows for name, harm in found.items()}

    def _suspects(self, names: Collection[str]) -> list[str]:
        """Tables through which any of the features may see: of a custom column, any."""
        frames = self.near.tables()
        if any(self._is_custom(name) for name in names):
            return [table for table, frame in frames.items() if not frame.is_empty()]
        needed = {table for name in names for table in self.specs.features[name].needs}
        return [t for t, frame in frames.items() if t in needed and not frame.is_empty()]

    def _is_custom(self, name: str) -> bool:
        specs = self.specs.only([name]).features.values()
        return any(spec.verb == CUSTOM for spec in specs)

    def _columns_of(self, table: str, names: Collection[str]) -> list[str]:
        if any(self._is_custom(name) for name in names):
            return [c for c in self.near.tables()[table].columns if c not in KEYS]
        leaves = {leaf for name in names for leaf in self.specs.leaves(name)}
        return sorted(column for leaf, column in leaves if leaf == table)

    def _furthest(
        self, strike: Strike, name: str, at: int, source: Source
    ) -> tuple[datetime, bool] | None:
        """Arrival of the last fact that moves row `at` (`lookback`: stamp of the oldest), and
        whether it is among the last ones there are. By values alone, where they are what matters.
        """
        table, column = source
        whole = replace(strike, table=table)
        by_value = replace(whole, column=column)
        if strike.attack == "prefix":
            by_value = replace(by_value, attack="poison")
        found = self._last_that_moves(by_value, name, at) if column else None
        return found or self._last_that_moves(whole, name, at)

    def _last_that_moves(self, strike: Strike, name: str, at: int) -> tuple[datetime, bool] | None:
        """By bisection: what is beyond the last one moves nothing."""
        past = strike.attack == "lookback"
        clock = pl.col("ts") if past else pl.col("available_at")
        aimed = clock < strike.tau if past else clock > strike.tau
        facts = self.near.tables()[strike.table or ""].filter(aimed)
        order = facts.select(clock.unique().sort(descending=past)).to_series().to_list()
        only = np.zeros(self.keys.height, dtype=np.bool_)
        only[at] = True
        low, high = 0, len(order)
        while low < high:
            middle = (low + high) // 2
            if self._changed(replace(strike, beyond=order[middle]), [name], only):
                low = middle + 1
            else:
                high = middle
        return (order[low - 1], low > LAST_OF_ALL * len(order)) if low else None


@dataclass(frozen=True, slots=True)
class _Harm:
    """Rows of a feature that an attack changed, and the whole column after it."""

    rows: Rows
    after: pl.Series


def _unequal(a: pl.Series, b: pl.Series) -> Rows:
    """Rows whose bits differ; null differs from every value."""
    differs: Rows = _bits(a) != _bits(b)
    return differs


def _bits(column: pl.Series) -> npt.NDArray[np.int64]:
    return np.ascontiguousarray(column.to_numpy(), np.float64).view(np.int64)


def _apart(a: pl.Series, b: pl.Series, allowed: float) -> Rows:
    """Rows of `a` with a value that `b` lacks, or has more than `allowed` of itself away."""
    left, right = a.to_numpy(), b.to_numpy()
    near = np.abs(left - right) <= allowed * np.maximum(np.abs(left), np.abs(right))
    apart: Rows = ~np.isnan(left) & ~near
    return apart


def _value(column: pl.Series, at: int) -> float | None:
    value: float | None = column[at]
    return value
