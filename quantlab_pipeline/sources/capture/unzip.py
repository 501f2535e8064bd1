"""The text of a gzip file in pieces of whole lines, as far as the file goes.

Belongs here: what a recorder that was killed leaves behind. Its last member has no end: every whole
line that was flushed is given, and `damage` says what is missing. What a line means is `lines`'.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator

from quantlab_pipeline.core.errors import SourceError

PIECE_BYTES = 16 * 1024 * 1024
_BLOCK_BYTES = 1024 * 1024
_GZIP = 31
_MAGIC = b"\x1f\x8b"


class WholeLines:
    """Pieces of about `piece_bytes` of a gzip file's text, each ending with a newline.

    `damage` is None until the pieces were walked, and after that where the file was whole. A line
    longer than a piece is cut. SourceError, naming the file, if it is no gzip file at all.
    """

    def __init__(self, data: bytes, name: str, piece_bytes: int = PIECE_BYTES) -> None:
        if data and not data.startswith(_MAGIC):
            raise SourceError(
                f"{name} is no gzip file.", "Capture it again, or remove it.", file=name
            )
        self._data, self._piece_bytes = data, piece_bytes
        self.damage: str | None = None if data else "it is empty"

    def __iter__(self) -> Iterator[bytes]:
        held: list[bytes] = []
        size = 0
        for block in self._inflated():
            held.append(block)
            size += len(block)
            if size >= self._piece_bytes:
                whole, newline, rest = b"".join(held).rpartition(b"\n")
                cut = not newline
                yield rest + b"\n" if cut else whole + newline
                held = [] if cut else [rest]
                size = sum(map(len, held))
        whole, newline, rest = b"".join(held).rpartition(b"\n")
        if newline:
            yield whole + newline
        if rest and self.damage is None:
            yield rest + b"\n"

    def _inflated(self) -> Iterator[bytes]:
        """What every member holds, up to where the file breaks off."""
        inflate = zlib.decompressobj(_GZIP)
        between = True
        try:
            for at in range(0, len(self._data), _BLOCK_BYTES):
                block = self._data[at : at + _BLOCK_BYTES]
                while block:
                    if between and not (block := block.lstrip(b"\0")):
                        break
                    yield inflate.decompress(block, self._piece_bytes)
                    between = inflate.eof
                    block = inflate.unused_data if between else inflate.unconsumed_tail
                    if between:
                        inflate = zlib.decompressobj(_GZIP)
            if not between:
                yield inflate.flush()
                self.damage = "it ends before its gzip member does"
        except zlib.error as error:
            self.damage = f"it cannot be read to its end ({error})"
