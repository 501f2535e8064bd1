"""The trial ledger on disk: every candidate ever tried on a data lineage, and what it has cost.

Belongs here: what may be registered and recorded, and what is refused. What the records add up to
is `storage.trial_fold`'s matter, the chained file `storage.chained_log`'s, the measurements behind
results `storage.trial_answers`'.

A data lineage is one market source and a run of overlapping days. All studies of a source share one
file; a study counts the trials of those studies that its days overlap, directly or through others
(connected components), so that a study that bridges two older ones counts both from then on.
Synthetic worlds keep files of their own and charge no real lineage.

A candidate's hash does not hold the code. Each code under which it is registered is a revision;
the first three are one trial, and every further one is another.

A study that has seen results may add candidates, which spends budget, but neither drop nor change
one: that is FAMILY_CHANGED, on all days that are connected with those it saw. What must not be
missing are its *rules* (event, context with its edges, rule template, side, delay, horizon, costs).
Other days, another universe or another statistic ask the same rules of other data: those are new
trials, all counted, and nothing is missing, so that a window that moves on every night voids
nothing. Results that nobody has seen bind nobody: a family whose run was killed before its results,
or a type of event that could not be tested, may be mended. A study of another name is another
question: it pays for every candidate that is new, and the first one's trials stay counted.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any

from quantlab_pipeline.core.clocks import Clock
from quantlab_pipeline.core.errors import LedgerError
from quantlab_pipeline.core.ports import (
    BUDGET_SPENT,
    FAMILY_CHANGED,
    FamilyRecord,
    LedgerState,
    Source,
    Trial,
    TrialResult,
)
from quantlab_pipeline.core.records import GENESIS
from quantlab_pipeline.core.verdicts import Outcome
from quantlab_pipeline.storage.chained_log import UNKNOWN_HEAD, ChainedLog, Entry
from quantlab_pipeline.storage.manifests import safe_name
from quantlab_pipeline.storage.trial_fold import (
    REGISTER,
    RESULT,
    Fold,
    Recorded,
    Window,
    fold,
    window_of,
)

UNREGISTERED = "UNREGISTERED"
_NAMED = 3


@dataclass(frozen=True, slots=True)
class DataLineage:
    """The data that a study looks at: market source and inclusive days."""

    source: str
    first_day: date
    last_day: date
    synthetic: bool = False

    def ledger_path(self, root: Path) -> Path:
        """The source's ledger file under `root`; synthetic sources have a folder of their own."""
        folder = root / "synthetic" if self.synthetic else root / "real"
        return folder / safe_name(self.source) / "trials.jsonl"

    @property
    def window(self) -> Window:
        """First and last day as ISO text, as the ledger keeps them."""
        return self.first_day.isoformat(), self.last_day.isoformat()


@dataclass(frozen=True, slots=True)
class Account:
    """What a lineage's budget went to.

    `own` are the candidates that one study registered, `distinct` those of all studies, `n_trials`
    what they cost with their revisions. `revisions` are the codes under which the study's
    candidates were registered, the most of any.
    """

    own: int
    distinct: int
    n_trials: int
    budget: int
    revisions: int


class FileTrialLedger:
    """`core.ports.TrialLedger` for one study's data lineage, in one file per market source.

    `root` is the folder of all ledgers, `code_hash` today's code of the validation stage, `budget`
    the lineage's number of trials. `clock` is only observed.
    """

    def __init__(
        self,
        root: Path,
        lineage: DataLineage,
        clock: Clock,
        budget: int = 10_000,
        code_hash: str = "",
    ) -> None:
        self.lineage = lineage
        self.log = ChainedLog(lineage.ledger_path(root))
        self.code_hash = code_hash
        self._clock = clock
        self._budget = budget

    def state(self) -> LedgerState:
        """Head, trials counted on this lineage, and budget now. LedgerError if it is damaged."""
        return self._state(self._fold())

    def state_at(self, head: str) -> LedgerState:
        """The state as a verdict saw it at `head`. LedgerError (UNKNOWN_HEAD) if it never was."""
        return self._state(self._fold(head))

    def state_of(self, study: str) -> LedgerState:
        """The state after the newest record that `study` wrote of its days; now, if it wrote none.

        What others register later does not move it: judged again, a study says the same.
        """
        mine = [e for e in self.log.entries() if self._is_own(e.body) and e.body["study"] == study]
        return self.state_at(mine[-1].hash) if mine else self.state()

    def results(self, head: str | None = None) -> dict[str, TrialResult]:
        """Newest result of every candidate of this lineage by its hash, now or as of `head`."""
        return {name: r.result for name, r in self._fold(head).results.items()}

    def recorded(self, study: str) -> dict[str, Recorded]:
        """Newest results of the candidates that `study` registered on this lineage, by hash."""
        folded = self._fold()
        mine = folded.registered.get(study, {})
        return {name: r for name, r in folded.results.items() if name in mine}

    def falsified(self, inputs: str) -> dict[str, set[str]]:
        """Hashes of candidates that failed on these `inputs` under this code, by answers' digest.

        The newest result alone counts: one of other data or other code re-opens the question.
        """
        found: dict[str, set[str]] = {}
        for name, r in self._fold().results.items():
            same = (r.source.inputs, r.code_hash) == (inputs, self.code_hash)
            if same and r.source.answers and r.result.status == Outcome.FAIL.value:
                found.setdefault(r.source.answers, set()).add(name)
        return found

    def answers(self) -> set[str]:
        """Digests of all answers that the newest results of any lineage of this file come from."""
        newest = fold(self.log.entries(), None).results.values()
        return {r.source.answers for r in newest if r.source.answers}

    def account(self, study: str) -> Account:
        """What the budget went to, now."""
        folded = self._fold()
        mine = folded.registered.get(study, {})
        revisions = max((len(folded.revisions[name]) for name in mine), default=0)
        return Account(len(mine), len(folded.revisions), folded.n_trials, self._budget, revisions)

    def has_head(self, head: str) -> bool:
        """Whether the ledger, whole and undamaged, still holds `head`."""
        try:
            self.log.verify([head])
        except LedgerError:
            return False
        return True

    def verify(self, heads: Iterable[str] = ()) -> str:
        """Verify the chain, the anchor and that `heads` are in it; the head now."""
        return self.log.verify(heads)

    def register(self, study: str, family: FamilyRecord, trials: Sequence[Trial]) -> LedgerState:
        """Register a family before its results exist; the state of the prefix that ends with it.

        The same registration (study, days, family, grid, data, code) again adds nothing and gives
        the state that it gave at first, whatever others registered since: a count that a table
        depends on is the same when the table is made again.

        LedgerError FAMILY_CHANGED if candidates are missing whose results the study has seen,
        BUDGET_SPENT if the new ones do not fit.
        """
        with self.log.writing():
            folded = self._fold()
            self._require_unchanged(folded, study, trials)
            about = {"family": {**asdict(family), "grid_size": len(trials)}}
            body = self._body(REGISTER, study, trials, **about)
            known = self._find(body)
            if known is not None:
                return self.state_at(known.hash)
            self._require_budget(folded, trials)
            return self.state_at(self._append(body, "registered_at").hash)

    def record(self, study: str, results: Sequence[TrialResult], source: Source) -> LedgerState:
        """Append results with what they come from; the newest of a candidate is the current one.

        The same ones again add nothing. LedgerError UNREGISTERED for a candidate that was never
        registered on this lineage.
        """
        with self.log.writing():
            folded = self._fold()
            strange = sorted({t.candidate_hash for t in results} - set(folded.revisions))
            if strange:
                raise LedgerError(
                    f"{study} has results of {len(strange)} candidates that nobody registered.",
                    "Register the family before testing it.",
                    reason=UNREGISTERED,
                    candidates=strange,
                )
            body = self._body(RESULT, study, results, facts=asdict(source))
            known = self._find(body)
            if known is not None and self._is_current(folded, results, source):
                return self.state_at(known.hash)
            return self.state_at(self._append(body, "recorded_at").hash)

    def _is_current(self, folded: Fold, results: Sequence[TrialResult], source: Source) -> bool:
        """Whether these are the newest results, from this code and these inputs."""
        held = ((folded.results.get(r.candidate_hash), r) for r in results)
        return all(
            newest is not None
            and (newest.result, newest.source.inputs, newest.code_hash)
            == (result, source.inputs, self.code_hash)
            for newest, result in held
        )

    def _require_unchanged(self, folded: Fold, study: str, trials: Sequence[Trial]) -> None:
        missing = folded.missing(study, trials)
        if missing:
            more = f" and {len(missing) - _NAMED} more" if len(missing) > _NAMED else ""
            raise LedgerError(
                f"Study {study} has seen the results of {len(missing)} candidates that its family "
                f"lacks now: {', '.join(missing[:_NAMED])}{more}.",
                "Put them back (adding others is allowed and spends budget), or ask the changed "
                "question as a study of another name, on days that no trial has seen.",
                reason=FAMILY_CHANGED,
                missing=missing,
            )

    def _require_budget(self, folded: Fold, trials: Sequence[Trial]) -> None:
        after = folded.with_revision((t.candidate_hash for t in trials), self.code_hash)
        if after > self._budget:
            raise LedgerError(
                f"{after} trials would exceed this data's budget of {self._budget} "
                f"({folded.n_trials} are spent).",
                "Use fresh dates, or a smaller family.",
                reason=BUDGET_SPENT,
                n_trials=folded.n_trials,
                budget=self._budget,
            )

    def _body(
        self, kind: str, study: str, trials: Iterable[Trial | TrialResult], **more: Any
    ) -> dict[str, Any]:
        first, last = self.lineage.window
        ordered = sorted(trials, key=lambda t: t.candidate_hash)
        return {
            "kind": kind,
            "study": study,
            "first_day": first,
            "last_day": last,
            "code_hash": self.code_hash,
            "trials": [asdict(t) for t in ordered],
            **more,
        }

    def _find(self, body: Mapping[str, Any]) -> Entry | None:
        """The newest record with this very body."""
        same = (e for e in reversed(self.log.entries()) if e.body == body)
        return next(same, None)

    def _is_own(self, body: Mapping[str, Any]) -> bool:
        return window_of(body) == self.lineage.window

    def _append(self, body: Mapping[str, Any], instant: str) -> Entry:
        return self.log.append(body, {instant: self._clock().isoformat()})

    def _fold(self, head: str | None = None) -> Fold:
        entries = self.log.entries()
        if head == GENESIS:
            entries = []
        elif head is not None:
            seqs = [e.seq for e in entries if e.hash == head]
            if not seqs:
                raise LedgerError(
                    f"The trial ledger does not hold the head {head}.",
                    "Restore the ledger that the verdict saw.",
                    reason=UNKNOWN_HEAD,
                    head=head,
                )
            entries = entries[: seqs[0]]
        return fold(entries, self.lineage.window)

    def _state(self, folded: Fold) -> LedgerState:
        return LedgerState(folded.head, folded.n_trials, self._budget)
