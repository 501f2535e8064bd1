"""Every animal of the zoo by its name, with its spec, and the build that PIT-1 attacks.

Belongs here: how pairs become columns. What each does stands in its room.
"""

from __future__ import annotations

import inspect
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Literal

import polars as pl

from quantlab_pipeline.calibration.leak_zoo import (
    bars,
    crowd,
    derivatives,
    recursions,
    samples,
    stamps,
)
from quantlab_pipeline.calibration.leak_zoo.pair import Pair, Sin
from quantlab_pipeline.research.features.build import CustomVerb, build_features
from quantlab_pipeline.research.features.inputs import FeatureInputs
from quantlab_pipeline.research.features.spec import FeatureSpec, FeatureSpecs, TableAge

Kind = Literal["leak", "twin"]

PAIRS: tuple[Pair, ...] = (
    *bars.PAIRS,
    *samples.PAIRS,
    *stamps.PAIRS,
    *derivatives.PAIRS,
    *crowd.PAIRS,
    *recursions.PAIRS,
)


@dataclass(frozen=True, slots=True)
class Animal:
    """One column of the zoo: a leak or a twin, its spec, and `sees`, the input it sees through.

    A twin's `sees` is null.
    """

    name: str
    kind: Kind
    sin: Sin
    story: str
    verb: CustomVerb
    spec: FeatureSpec
    sees: str | None


def _animals() -> dict[str, Animal]:
    found: dict[str, Animal] = {}
    for pair in PAIRS:
        twin_reads = pair.reads if pair.twin_reads is None else pair.twin_reads
        both: tuple[tuple[Kind, CustomVerb, tuple[str, ...]], ...] = (
            ("leak", pair.leak, pair.reads),
            ("twin", pair.twin, twin_reads),
        )
        for kind, verb, reads in both:
            story = " ".join((inspect.getdoc(verb) or "").split("\n\n")[0].split())
            declared = pair.lookback_min
            if kind == "twin" and pair.twin_lookback_min is not None:
                declared = pair.twin_lookback_min
            spec = _spec(story, reads, declared)
            sees = pair.sees if kind == "leak" else None
            name = verb.__name__
            found[name] = Animal(name, kind, pair.sin, story, verb, spec, sees)
    return found


def _spec(story: str, reads: tuple[str, ...], lookback_min: int) -> FeatureSpec:
    return FeatureSpec(
        inputs=reads,
        verb="custom",
        lookback_min=lookback_min,
        aggregation="last",
        normalisation="none",
        warmup_min=0,
        min_valid=1,
        unit="1",
        meaning=story,
        needs=tuple(sorted({name.partition(".")[0] for name in reads})),
    )


ANIMALS: Mapping[str, Animal] = _animals()
"""Every animal by its name, each leak followed by its twin."""


def zoo_specs(names: Collection[str] = tuple(ANIMALS)) -> FeatureSpecs:
    """The feature specs of the animals called `names`, as their authors would state them."""
    features = {name: ANIMALS[name].spec for name in ANIMALS if name in names}
    tables = sorted({table for spec in features.values() for table in spec.needs})
    return FeatureSpecs(
        version=1, tables={t: TableAge(max_age_min=0) for t in tables}, features=features
    )


def zoo_build(
    inputs: FeatureInputs,
    specs: FeatureSpecs,
    days: list[date],
    symbols: list[str],
    *,
    only: Collection[str] | None = None,
) -> pl.DataFrame:
    """`build_features` with the verbs of the animals that `specs` names."""
    extra = {name: ANIMALS[name].verb for name in specs.names}
    return build_features(inputs, specs, days, symbols, extra, only=only)
