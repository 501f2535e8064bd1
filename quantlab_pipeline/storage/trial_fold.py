"""What a trial ledger's records add up to for one data lineage: trials, studies, newest results.

Belongs here: the meaning of records, as a fold over them; no file. What the fold allows or refuses
is `storage.trial_ledger`'s matter.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from quantlab_pipeline.core.ports import Source, Trial, TrialResult
from quantlab_pipeline.core.records import GENESIS
from quantlab_pipeline.storage.chained_log import Entry

FREE_REVISIONS = 3
REGISTER = "register"
RESULT = "result"

Window = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Recorded:
    """A result as it stands in the ledger: of which days, by which code, from what, when.

    `head` is the ledger's once its record was in; `recorded_at` is observed.
    """

    result: TrialResult
    days: Window
    code_hash: str
    source: Source
    seq: int
    head: str
    recorded_at: str


@dataclass(slots=True)
class Fold:
    """One lineage's trials: codes per candidate, what each study asked, newest results.

    `seen` are the candidates of which a p-value was ever recorded; `registered` maps a study to its
    trials by hash.
    """

    head: str = GENESIS
    revisions: dict[str, set[str]] = field(default_factory=dict)
    registered: dict[str, dict[str, Trial]] = field(default_factory=dict)
    results: dict[str, Recorded] = field(default_factory=dict)
    seen: set[str] = field(default_factory=set)

    @property
    def n_trials(self) -> int:
        """Distinct candidates, and one more for every revision past the free ones."""
        return len(self.revisions) + sum(map(surplus, self.revisions.values()))

    def with_revision(self, hashes: Iterable[str], code_hash: str) -> int:
        """What `n_trials` would be once `hashes` are registered under `code_hash`."""
        fresh = [h for h in set(hashes) if code_hash not in self.revisions.get(h, set())]
        known = [self.revisions[h] for h in fresh if h in self.revisions]
        dear = sum(len(codes) >= FREE_REVISIONS for codes in known)
        return self.n_trials + len(fresh) - len(known) + dear

    def missing(self, study: str, trials: Iterable[Trial]) -> list[str]:
        """Ids of candidates whose results `study` has seen and whose rules `trials` lack, sorted.

        Ledgers of before rules were kept have none: their trials count, and none can be missing.
        """
        given = {t.rule_hash for t in trials}
        asked = (
            t for t in self.registered.get(study, {}).values() if t.candidate_hash in self.seen
        )
        lost = {t.rule_hash: t.candidate_id for t in asked if t.rule_hash}
        return sorted(name for rule, name in lost.items() if rule not in given)


def surplus(codes: set[str]) -> int:
    """How many of a candidate's revisions count as further trials."""
    return max(0, len(codes) - FREE_REVISIONS)


def fold(entries: Sequence[Entry], own: Window | None) -> Fold:
    """The records of the lineage to which the days `own` belong; of the whole file for None."""
    folded = Fold(head=entries[-1].hash if entries else GENESIS)
    near = None if own is None else connected(own, [window_of(e.body) for e in entries])
    for entry in entries:
        if near is None or window_of(entry.body) in near:
            _add(folded, entry)
    return folded


def _add(folded: Fold, entry: Entry) -> None:
    body = entry.body
    if body["kind"] == REGISTER:
        mine = folded.registered.setdefault(body["study"], {})
        for t in body["trials"]:
            trial = Trial(t["candidate_hash"], t["candidate_id"], t.get("rule_hash", ""))
            mine[trial.candidate_hash] = trial
            folded.revisions.setdefault(trial.candidate_hash, set()).add(body["code_hash"])
        return
    facts = body["facts"]
    source = Source(facts.get("inputs", ""), facts.get("answers"))
    told = str(entry.observed.get("recorded_at", ""))
    for t in body["trials"]:
        result = TrialResult(**t)
        folded.results[result.candidate_hash] = Recorded(
            result, window_of(body), body["code_hash"], source, entry.seq, entry.hash, told
        )
        if result.p_value is not None:
            folded.seen.add(result.candidate_hash)


def window_of(body: Mapping[str, Any]) -> Window:
    """First and last day of a record, as ISO text."""
    return body["first_day"], body["last_day"]


def connected(own: Window, windows: Iterable[Window]) -> frozenset[Window]:
    """`own` and those of `windows` whose days overlap it, directly or through others."""
    found, rest = {own}, set(windows) - {own}
    grown = True
    while grown:
        near = {w for w in rest if any(w[0] <= f[1] and f[0] <= w[1] for f in found)}
        found, rest, grown = found | near, rest - near, bool(near)
    return frozenset(found)
