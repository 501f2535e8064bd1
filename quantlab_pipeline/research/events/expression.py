"""The language of triggers and severities: arithmetic and comparisons over feature columns.

Belongs here: text to a checked tree, and the tree to a polars expression. Python's own parser reads
the text; only the node types listed here are let through, and nothing is ever evaluated as Python.

    trigger  := comparisons joined by `and`, `or`, `not`
    number   := feature | literal | number (+ - * /) number | -number
              | abs(number) | min(number, ...) | max(number, ...)
"""

from __future__ import annotations

import ast
import difflib
import functools
import operator
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal

import polars as pl

from quantlab_pipeline.core.errors import SpecError

Kind = Literal["number", "truth"]

FUNCTIONS = ("abs", "min", "max")
_ARITHMETIC = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/"}
_COMPARISONS = {ast.GtE: ">=", ast.LtE: "<=", ast.Gt: ">", ast.Lt: "<"}


@dataclass(frozen=True, slots=True)
class Node:
    """One node: `op` is a word or sign of the language, `feature` or `literal` at the leaves.

    `text` is how a person would write it, for messages.
    """

    op: str
    kind: Kind
    children: tuple[Node, ...] = ()
    name: str = ""
    value: float = 0.0
    text: str = field(default="", compare=False)

    def walk(self) -> Iterator[Node]:
        """The node itself and all below it, from left to right."""
        yield self
        for child in self.children:
            yield from child.walk()

    @property
    def features(self) -> tuple[str, ...]:
        """The feature columns it reads, sorted, each once."""
        return tuple(sorted({n.name for n in self.walk() if n.op == "feature"}))


@functools.cache
def parse(text: str, kind: Kind) -> Node:
    """The checked tree of `text`, which must be a `truth` (a trigger) or a `number` (a severity).

    Raises SpecError with the column of the mistake and the nearest word that the language has.
    """
    try:
        tree = ast.parse(text.strip(), mode="eval")
    except SyntaxError as error:
        raise _mistake(text, (error.offset or 1) - 1, "is not an expression") from error
    node = _checked(tree.body, text)
    if node.kind != kind:
        asked = "a comparison (true or false)" if kind == "truth" else "a number"
        raise _mistake(text, 0, f"is no {node.kind} here: {asked} is asked for")
    return node


def check_features(names: Iterable[str], known: Collection[str], owner: str) -> None:
    """Raise SpecError if one of the columns that `owner` reads is not `known`, with the nearest."""
    for name in names:
        if name not in known:
            raise SpecError(
                f"{owner} reads the feature '{name}', which no feature spec defines.",
                nearest(name, known),
                owner=owner,
                feature=name,
            )


def nearest(name: str, known: Collection[str]) -> str:
    """A remedy sentence that names the nearest known name."""
    close = difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.0)
    return f"Did you mean '{close[0]}'?" if close else "No names are known here."


def compile_expression(node: Node) -> pl.Expr:
    """The polars expression of `node`.

    A null operand gives null; a division by zero gives null, never an infinity.
    """
    if node.op == "feature":
        return pl.col(node.name)
    if node.op == "literal":
        return pl.lit(node.value, pl.Float64)
    parts = [compile_expression(child) for child in node.children]
    return _COMPILED[node.op](parts)


def _divide(parts: list[pl.Expr]) -> pl.Expr:
    return pl.when(parts[1] != 0).then(parts[0] / parts[1])


def _fold(combine: Callable[[pl.Expr, pl.Expr], pl.Expr]) -> Callable[[list[pl.Expr]], pl.Expr]:
    return lambda parts: functools.reduce(combine, parts)


def _strictly(
    pick: Callable[[list[pl.Expr]], pl.Expr],
) -> Callable[[list[pl.Expr]], pl.Expr]:
    """Null if any operand is null (polars' own horizontal minimum would skip it)."""

    def compiled(parts: list[pl.Expr]) -> pl.Expr:
        return pl.when(pl.all_horizontal(p.is_not_null() for p in parts)).then(pick(parts))

    return compiled


_COMPILED: dict[str, Callable[[list[pl.Expr]], pl.Expr]] = {
    "+": _fold(operator.add),
    "-": _fold(operator.sub),
    "*": _fold(operator.mul),
    "/": _divide,
    ">=": _fold(operator.ge),
    "<=": _fold(operator.le),
    ">": _fold(operator.gt),
    "<": _fold(operator.lt),
    "and": _fold(operator.and_),
    "or": _fold(operator.or_),
    "not": lambda parts: ~parts[0],
    "negate": lambda parts: -parts[0],
    "abs": lambda parts: parts[0].abs(),
    "min": _strictly(pl.min_horizontal),
    "max": _strictly(pl.max_horizontal),
}


def _checked(tree: ast.expr, text: str) -> Node:
    """The node of `tree`, if it is one of the language's."""
    match tree:
        case ast.Name(id=name):
            return Node("feature", "number", name=name, text=name)
        case ast.Constant(value=int() | float() as value) if not isinstance(value, bool):
            return Node("literal", "number", value=float(value), text=ast.unparse(tree))
        case ast.BinOp(op=op, left=left, right=right) if type(op) in _ARITHMETIC:
            return _node(_ARITHMETIC[type(op)], "number", "number", [left, right], tree, text)
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return _node("negate", "number", "number", [operand], tree, text)
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            return _node("not", "truth", "truth", [operand], tree, text)
        case ast.BoolOp(op=op, values=values):
            word = "and" if isinstance(op, ast.And) else "or"
            return _node(word, "truth", "truth", values, tree, text)
        case ast.Compare():
            return _comparison(tree, text)
        case ast.Call(func=ast.Name(id=name), keywords=[]):
            return _call(tree, name, text)
        case _:
            raise _mistake(text, tree.col_offset, f"uses {type(tree).__name__}, which is not known")


def _node(
    op: str, kind: Kind, wants: Kind, parts: list[ast.expr], tree: ast.expr, text: str
) -> Node:
    children = tuple(_checked(part, text) for part in parts)
    for child, part in zip(children, parts, strict=True):
        if child.kind != wants:
            raise _mistake(text, part.col_offset, f"gives '{op}' a {child.kind}, not a {wants}")
    return Node(op, kind, children, text=ast.unparse(tree))


def _comparison(tree: ast.Compare, text: str) -> Node:
    operands = [tree.left, *tree.comparators]
    links = []
    for left, op, right in zip(operands, tree.ops, operands[1:], strict=False):
        if type(op) not in _COMPARISONS:
            raise _mistake(text, right.col_offset, "compares with a sign other than >= <= > <")
        links.append(_node(_COMPARISONS[type(op)], "truth", "number", [left, right], tree, text))
    return links[0] if len(links) == 1 else Node("and", "truth", tuple(links), text=links[0].text)


def _call(tree: ast.Call, name: str, text: str) -> Node:
    if name not in FUNCTIONS:
        raise SpecError(
            f"'{text}' calls '{name}' at column {tree.col_offset + 1}.",
            nearest(name, FUNCTIONS),
            text=text,
        )
    if len(tree.args) != 1 if name == "abs" else len(tree.args) < 2:
        wanted = "one argument" if name == "abs" else "two or more arguments"
        raise _mistake(text, tree.col_offset, f"calls {name} without {wanted}")
    return _node(name, "number", "number", tree.args, tree, text)


def _mistake(text: str, column: int, what: str) -> SpecError:
    return SpecError(
        f"'{text}' {what} (column {column + 1}).",
        "Write comparisons (>= <= > <) of features and numbers with + - * / abs min max, "
        "joined by and, or, not.",
        text=text,
        column=column + 1,
    )
