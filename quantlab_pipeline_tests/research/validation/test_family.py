"""A trial's identity, and its place in the ledger before any result."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
import yaml

from quantlab_pipeline.core.errors import LedgerError
from quantlab_pipeline.core.ports import FamilyRecord, LedgerState
from quantlab_pipeline.research.events.spec import EventRegistry
from quantlab_pipeline.research.features.spec import FeatureSpecs
from quantlab_pipeline.research.validation.family import (
    Question,
    canonical_events,
    definitions,
    event_type_of,
    expand_family,
    family_hash,
    register_family,
)
from quantlab_pipeline_tests.research.validation import builders

QUESTION = Question({"b": {"v": 1}, "a": {"v": 1}}, ("X", "Y"), date(2025, 1, 1), date(2025, 2, 1))


class MemoryLedger:
    """A ledger of a list, with a budget."""

    def __init__(self, budget):
        self.budget, self.seen, self.calls = budget, {}, 0

    def state(self):
        return LedgerState(f"head-{self.calls}", len(self.seen), self.budget)

    def register(self, _study, family, trials):
        self.family = family
        new = [t for t in trials if t.candidate_hash not in self.seen]
        if len(self.seen) + len(new) > self.budget:
            raise LedgerError("The budget is spent.", "Take fresh dates.", reason="BUDGET_SPENT")
        self.seen.update({t.candidate_hash: t for t in new})
        self.calls += 1
        return self.state()


def _register(ledger, candidates):
    return register_family(ledger, "study", builders.shipped_family(), candidates, "sha256:data")


def _expand(family=None, question=QUESTION, costs=None):
    return expand_family(
        family or builders.shipped_family(), question, costs or builders.cost_model()
    )


def test_every_cell_and_both_sides_are_counted_once():
    candidates = _expand()
    assert len(candidates) == builders.shipped_family().size(2)
    assert len({c.candidate_id for c in candidates}) == len(candidates)
    assert len({c.candidate_hash for c in candidates}) == len(candidates)
    assert candidates == _expand()


def test_identity_ignores_the_order_of_symbols_and_types_but_nothing_else():
    same = replace(QUESTION, symbols=("Y", "X"), event_specs={"a": {"v": 1}, "b": {"v": 1}})
    assert family_hash(_expand(question=same)) == family_hash(_expand())
    family = builders.shipped_family()
    for other in (
        _expand(question=replace(QUESTION, last_day=date(2025, 2, 2))),
        _expand(question=replace(QUESTION, symbols=("X",))),
        _expand(question=replace(QUESTION, event_specs={"a": {"v": 2}, "b": {"v": 2}})),
        _expand(family=family.model_copy(update={"delta_min": 2})),
        _expand(costs=builders.cost_model(fee_bps=9.0)),
    ):
        assert not {c.candidate_hash for c in other} & {c.candidate_hash for c in _expand()}


def test_a_name_says_what_is_traded():
    first = _expand()[0]
    assert first.candidate_id.startswith("a.all.5m.directional.with-")


def test_registering_again_adds_nothing():
    ledger, candidates = MemoryLedger(500), _expand()
    assert _register(ledger, candidates).state.n_trials == 400
    again = _register(ledger, candidates)
    assert (again.state.n_trials, again.refused) == (400, None)


def test_a_registration_names_the_document_the_grid_and_the_data():
    ledger, candidates = MemoryLedger(500), _expand()
    _register(ledger, candidates)
    family = builders.shipped_family()
    assert ledger.family == FamilyRecord(
        family.family_id, family.spec_hash(), family_hash(candidates), "sha256:data"
    )


def test_a_refused_family_is_a_value_and_other_faults_are_not():
    ledger = MemoryLedger(10)
    refused = _register(ledger, _expand())
    assert refused.refused == "BUDGET_SPENT"
    assert "fresh dates" in refused.told
    assert refused.state.n_trials == 0
    lost = LedgerError("Lost.", "Put them back.", reason="FAMILY_CHANGED", missing=["a", "b"])
    ledger.register = lambda *_: (_ for _ in ()).throw(lost)
    changed = _register(ledger, _expand())
    assert (changed.refused, changed.missing) == ("FAMILY_CHANGED", ("a", "b"))
    assert changed.told == "Lost. Put them back."
    ledger.register = lambda *_: (_ for _ in ()).throw(LedgerError("Broken.", "Mend it."))
    with pytest.raises(LedgerError, match="Broken"):
        _register(ledger, _expand())


EDGES = {"vol_regime": {"edges": [0.3, 0.7]}, "liq_regime": {"edges": [0.5]}}


def _hashes(candidates, column):
    return {c.candidate_hash for c in candidates if c.bucket.column == column}


def test_the_edges_of_a_regime_are_part_of_its_own_buckets_identity_and_of_no_other():
    before = _expand(question=replace(QUESTION, definitions=EDGES))
    moved = {**EDGES, "vol_regime": {"edges": [0.3, 0.8]}}
    after = _expand(question=replace(QUESTION, definitions=moved))
    for column in (None, "liq_regime"):
        assert _hashes(before, column) == _hashes(after, column) != set()
    assert not _hashes(before, "vol_regime") & _hashes(after, "vol_regime")
    assert len(_hashes(after, "vol_regime")) == len(_hashes(before, "vol_regime")) > 0


def _rules(**changes):
    return {c.rule_hash for c in _expand(**changes)}


def test_a_rule_is_the_same_on_other_days_and_symbols_and_another_where_the_trade_is():
    question = replace(QUESTION, definitions=EDGES)
    rules = _rules(question=question)
    assert len(rules) == len(_expand())
    for same in (
        replace(question, first_day=date(2025, 1, 2), last_day=date(2025, 2, 2)),
        replace(question, symbols=("X", "Z")),
    ):
        assert _rules(question=same) == rules
    family = builders.shipped_family()
    for other in (
        {"question": replace(question, event_specs={"a": {"v": 2}, "b": {"v": 2}})},
        {"question": question, "family": family.model_copy(update={"delta_min": 2})},
        {"question": question, "family": family.model_copy(update={"max_exit_gap_min": 2})},
        {"question": question, "costs": builders.cost_model(fee_bps=9.0)},
    ):
        assert not _rules(**other) & rules
    moved = _rules(question=replace(question, definitions={**EDGES, "vol_regime": {}}))
    assert len(rules - moved) == 160, "two of five buckets"
    fewer = _rules(question=question, family=family.model_copy(update={"horizons": ("1h", "4h")}))
    assert fewer < rules


@pytest.fixture(scope="module")
def documents():
    """The repository's registry and features."""
    return load("event_registry", EventRegistry), load("feature_specs", FeatureSpecs)


def load(name, model):
    path = Path(__file__).parents[3] / "specs" / f"{name}.yaml"
    return model.model_validate(yaml.safe_load(path.read_text()))


def asked(registry, features, family=None):
    """The shipped study's candidates under these documents."""
    family, costs = family or builders.shipped_family(), builders.cost_model()
    question = replace(
        QUESTION,
        event_specs=canonical_events(registry, features),
        definitions=definitions(registry, features, family, costs),
    )
    return expand_family(family, question, costs)


def changed(before, after):
    """Names, without their hash, of the candidates whose identity is another."""
    kept = {c.candidate_hash for c in after}
    return [c.candidate_id.rpartition("-")[0] for c in before if c.candidate_hash not in kept]


def test_another_edge_of_a_shipped_regime_asks_its_own_buckets_anew(documents):
    registry, features = documents
    regime = registry.regimes.vol_regime
    edges = regime.edges.model_copy(update={"at": (0.3, 0.7)})
    regimes = registry.regimes.model_copy(
        update={"vol_regime": regime.model_copy(update={"edges": edges})}
    )
    moved = registry.model_copy(update={"regimes": regimes})
    before = asked(*documents)
    names = changed(before, asked(moved, features))
    assert {n.split(".")[1] for n in names} == {"vol_low", "vol_high"}
    assert len(names) == 2 * len(before) // 5


def remade(features, name, **update):
    """`features` with one of them made otherwise."""
    spec = features.features[name].model_copy(update=update)
    return features.model_copy(update={"features": {**features.features, name: spec}})


@pytest.mark.parametrize(
    ("feature", "asks_anew"),
    [
        ("spread_ratio_1h", lambda n: n[0] in {"spread_blowout", "depth_collapse"}),
        ("rv_1h_rank_7d", lambda n: n[1].startswith("vol_")),
        ("ret_1h_bps", lambda n: n[3] == "mean_reversion"),
        ("range_pos_1d", lambda n: n[3] == "breakout"),
    ],
)
def test_a_feature_made_otherwise_asks_anew_what_reads_it(documents, feature, asks_anew):
    registry, features = documents
    before = asked(*documents)
    names = changed(before, asked(registry, remade(features, feature, min_valid=7)))
    wanted = [n for n in _words(before) if asks_anew(n) or _reads(registry, n[0], feature)]
    assert [tuple(n.split(".")) for n in names] == wanted
    assert 0 < len(names) < len(before)


def _words(candidates):
    return [tuple(c.candidate_id.rpartition("-")[0].split(".")) for c in candidates]


def _reads(registry, event_type, feature):
    (spec,) = (t for t in registry.event_types if t.name == event_type)
    return feature in spec.required_fields


def test_what_a_feature_is_made_of_counts_and_a_better_sentence_does_not(documents):
    registry, features = documents
    base = features.features["rv_1h_rank_7d"].sources[0][1]
    names = changed(asked(*documents), asked(registry, remade(features, base, min_valid=7)))
    assert {n.split(".")[1] for n in names} >= {"vol_low", "vol_high"}
    told = [t.model_copy(update={"meaning": "Put better."}) for t in registry.event_types]
    explained = registry.model_copy(update={"event_types": tuple(told)})
    better = remade(features, "ret_1h_bps", meaning="The last hour's return, put better.")
    assert not changed(asked(*documents), asked(explained, better))


def test_a_name_begins_with_its_event_type():
    assert {event_type_of(c.candidate_id) for c in _expand()} == {"a", "b"}
