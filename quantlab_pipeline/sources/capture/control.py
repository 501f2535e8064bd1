"""The recorder's own lines among the venue's: what it knows of the holes in what it wrote.

Belongs here: their words, written by the recorder and read by the source. Each is a line like any
other, `LOCAL_NS {"stream":"!quantlab","data":{"e":EVENT,...}}`.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

STREAM = "!quantlab"

STARTED, STOPPED = "started", "stopped"
"""The recorder began, or ended in order."""
DISCONNECTED, RECONNECTED = "disconnected", "reconnected"
"""A connection ended; another stands, `gap_ms` after the last message before. `kinds` are the
streams that it carries."""
CLOCK = "clock"
"""The connection stands; the minute before, `n` messages were `offset_ms` (local - venue) off."""
SLOW_DISK = "slow_disk"
"""The disk is so slow that receiving waits, `waits` times, `waited_s` so far: stamps are late."""
BINARY, TEXT = "binary", "text"
"""A frame that is not one line of text: its bytes in `base64`, or its text as `text`."""


@dataclass(frozen=True, slots=True)
class ControlLine:
    """One of the recorder's own lines: when, what, and its further fields."""

    local: datetime
    event: str
    fields: dict[str, Any] = field(default_factory=dict)


def control_text(event: str, **fields: Any) -> str:
    """The payload of a control line."""
    body = {"stream": STREAM, "data": {"e": event, **fields}}
    return json.dumps(body, separators=(",", ":"))


def binary_text(frame: bytes) -> str:
    """The payload that keeps a binary frame."""
    return control_text(BINARY, base64=base64.b64encode(frame).decode())


def control_line(local: datetime, payload: str) -> ControlLine | None:
    """A control line's payload as a value; None if it is not one."""
    try:
        data = json.loads(payload)["data"]
        return ControlLine(local, str(data.pop("e")), data)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None
