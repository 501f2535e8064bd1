"""Oracles of the events: expressions by Python itself, onsets and overlap by plain loops."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

WORDS = {"abs": abs, "min": min, "max": max}


def evaluate(text: str, values: Mapping[str, float]) -> float | bool | None:
    """`text` as Python reads it; None where it divides by zero."""
    try:
        return eval(text, {"__builtins__": {}}, {**WORDS, **values})
    except ZeroDivisionError:
        return None


def onsets(triggered: Sequence[bool], minutes: Sequence[int], cooldown: int) -> list[int]:
    """Minutes of the true ones with no other true one in the `cooldown` minutes before."""
    true = [m for m, t in zip(minutes, triggered, strict=True) if t]
    return [m for m in true if not any(m - cooldown <= other < m for other in true)]


def shared(one: Sequence[int], other: Sequence[int], window: int) -> int:
    """How many of `one` have some of `other` within `window`."""
    return sum(any(abs(a - b) <= window for b in other) for a in one)
