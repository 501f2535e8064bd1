"""The registry document: closed, and true to the features that exist."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from quantlab_pipeline.core.errors import SpecError
from quantlab_pipeline.research.events.checks import check_registry
from quantlab_pipeline.research.events.spec import EventRegistry
from quantlab_pipeline_tests.research.events.builders import (
    document,
    event_type,
    feature_specs,
    project_registry,
    registry,
)

REGISTRY = project_registry()
TABLE_NEEDS = {"tob_1m_agg": {"tob_snapshots"}, "basis_state": {"bars_1m_perp", "bars_1m_spot"}}


def test_families_and_size() -> None:
    families = [t.family for t in REGISTRY.event_types]
    assert 18 <= len(families) <= 30
    assert min(families.count(f) for f in set(families)) >= 2
    assert len(set(families)) == 5


def test_every_field_is_a_feature_and_requires_what_it_is_made_from() -> None:
    specs = document("feature_specs")["features"]
    check_registry(REGISTRY, feature_specs().features)
    for each in REGISTRY.event_types:
        tables = {table for field in each.required_fields for table in specs[field]["needs"]}
        datasets = {d for table in tables for d in TABLE_NEEDS.get(table, {table})}
        assert set(each.requires) == datasets, each.name


def test_enough_types_live_without_book_open_interest_and_mark() -> None:
    offered = {"bars_1m_perp", "bars_1m_spot", "funding"}
    assert sum(set(t.requires) <= offered for t in REGISTRY.event_types) >= 8


@pytest.mark.parametrize(
    "change",
    [
        {"trigger": "x >="},
        {"trigger": "x + 1"},
        {"severity": "x > 1"},
        {"required_fields": []},
        {"required_fields": ["x", "y"]},
        {"required_fields": ["x", "x"]},
        {"cooldown_min": 0},
        {"cooldown_min": 1441},
        {"family": "astrology"},
        {"requires": ["twitter"]},
        {"colour": "red"},
        {"name": "Has Spaces"},
    ],
)
def test_a_malformed_type_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        event_type(**change)


def test_an_unknown_feature_names_its_type_and_the_nearest() -> None:
    wrong = event_type(
        trigger="ret_5m_bp >= 1", severity="ret_5m_bp", required_fields=["ret_5m_bp"]
    )
    said = r"Event type 'jump'.*'ret_5m_bp'.*Did you mean 'ret_5m_bps'"
    with pytest.raises(SpecError, match=said):
        check_registry(registry(wrong), feature_specs().features)


def test_names_are_unique_and_selection_keeps_order() -> None:
    with pytest.raises(ValidationError, match="listed twice"):
        registry(event_type(), event_type())
    chosen = REGISTRY.only([REGISTRY.names[3], REGISTRY.names[1]])
    assert isinstance(chosen, EventRegistry)
    assert chosen.names == [REGISTRY.names[1], REGISTRY.names[3]]
    assert chosen.spec_hash() != REGISTRY.spec_hash()
    assert REGISTRY.only("all") is REGISTRY
    with pytest.raises(SpecError, match="Did you mean 'oi_surge'"):
        REGISTRY.only(["oi_surg"])
