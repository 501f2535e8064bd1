"""The doors that storage implements and that lower floors may knock on without knowing storage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import polars as pl


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


BUDGET_SPENT = "BUDGET_SPENT"
FAMILY_CHANGED = "FAMILY_CHANGED"
"""Reasons for which a ledger takes no family."""


@dataclass(frozen=True, slots=True)
class Trial:
    """One candidate as it is registered.

    `candidate_hash` is the trial's identity. `rule_hash` is what is traded in it, whatever the
    days, the universe and the statistic: a study that asks the same of other days keeps its rules.
    """

    candidate_hash: str
    candidate_id: str
    rule_hash: str


@dataclass(frozen=True, slots=True)
class TrialResult:
    """What came of a trial: `p_value` is None where it could not be tested, `status` is V1's."""

    candidate_hash: str
    candidate_id: str
    p_value: float | None
    status: str


@dataclass(frozen=True, slots=True)
class FamilyRecord:
    """What a registration says of its family: the document, the grid and the data, as digests.

    `file_hash` is the family document's, `grid_hash` that of all candidate hashes, `dataset_hash`
    that of the manifests of every table and day that the stage reads.
    """

    family_id: str
    file_hash: str
    grid_hash: str
    dataset_hash: str


@dataclass(frozen=True, slots=True)
class Source:
    """What results come from, beside the candidates and the code.

    `inputs` is the digest of the data and the settings; `answers` that of the file which keeps the
    measurements, None where they were not kept.
    """

    inputs: str
    answers: str | None = None


@dataclass(frozen=True, slots=True)
class LedgerState:
    """The ledger at one of its heads: head digest, distinct trials, budget of trials."""

    head: str
    n_trials: int
    budget: int


class TrialLedger(Protocol):
    """Append-only, hash-chained memory of every trial on one data lineage; one writer."""

    def state(self) -> LedgerState:
        """Head, distinct trials and budget now."""
        ...

    def register(self, study: str, family: FamilyRecord, trials: Sequence[Trial]) -> LedgerState:
        """Register a family before its results exist; the state once it was in.

        Known candidates add nothing, and the same registration again gives its first state. Raises
        LedgerError (reason FAMILY_CHANGED, `missing` candidates) if rules whose results `study` has
        seen are missing now, and LedgerError (BUDGET_SPENT) if the new trials exceed the budget.
        """
        ...

    def record(self, study: str, results: Sequence[TrialResult], source: Source) -> LedgerState:
        """Append results; the newest p-value of a candidate is the current one."""
        ...


class ResultCache(Protocol):
    """Frames kept under the signature of everything that they follow from.

    A signature is a tagged digest. Whoever makes it sees to it that any change of inputs, settings
    or code changes it; the cache itself judges nothing.
    """

    def get(self, signature: str) -> dict[str, pl.DataFrame] | None:
        """The frames as they were put, by name; None if none are there whole."""
        ...

    def put(self, signature: str, frames: Mapping[str, pl.DataFrame]) -> None:
        """Keep the frames, whole or not at all, in the place of what was there."""
        ...
