"""The measurements behind the ledger's results, so that a FAIL is served and not measured again.

Belongs here: content-addressed files beside a ledger, and which of them its results come from. What
a measurement holds is the validation stage's matter. The ledger's record names each file by the
digest of its bytes: one that was touched is refused, one that is gone costs no more than measuring
again.
"""

from __future__ import annotations

import io
from collections.abc import Collection
from pathlib import Path

import polars as pl

from quantlab_pipeline.core.errors import LedgerError
from quantlab_pipeline.core.fingerprints import digest_bytes, short
from quantlab_pipeline.core.ports import LedgerState, Source, TrialResult
from quantlab_pipeline.storage.objects import write_atomic
from quantlab_pipeline.storage.trial_ledger import FileTrialLedger
from quantlab_pipeline.storage.writing import encode_parquet

ANSWERS_CHANGED = "ANSWERS_CHANGED"


class TrialAnswers:
    """Frames in a folder, each under the digest of its bytes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, digest: str) -> Path:
        """Where the answers with this digest lie."""
        return self.folder / f"{short(digest, 32)}.parquet"

    def keep(self, frame: pl.DataFrame) -> str:
        """Write the frame, whole or not at all; its digest."""
        data = encode_parquet(frame)
        digest = digest_bytes(data)
        write_atomic(self.path(digest), data)
        return digest

    def load(self, digest: str) -> pl.DataFrame | None:
        """The frame with this digest, None if its file is gone.

        LedgerError (ANSWERS_CHANGED) if the file does not hold what was kept.
        """
        path = self.path(digest)
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            return None
        if digest_bytes(data) != digest:
            raise LedgerError(
                f"The kept answers {path} are not those that the trial ledger recorded.",
                "Delete the file: its candidates are then measured again.",
                reason=ANSWERS_CHANGED,
                path=str(path),
                digest=digest,
            )
        return pl.read_parquet(io.BytesIO(data))

    def sweep(self, wanted: Collection[str]) -> int:
        """Remove every file but the `wanted` digests'; how many went.

        Another writer's file may go before its record stands: its candidates are measured again.
        """
        kept = {self.path(digest).name for digest in wanted}
        idle = [p for p in self.folder.glob("*.parquet") if p.name not in kept]
        for path in idle:
            path.unlink(missing_ok=True)
        return len(idle)


class AnsweredLedger:
    """A trial ledger with the measurements behind its results."""

    def __init__(self, ledger: FileTrialLedger) -> None:
        self.ledger = ledger
        self.answers = TrialAnswers(ledger.log.path.parent / "answers")

    def falsified(self, inputs: str) -> pl.DataFrame | None:
        """Kept measurements of every candidate that failed on these inputs, by today's code.

        None where there is none. LedgerError as for `TrialAnswers.load`.
        """
        found = []
        for digest, hashes in sorted(self.ledger.falsified(inputs).items()):
            frame = self.answers.load(digest)
            if frame is not None:
                found.append(frame.filter(pl.col("candidate_hash").is_in(sorted(hashes))))
        return pl.concat(found) if found else None

    def record(
        self, study: str, results: list[TrialResult], inputs: str, measured: pl.DataFrame
    ) -> LedgerState:
        """Keep the measurements, then append the results that name them.

        A kill in between leaves a file that no record names, which the next one sweeps.
        """
        source = Source(inputs, self.answers.keep(measured))
        state = self.ledger.record(study, results, source)
        self.answers.sweep(self.ledger.answers())
        return state
