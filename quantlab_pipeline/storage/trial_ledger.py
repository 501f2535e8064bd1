"""The trial ledger on disk: every candidate ever tried on a data lineage, and what it has cost.

Belongs here: what a registration and a result mean, and what they count. The chained file under it
is `storage.chained_log`.

A data lineage is one market source and a run of overlapping days. All studies of a source share one
file; a study counts the trials of those studies that its days overlap, directly or through others
(connected components), so that a study that bridges two older ones counts both from then on.
Synthetic worlds keep files of their own and charge no real lineage.

A candidate's hash does not hold the code. Each code under which it is registered is a revision;
the first three are one trial, and every further one is another.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

from quantlab_pipeline.core.clocks import Clock
from quantlab_pipeline.core.errors import LedgerError
from quantlab_pipeline.core.ports import LedgerState, Trial
from quantlab_pipeline.core.records import GENESIS
from quantlab_pipeline.storage.chained_log import UNKNOWN_HEAD, ChainedLog, Entry
from quantlab_pipeline.storage.manifests import safe_name

FREE_REVISIONS = 3
BUDGET_SPENT = "BUDGET_SPENT"
FAMILY_CHANGED = "FAMILY_CHANGED"
UNREGISTERED = "UNREGISTERED"


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
    def window(self) -> tuple[str, str]:
        """First and last day as ISO text, as the ledger keeps them."""
        return self.first_day.isoformat(), self.last_day.isoformat()


Window = tuple[str, str]


def connected(own: Window, windows: Iterable[Window]) -> frozenset[Window]:
    """`own` and those of `windows` whose days overlap it, directly or through others."""
    found, rest = {own}, set(windows) - {own}
    grown = True
    while grown:
        near = {w for w in rest if any(w[0] <= f[1] and f[0] <= w[1] for f in found)}
        found, rest, grown = found | near, rest - near, bool(near)
    return frozenset(found)


@dataclass(slots=True)
class _Fold:
    """The ledger's meaning for one lineage: revisions per candidate, families, newest results."""

    head: str = GENESIS
    revisions: dict[str, set[str]] = field(default_factory=dict)
    families: dict[str, set[str]] = field(default_factory=dict)
    results: dict[str, Trial] = field(default_factory=dict)
    bodies: list[Mapping[str, Any]] = field(default_factory=list)

    @property
    def n_trials(self) -> int:
        """Distinct candidates, and one more for every revision past the free ones."""
        return sum(1 + max(0, len(r) - FREE_REVISIONS) for r in self.revisions.values())


def _fold(entries: Sequence[Entry], own: Window) -> _Fold:
    fold = _Fold(head=entries[-1].hash if entries else GENESIS)
    near = connected(own, [_window(e.body) for e in entries])
    for body in (e.body for e in entries if _window(e.body) in near):
        fold.bodies.append(body)
        if body["kind"] == "register":
            hashes = [t["candidate_hash"] for t in body["trials"]]
            fold.families.setdefault(body["study"], set()).update(hashes)
            for name in hashes:
                fold.revisions.setdefault(name, set()).add(body["code_hash"])
        else:
            fold.results.update({t["candidate_hash"]: Trial(**t) for t in body["trials"]})
    return fold


def _window(body: Mapping[str, Any]) -> Window:
    return body["first_day"], body["last_day"]


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
        self._clock = clock
        self._budget = budget
        self._code_hash = code_hash

    def state(self) -> LedgerState:
        """Head, trials counted on this lineage, and budget now. LedgerError if it is damaged."""
        return self._state(self._fold())

    def state_at(self, head: str) -> LedgerState:
        """The state as a verdict saw it at `head`. LedgerError (UNKNOWN_HEAD) if it never was."""
        return self._state(self._fold(head))

    def results(self, head: str | None = None) -> dict[str, Trial]:
        """Newest result of every candidate of this lineage by its hash, now or as of `head`."""
        return dict(self._fold(head).results)

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

    def register(self, study: str, family_hash: str, trials: Sequence[Trial]) -> LedgerState:
        """Register a family before its results exist; the same one again adds nothing.

        LedgerError FAMILY_CHANGED if candidates that `study` registered before are missing,
        BUDGET_SPENT if the new ones do not fit.
        """
        with self.log.writing():
            fold = self._fold()
            body = self._body("register", study, trials, family_hash=family_hash)
            given = {t.candidate_hash for t in trials}
            missing = sorted(fold.families.get(study, set()) - given)
            if missing:
                raise LedgerError(
                    f"{study} registered {len(missing)} candidates that its family lacks now.",
                    "Put them back, or start a study under another name on fresh dates.",
                    reason=FAMILY_CHANGED,
                    missing=missing,
                )
            if body in fold.bodies:
                return self._state(fold)
            self._require_budget(fold, given)
            self._append(body)
            return self._state(self._fold())

    def record(self, study: str, trials: Sequence[Trial], facts: dict[str, Any]) -> LedgerState:
        """Append results; the newest is the current one. The same ones again add nothing.

        LedgerError UNREGISTERED for a candidate that was never registered on this lineage.
        """
        with self.log.writing():
            fold = self._fold()
            strange = sorted({t.candidate_hash for t in trials} - set(fold.revisions))
            if strange:
                raise LedgerError(
                    f"{study} has results of {len(strange)} candidates that nobody registered.",
                    "Register the family before testing it.",
                    reason=UNREGISTERED,
                    candidates=strange,
                )
            body = self._body("result", study, trials, facts=facts)
            current = all(fold.results.get(t.candidate_hash) == t for t in trials)
            if not (current and body in fold.bodies):
                self._append(body)
            return self._state(self._fold())

    def _require_budget(self, fold: _Fold, given: set[str]) -> None:
        after = _Fold(revisions={k: set(v) for k, v in fold.revisions.items()})
        for name in given:
            after.revisions.setdefault(name, set()).add(self._code_hash)
        if after.n_trials > self._budget:
            raise LedgerError(
                f"{after.n_trials} trials would exceed this data's budget of {self._budget} "
                f"({fold.n_trials} are spent).",
                "Use fresh dates, or a smaller family.",
                reason=BUDGET_SPENT,
                n_trials=fold.n_trials,
                budget=self._budget,
            )

    def _body(self, kind: str, study: str, trials: Sequence[Trial], **more: Any) -> dict[str, Any]:
        first, last = self.lineage.window
        ordered = sorted(trials, key=lambda t: t.candidate_hash)
        return {
            "kind": kind,
            "study": study,
            "first_day": first,
            "last_day": last,
            "code_hash": self._code_hash,
            "trials": [asdict(t) for t in ordered],
            **more,
        }

    def _append(self, body: Mapping[str, Any]) -> None:
        self.log.append(body, {"at": self._clock().isoformat()})

    def _fold(self, head: str | None = None) -> _Fold:
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
        return _fold(entries, self.lineage.window)

    def _state(self, fold: _Fold) -> LedgerState:
        return LedgerState(fold.head, fold.n_trials, self._budget)
