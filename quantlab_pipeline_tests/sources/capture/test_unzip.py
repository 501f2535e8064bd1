"""Every whole line of what a recorder left, wherever it was killed."""

from __future__ import annotations

import gzip
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantlab_pipeline.core.errors import SourceError
from quantlab_pipeline.sources.capture.unzip import WholeLines

BATCHES = st.lists(
    st.lists(st.binary(max_size=30).map(lambda b: b.replace(b"\n", b"")), max_size=5), max_size=6
)


def flushed(batches: list[list[bytes]]) -> tuple[bytes, list[int]]:
    """A gzip stream flushed after each batch and never ended; where each flush ended."""
    deflate = zlib.compressobj(6, zlib.DEFLATED, 31)
    data, ends = b"", []
    for batch in batches:
        data += deflate.compress(b"".join(line + b"\n" for line in batch))
        data += deflate.flush(zlib.Z_SYNC_FLUSH)
        ends.append(len(data))
    return data, ends


def read(data: bytes, piece_bytes: int = 1 << 20) -> tuple[bytes, str | None]:
    lines = WholeLines(data, "x.gz", piece_bytes)
    pieces = list(lines)
    assert all(piece.endswith(b"\n") for piece in pieces)
    return b"".join(pieces), lines.damage


@given(BATCHES, st.data())
def test_a_cut_loses_no_line_that_was_flushed_before_it(batches, data):
    whole, ends = flushed(batches)
    cut = data.draw(st.integers(0, len(whole)))
    text, damage = read(whole[:cut])
    lines = [line + b"\n" for batch in batches for line in batch]
    safe = sum(len(b) for b, end in zip(batches, ends, strict=True) if end <= cut)
    assert text == b"".join(lines[: text.count(b"\n")])
    assert text.count(b"\n") >= safe
    assert damage is not None


@given(BATCHES, st.integers(1, 40))
def test_members_follow_each_other_and_pieces_change_nothing(batches, piece_bytes):
    members = [b"".join(line + b"\n" for line in batch) for batch in batches if batch]
    data = b"".join(map(gzip.compress, members))
    text, damage = read(data, piece_bytes)
    # A line longer than a piece is cut: then there are more line ends, and no byte less.
    assert text.replace(b"\n", b"") == b"".join(members).replace(b"\n", b"")
    assert damage == (None if data else "it is empty")
    assert read(data) == (b"".join(members), damage)


def test_a_last_line_without_its_end_is_whole_only_in_a_file_that_is():
    assert read(gzip.compress(b"one\ntwo")) == (b"one\ntwo\n", None)
    cut = zlib.compressobj(6, zlib.DEFLATED, 31)
    data = cut.compress(b"one\ntwo") + cut.flush(zlib.Z_SYNC_FLUSH)
    assert read(data) == (b"one\n", "it ends before its gzip member does")


def test_damage_and_zeros_at_the_end_lose_nothing_before_them():
    member = gzip.compress(b"one\n")
    assert read(member + b"\0" * 99) == (b"one\n", None)
    text, damage = read(member + b"not gzip")
    assert text == b"one\n"
    assert "cannot be read to its end" in (damage or "")
    flawed = bytearray(gzip.compress(b"one\ntwo\n"))
    flawed[-8] ^= 1
    assert read(bytes(flawed))[1] is not None


def test_what_is_no_gzip_file_is_refused_by_name():
    with pytest.raises(SourceError, match=r"x\.gz is no gzip file"):
        WholeLines(b"PK\x03\x04", "x.gz")
