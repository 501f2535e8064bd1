"""What the event registry and the feature specs must agree on: columns, units, edges.

Belongs here: agreement of these two documents. What the registry alone must be, its model says.
"""

from __future__ import annotations

from collections.abc import Mapping

from quantlab_pipeline.core.errors import SpecError
from quantlab_pipeline.research.events.expression import check_features
from quantlab_pipeline.research.events.spec import (
    ConstantEdges,
    EventRegistry,
    EventType,
    Regime,
    TrailingEdges,
)
from quantlab_pipeline.research.events.units import check_units
from quantlab_pipeline.research.features.spec import OWN, FeatureSpec

MEASURED_BY_ITS_PAST = ("rank", "z", "ratio", "composite")
"""Normalisations after which a number means the same in every market and year."""


def check_registry(registry: EventRegistry, features: Mapping[str, FeatureSpec]) -> None:
    """Raise SpecError for the first place where the registry does not fit the feature specs."""
    for event_type in registry.event_types:
        check_event_type(event_type, features)
    for name, regime in registry.regimes.named().items():
        check_regime(name, regime, features)


def check_event_type(event_type: EventType, features: Mapping[str, FeatureSpec]) -> None:
    """Raise SpecError if a column is no feature (naming the nearest), or if units are mixed."""
    units = {name: spec.unit for name, spec in features.items()}
    owner = f"Event type '{event_type.name}'"
    for tree in (event_type.trigger_tree, event_type.severity_tree):
        check_features(tree.features, features, owner)
        check_units(tree, units, owner)


def check_regime(name: str, regime: Regime, features: Mapping[str, FeatureSpec]) -> None:
    """Raise SpecError if a regime's edges could have been read off the rows that it labels.

    Constant edges need a feature that is measured by its own trailing past: an edge in bps could
    only come from looking at the sample. Trailing edges are features made from the regime's own
    alone, in its unit; that they see nothing later, gate PIT-1 tries on every feature.
    """
    check_features(regime.columns, features, f"Regime '{name}'")
    spec = features[regime.feature]
    match regime.edges:
        case ConstantEdges():
            if spec.normalisation not in MEASURED_BY_ITS_PAST:
                raise SpecError(
                    f"Regime '{name}' puts constant edges on '{regime.feature}', a feature with "
                    f"the normalisation '{spec.normalisation}': nothing says where they came from.",
                    "Rank the feature in its trailing window, or take trailing edges.",
                    regime=name,
                    feature=regime.feature,
                )
        case TrailingEdges(at=edges):
            for edge in edges:
                _check_edge(name, regime, edge, features)


def _check_edge(name: str, regime: Regime, edge: str, features: Mapping[str, FeatureSpec]) -> None:
    wanted, found = f"{OWN}.{regime.feature}", features[edge]
    if found.inputs != (wanted,) or found.unit != features[regime.feature].unit:
        raise SpecError(
            f"Regime '{name}' has the edge '{edge}', made from {', '.join(found.inputs)} in "
            f"{found.unit}; an edge is made from {wanted} alone, in its unit.",
            "Name a trailing quantile or mean of the regime's own feature.",
            regime=name,
            feature=edge,
        )
