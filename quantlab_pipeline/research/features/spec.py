"""What may be asked of the features: every column, and gate PIT-1's thresholds.

Belongs here: the document `specs/feature_specs.yaml` and the section `pit1` of `specs/gates.yaml`.
A column that no verb can compute, or whose stated reach is not what its verb needs, fails on load.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Mapping
from typing import Any, Literal, Self

from pydantic import Field, ValidationError, model_validator

from quantlab_pipeline.core.clocks import DAY_MINUTES
from quantlab_pipeline.core.errors import SpecError
from quantlab_pipeline.core.spec import Spec
from quantlab_pipeline.research.features.verbs import CUSTOM, VERBS, Params
from quantlab_pipeline.research.market_data.schema import MARKET_DATA

OWN = "features"
"""The table name by which a feature takes another feature as its input."""

READABLE = {s.name: tuple(s.names) for s in MARKET_DATA if s.name != "tob_snapshots"}
"""The tables that features read, with their columns."""

Aggregation = Literal[
    "last", "mean", "deviation", "extremes", "recursion", "regression", "count", "quantile"
]
Normalisation = Literal["none", "log", "rank", "z", "ratio", "flag", "composite"]
Unit = Literal["bps", "bps/MUSD", "USD", "1", "min", "settlements", "flag"]


def _nearest(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.0)
    return close[0] if close else ""


class TableAge(Spec):
    """How old a table's newest known row may be, from its `ts`, before its columns are null."""

    max_age_min: int = Field(ge=0, le=2 * DAY_MINUTES)


class FeatureSpec(Spec):
    """One column of `features_pt`.

    `inputs` are `table.column`, or `features.name` for a feature stated above this one. `verb` and
    `params` say how it is computed; `lookback_min` is the age of the oldest row that a value may
    depend on, and `warmup_min` the minutes of gapless input before the first value, both through
    all its inputs. `min_valid` is the least number of valid rows in the verb's window. `needs` are
    the tables without which there is no value.
    """

    inputs: tuple[str, ...] = Field(min_length=1)
    verb: str
    params: Mapping[str, bool | int | float] = Field(default_factory=dict)
    lookback_min: int = Field(ge=0)
    aggregation: Aggregation
    normalisation: Normalisation
    warmup_min: int = Field(ge=0)
    min_valid: int = Field(ge=1)
    unit: Unit
    meaning: str = Field(min_length=10)
    needs: tuple[str, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _verb_can(self) -> Self:
        if self.verb not in VERBS:
            raise ValueError(
                f"no verb is called `{self.verb}`; the nearest is `{_nearest(self.verb, VERBS)}`"
            )
        wanted = VERBS[self.verb].n_inputs
        if wanted is not None and len(self.inputs) != wanted:
            raise ValueError(f"`{self.verb}` takes {wanted} inputs, not {len(self.inputs)}")
        known = VERBS[self.verb].params.model_fields
        for key in self.params:
            if key not in known:
                hint = f"; it knows {', '.join(known)}" if known else " and takes none"
                raise ValueError(f"`{self.verb}` does not know the parameter `{key}`{hint}")
        try:
            arguments = self.arguments
        except ValidationError as error:
            first = error.errors()[0]
            keys = "".join(f" `{part}`" for part in first["loc"])
            told = first["msg"].removeprefix("Value error, ")
            raise ValueError(f"`{self.verb}`: params{keys}: {told}") from error
        least, window = arguments.least_valid(), getattr(arguments, "window_min", None)
        if least > 1 and self.min_valid < least:
            raise ValueError(
                f"`min_valid` {self.min_valid} lets the recursion's first row show; it takes "
                f"{least} rows to forget it"
            )
        if least == 1 and window is not None and self.min_valid > max(window, 1):
            raise ValueError(
                f"`min_valid` {self.min_valid} is more than the window's {window} rows"
            )
        return self

    @property
    def arguments(self) -> Params:
        """The verb's parameters, typed. ValidationError if one is missing or out of range."""
        return VERBS[self.verb].params.model_validate(dict(self.params))

    def with_twice_the_warmup(self) -> FeatureSpec:
        """The same feature with its recursion begun twice as far back; itself if it has none."""
        if self.verb == CUSTOM:
            return self.model_copy(update={"lookback_min": 2 * self.lookback_min})
        twice = self.arguments.with_twice_the_warmup()
        if twice is None:
            return self
        return self.model_copy(update={"params": twice.model_dump()})

    @property
    def sources(self) -> list[tuple[str, str]]:
        """(table, column) of each input, in order."""
        pairs = [name.partition(".") for name in self.inputs]
        return [(table, column) for table, _, column in pairs]


class FeatureSpecs(Spec):
    """Every column of `features_pt`, in order, and how old each table's rows may be."""

    version: int = Field(ge=1)
    tables: Mapping[str, TableAge]
    features: Mapping[str, FeatureSpec]

    @model_validator(mode="after")
    def _closed(self) -> Self:
        for table in self.tables:
            if table not in READABLE:
                near = _nearest(table, READABLE)
                raise ValueError(f"no table is called `{table}`; the nearest is `{near}`")
        stated: dict[str, FeatureSpec] = {}
        for name, spec in self.features.items():
            for table, column in spec.sources:
                self._require_input(name, table, column, stated)
            if spec.verb != CUSTOM:
                _require_equal(name, "lookback_min", spec.lookback_min, self._reach(spec, stated))
                _require_equal(name, "warmup_min", spec.warmup_min, self._wait(spec, stated))
            _require_equal(name, "needs", list(spec.needs), self._needs(spec, stated))
            stated[name] = spec
        return self

    def _require_input(
        self, name: str, table: str, column: str, stated: Mapping[str, FeatureSpec]
    ) -> None:
        if table == OWN:
            if column not in stated:
                near = _nearest(column, stated)
                raise ValueError(
                    f"feature `{name}` takes `{OWN}.{column}`, which is not stated above it; "
                    f"the nearest is `{near}`"
                )
        elif table not in self.tables:
            near = _nearest(table, self.tables)
            raise ValueError(
                f"feature `{name}` reads `{table}`, which `tables` does not list; the nearest is "
                f"`{near}`"
            )
        elif column not in READABLE[table]:
            near = _nearest(column, READABLE[table])
            raise ValueError(
                f"feature `{name}` reads `{table}.{column}`, but {table} has no such column; the "
                f"nearest is `{near}`"
            )

    def _reach(self, spec: FeatureSpec, stated: Mapping[str, FeatureSpec]) -> int:
        inner = [
            stated[column].lookback_min if table == OWN else self.tables[table].max_age_min
            for table, column in spec.sources
        ]
        return spec.arguments.reach() + max(inner)

    def _wait(self, spec: FeatureSpec, stated: Mapping[str, FeatureSpec]) -> int:
        inner = [stated[c].warmup_min if t == OWN else 0 for t, c in spec.sources]
        return spec.arguments.wait(spec.min_valid) + max(inner)

    def _needs(self, spec: FeatureSpec, stated: Mapping[str, FeatureSpec]) -> list[str]:
        inner = [stated[c].needs if t == OWN else (t,) for t, c in spec.sources]
        return sorted({table for tables in inner for table in tables})

    @property
    def names(self) -> list[str]:
        """Feature columns in order."""
        return list(self.features)

    @property
    def lookback_days(self) -> int:
        """Whole days before a day that its features may depend on."""
        longest = max(spec.lookback_min for spec in self.features.values())
        return -(-longest // DAY_MINUTES)

    @property
    def lookback_days_by_table(self) -> dict[str, int]:
        """Each table that a feature reads, with the whole days before a day that may matter."""
        longest: dict[str, int] = {}
        for spec in self.features.values():
            for table in spec.needs:
                longest[table] = max(longest.get(table, 0), spec.lookback_min)
        return {t: -(-longest[t] // DAY_MINUTES) for t in READABLE if t in longest}

    def leaves(self, name: str) -> list[tuple[str, str]]:
        """(table, column) pairs of raw input that feature `name` depends on, sorted."""
        found: set[tuple[str, str]] = set()
        for table, column in self.features[name].sources:
            found.update(self.leaves(column) if table == OWN else [(table, column)])
        return sorted(found)

    def only(self, names: Collection[str]) -> FeatureSpecs:
        """The features in `names` and those that they are made of, in the same order.

        SpecError for a name that is not stated, with the nearest.
        """
        wanted: set[str] = set()
        for name in names:
            if name not in self.features:
                near = _nearest(name, self.features)
                raise SpecError(
                    f"No feature is called {name}.", f"Did you mean {near}?", feature=name
                )
            wanted |= {name, *self._own_inputs(name)}
        kept = {name: spec for name, spec in self.features.items() if name in wanted}
        return self.model_copy(update={"features": kept})

    def _own_inputs(self, name: str) -> set[str]:
        found: set[str] = set()
        for table, column in self.features[name].sources:
            if table == OWN:
                found |= {column, *self._own_inputs(column)}
        return found

    def with_twice_the_warmup(self) -> tuple[FeatureSpecs, list[str]]:
        """The same columns with every recursion begun twice as far back, and who has one.

        Of a custom column the declared lookback is doubled: its recursion is unknown to us. What is
        made from a recursion is no part of it: a rank jumps where its input moves by a bit.
        """
        stated: dict[str, FeatureSpec] = {}
        moved: set[str] = set()
        for name, spec in self.features.items():
            again = spec.with_twice_the_warmup()
            if again is not spec:
                moved.add(name)
            if spec.verb != CUSTOM:
                again = again.model_copy(update={"lookback_min": self._reach(again, stated)})
            stated[name] = again
        twice = self.model_copy(update={"features": stated})
        return twice, [name for name in self.features if name in moved]

    def plus(self, **extra: FeatureSpec) -> FeatureSpecs:
        """These specs and `extra` columns after them, validated as a whole."""
        body: dict[str, Any] = self.model_dump()
        body["features"] |= {name: spec.model_dump() for name, spec in extra.items()}
        return FeatureSpecs.model_validate(body)


def _require_equal(name: str, key: str, declared: object, needed: object) -> None:
    if declared != needed:
        raise ValueError(f"feature `{name}` states `{key}` {declared}, but it is {needed}")


class Pit1Thresholds(Spec):
    """How hard PIT-1 attacks. No leaked row is allowed, ever; that is not a threshold.

    `instants_per_day`, `full_instants_per_day`: attacked instants of each day, by default and in
    the full mode. `changed_share`: how far every value that must not matter is moved, as a share of
    itself. `deleted_share`, `doubled_share`, `revised_share`: share of such rows that vanish, that
    stand twice, and of known rows that get a revised twin which arrives later. `max_warmup_change`:
    relative change that a recursion may show when it begins twice as far back.
    """

    instants_per_day: int = Field(default=4, ge=2, le=1440)
    full_instants_per_day: int = Field(default=48, ge=5, le=1440)
    changed_share: float = Field(default=0.5, gt=0, lt=1)
    deleted_share: float = Field(default=0.1, ge=0, lt=1)
    doubled_share: float = Field(default=0.05, ge=0, le=1)
    revised_share: float = Field(default=0.1, ge=0, le=1)
    max_warmup_change: float = Field(default=1e-6, ge=0, lt=0.01)
