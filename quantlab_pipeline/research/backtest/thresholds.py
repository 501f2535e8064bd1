"""An event type's neighbours: the same definition with one of its numbers moved.

Belongs here: finding the numbers of a trigger and writing the moved definition. Not here: finding
its events (the events' room, handed in by whoever has features) and what they earned
(`neighbourhood`).
"""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from quantlab_pipeline.research.events.spec import MAX_COOLDOWN_MIN, EventType


@dataclass(frozen=True, slots=True)
class Moved:
    """`event_type` with the number `parameter` moved by `multiple`; `rule` says where it is now."""

    parameter: str
    multiple: float
    event_type: EventType
    rule: str


@dataclass(frozen=True, slots=True)
class _Number:
    """A number in a trigger's text: its value, its place in it, and whether a rank meets it."""

    value: float
    begin: int
    end: int
    is_rank: bool


def moved_definitions(
    event_type: EventType, multiples: Sequence[float], ranks: Collection[str]
) -> Iterator[Moved]:
    """Every number of the trigger, then the cooldown, each times each of `multiples`, alone.

    A number that is compared with a feature of `ranks` (midranks between 0 and 1) is a tail: its
    distance to the nearer end is scaled, 0.99 times 1.1 being 0.989. A zero stays where it is and
    is no parameter; a multiple that leaves a whole number of minutes where it was is no neighbour.
    """
    text = event_type.trigger.strip()
    for place, number in enumerate(_numbers(text, ranks), 1):
        for multiple in multiples:
            value = _scaled(number, multiple)
            trigger = f"{text[: number.begin]}{value!r}{text[number.end :]}"
            yield Moved(
                f"trigger number {place}: {text[number.begin : number.end]}",
                multiple,
                event_type.model_copy(update={"trigger": trigger}),
                trigger,
            )
    for multiple in multiples:
        minutes = min(MAX_COOLDOWN_MIN, max(1, round(event_type.cooldown_min * multiple)))
        if minutes != event_type.cooldown_min:
            yield Moved(
                "cooldown",
                multiple,
                event_type.model_copy(update={"cooldown_min": minutes}),
                f"cooldown_min {minutes}",
            )


def _scaled(number: _Number, multiple: float) -> float:
    if not number.is_rank:
        return float(f"{number.value * multiple:.12g}")
    upper = number.value > 0.5
    tail = (1.0 - number.value if upper else number.value) * multiple
    tail = min(tail, 1.0)
    return float(f"{1.0 - tail if upper else tail:.12g}")


def _numbers(text: str, ranks: Collection[str]) -> list[_Number]:
    """The numbers of a trigger that are not 0, in the order of the text."""
    tree = ast.parse(text, mode="eval")
    of_ranks = {id(n) for n in _beside_ranks(tree, ranks)}
    found = [
        _Number(float(n.value), n.col_offset, n.end_col_offset or n.col_offset, id(n) in of_ranks)
        for n in ast.walk(tree)
        if isinstance(n, ast.Constant) and isinstance(n.value, int | float) and n.value != 0
    ]
    return sorted(found, key=lambda n: n.begin)


def _beside_ranks(tree: ast.Expression, ranks: Collection[str]) -> Iterator[ast.expr]:
    """Numbers that stand alone on one side of a comparison, with a rank alone on the other."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare):
            sides = [node.left, *node.comparators]
            for one, other in pairwise(sides):
                for number, feature in ((one, other), (other, one)):
                    if isinstance(feature, ast.Name) and feature.id in ranks:
                        yield number
