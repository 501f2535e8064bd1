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


def refractory(
    triggered: Sequence[bool], minutes: Sequence[int], cooldown: int, longest: int
) -> list[int]:
    """The onsets, and after each the true minutes that a cooldown allows, up to `longest` on."""
    true = [m for m, t in zip(minutes, triggered, strict=True) if t]
    begins = set(onsets(triggered, minutes, cooldown))
    found: list[int] = []
    begin = 0
    for m in true:
        begin = m if m in begins else begin
        if m == begin or (m - begin <= longest and m - found[-1] > cooldown):
            found.append(m)
    return found


def lagged_jaccard(one: Sequence[int], other: Sequence[int], low: int, high: int) -> float:
    """Overlap of two lists of minutes; a pair is shared if one - other is in [low, high]."""
    mine = sum(any(low <= a - b <= high for b in other) for a in one)
    theirs = sum(any(low <= a - b <= high for a in one) for b in other)
    both = min(mine, theirs)
    total = len(one) + len(other) - both
    return both / total if total else 0.0
