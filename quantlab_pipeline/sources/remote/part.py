"""A file that grows as its bytes arrive, over as many answers as it takes.

Belongs here: what to ask for behind the bytes that are there, and what an answer adds to them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

_RANGE = re.compile(r"bytes (?:(\d+)-\d+|\*)/(\d+|\*)")


class BrokenPartError(Exception):
    """An answer that does not fit what is there; the next attempt begins anew."""


class Part:
    """The bytes of one file so far. Nothing here is flushed to the disk's platter."""

    def __init__(self, path: Path, on_bytes: Callable[[int], None]) -> None:
        self._path, self._on_bytes = path, on_bytes
        self._validator = ""
        self._marked = 0
        self.received = 0
        self.restarted = False

    @property
    def size(self) -> int:
        """Bytes on disk, 0 without a file."""
        return self._path.stat().st_size if self._path.is_file() else 0

    def request_headers(self) -> dict[str, str]:
        """What to ask for: the rest, and only of the version that began here if that is known."""
        headers = {"Accept-Encoding": "identity"}
        if self.size:
            headers["Range"] = f"bytes={self.size}-"
            if self._validator:
                headers["If-Range"] = self._validator
        return headers

    def gained(self, at_least: int) -> bool:
        """Whether so many bytes came since the last time that so many had come."""
        enough = self.received - self._marked >= at_least
        if enough:
            self._marked = self.received
        return enough

    def take(self, status: int, headers: Mapping[str, str], chunks: Iterator[bytes]) -> bool:
        """Add an answer's body; True if the file is whole, False for a status that has none.

        BrokenPartError if the answer and what is there do not fit; then the file is empty.
        """
        first, total = _content_range(headers)
        if status == 416:
            if total == self.size:
                return True
            self._broken("the server holds fewer bytes than were asked to follow")
        if status == 206 and first != self.size:
            self._broken(f"the server sent bytes from {first}, not from {self.size}")
        if status not in {200, 206}:
            return False
        if status == 200:
            self._empty()
        self._validator = _validator(headers)
        # Unbuffered: what came is on disk also where the process is killed in the next read.
        with self._path.open("ab", buffering=0) as file:
            for chunk in chunks:
                file.write(chunk)
                self.received += len(chunk)
                self._on_bytes(len(chunk))
        if status == 206 and total is not None and total != self.size:
            self._broken(f"{self.size} bytes came of {total}")
        return True

    def _empty(self) -> None:
        if lost := self.size:
            self._on_bytes(-lost)
            self.restarted = True
            self._path.unlink()

    def _broken(self, problem: str) -> None:
        self._empty()
        raise BrokenPartError(problem)


def _content_range(headers: Mapping[str, str]) -> tuple[int | None, int | None]:
    """First byte and total of a Content-Range header, None for what it does not say."""
    match = _RANGE.fullmatch(headers.get("content-range", "").strip())
    if match is None:
        return None, None
    first, total = match.groups()
    return (None if first is None else int(first)), (None if total == "*" else int(total))


def _validator(headers: Mapping[str, str]) -> str:
    """What If-Range may carry: a strong ETag, else the date of the last change, else nothing."""
    etag = headers.get("etag", "")
    return etag if etag.startswith('"') else headers.get("last-modified", "")
