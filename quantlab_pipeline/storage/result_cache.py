"""Results of simulations in the lake, each under the signature of all that it follows from.

Belongs here: the bytes of a result, its place, and the bound on all of them. What goes into a
signature is the caller's matter (`simulation.serving`). A result is one object, written atomically,
which begins with the digest of what follows and names its signature: what is damaged, cut short or
in another's place is a miss and is replaced, never an error. Nothing is lost when all of them go.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from typing import Any

import polars as pl

from quantlab_pipeline.core.fingerprints import canonical_bytes, digest_bytes, short
from quantlab_pipeline.storage.objects import TEMP_PREFIX, Objects
from quantlab_pipeline.storage.writing import encode_parquet

FOLDER = "results"
MOST_BYTES = 2 * 10**9
"""How much `doctor` leaves of them."""


def result_key(signature: str) -> str:
    """Where the result with this signature lies."""
    name = short(signature, 40)
    return f"{FOLDER}/{name[:2]}/{name}.frames"


class LakeResults:
    """`core.ports.ResultCache` in an object store."""

    def __init__(self, objects: Objects) -> None:
        self.objects = objects

    def get(self, signature: str) -> dict[str, pl.DataFrame] | None:
        """The frames as they were put, by name; None if they are not there whole."""
        key = result_key(signature)
        try:
            frames = _unpacked(signature, self.objects.get(key))
            if frames is not None:
                # What is asked for again is the last to go.
                self.objects.touch(key)
        except OSError:
            return None
        return frames

    def put(self, signature: str, frames: Mapping[str, pl.DataFrame]) -> None:
        """Keep the frames, whole or not at all. NoSpaceError when the disk is full."""
        self.objects.put(result_key(signature), _packed(signature, frames))


def _packed(signature: str, frames: Mapping[str, pl.DataFrame]) -> bytes:
    """The digest of the rest; a line of JSON (signature, names, lengths); then parquet files."""
    files = {name: encode_parquet(frame) for name, frame in frames.items()}
    head = {"signature": signature, "frames": [[n, len(data)] for n, data in files.items()]}
    rest = canonical_bytes(head) + b"\n" + b"".join(files.values())
    return digest_bytes(rest).encode() + b"\n" + rest


def _unpacked(signature: str, data: bytes) -> dict[str, pl.DataFrame] | None:
    told, _, rest = data.partition(b"\n")
    if told != digest_bytes(rest).encode():
        return None
    line, _, body = rest.partition(b"\n")
    try:
        head: dict[str, Any] = json.loads(line)
        if head["signature"] != signature:
            return None
        frames, start = {}, 0
        for name, length in head["frames"]:
            frames[str(name)] = pl.read_parquet(io.BytesIO(body[start : start + length]))
            start += length
    except (ValueError, KeyError, TypeError, pl.exceptions.PolarsError):
        # Whole, but of a form that other versions of this file or of polars wrote.
        return None
    return frames


def beyond_bound(objects: Objects, most_bytes: int = MOST_BYTES) -> list[str]:
    """Keys of the results to give up, longest unasked first, so that the rest fit the bound."""
    found = []
    for key in objects.keys(FOLDER):
        stat = objects.stat(key)
        if stat is not None and not key.rsplit("/", 1)[-1].startswith(TEMP_PREFIX):
            found.append((stat.mtime_ns, key, stat.size))
    excess = sum(size for _, _, size in found) - most_bytes
    gone = []
    for _, key, size in sorted(found):
        if excess <= 0:
            break
        gone.append(key)
        excess -= size
    return gone
