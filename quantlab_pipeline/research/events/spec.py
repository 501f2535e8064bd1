"""What an event type is, and the registry of all of them (`specs/event_registry.yaml`).

Belongs here: the document, its checks, and the thresholds of gate E-1. Not here: how occurrences
are found (`detect`), nor which feature columns exist (`check_registry` is told).
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from quantlab_pipeline.core.errors import SpecError
from quantlab_pipeline.core.spec import Spec
from quantlab_pipeline.research.events.expression import Node, check_features, nearest, parse
from quantlab_pipeline.research.market_data.spec import Dataset

Family = Literal[
    "liquidity_stress", "shock_proxy", "funding_basis", "oi_shock", "volatility_transition"
]
MAX_COOLDOWN_MIN = 1440
"""The lookback of detection: a decision about an onset never needs an older minute."""


class EventType(Spec):
    """One kind of event.

    `trigger` is true on the minutes at which the market is in that condition, `severity` says how
    far past (larger is stronger); both read feature columns at t0 and nothing else. `merge` onset:
    it occurs on the first triggering minute after at least `cooldown_min` minutes without one, and
    the triggering minutes that follow belong to that occurrence. `required_fields` are the
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
    merge: Literal["onset"] = "onset"
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
    occurrences overlap if they are of one symbol and at most `overlap_window_min` apart.
    """

    version: int = Field(ge=1)
    overlap_window_min: int = Field(ge=0, le=60)
    event_types: tuple[EventType, ...] = Field(min_length=1)

    @field_validator("event_types")
    @classmethod
    def _one_of_each(cls, types: tuple[EventType, ...]) -> tuple[EventType, ...]:
        names = [t.name for t in types]
        doubled = sorted({n for n in names if names.count(n) > 1})
        if doubled:
            raise ValueError(f"event types are listed twice: {', '.join(doubled)}")
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


def check_registry(registry: EventRegistry, features: Collection[str]) -> None:
    """Raise SpecError if a type reads a column outside `features`, naming the nearest one."""
    for event_type in registry.event_types:
        owner = f"Event type '{event_type.name}'"
        check_features(event_type.trigger_tree, features, owner)
        check_features(event_type.severity_tree, features, owner)


class E1Thresholds(Spec):
    """Section `e1` of `specs/gates.yaml`: when an event type is fit to be tested.

    `max_trigger_share` is the largest share of evaluable minutes on which the trigger may hold: a
    condition that nearly always holds is a state, not an event, however seldom it starts.
    """

    min_events: int = Field(ge=1)
    min_active_days: int = Field(ge=1)
    min_per_symbol_day: float = Field(ge=0)
    max_per_symbol_day: float = Field(gt=0)
    max_trigger_share: float = Field(gt=0, le=1)
    max_duplicate_share: float = Field(ge=0, lt=1)
    min_join_share: float = Field(gt=0, le=1)
    max_jaccard: float = Field(gt=0, le=1)
