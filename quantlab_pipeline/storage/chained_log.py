"""An append-only file of records, each bound to all before it, whose end is anchored beside it.

Belongs here: lines, chain, anchor, lock. What the records mean is `storage.trial_ledger`'s matter.
A line is canonical JSON: `body` (hashed into the chain), `observed` (outside the chain, under its
own `check`), `seq` and `hash`. The anchor (`<name>.head.json`) is replaced after every append, so
that a file whose end was cut off is shorter than its anchor says.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quantlab_pipeline.core.errors import LedgerError
from quantlab_pipeline.core.fingerprints import canonical_bytes, chain, chain_bytes
from quantlab_pipeline.core.records import GENESIS
from quantlab_pipeline.storage.objects import write_atomic

DAMAGED = "DAMAGED"
TRUNCATED = "TRUNCATED"
UNKNOWN_HEAD = "UNKNOWN_HEAD"


@dataclass(frozen=True, slots=True)
class Entry:
    """One verified line: `hash` is the chain's head once it is in."""

    seq: int
    body: Mapping[str, Any]
    hash: str
    observed: Mapping[str, Any]


class ChainedLog:
    """The records in one file; many readers, one writer at a time (a lock file keeps it so)."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.anchor_path = path.with_suffix(".head.json")
        self.lock_path = path.with_suffix(".lock")
        self._seen: tuple[tuple[object, ...], list[Entry]] | None = None

    def entries(self) -> list[Entry]:
        """Every record, verified; see `_verified`. Verified once while the files stay the same."""
        version = (_version(self.path), _version(self.anchor_path))
        if self._seen is None or self._seen[0] != version:
            self._seen = (version, self._verified())
        return list(self._seen[1])

    def _verified(self) -> list[Entry]:
        """Every record, verified. LedgerError names the first `seq` that is damaged or missing.

        A last line without its end that the anchor never knew is a write that was killed; it is
        left out, and the next append removes it.
        """
        # The anchor is read first: an append in between can only make the file longer than it.
        anchor = self._anchor()
        lines, _ = self._lines()
        head = GENESIS
        entries = []
        for seq, line in enumerate(lines, start=1):
            entry = _checked(line, seq, head)
            if entry is None:
                raise _damage(self.path, DAMAGED, seq, f"record {seq} is not what was written")
            head = entry.hash
            entries.append(entry)
        self._check_anchor(anchor, entries)
        return entries

    def verify(self, heads: Iterable[str] = ()) -> str:
        """Verify everything, and that each of `heads` (seen by verdicts) is there; the head now."""
        entries = self.entries()
        known = {GENESIS, *(e.hash for e in entries)}
        for head in heads:
            if head not in known:
                raise _damage(
                    self.path, UNKNOWN_HEAD, len(entries) + 1, f"the head {head} is not in it"
                )
        return entries[-1].hash if entries else GENESIS

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Hold the writer's lock; waits for another writer to finish."""
        self.lock_path.parent.mkdir(parents=True, exist_ok=True)
        with self.lock_path.open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def append(self, body: Mapping[str, Any], observed: Mapping[str, Any]) -> Entry:
        """Add one record and anchor it. Call it inside `writing`.

        `observed` is flat and has no key `check`: that word ends the body of a line.
        """
        entries = self.entries()
        seq = len(entries) + 1
        head = entries[-1].hash if entries else GENESIS
        plain = canonical_bytes(body)
        entry = _entry(seq, plain, head, observed)
        _, whole = self._lines()
        with self.path.open("ab") as file:
            file.truncate(whole)
            file.write(_line(entry, plain))
            file.flush()
            os.fsync(file.fileno())
        write_atomic(self.anchor_path, canonical_bytes({"hash": entry.hash, "seq": seq}))
        return entry

    def _lines(self) -> tuple[list[bytes], int]:
        """Whole lines, and the number of bytes that they take."""
        try:
            data = self.path.read_bytes()
        except FileNotFoundError:
            return [], 0
        whole = data.rfind(b"\n") + 1
        return data[:whole].split(b"\n")[:-1], whole

    def _anchor(self) -> tuple[int, str] | None:
        try:
            raw = json.loads(self.anchor_path.read_bytes())
            return int(raw["seq"]), str(raw["hash"])
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError) as error:
            raise _damage(self.anchor_path, DAMAGED, 0, "the anchor cannot be read") from error

    def _check_anchor(self, anchor: tuple[int, str] | None, entries: list[Entry]) -> None:
        # One record without an anchor is a first append that was killed before anchoring.
        if anchor is None:
            if len(entries) > 1:
                raise _damage(self.anchor_path, DAMAGED, 0, "the anchor is gone")
            return
        seq, head = anchor
        if seq > len(entries):
            first = len(entries) + 1
            raise _damage(self.path, TRUNCATED, first, f"records {first} to {seq} are gone")
        if seq < 1 or entries[seq - 1].hash != head:
            raise _damage(self.path, DAMAGED, seq, f"record {seq} is not the anchored one")


def _entry(seq: int, body: bytes, previous: str, observed: Mapping[str, Any]) -> Entry:
    """The entry of a body in canonical bytes."""
    record = b'{"body":%b,"seq":%d}' % (body, seq)
    return Entry(seq, json.loads(body), chain_bytes(previous, record), observed)


def _line(entry: Entry, body: bytes) -> bytes:
    """Canonical JSON of the whole line, `body` being the entry's in canonical bytes."""
    rest = {
        "check": chain(entry.hash, entry.observed),
        "hash": entry.hash,
        "observed": entry.observed,
        "seq": entry.seq,
    }
    return b'{"body":%b,%b\n' % (body, canonical_bytes(rest)[1:])


def _checked(line: bytes, seq: int, previous: str) -> Entry | None:
    """The entry of `line`, None unless it is byte for byte what `append` wrote as `seq`.

    A body is hashed as it stands: encoding thousands of trials again would take ten times as long.
    """
    front, found, back = line.rpartition(b',"check":')
    body = front.removeprefix(b'{"body":')
    try:
        observed = json.loads(b"{" + found[1:] + back)["observed"]
        entry = _entry(seq, body, previous, observed)
        return entry if _line(entry, body) == line + b"\n" else None
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def _damage(path: Path, reason: str, seq: int, what: str) -> LedgerError:
    return LedgerError(
        f"The trial ledger {path} is broken: {what}.",
        "Restore it from a copy whose head is the anchored one; verdicts that saw it are void.",
        reason=reason,
        seq=seq,
        path=str(path),
    )


def _version(path: Path) -> tuple[int, int, int] | None:
    """What tells one version of a file from another without reading it."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return (found.st_mtime_ns, found.st_size, found.st_ino)
