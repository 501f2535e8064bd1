"""The doors that storage implements and that lower floors may knock on without knowing storage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class RawFile:
    """One file as the source sent it, kept in the lake's `raw/`.

    `path` is where the bytes are now, relative to the lake's root; `sha256` is their tagged digest;
    `arrived_at` is when a later version of the same file replaced an earlier one (None: first).
    """

    source: str
    dataset: str
    symbol: str
    name: str
    path: str
    sha256: str
    url: str
    arrived_at: datetime | None = None


class RawSink(Protocol):
    """Keeps raw bytes, once each, under their checksum."""

    def put(
        self, source: str, dataset: str, symbol: str, name: str, data: bytes, url: str
    ) -> RawFile:
        """Keep `data`; the same bytes under the same name again change nothing."""
        ...

    def read(self, file: RawFile) -> bytes:
        """The bytes of `file`, checked against their checksum (SourceError if they differ)."""
        ...

    def versions(self, source: str, dataset: str, symbol: str, name: str) -> list[RawFile]:
        """Every version kept under `name`, the first one first; empty if none is."""
        ...


@dataclass(frozen=True, slots=True)
class Trial:
    """One candidate's registration or result in the trial ledger.

    `candidate_hash` is the candidate's identity; `p_value` is None until a result exists or where
    the candidate could not be tested; `status` is its V1 outcome.
    """

    candidate_hash: str
    candidate_id: str
    p_value: float | None
    status: str | None


@dataclass(frozen=True, slots=True)
class LedgerState:
    """The ledger as a verdict saw it: head digest, distinct candidates, budget of trials."""

    head: str
    n_trials: int
    budget: int


class TrialLedger(Protocol):
    """Append-only, hash-chained memory of every trial on one data lineage; one writer."""

    def state(self) -> LedgerState:
        """Head, distinct trials and budget now."""
        ...

    def register(self, study: str, family_hash: str, trials: Sequence[Trial]) -> LedgerState:
        """Register a family before its results exist. Known candidates add nothing.

        Raises LedgerError (reason BUDGET_SPENT) if the new ones would exceed the budget, and
        LedgerError (FAMILY_CHANGED) if candidates registered by `study` before are missing now.
        """
        ...

    def record(self, study: str, trials: Sequence[Trial], facts: dict[str, Any]) -> LedgerState:
        """Append results; the newest p-value of a candidate is the current one."""
        ...
