"""One canonical encoding, and digests that carry their algorithm's name.

Everything that is hashed (specs, records, manifests, verdicts, the ledger) is encoded here first,
so that the same fact has the same bytes on every machine. Files are hashed as they are.
"""

from __future__ import annotations

import dataclasses
import enum
import functools
import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from pathlib import PurePath
from typing import Any

_AS_IT_IS = frozenset({str, int, bool, type(None)})


def canonical_bytes(value: Any) -> bytes:
    """UTF-8 JSON with sorted keys and no white space.

    Floats use Python's shortest repr; NaN and infinities raise ValueError (a fact that is not
    there is null with a reason). Sets and paths raise TypeError: their order or place is no fact.
    """
    return json.dumps(
        _plain(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    ).encode()


def _plain(value: Any) -> Any:
    """`value` as JSON has it. The exact types of most facts come first: a study hashes millions."""
    kind = type(value)
    if kind in _AS_IT_IS or (kind is float and math.isfinite(value)):
        return value
    if kind is dict:
        return {k if type(k) is str else str(_plain(k)): _plain(v) for k, v in value.items()}
    if kind is list or kind is tuple:
        return [_plain(v) for v in value]
    return _plain_of_any_type(value)


def _plain_of_any_type(value: Any) -> Any:
    if isinstance(value, enum.Enum):
        return _plain(value.value)
    if isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"{value} has no canonical form; write null and a reason")
        return value
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, datetime | date):
        return value.isoformat()
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {name: _plain(getattr(value, name)) for name in _field_names(type(value))}
    if hasattr(value, "model_dump"):
        return _plain(value.model_dump(mode="python"))
    if isinstance(value, Mapping):
        return {str(_plain(k)): _plain(v) for k, v in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, bytes | PurePath):
        return [_plain(v) for v in value]
    raise TypeError(f"{type(value).__name__} has no canonical form")


@functools.cache
def _field_names(kind: type) -> tuple[str, ...]:
    return tuple(f.name for f in dataclasses.fields(kind))


def digest(value: Any) -> str:
    """`sha256:<hex>` of the canonical encoding of `value`."""
    return digest_bytes(canonical_bytes(value))


def digest_bytes(data: bytes) -> str:
    """`sha256:<hex>` of raw bytes."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def short(tagged_digest: str, length: int = 12) -> str:
    """The first `length` hex characters of a tagged digest, for names that people read."""
    return tagged_digest.split(":", 1)[1][:length]


def chain(previous: str, record: Any) -> str:
    """`blake3:<hex>` that binds `record` to everything before it."""
    return chain_bytes(previous, canonical_bytes(record))


def chain_bytes(previous: str, record: bytes) -> str:
    """`chain` of a record whose canonical bytes are at hand."""
    from blake3 import blake3

    return "blake3:" + blake3(previous.encode() + b"\n" + record).hexdigest()
