"""What was fetched into a folder, when, and as which version: one line of JSON an event.

Belongs here: the record. It is a fact about this machine's fetching and decides nothing about the
data: whether a file is whole is decided by its CHECKSUM file alone.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path

FETCHED, FOUND, REPLACED, MENDED, ABSENT = "fetched", "found", "replaced", "mended", "absent"
"""Events: new from the network; there already, put by someone else; a new version of what was
there; damaged and fetched again; not in the archive when asked."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One event. `sha256` is bare hex, empty for a file that is not there; `size` is in bytes.

    `at` is the instant in ISO 8601. `was` is the digest of the version that `event` replaced, and
    `kept_as` the name under which that version now lies; both are empty for other events.
    """

    event: str
    name: str
    url: str
    at: str
    sha256: str = ""
    size: int = 0
    etag: str = ""
    last_modified: str = ""
    was: str = ""
    kept_as: str = ""


_NAMES = frozenset(f.name for f in fields(Entry))


class Journal:
    """The events of one folder, for many threads; read once, then appended to."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._newest: dict[str, Entry] = {}
        self._version: dict[str, Entry] = {}
        for entry in read_journal(path):
            self._remember(entry)

    def newest(self, name: str) -> Entry | None:
        """The last event of a file."""
        return self._newest.get(name)

    def version(self, name: str) -> Entry | None:
        """The last event of a file that left bytes of it here."""
        return self._version.get(name)

    def add(self, entry: Entry) -> None:
        """Append one event, flushed to the disk."""
        line = json.dumps(asdict(entry), sort_keys=True) + "\n"
        with self._lock:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("ab+") as file:
                if file.tell() and not _ends_a_line(file.fileno(), file.tell()):
                    line = "\n" + line
                file.write(line.encode())
                file.flush()
                os.fsync(file.fileno())
            self._remember(entry)

    def _remember(self, entry: Entry) -> None:
        self._newest[entry.name] = entry
        if entry.sha256:
            self._version[entry.name] = entry


def read_journal(path: Path) -> Iterator[Entry]:
    """Events in order. A line that a kill cut short is no event: nothing relied on it yet."""
    if not path.is_file():
        return
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            body = json.loads(line)
            yield Entry(**{k: v for k, v in body.items() if k in _NAMES})
        except (ValueError, TypeError, AttributeError):
            continue


def _ends_a_line(handle: int, size: int) -> bool:
    return os.pread(handle, 1, size - 1) == b"\n"
