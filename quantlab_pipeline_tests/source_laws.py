"""The package's source as the laws read it: every module, parsed once; names that code calls."""

from __future__ import annotations

import ast
import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
PACKAGE = REPOSITORY / "quantlab_pipeline"
TESTS = REPOSITORY / "quantlab_pipeline_tests"


@dataclass(frozen=True)
class Module:
    """One source file: its place below the repository, its text and its tree."""

    place: str
    text: str

    @functools.cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text, self.place)

    @property
    def inside(self) -> str:
        """The place below the package, such as `core/clocks.py`."""
        return self.place.partition("/")[2]

    def at(self, node: ast.AST) -> str:
        return f"{self.place}:{getattr(node, 'lineno', 1)}"


Law = Callable[[Module], Iterator[str]]


@functools.cache
def modules(root: Path = PACKAGE) -> list[Module]:
    """Every Python file below `root`, in order."""
    return [
        Module(path.relative_to(REPOSITORY).as_posix(), path.read_text(encoding="utf-8"))
        for path in sorted(root.rglob("*.py"))
    ]


def offences(law: Law) -> list[str]:
    """What `law` finds in the package, one line a place."""
    return [found for module in modules() for found in law(module)]


def imports(tree: ast.Module) -> Iterator[tuple[ast.AST, str]]:
    """(statement, dotted name) of every import, at any depth; `from a import b` gives `a.b`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node, alias.name
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                yield node, f"{node.module}.{alias.name}"


def attributes(tree: ast.Module) -> Iterator[tuple[ast.Attribute, str]]:
    """(node, dotted text) of every attribute access, such as `datetime.now`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            yield node, ast.unparse(node)


def functions(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Every function and method, nested ones too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node
