"""A trial's identity, and its place in the ledger before any result."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest

from quantlab_pipeline.core.errors import LedgerError
from quantlab_pipeline.core.ports import LedgerState
from quantlab_pipeline.research.validation.family import (
    Question,
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

    def register(self, _study, _family, trials):
        new = [t for t in trials if t.candidate_hash not in self.seen]
        if len(self.seen) + len(new) > self.budget:
            raise LedgerError("The budget is spent.", "Take fresh dates.", reason="BUDGET_SPENT")
        self.seen.update({t.candidate_hash: t for t in new})
        self.calls += 1
        return self.state()


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
    assert register_family(ledger, "study", candidates).state.n_trials == 400
    again = register_family(ledger, "study", candidates)
    assert (again.state.n_trials, again.budget_spent) == (400, False)


def test_a_spent_budget_is_a_value_and_other_faults_are_not():
    ledger = MemoryLedger(10)
    refused = register_family(ledger, "study", _expand())
    assert refused.budget_spent
    assert refused.state.n_trials == 0
    ledger.register = lambda *_: (_ for _ in ()).throw(LedgerError("Broken.", "Mend it."))
    with pytest.raises(LedgerError, match="Broken"):
        register_family(ledger, "study", _expand())
