"""A trial's identity, and its place in the ledger before any result."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest

from quantlab_pipeline.core.errors import LedgerError
from quantlab_pipeline.core.ports import FamilyRecord, LedgerState
from quantlab_pipeline.research.validation.family import (
    Question,
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
    before = _expand(question=replace(QUESTION, regimes=EDGES))
    moved = {**EDGES, "vol_regime": {"edges": [0.3, 0.8]}}
    after = _expand(question=replace(QUESTION, regimes=moved))
    for column in (None, "liq_regime"):
        assert _hashes(before, column) == _hashes(after, column) != set()
    assert not _hashes(before, "vol_regime") & _hashes(after, "vol_regime")
    assert len(_hashes(after, "vol_regime")) == len(_hashes(before, "vol_regime")) > 0


def _rules(**changes):
    return {c.rule_hash for c in _expand(**changes)}


def test_a_rule_is_the_same_on_other_days_and_symbols_and_another_where_the_trade_is():
    question = replace(QUESTION, regimes=EDGES)
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
    moved = _rules(question=replace(question, regimes={**EDGES, "vol_regime": {}}))
    assert len(rules - moved) == 160, "two of five buckets"
    fewer = _rules(question=question, family=family.model_copy(update={"horizons": ("1h", "4h")}))
    assert fewer < rules


def test_a_name_begins_with_its_event_type():
    assert {event_type_of(c.candidate_id) for c in _expand()} == {"a", "b"}
