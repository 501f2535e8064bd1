"""Units of triggers and severities: what may be added to what, and compared with what.

Belongs here: the algebra. Which unit a column has, its feature spec says.

A number in the text has no unit of its own and may meet any. Operands of + - min max and of a
comparison must agree; products and quotients multiply and divide units, so that bps / bps is 1. A
flag is no number: it agrees with flags alone, and takes no part in a product's unit.
"""

from __future__ import annotations

from collections.abc import Mapping

from quantlab_pipeline.core.errors import SpecError
from quantlab_pipeline.research.events.expression import Node

Powers = dict[str, int]
"""A unit as powers of its parts: bps/MUSD is {bps: 1, MUSD: -1}, a pure number is {}."""

FLAG = "flag"
_DOES = {
    "+": "adds", "-": "subtracts", "min": "takes the least of", "max": "takes the largest of",
}  # fmt: skip
_LINKS = ("and", "or", "not")


def check_units(node: Node, units: Mapping[str, str], owner: str) -> None:
    """Raise SpecError if `node` mixes units anywhere, naming both sides and the unit of each.

    `units` has every feature column that it reads.
    """
    _unit(node, units, owner)


def _unit(node: Node, units: Mapping[str, str], owner: str) -> Powers | None:
    """The unit of a number; None for a literal, a sum of literals, and for a truth."""
    if node.op == "literal":
        return None
    if node.op == "feature":
        return _powers(units[node.name])
    parts = [_unit(child, units, owner) for child in node.children]
    if node.op in _LINKS:
        return None
    if node.op in ("negate", "abs"):
        return parts[0]
    if node.op in ("*", "/"):
        return _product(parts[0], parts[1], 1 if node.op == "*" else -1)
    _require_one_unit(node, parts, owner)
    agreed = next((part for part in parts if part is not None), None)
    return agreed if node.kind == "number" else None


def _product(one: Powers | None, other: Powers | None, sign: int) -> Powers | None:
    if one is None and other is None:
        return None
    powers = dict(one or {})
    for name, power in (other or {}).items():
        powers[name] = powers.get(name, 0) + sign * power
    return {name: power for name, power in powers.items() if power and name != FLAG}


def _require_one_unit(node: Node, parts: list[Powers | None], owner: str) -> None:
    known = [(c, p) for c, p in zip(node.children, parts, strict=True) if p is not None]
    for child, powers in known[1:]:
        first, agreed = known[0]
        if powers != agreed:
            units = [_written(agreed), _written(powers)]
            raise SpecError(
                f"{owner} {_DOES.get(node.op, 'compares')} `{first.text}` in {units[0]} and "
                f"`{child.text}` in {units[1]}.",
                "Use features of one unit, or divide each by its own mean, deviation or rank.",
                owner=owner,
                units=units,
            )


def _powers(unit: str) -> Powers:
    above, _, below = unit.partition("/")
    return {name: power for name, power in ((above, 1), (below, -1)) if name not in ("", "1")}


def _written(powers: Powers) -> str:
    """The unit in a message: parts above the line, then those below it."""
    above = [_raised(n, p) for n, p in sorted(powers.items()) if p > 0]
    below = [_raised(n, -p) for n, p in sorted(powers.items()) if p < 0]
    return "/".join([" ".join(above) or "1", *below])


def _raised(name: str, power: int) -> str:
    return name if power == 1 else f"{name}^{power}"
