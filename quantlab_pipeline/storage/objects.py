"""Bytes under keys: atomic puts, gets, stats and listings. The lake's floor, and where S3 would go.

Belongs here: what a directory or a bucket can do. Not here: what the bytes mean.
"""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from quantlab_pipeline.core.errors import QuantlabError

TEMP_PREFIX = ".tmp-"
_FULL = (errno.ENOSPC, errno.EDQUOT)

Step = Callable[[str], None]
"""Called with the name of each system call just before it is made; tests die in it."""


class NoSpaceError(QuantlabError):
    """The disk is full. What was there before is whole; nothing half-written is left."""


class UnknownRootError(QuantlabError):
    """A lake's root is of a kind that cannot be opened."""


@dataclass(frozen=True, slots=True)
class Stat:
    """What tells one version of an object from another without reading it."""

    mtime_ns: int
    size: int
    inode: int


class Objects(Protocol):
    """A store of immutable bytes under `/`-separated keys; a put replaces atomically."""

    def put(self, key: str, data: bytes) -> None:
        """Store `data` under `key`: after a crash the old or the new bytes are there, whole."""
        ...

    def get(self, key: str) -> bytes:
        """The bytes under `key`; FileNotFoundError if there are none."""
        ...

    def stat(self, key: str) -> Stat | None:
        """Version of the object under `key`, None if there is none."""
        ...

    def touch(self, key: str) -> None:
        """Make the object young again, so that no sweep takes it for garbage."""
        ...

    def keys(self, prefix: str) -> Iterator[str]:
        """Every key below the folder `prefix`, sorted; leftovers of killed puts included."""
        ...

    def children(self, prefix: str) -> list[str]:
        """Names directly below the folder `prefix`, sorted."""
        ...

    def delete(self, key: str) -> None:
        """Remove the object under `key`; nothing happens if there is none."""
        ...

    def uri(self, key: str) -> str:
        """Where a parquet reader finds the object."""
        ...


def _no_step(_: str) -> None:
    return None


def write_atomic(path: Path, data: bytes, step: Step = _no_step) -> None:
    """Put `data` at `path`: temporary file beside it, fsync, rename, fsync of the folder.

    Raises NoSpaceError when the disk is full, after removing the temporary file. A killed process
    may leave a `.tmp-*` file, which no reader opens.
    """
    temp: str | None = None
    try:
        step("mkdir")
        _make_folder(path.parent)
        step("open")
        handle, temp = tempfile.mkstemp(prefix=TEMP_PREFIX, dir=path.parent)
        with os.fdopen(handle, "wb") as file:
            os.fchmod(handle, 0o644)
            step("write")
            file.write(data)
            file.flush()
            step("fsync")
            os.fsync(handle)
        step("rename")
        Path(temp).replace(path)
        temp = None
        step("fsync folder")
        _fsync_folder(path.parent)
    except OSError as error:
        if error.errno in _FULL:
            raise NoSpaceError(
                f"No space left while writing {path}.",
                "Free some disk space (`quantlab doctor` removes leftovers) and run again.",
                path=str(path),
                bytes=len(data),
            ) from error
        raise
    finally:
        if temp is not None:
            Path(temp).unlink(missing_ok=True)


def _make_folder(folder: Path) -> None:
    missing = [p for p in (folder, *folder.parents) if not p.exists()]
    for path in reversed(missing):
        path.mkdir(exist_ok=True)
        _fsync_folder(path.parent)


def _fsync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


class LocalObjects:
    """`Objects` in a folder of the local disk."""

    def __init__(self, root: Path | str, step: Step = _no_step) -> None:
        self.root = Path(root).absolute()
        self._base = str(self.root) + os.sep
        self._step = step

    def put(self, key: str, data: bytes) -> None:
        """Store `data` under `key` atomically; see `write_atomic`."""
        write_atomic(self.root / key, data, lambda name: self._step(f"{name} {key}"))

    def get(self, key: str) -> bytes:
        """The bytes under `key`; FileNotFoundError if there are none."""
        return (self.root / key).read_bytes()

    def stat(self, key: str) -> Stat | None:
        """Version of the file under `key`, None if there is none."""
        try:
            found = os.stat(self._base + key)  # noqa: PTH116 (a year of paths a load)
        except (FileNotFoundError, NotADirectoryError):
            return None
        return Stat(found.st_mtime_ns, found.st_size, found.st_ino)

    def touch(self, key: str) -> None:
        """Set the file's times to the present."""
        os.utime(self._base + key)

    def keys(self, prefix: str) -> Iterator[str]:
        """Every key below the folder `prefix`, sorted."""
        for folder, folders, files in os.walk(self.root / prefix):
            folders.sort()
            for name in sorted(files):
                yield (Path(folder) / name).relative_to(self.root).as_posix()

    def children(self, prefix: str) -> list[str]:
        """Names directly below the folder `prefix`, sorted; empty if there is no such folder."""
        folder = self.root / prefix
        return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []

    def delete(self, key: str) -> None:
        """Remove the file under `key`; nothing happens if there is none."""
        (self.root / key).unlink(missing_ok=True)

    def uri(self, key: str) -> str:
        """Absolute path of the file."""
        return self._base + key


def open_objects(root: Objects | Path | str) -> Objects:
    """The store at `root`: a local folder, or any `Objects`. Other URLs raise UnknownRootError."""
    if isinstance(root, Path):
        return LocalObjects(root)
    if not isinstance(root, str):
        return root
    if "://" in root:
        raise UnknownRootError(
            f"{root} is not a local folder.",
            "Give a local folder, or pass an implementation of storage.objects.Objects.",
            root=root,
        )
    return LocalObjects(root)
