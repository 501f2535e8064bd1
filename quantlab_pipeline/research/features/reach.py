"""How far before its first wanted minute each column must begin, through all that is made from it.

Belongs here: minutes, from the specs alone. A run computes every column from there on and not one
minute earlier, so that a value cannot depend on more than its spec declares.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from quantlab_pipeline.research.features.spec import OWN, FeatureSpec, FeatureSpecs
from quantlab_pipeline.research.features.verbs import CUSTOM


@dataclass(frozen=True, slots=True)
class Reach:
    """Minutes before the first wanted one at which columns begin.

    `features`: where a feature's values are needed from; `own`: how much more its verb reads;
    `tables`: where a table's columns are needed on the grid from (the age of its rows comes on
    top).
    """

    features: Mapping[str, int]
    own: Mapping[str, int]
    tables: Mapping[str, int]


def reach_of(specs: FeatureSpecs) -> Reach:
    """The reach of every column of `specs`."""
    features = dict.fromkeys(specs.features, 0)
    tables: dict[str, int] = {}
    own = {name: own_reach(spec) for name, spec in specs.features.items()}
    for name, spec in reversed(list(specs.features.items())):
        begins = features[name] + own[name]
        for table, column in spec.sources:
            if table == OWN:
                features[column] = max(features[column], begins)
            elif spec.verb != CUSTOM:
                tables[table] = max(tables.get(table, 0), begins)
    return Reach(features, own, tables)


def own_reach(spec: FeatureSpec) -> int:
    """Minutes before t that a feature's verb itself reads; of a custom one, all that it declares.

    A custom column joins its own tables, so that its declared lookback is all that is known of it.
    """
    return spec.lookback_min if spec.verb == CUSTOM else spec.arguments.reach()
