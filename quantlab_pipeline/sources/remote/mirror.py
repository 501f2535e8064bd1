"""A folder that mirrors the official archive: its layout, each zip with its CHECKSUM file.

Belongs here: what is there and whole, and putting a verified file in its place so that no kill
leaves one that is taken for whole and is not. `sources.archive` reads the folder as it is.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from quantlab_pipeline.core.clocks import Clock
from quantlab_pipeline.core.errors import SourceError
from quantlab_pipeline.sources.remote.journal import (
    ABSENT,
    FETCHED,
    FOUND,
    MENDED,
    REPLACED,
    Entry,
    Journal,
)

JOURNAL = "FETCHED.jsonl"
_LOCK = ".fetch.lock"
_CHECKSUM = re.compile(rb"\s*([0-9a-fA-F]{64})\s+\*?(\S+)\s*")

Write = Callable[[Path, bytes], None]
"""Puts small bytes at a path atomically: `storage.objects.write_atomic`."""


@dataclass(frozen=True, slots=True)
class Held:
    """A file that is there and whole; `news` if the journal did not know this version of it."""

    entry: Entry
    news: bool


class Mirror:
    """The folder `root`; it is made when something is put there. Names are the official ones.

    A zip is whole that has the digest its CHECKSUM file states. Partial files and versions that
    were replaced lie beside under names that are not of the layout.
    """

    def __init__(self, root: Path, *, write: Write, clock: Clock) -> None:
        self.root = root
        self._write, self._clock = write, clock
        self._journal = Journal(root / JOURNAL)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other fetches out of the folder. SourceError if one is at work, or no writing is."""
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            handle = os.open(self.root / _LOCK, os.O_RDWR | os.O_CREAT, 0o644)
        except (PermissionError, NotADirectoryError, FileExistsError) as error:
            raise SourceError(
                f"Nothing can be written to {self.root}: {error.strerror}.",
                "Choose a folder of your own.",
                path=str(self.root),
            ) from error
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield
        except BlockingIOError as error:
            raise SourceError(
                f"Another fetch is at work in {self.root}.",
                "Wait for it to end.",
                path=str(self.root),
            ) from error
        finally:
            os.close(handle)

    def has(self, name: str) -> bool:
        """Whether the file is there, whole or not."""
        return (self.root / name).is_file()

    def whole(self, name: str) -> Held | None:
        """What the journal says of a file that is there and whole; None if it is not.

        A whole file that the journal does not know yet (someone else put it there, or a kill came
        before the last line) enters it now.
        """
        digest = self._digest(name)
        if digest is None or digest != self._stated(name):
            return None
        known = self._journal.version(name)
        if known is not None and known.sha256 == digest:
            return Held(known, news=False)
        at, size = self._now(), (self.root / name).stat().st_size
        if known is None:
            return Held(self._note(Entry(FOUND, name, "", at, digest, size)), news=True)
        aside = _kept_name(name, known.sha256)
        kept = aside if self.has(aside) else ""
        entry = Entry(REPLACED, name, known.url, at, digest, size, was=known.sha256, kept_as=kept)
        return Held(self._note(entry), news=True)

    def part(self, name: str, checksum: bytes) -> Path:
        """Where the bytes of that version gather. A later version never goes on behind them."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.with_name(f".{path.name}.{str(stated_sha256(name, checksum))[:16]}.part")

    def place(
        self, name: str, checksum: bytes, part: Path, url: str, headers: Mapping[str, str]
    ) -> Entry | None:
        """Put `part` in its place and record it; None, and nothing done, if `checksum` differs.

        A version that was there before is kept under another name. The CHECKSUM file comes first: a
        kill before the zip's rename leaves no zip, or the old one, which then fails its checksum.
        """
        digest = file_sha256(part)
        if digest != stated_sha256(name, checksum):
            return None
        path, before = self.root / name, self._digest(name)
        event, was, kept = FETCHED if before is None else MENDED, "", ""
        if before is not None and before != digest and before in self._versions(name):
            event, was, kept = REPLACED, before, _kept_name(name, before)
            _keep(path, self.root / kept)
        size = part.stat().st_size
        _fsync(part)
        self._write(self._checksum_path(name), checksum)
        part.replace(path)
        _fsync(path.parent)
        for stale in path.parent.glob(f".{path.name}.*.part"):
            stale.unlink(missing_ok=True)
        tag, changed = headers.get("etag", ""), headers.get("last-modified", "")
        return self._note(
            Entry(event, name, url, self._now(), digest, size, tag, changed, was, kept)
        )

    def _versions(self, name: str) -> set[str | None]:
        """Digests that bytes at `name` may have to be a version, and not damage."""
        known = self._journal.version(name)
        return {self._stated(name), known.sha256 if known else None}

    def note_absent(self, name: str, url: str) -> None:
        """Record that the archive did not have the file; once as long as nothing changes."""
        newest = self._journal.newest(name)
        if newest is None or newest.event != ABSENT:
            self._note(Entry(ABSENT, name, url, self._now()))

    def _note(self, entry: Entry) -> Entry:
        self._journal.add(entry)
        return entry

    def _now(self) -> str:
        return self._clock().isoformat()

    def _digest(self, name: str) -> str | None:
        path = self.root / name
        return file_sha256(path) if path.is_file() else None

    def _stated(self, name: str) -> str | None:
        path = self._checksum_path(name)
        return stated_sha256(name, path.read_bytes()) if path.is_file() else None

    def _checksum_path(self, name: str) -> Path:
        return self.root / f"{name}.CHECKSUM"


def stated_sha256(name: str, checksum: bytes) -> str | None:
    """The digest that a CHECKSUM file states for `name`, lower-case hex; None if it is none."""
    match = _CHECKSUM.fullmatch(checksum)
    if match is None or match[2].decode(errors="replace") != PurePosixPath(name).name:
        return None
    return match[1].decode().lower()


def file_sha256(path: Path) -> str:
    """Digest of a file's bytes, lower-case hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _kept_name(name: str, sha256: str) -> str:
    return f"{name}.replaced-{sha256[:12]}"


def _keep(path: Path, aside: Path) -> None:
    """Give the file a second name; the first stays until it is replaced."""
    if aside.exists():
        return
    try:
        os.link(path, aside)
    except OSError:
        # A file system without links: a copy, complete before it has the name.
        half = aside.with_name(f".{aside.name}.part")
        shutil.copyfile(path, half)
        half.replace(aside)
    _fsync(aside.parent)


def _fsync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
