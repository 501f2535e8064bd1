"""The recorder's files: one an hour and symbol, gzip, readable to the last flush come what may.

Belongs here: names on disk, compression, and what reaches the disk when. A flush ends a block of
the gzip stream, so that all lines before it can be read although the file has no end yet. Nothing
is overwritten or appended to: after a restart the hour goes on in a part of its own.
"""

from __future__ import annotations

import os
import zlib
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from quantlab_pipeline.sources.capture.layout import capture_name

HOUR_NS = 3_600_000_000_000
_GZIP = 31
_LEVEL = 6


class HourlyFiles:
    """The files of one symbol, one open at a time, chosen by each line's local stamp.

    A line stamped before the open file's hour (the clock was set back) stays in it. OSError from
    the disk passes through; what was flushed before stays readable.
    """

    def __init__(self, root: Path, market: str, symbol: str) -> None:
        self._root, self._market, self._symbol = root, market, symbol
        self._file: BinaryIO | None = None
        self._zip = zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP)
        self._hour = -1
        self._unflushed = False
        self.bytes_written = 0
        self.names: list[str] = []
        """Files of this run, newest last; the last few."""

    def add(self, local_ns: int, payload: str) -> None:
        """Add one line; it is safe once `flush` returned."""
        hour = local_ns // HOUR_NS
        if self._file is None or hour > self._hour:
            self.close()
            self._file = self._open(hour)
        # A lone surrogate cannot come in a valid frame; whatever comes must not stop the recording.
        line = f"{local_ns} {payload}\n".encode("utf-8", "backslashreplace")
        self._write(self._zip.compress(line))
        self._unflushed = True

    def flush(self) -> None:
        """Hand all lines so far to the operating system, readable."""
        if self._file is not None and self._unflushed:
            self._write(self._zip.flush(zlib.Z_SYNC_FLUSH))
            self._file.flush()
            self._unflushed = False

    def close(self) -> None:
        """End the open file, if any, and wait until it is on the disk."""
        if self._file is None:
            return
        file, self._file = self._file, None
        with file:
            self._write_to(file, self._zip.flush(zlib.Z_FINISH))
            file.flush()
            os.fsync(file.fileno())
        self._unflushed = False

    def _write(self, data: bytes) -> None:
        assert self._file is not None
        self._write_to(self._file, data)

    def _write_to(self, file: BinaryIO, data: bytes) -> None:
        file.write(data)
        self.bytes_written += len(data)

    def _open(self, hour: int) -> BinaryIO:
        opened = datetime.fromtimestamp(hour * HOUR_NS // 1_000_000_000, tz=UTC)
        part = 1
        while True:
            name = capture_name(self._market, self._symbol, opened, part)
            path = self._root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                file = path.open("xb")
                break
            except FileExistsError:
                part += 1
        self._sync_folder(path.parent)
        self._hour = hour
        self._zip = zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP)
        self.names = [*self.names[-3:], name]
        return file

    @staticmethod
    def _sync_folder(folder: Path) -> None:
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
