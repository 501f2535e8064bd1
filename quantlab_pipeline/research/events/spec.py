"""What an event type and a regime are, and the registry of all (`specs/event_registry.yaml`).

Belongs here: the document, what it alone must be, and the thresholds of gate E-1. Not here: how
occurrences are found (`detect`), nor what the feature specs must say to it (`checks`).
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from itertools import pairwise
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from quantlab_pipeline.core.errors import SpecError
from quantlab_pipeline.core.spec import Spec
from quantlab_pipeline.research.events.expression import Node, nearest, parse
from quantlab_pipeline.research.market_data.spec import Dataset

Family = Literal[
    "liquidity_stress", "shock_proxy", "funding_basis", "oi_shock", "volatility_transition"
]
MAX_COOLDOWN_MIN = 1440
"""The lookback of detection: a decision about an occurrence never needs an older minute."""

RegimeLabel = Literal["low", "mid", "high"]
RegimeName = Literal["vol_regime", "liq_regime"]


class ConstantEdges(Spec):
    """Edges that the document states, ascending. Their feature is measured by its own past."""

    kind: Literal["constant"]
    at: tuple[float, ...] = Field(min_length=1)

    @field_validator("at")
    @classmethod
    def _ascending(cls, at: tuple[float, ...]) -> tuple[float, ...]:
        if not all(map(math.isfinite, at)) or any(low >= high for low, high in pairwise(at)):
            raise ValueError("edges must be finite and ascend")
        return at


class TrailingEdges(Spec):
    """Edges that are features too, of the regime's feature alone: its own trailing quantiles."""

    kind: Literal["trailing"]
    at: tuple[str, ...] = Field(min_length=1)


class Regime(Spec):
    """A context of every minute: `labels`, from the lowest values of `feature` to the highest.

    A value at or above an edge has the label above it. No edge is ever found from the rows that
    are labelled: it stands in the document, or it is a feature, known at its minute.
    """

    meaning: str = Field(min_length=1)
    feature: str
    edges: Annotated[ConstantEdges | TrailingEdges, Field(discriminator="kind")]
    labels: tuple[RegimeLabel, ...]

    @model_validator(mode="after")
    def _a_label_between_edges(self) -> Self:
        if len(self.labels) != len(self.edges.at) + 1:
            raise ValueError(f"{len(self.edges.at)} edges need {len(self.edges.at) + 1} `labels`")
        _require_distinct("labels", self.labels)
        _require_distinct("edges", self.columns)
        return self

    @property
    def columns(self) -> tuple[str, ...]:
        """The feature columns that it reads."""
        edges = self.edges.at if isinstance(self.edges, TrailingEdges) else ()
        return (self.feature, *edges)


class Regimes(Spec):
    """The regimes that `events` carries, by column."""

    vol_regime: Regime
    liq_regime: Regime

    def named(self) -> dict[RegimeName, Regime]:
        """Each regime by its column's name."""
        return {"vol_regime": self.vol_regime, "liq_regime": self.liq_regime}


class Refractory(Spec):
    """A condition that lasts occurs again after each cooldown, `max_episode_min` long at most.

    An episode begins as an onset does. In it, the next occurrence is the first triggering minute
    with at least `cooldown_min` minutes between it and the last occurrence, as long as it lies at
    most `max_episode_min` after the episode's begin. What lasts longer is a state: it is silent
    until `cooldown_min` quiet minutes have passed. The bound keeps the rule local: whether a minute
    is an occurrence depends on the `max_episode_min` + `cooldown_min` minutes before it alone, so
    that a day by itself and a range of days give the same rows.
    """

    mode: Literal["refractory"]
    max_episode_min: int = Field(ge=1, le=MAX_COOLDOWN_MIN)


class EventType(Spec):
    """One kind of event.

    `trigger` is true on the minutes at which the market is in that condition, `severity` says how
    far past (larger is stronger); both read feature columns at t0 and nothing else. `merge` onset:
    it occurs on the first triggering minute after at least `cooldown_min` minutes without one, and
    the triggering minutes that follow, each at most `cooldown_min` after the one before, belong to
    that occurrence, however long it lasts. Its severity is that of its first minute: nobody knows
    at t0 how far a condition will go. `merge` refractory: see there. `required_fields` are the
    features that the two expressions read; a minute on which one is null has no event. `requires`
    are the datasets without which it cannot be evaluated.
    """

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    family: Family
    version: int = Field(ge=1)
    meaning: str = Field(min_length=1)
    trigger: str
    severity: str
    cooldown_min: int = Field(ge=1, le=MAX_COOLDOWN_MIN)
    merge: Literal["onset"] | Refractory = "onset"
    required_fields: tuple[str, ...] = Field(min_length=1)
    requires: tuple[Dataset, ...] = Field(min_length=1)

    @property
    def trigger_tree(self) -> Node:
        """The parsed trigger."""
        return parse(self.trigger, "truth")

    @property
    def severity_tree(self) -> Node:
        """The parsed severity."""
        return parse(self.severity, "number")

    @model_validator(mode="after")
    def _looks_back_a_day(self) -> Self:
        longest = self.merge.max_episode_min if isinstance(self.merge, Refractory) else 0
        if self.cooldown_min + longest > MAX_COOLDOWN_MIN:
            raise ValueError(
                f"{self.name}: cooldown_min and max_episode_min together reach back "
                f"{self.cooldown_min + longest} minutes; detection sees {MAX_COOLDOWN_MIN}"
            )
        return self

    @model_validator(mode="after")
    def _declares_what_it_reads(self) -> Self:
        try:
            reads = {*self.trigger_tree.features, *self.severity_tree.features}
        except SpecError as error:
            raise ValueError(f"{self.name}: {error}") from error
        if set(self.required_fields) != reads or len(self.required_fields) != len(reads):
            raise ValueError(
                f"{self.name}: required_fields must be exactly {', '.join(sorted(reads))}"
            )
        return self


class EventRegistry(Spec):
    """Every event type of the project, in the order of seniority.

    A type that overlaps one listed before it is the alias, never the other way round. Two
    occurrences overlap if they are of one symbol and at most `overlap_window_min` apart. A type is
    an echo of a senior if it overlaps it once moved by some lag of up to `echo_window_min`.
    """

    version: int = Field(ge=1)
    overlap_window_min: int = Field(ge=0, le=60)
    echo_window_min: int = Field(ge=0, le=240)
    regimes: Regimes
    event_types: tuple[EventType, ...] = Field(min_length=1)

    @field_validator("event_types")
    @classmethod
    def _one_of_each(cls, types: tuple[EventType, ...]) -> tuple[EventType, ...]:
        _require_distinct("event types", [t.name for t in types])
        return types

    @property
    def names(self) -> list[str]:
        """Names of the types in the registry's order."""
        return [t.name for t in self.event_types]

    @property
    def fields(self) -> list[str]:
        """Every feature column that any type reads, sorted."""
        return sorted({f for t in self.event_types for f in t.required_fields})

    def only(self, names: Literal["all"] | Collection[str]) -> EventRegistry:
        """The registry with the types in `names` alone, in its own order.

        Raises SpecError for a name that it does not have, naming the nearest.
        """
        if names == "all":
            return self
        for name in names:
            if name not in self.names:
                raise SpecError(
                    f"The event registry has no type '{name}'.",
                    nearest(name, self.names),
                    event_type=name,
                )
        kept = tuple(t for t in self.event_types if t.name in names)
        return self.model_copy(update={"event_types": kept})


def _require_distinct(what: str, names: Sequence[str]) -> None:
    doubled = sorted({n for n in names if names.count(n) > 1})
    if doubled:
        raise ValueError(f"{what} are listed twice: {', '.join(doubled)}")


class E1Thresholds(Spec):
    """Section `e1` of `specs/gates.yaml`: when an event type is fit to be tested.

    `max_trigger_share` is the largest share of evaluable minutes on which the trigger may hold: a
    condition that nearly always holds is a state, not an event, however seldom it starts.
    `max_jaccard` bounds the overlap with a senior type as it stands, `max_echo` that with a senior
    moved by the lag that suits best, `max_containment` the share of the events that a more frequent
    type has too: 1 allows a type that is a special case of another.
    """

    min_events: int = Field(ge=1)
    min_active_days: int = Field(ge=1)
    min_per_symbol_day: float = Field(ge=0)
    max_per_symbol_day: float = Field(gt=0)
    max_trigger_share: float = Field(gt=0, le=1)
    max_duplicate_share: float = Field(ge=0, lt=1)
    min_join_share: float = Field(gt=0, le=1)
    max_jaccard: float = Field(gt=0, le=1)
    max_echo: float = Field(gt=0, le=1)
    max_containment: float = Field(gt=0, le=1)
